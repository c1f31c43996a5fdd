//! Sets that are missing, different or full, and messages that make no sense.

use spared_replica::Config;
use spared_sdk::{Engine as _, Trouble, Value};

use super::lab::*;
use crate::element::{SetName, Shape};
use crate::engine::Engine;

fn why(lab: &Lab, node: usize) -> String {
    let in_sync = lab.machine(node).in_sync.clone();
    in_sync.expect_err("something is missing")
}

#[test]
fn a_set_that_is_missing_is_named_once_and_followed_when_it_is_there() {
    let mut lab = Lab::new(0, settings(Default::default()));
    lab.kernel(1).shape = None;
    lab.insert(0, element(1, None));
    lab.role(0, true);
    lab.link();
    lab.run(5 * S);
    assert_eq!(why(&lab, 1), "inet filter bans: does not exist");
    let sentence = "set inet filter bans does not exist";
    assert_eq!(lab.machine(1).warned, [sentence]);
    lab.kernel(1).shape = Some(shape());
    lab.run(1_200 * MS);
    assert!(lab.has(1, 1));
    lab.run(S);
    lab.assert_in_sync();
}

#[test]
fn a_node_that_serves_tells_what_hinders_it_though_it_lacks_nothing() {
    let mut lab = Lab::in_sync();
    lab.role(0, true);
    let troubles = |lab: &Lab| lab.machine(0).engine.troubles();
    assert_eq!(troubles(&lab), []);
    lab.kernel(0).shape = None;
    lab.run(5 * S);
    let trouble = Trouble::new("inet filter bans", "does not exist");
    assert_eq!(troubles(&lab), [trouble]);
    lab.kernel(0).shape = Some(shape());
    lab.run(5 * S);
    assert_eq!(troubles(&lab), []);
}

#[test]
fn another_type_is_refused_in_a_sentence_that_names_both() {
    let mut lab = Lab::new(0, settings(Default::default()));
    lab.kernel(1).shape = Some(Shape {
        key_type: 8,
        key_len: 16,
        ..shape()
    });
    lab.insert(0, element(1, None));
    lab.role(0, true);
    lab.link();
    lab.run(3 * S);
    assert_eq!(
        why(&lab, 1),
        "inet filter bans: has keys ipv6_addr (16 bytes, with timeouts, without intervals) here \
         and ipv4_addr (4 bytes, with timeouts, without intervals) on the peer"
    );
    assert_eq!(lab.machine(1).kernel.written, 0);
    // corrected on the node
    lab.reload(1, &[]);
    lab.run(3 * S);
    assert!(lab.has(1, 1));
    lab.assert_in_sync();
}

#[test]
fn a_full_set_is_counted_and_said_and_tried_again() {
    let mut lab = Lab::new(0, settings(Default::default()));
    lab.kernel(1).room = 3;
    for number in 0..10 {
        lab.insert(0, element(number, None));
    }
    lab.role(0, true);
    lab.link();
    lab.run(3 * S);
    let sentence = "inet filter bans: is full here: there is no room for more elements";
    assert_eq!(why(&lab, 1), sentence);
    assert_eq!(lab.machine(1).warned.len(), 1);
    let row = lab.row(0, "inet filter bans.refused_there");
    assert_eq!(row, Some(Value::Number(7)));
    lab.kernel(1).room = usize::MAX;
    lab.run(130 * S);
    assert_eq!(lab.count(1), 10);
    lab.assert_in_sync();
}

#[test]
fn a_set_that_the_peer_does_not_name_is_said() {
    let mut lab = Lab::new(0, settings(Default::default()));
    let mut other = settings(Default::default());
    other.sets[0].name = SetName {
        name: "other".to_owned(),
        ..bans()
    };
    let config = Config::new(7, 7, ["inet filter other"]);
    let now_ns = lab.now_ns();
    lab.at(1).engine = Engine::new(now_ns, other, config, "boot");
    lab.role(0, true);
    lab.link();
    lab.run(3 * S);
    let sentence = "inet filter other: the peer does not have it, or has not read it yet";
    assert_eq!(why(&lab, 1), sentence);
}

#[test]
fn garbage_is_counted_and_costs_nothing() {
    let mut lab = Lab::in_sync();
    let now_ns = lab.now_ns();
    for bytes in [&[][..], &[99], &[4, 1, 1, b't', 200], &[0xff; 300]] {
        let said = lab.at(1).engine.handle_message(now_ns, bytes);
        assert!(said.is_err());
    }
    lab.add(0, element(1, None));
    lab.run(5 * S);
    assert!(lab.has(1, 1));
    lab.assert_in_sync();
    assert_eq!(lab.row(1, "all.garbage_here"), Some(Value::Counter(4)));
    assert_eq!(lab.machine(1).warned.len(), 1);
}

#[test]
fn nobody_is_active_and_both_have_all() {
    let mut lab = Lab::new(0, settings(Default::default()));
    lab.insert(0, element(1, None));
    lab.insert(1, element(2, None));
    lab.link();
    lab.run(3 * S);
    lab.assert_in_sync();
    assert_eq!(
        lab.machine(1).engine.summary(lab.now_ns()),
        "1 set, 2 elements"
    );
}

#[test]
fn nothing_gathers_while_the_peer_takes_nothing() {
    let mut lab = Lab::in_sync();
    let now_ns = lab.now_ns();
    for number in 0..2_000 {
        lab.add(0, element(number, None));
        lab.at(0)
            .engine
            .handle_role(now_ns, "other", role_of(number % 2 == 0));
    }
    // two messages in the channel, one that waits
    lab.run(MS);
    assert!(lab.channels[0].len() <= 2);
    lab.run(10 * S);
    assert_eq!(lab.count(1), 2_000);
    lab.assert_in_sync();
}

#[test]
fn a_worker_that_knows_not_all_takes_no_absence_for_a_deletion() {
    for (node, spent_ns) in [(0, MS), (1, MS), (0, 5 * S), (1, 5 * S)] {
        let mut lab = Lab::in_sync();
        for number in 0..100 {
            lab.add(0, element(number, None));
        }
        lab.run(S);
        let kernel = lab.kernel(node);
        (kernel.piece, kernel.has_holes, kernel.spent_ns) = (10, true, spent_ns);
        let written = [0, 1].map(|node| lab.machine(node).kernel.written);
        lab.restart(node);
        lab.run(5 * S);
        assert_eq!([lab.count(0), lab.count(1)], [100; 2], "node {node}");
        lab.assert_in_sync();
        if spent_ns == MS {
            let after = [0, 1].map(|node| lab.machine(node).kernel.written);
            assert_eq!(after, written, "nothing was deleted for a moment");
        }
    }
}

fn state(lab: &Lab, node: usize) -> Option<Value> {
    lab.row(node, "inet filter bans.state")
}

#[test]
fn a_change_whose_notification_was_lost_follows_in_time_and_status_tells_until_then() {
    const READING_NS: u64 = 50 * S;
    let mut lab = Lab::in_sync();
    lab.kernel(0).spent_ns = READING_NS;
    lab.run(2 * S);
    let (now_ns, in_sync) = (lab.now_ns(), state(&lab, 0));
    lab.insert(0, element(1, None));
    lab.kernel(0).lose_events();
    lab.run(S);
    assert!(!lab.has(1, 1));
    let why = "changes were too many to be notified of: the set is being read again";
    assert_eq!(state(&lab, 0), Some(Value::Text(why.to_owned())));
    while !lab.has(1, 1) {
        lab.run(S);
    }
    assert!(lab.now_ns() - now_ns <= 2 * READING_NS + 2 * S);
    lab.run(S);
    assert_eq!(state(&lab, 0), in_sync);
}
