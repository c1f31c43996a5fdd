//! Sets that are missing, different or full; words that make no sense.

use spared_sdk::Value;

use super::*;

#[test]
fn a_set_that_is_missing_is_named_once_and_followed_when_it_is_there() {
    let mut pair = Pair::new();
    pair.nodes[1].kernel.shape = None;
    pair.insert(0, element(1, None));
    pair.link();
    pair.role(0, true);
    pair.run(5 * S);
    let sentence = "set inet filter bans does not exist here";
    assert_eq!(pair.nodes[1].in_sync, (false, sentence.to_owned()));
    assert_eq!(pair.nodes[1].warned, [sentence]);
    pair.nodes[1].kernel.shape = Some(shape());
    pair.run(1_100);
    assert!(pair.nodes[1].in_sync.0, "{:?}", pair.nodes[1].in_sync);
    pair.assert_equal();
}

#[test]
fn a_set_that_the_active_node_lost_is_left_to_the_backup_until_it_is_back() {
    let mut pair = Pair::settled();
    pair.add(0, element(1, None));
    pair.nodes[0].kernel.shape = None;
    pair.nodes[0].kernel.elements.clear();
    pair.run(3 * S);
    assert!(pair.nodes[1].has(1));
    assert!(pair.nodes[1].in_sync.0);
    assert_eq!(pair.nodes[0].warned.len(), 1);
    assert!(!pair.nodes[0].engine.sets[0].table.is_untidy());
    pair.nodes[0].kernel.shape = Some(shape());
    pair.insert(0, element(2, None));
    pair.run(1_100);
    pair.assert_equal();
    assert!(pair.nodes[1].has(2) && !pair.nodes[1].has(1));
}

#[test]
fn another_type_is_refused_in_a_sentence_that_names_both() {
    let mut pair = Pair::new();
    pair.nodes[1].kernel.shape = Some(Shape {
        key_type: 8,
        key_len: 16,
        ..shape()
    });
    pair.insert(0, element(1, None));
    pair.link();
    pair.role(0, true);
    pair.run(3 * S);
    let (yes, why) = &pair.nodes[1].in_sync;
    assert!(!yes);
    assert_eq!(
        why,
        "set inet filter bans has keys ipv6_addr (16 bytes, with timeouts, without intervals) here \
         and ipv4_addr (4 bytes, with timeouts, without intervals) at the peer"
    );
    assert_eq!(pair.nodes[1].kernel.written, 0);
    // mended by somebody
    pair.nodes[1].kernel.shape = Some(shape());
    pair.run(3 * S);
    assert!(pair.nodes[1].in_sync.0, "{:?}", pair.nodes[1].in_sync);
    pair.assert_equal();
}

#[test]
fn a_full_set_is_counted_and_said_and_tried_again() {
    let mut pair = Pair::new();
    pair.nodes[1].kernel.room = 3;
    for number in 0..10 {
        pair.insert(0, element(number, None));
    }
    pair.link();
    pair.role(0, true);
    pair.run(3 * S);
    let why = "set inet filter bans is full here: 7 elements found no room";
    assert_eq!(pair.nodes[1].in_sync, (false, why.to_owned()));
    assert_eq!(pair.nodes[1].warned.len(), 1);
    let rows = pair.nodes[0].engine.rows(pair.now_ms);
    let row = |wanted: &str| {
        let found = rows.iter().find(|(key, _)| key == wanted);
        found.map(|(_, value)| value.clone())
    };
    assert_eq!(
        row("inet filter bans.refused_at_peer"),
        Some(Value::Number(7))
    );
    pair.nodes[1].kernel.room = usize::MAX;
    pair.run(62 * S);
    assert!(pair.nodes[1].in_sync.0, "{:?}", pair.nodes[1].in_sync);
    pair.assert_equal();
}

#[test]
fn a_set_that_the_peer_does_not_name_is_said() {
    let mut pair = Pair::new();
    let other = SetName {
        name: "other".to_owned(),
        ..bans()
    };
    let settings = Settings {
        sets: vec![other],
        ..Settings::default()
    };
    pair.nodes[1].engine = Engine::new(pair.now_ms, settings);
    pair.link();
    pair.role(0, true);
    pair.run(2 * S);
    let why = "set inet filter other is not in the peer's sets.toml";
    assert_eq!(pair.nodes[1].in_sync, (false, why.to_owned()));
}

#[test]
fn garbage_is_counted_and_what_it_may_have_cost_is_asked_for() {
    let mut pair = Pair::settled();
    let now_ms = pair.now_ms;
    let lost = {
        let node = &mut pair.nodes[0];
        node.add(now_ms, element(1, None));
        node.act(now_ms);
        std::mem::take(&mut node.sent)
    };
    assert_eq!(lost.len(), 1);
    for bytes in [&[][..], &[99], &[4, 1, 1, b't', 200], &[0xff; 300]] {
        let said = pair.nodes[1].engine.handle_message(now_ms, bytes);
        assert!(said.is_err());
    }
    pair.run(2 * S);
    pair.assert_equal();
    let warned = "the peer's message is not understood: the message is cut off; more are counted";
    assert_eq!(pair.nodes[1].warned, [warned]);
    let rows = pair.nodes[1].engine.rows(pair.now_ms);
    let malformed = ("all.malformed".to_owned(), Value::Number(4));
    assert!(rows.contains(&malformed), "{rows:?}");
}

#[test]
fn elements_that_do_not_fit_the_set_are_passed_over() {
    let mut pair = Pair::settled();
    let mut long = element(1, None);
    long.key = Key(Box::new([1; 9]));
    let ended = element(2, Some((S, 0)));
    let message = Message::About(bans(), About::Elements(vec![long, ended, element(3, None)]));
    let now_ms = pair.now_ms;
    let engine = &mut pair.nodes[1].engine;
    assert_eq!(engine.handle_message(now_ms, &message.emit()), Ok(()));
    pair.settle();
    assert_eq!(pair.keys(1), [&key(3)]);
}

#[test]
fn nobody_is_active_and_nothing_is_said() {
    let mut pair = Pair::new();
    pair.insert(0, element(1, None));
    pair.link();
    pair.run(3 * S);
    let why = "set inet filter bans: no node is active";
    assert_eq!(pair.nodes[1].in_sync, (false, why.to_owned()));
    assert!(pair.keys(1).is_empty());
    assert_eq!(
        pair.nodes[1].engine.summary(),
        "1 set, 0 elements, 1 not in sync"
    );
}
