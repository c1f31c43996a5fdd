//! Roles change, nodes part and meet.

use super::*;

#[test]
fn a_switch_sends_nothing_again_and_goes_on_the_other_way() {
    let mut pair = Pair::settled();
    for number in 0..300 {
        pair.add(0, element(number, Some((600 * S, 600 * S))));
    }
    let before = [pair.gifts(0), pair.gifts(1)];
    let written = [0, 1].map(|node| pair.nodes[node].kernel.written);
    pair.switch(0);
    pair.run(10 * S);
    assert_eq!([pair.gifts(0), pair.gifts(1)], before);
    assert_eq!([0, 1].map(|node| pair.nodes[node].kernel.written), written);
    assert!(pair.nodes[0].in_sync.0, "{:?}", pair.nodes[0].in_sync);
    pair.add(1, element(1_000, None));
    assert!(pair.nodes[0].has(1_000));
    pair.delete(1, 3);
    assert!(!pair.nodes[0].has(3));
    assert_eq!(pair.nodes[1].kernel.written, written[1], "no echo");
    pair.switch(1);
    pair.add(0, element(1_001, None));
    assert!(pair.nodes[1].has(1_001));
    pair.run(130 * S);
    pair.assert_equal();
}

#[test]
fn what_the_new_active_node_changes_before_it_is_asked_follows() {
    let mut pair = Pair::settled();
    pair.role(0, false);
    let now_ms = pair.now_ms;
    let engine = &mut pair.nodes[1].engine;
    engine.handle_role(now_ms, "office", true);
    pair.nodes[1].add(now_ms, element(5, None));
    pair.settle();
    assert!(pair.nodes[0].has(5));
}

#[test]
fn who_takes_over_keeps_all_and_gives_it_back() {
    let mut pair = Pair::settled();
    for number in 0..100 {
        pair.add(0, element(number, Some((600 * S, 600 * S))));
    }
    pair.cut();
    pair.role(1, true);
    assert_eq!(pair.keys(1).len(), 100);
    pair.add(1, element(200, None));
    // the other was dead, and begins with nothing
    pair.nodes[0] = Node::new(pair.now_ms);
    pair.run(2 * S);
    pair.link();
    pair.run(S);
    pair.assert_equal();
    assert_eq!(pair.keys(0).len(), 101);
    assert_eq!(pair.nodes[1].kernel.written, 100, "nothing is overwritten");
}

#[test]
fn who_gets_the_role_before_it_has_read_its_set_is_given_what_the_other_has() {
    let mut pair = Pair::settled();
    for number in 0..100 {
        pair.add(0, element(number, Some((600 * S, 600 * S))));
    }
    pair.cut();
    pair.nodes[1] = Node::new(pair.now_ms);
    pair.nodes[1].reads = false;
    pair.link();
    pair.switch(0);
    pair.run(S);
    let now_ms = pair.now_ms;
    pair.nodes[1].begin_reads(now_ms);
    pair.run(3 * S);
    pair.assert_equal();
    assert_eq!(pair.keys(1).len(), 100);
    assert!(pair.nodes[0].in_sync.0, "{:?}", pair.nodes[0].in_sync);
}

#[test]
fn after_a_split_the_winner_s_elements_win_and_the_loser_s_others_are_added() {
    let mut pair = Pair::settled();
    pair.add(0, element(1, Some((600 * S, 600 * S))));
    pair.add(0, element(2, None));
    pair.cut();
    pair.role(1, true);
    pair.run(S);
    pair.add(0, element(10, None));
    pair.add(0, element(11, Some((60 * S, 60 * S))));
    pair.add(1, element(20, None));
    pair.add(1, element(11, Some((600 * S, 600 * S))));
    pair.delete(0, 2);
    pair.run(S);
    pair.link();
    let apart = [pair.nodes[0].has(20), pair.nodes[1].has(10)];
    assert_eq!(apart, [false, false], "two active nodes believe nobody");
    pair.role(0, false);
    pair.run(S);
    pair.assert_equal();
    let wanted = [1, 2, 10, 11, 20].map(key);
    assert_eq!(pair.keys(1), wanted.iter().collect::<Vec<_>>());
    let left_ms = pair.left_ms(1, 11);
    assert_eq!(left_ms, Some(598 * S), "the winner's own stays as it is");
    assert_eq!(pair.left_ms(0, 11), left_ms);
}

#[test]
fn a_split_that_the_link_outlives_loses_nothing_either() {
    let mut pair = Pair::settled();
    pair.add(0, element(1, None));
    pair.add(0, element(2, Some((600 * S, 600 * S))));
    pair.slow = true;
    pair.role(1, true);
    pair.add(0, element(2, Some((60 * S, 60 * S))));
    pair.add(0, element(10, None));
    pair.delete(0, 1);
    pair.add(1, element(20, None));
    pair.role(0, false);
    pair.slow = false;
    pair.run(S);
    pair.assert_equal();
    let wanted = [1, 2, 10, 20].map(key);
    assert_eq!(pair.keys(1), wanted.iter().collect::<Vec<_>>());
    assert_eq!(pair.left_ms(0, 2), Some(599 * S));
    assert!(pair.nodes[0].in_sync.0);
}

#[test]
fn an_active_node_believes_nobody() {
    let mut pair = Pair::settled();
    pair.add(0, element(1, None));
    let now_ms = pair.now_ms;
    for about in [
        About::Begin {
            epoch: 1,
            elements: 0,
            shape: shape(),
        },
        About::Elements(vec![element(1, Some((S, S)))]),
        About::Delete(vec![key(1)]),
        About::End { epoch: 1 },
        About::Absent { configured: false },
    ] {
        let message = Message::About(bans(), about).emit();
        let _ = pair.nodes[0].engine.handle_message(now_ms, &message);
    }
    pair.settle();
    assert_eq!(pair.nodes[0].kernel.written, 0);
    assert!(pair.nodes[0].has(1));
}

#[test]
fn a_node_that_is_active_for_any_group_is_active() {
    let mut pair = Pair::settled();
    let now_ms = pair.now_ms;
    let engine = &mut pair.nodes[0].engine;
    engine.handle_role(now_ms, "other", true);
    engine.handle_role(now_ms, "office", false);
    pair.add(0, element(1, None));
    assert!(pair.nodes[1].has(1));
}

#[test]
fn a_drain_reads_what_packets_added_and_ends_when_all_is_said() {
    let mut pair = Pair::settled();
    pair.insert(0, element(1, None));
    let now_ms = pair.now_ms;
    let engine = &mut pair.nodes[0].engine;
    engine.handle_drain(now_ms, now_ms + 2 * S);
    assert!(!engine.is_drained());
    pair.settle();
    assert!(pair.nodes[0].engine.is_drained());
    assert!(pair.nodes[1].has(1));
    pair.switch(0);
    assert!(pair.nodes[1].engine.is_drained());
    pair.nodes[0].engine.handle_drain(now_ms, now_ms + 2 * S);
    assert!(pair.nodes[0].engine.is_drained(), "a backup has nothing");
}
