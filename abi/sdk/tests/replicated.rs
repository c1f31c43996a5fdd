//! Two nodes with a table. The test drives the engine of each, as the runner would.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use spared_sdk::replicated::{Map, Replicated, replica::Config};
use spared_sdk::{Engine, Role, Value};

type Table = Replicated<Map<String, String>>;

const NOW_NS: u64 = 1_000_000_000;

fn pair() -> [Table; 2] {
    [1, 2].map(|node| Replicated::with(Config::new(node, node, ["notes"]), Map::new(node)))
}

/// Passes messages between both nodes until neither sends any more.
fn talk(nodes: &mut [Table; 2]) {
    let mut is_busy = true;
    while is_busy {
        is_busy = false;
        for (from, to) in [(0, 1), (1, 0)] {
            let said = nodes[from].poll_message(NOW_NS).map(<[u8]>::to_vec);
            if let Some(message) = said {
                nodes[from].message_sent();
                nodes[to].handle_message(NOW_NS, &message).unwrap();
                is_busy = true;
            }
        }
    }
}

fn linked() -> [Table; 2] {
    let mut nodes = pair();
    nodes[0].handle_role("office", Role::Active);
    nodes.iter_mut().for_each(Table::handle_up);
    talk(&mut nodes);
    nodes
}

#[test]
fn a_record_is_put_and_removed_on_both_and_the_other_node_acts_on_it() {
    let mut nodes = linked();
    let text = |text: &str| text.to_owned();
    nodes[0].put(NOW_NS, text("a"), text("1")).unwrap();
    assert_eq!(nodes[1].summary(), "in sync", "it cannot know yet");
    assert_ne!(nodes[0].summary(), "in sync");
    assert_eq!(nodes[0].in_sync(), Ok(()), "the node itself lacks nothing");
    talk(&mut nodes);
    assert_eq!(nodes[1].store().get(&text("a")), Some(&text("1")));
    assert_eq!(nodes[1].poll_action(NOW_NS), Some(text("a")));
    assert_eq!(nodes[0].poll_action(NOW_NS), None);
    assert!(nodes[0].remove(NOW_NS, &text("a")) && !nodes[0].remove(NOW_NS, &text("a")));
    talk(&mut nodes);
    assert_eq!(nodes[1].store().count(), 0);
    let rows = nodes[1].rows(NOW_NS);
    let state = rows.iter().find(|(key, _)| key == "notes.state");
    assert_eq!(state.unwrap().1, Value::Text("in sync".to_owned()));
    assert!(rows.contains(&("notes.records_there".to_owned(), Value::Number(0))));
}

#[test]
fn a_drain_ends_when_the_peer_has_all() {
    let mut nodes = linked();
    nodes[0]
        .put(NOW_NS, "a".to_owned(), "1".to_owned())
        .unwrap();
    nodes[0].start_drain();
    assert!(!nodes[0].is_drained());
    talk(&mut nodes);
    assert!(nodes[0].is_drained() && nodes[1].is_settled());
    assert_eq!(nodes[1].store().count(), 1);
}

#[test]
fn a_peer_that_talks_nonsense_or_is_gone_keeps_no_drain_waiting() {
    let mut node = pair().into_iter().next().unwrap();
    node.start_drain();
    assert!(node.is_drained());
    node.handle_up();
    assert!(node.handle_message(NOW_NS, b"nonsense").is_err());
    node.start_drain();
    assert!(node.is_drained());
    let mut nodes = linked();
    nodes[0].start_drain();
    nodes[0].handle_down();
    assert!(nodes[0].is_drained());
}
