//! Elements follow: added, renewed, deleted, by whomever.

use super::*;

#[test]
fn what_nft_adds_is_there_at_once_with_its_life() {
    let mut pair = Pair::settled();
    pair.add(0, element(1, Some((60 * S, 50 * S))));
    pair.add(0, element(2, None));
    assert_eq!(pair.left_ms(1, 1), Some(50 * S));
    assert!(pair.nodes[1].has(2));
    pair.delete(0, 2);
    assert!(!pair.nodes[1].has(2) && pair.nodes[1].has(1));
}

#[test]
fn what_packets_add_and_delete_is_there_after_a_poll() {
    let mut pair = Pair::settled();
    pair.insert(0, element(1, Some((60 * S, 60 * S))));
    pair.run(1_100);
    assert!(pair.nodes[1].has(1));
    pair.nodes[0].kernel.elements.clear();
    pair.run(1_100);
    assert!(!pair.nodes[1].has(1));
}

#[test]
fn what_ends_by_itself_is_not_told() {
    let mut pair = Pair::settled();
    pair.add(0, element(1, Some((5 * S, 5 * S))));
    let before = pair.gifts(0);
    pair.run(7 * S);
    assert!(pair.keys(0).is_empty());
    pair.assert_equal();
    assert_eq!(pair.gifts(0), before);
    assert_eq!(pair.nodes[1].kernel.written, 1);
}

#[test]
fn an_element_that_packets_renew_never_ends_at_the_peer() {
    for timeout_ms in [3 * S, 10 * S, 600 * S] {
        let mut pair = Pair::settled();
        for _ in 0..100 {
            pair.insert(0, element(1, Some((timeout_ms, timeout_ms))));
            pair.run(500);
            assert!(
                pair.now_ms < 6 * S || pair.nodes[1].has(1),
                "{timeout_ms} at {}",
                pair.now_ms
            );
        }
        // 50 s: told now and then, and not at every poll
        assert!(pair.nodes[1].kernel.written < 52, "{timeout_ms}");
    }
}

#[test]
fn an_element_of_the_same_life_but_two_seconds_is_left_alone() {
    let mut pair = Pair::new();
    pair.insert(0, element(1, Some((60 * S, 50 * S))));
    pair.insert(0, element(2, Some((60 * S, 50 * S))));
    pair.insert(1, element(1, Some((60 * S, 48_500))));
    pair.insert(1, element(2, Some((60 * S, 40 * S))));
    pair.link();
    pair.role(0, true);
    assert_eq!(pair.left_ms(1, 1), Some(48_500));
    assert_eq!(pair.left_ms(1, 2), Some(50 * S));
    assert_eq!(pair.nodes[1].kernel.written, 1);
}

#[test]
fn another_timeout_follows_at_once() {
    let mut pair = Pair::settled();
    pair.add(0, element(1, Some((60 * S, 60 * S))));
    pair.add(0, element(1, Some((61 * S, 61 * S))));
    assert_eq!(pair.left_ms(1, 1), Some(61 * S));
    pair.add(0, element(1, None));
    assert_eq!(pair.nodes[1].kernel.elements.get(&key(1)), Some(&None));
}

#[test]
fn who_joins_late_gets_all_and_prunes_what_is_not_there() {
    let mut pair = Pair::new();
    for number in 0..5_000 {
        pair.insert(0, element(number, Some((600 * S, 500 * S))));
    }
    pair.insert(1, element(9_999, None));
    pair.role(0, true);
    pair.run(2 * S);
    assert!(!pair.nodes[1].in_sync.0);
    pair.link();
    assert!(pair.nodes[1].in_sync.0);
    pair.assert_equal();
    assert_eq!(pair.keys(1).len(), 5_000);
    assert_eq!(pair.nodes[1].kernel.written, 5_001);
}

#[test]
fn it_is_in_sync_only_when_the_end_is_applied() {
    let mut pair = Pair::new();
    for number in 0..5_000 {
        pair.insert(0, element(number, None));
    }
    pair.role(0, true);
    pair.run(S);
    pair.nodes[0].room = 0;
    pair.link();
    let why = &pair.nodes[1].in_sync.1;
    assert_eq!(why, "set inet filter bans: the peer is not there");
    pair.nodes[0].room = 3;
    for part in 1.. {
        let now_ms = pair.now_ms;
        pair.nodes[0].act(now_ms);
        let Some(message) = pair.nodes[0].sent.pop_front() else {
            break;
        };
        let end = matches!(
            Message::parse(&message),
            Ok(Message::About(_, About::End { .. }))
        );
        let node = &mut pair.nodes[1];
        let _ = node.engine.handle_message(now_ms, &message);
        node.act(now_ms);
        assert_eq!(node.in_sync.0, end, "message {part}");
        if end {
            break;
        }
        // what it asks for
        for message in std::mem::take(&mut node.sent) {
            let _ = pair.nodes[0].engine.handle_message(now_ms, &message);
        }
    }
    assert!(pair.nodes[1].in_sync.0);
    pair.assert_equal();
}

#[test]
fn a_full_channel_makes_one_message_of_many_changes() {
    let mut pair = Pair::settled();
    pair.nodes[0].room = 0;
    for number in 0..500 {
        pair.add(0, element(number, None));
        pair.delete(0, number / 2);
    }
    let before = pair.gifts(0);
    pair.nodes[0].room = 1;
    pair.settle();
    pair.assert_equal();
    assert!(pair.gifts(0) - before <= 4, "{}", pair.gifts(0) - before);
}

#[test]
fn what_is_lost_here_is_asked_for_again() {
    let mut pair = Pair::settled();
    for number in 0..10 {
        pair.add(0, element(number, None));
    }
    // somebody flushes the backup's set
    for number in 0..10 {
        pair.delete(1, number);
    }
    pair.run(2 * S);
    pair.assert_equal();
    assert_eq!(pair.keys(1).len(), 10);
    // and what somebody adds there goes by the next comparison
    pair.add(1, element(77, None));
    pair.run(62 * S);
    pair.assert_equal();
    assert_eq!(pair.keys(0).len(), 10, "a backup tells nobody");
}

#[test]
fn a_comparison_writes_nothing_where_nothing_differs() {
    let mut pair = Pair::settled();
    for number in 0..100 {
        pair.add(0, element(number, Some((600 * S, 600 * S))));
    }
    let written = pair.nodes[1].kernel.written;
    let gifts = pair.gifts(0);
    pair.run(130 * S);
    assert!(pair.gifts(0) > gifts, "it compares");
    assert_eq!(pair.nodes[1].kernel.written, written);
}

#[test]
fn a_large_set_is_read_rarely_and_what_one_reading_lacks_is_not_gone() {
    let mut engine = Node::new(0).engine;
    engine.handle_timeout(0);
    let slow = |certain| Reading {
        certain,
        spent_ms: 900,
    };
    engine.handle_shape(0, 0, Ok(shape()));
    engine.handle_elements(0, 0, vec![element(1, None), element(2, None)]);
    engine.handle_read(1_000, 0, Some(slow(false)));
    assert_eq!(engine.next_timeout(), 10_000);
    for (round, left) in [(1, 2), (2, 1)] {
        let now_ms = round * 10_000;
        engine.handle_timeout(now_ms);
        engine.handle_shape(now_ms, 0, Ok(shape()));
        engine.handle_elements(now_ms, 0, vec![element(1, None)]);
        engine.handle_read(now_ms, 0, Some(slow(false)));
        assert_eq!(engine.sets[0].table.len(), left);
    }
}

#[test]
fn what_is_deleted_while_it_is_read_stays_deleted() {
    let mut engine = Node::new(0).engine;
    engine.handle_timeout(0);
    engine.handle_shape(0, 0, Ok(shape()));
    engine.handle_deleted(0, 0, vec![key(1)]);
    // the kernel had listed it before
    engine.handle_elements(0, 0, vec![element(1, None), element(2, None)]);
    let reading = Reading {
        certain: true,
        spent_ms: 0,
    };
    engine.handle_read(0, 0, Some(reading));
    assert_eq!(engine.sets[0].table.len(), 1);
}

#[test]
fn of_intervals_that_overlap_the_old_one_goes_first() {
    let mut pair = Pair::settled();
    let intervals = Shape {
        intervals: true,
        ..shape()
    };
    for node in &mut pair.nodes {
        node.kernel.shape = Some(intervals);
    }
    pair.run(2 * S);
    pair.insert(0, element(1, None));
    pair.run(2 * S);
    let before = pair.nodes[0].kinds.len();
    // one reading finds the new one, and only its end that the old one is gone
    pair.nodes[0].kernel.elements.clear();
    pair.insert(0, element(2, None));
    pair.run(2 * S);
    let kinds = &pair.nodes[0].kinds[before..];
    let gifts: Vec<u8> = kinds
        .iter()
        .copied()
        .filter(|kind| matches!(kind, 4 | 6))
        .collect();
    assert_eq!(gifts, [6, 4]);
    pair.assert_equal();
}

#[test]
fn what_changes_while_a_set_is_read_is_read_again_soon() {
    let mut engine = Node::new(0).engine;
    engine.handle_timeout(0);
    engine.handle_shape(0, 0, Ok(shape()));
    engine.handle_touched(10, None);
    let reading = Reading {
        certain: false,
        spent_ms: 500,
    };
    engine.handle_read(600, 0, Some(reading));
    assert_eq!(engine.next_timeout(), 1_600);
    // notifications were lost, and elements still come
    engine.handle_timeout(1_600);
    engine.handle_shape(1_600, 0, Ok(shape()));
    engine.handle_added(1_700, 0, vec![element(1, None)]);
    engine.handle_read(2_200, 0, Some(reading));
    assert_eq!(engine.next_timeout(), 3_200);
    engine.handle_timeout(3_200);
    engine.handle_shape(3_200, 0, Ok(shape()));
    engine.handle_read(3_800, 0, Some(reading));
    assert_eq!(engine.next_timeout(), 8_800);
    engine.handle_touched(4_000, Some(0));
    assert_eq!(engine.next_timeout(), 5_000);
}
