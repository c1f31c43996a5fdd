//! Replication of elements that were added, renewed or deleted, by nft or by packets.

use spared_sdk::Value;

use super::lab::*;
use crate::element::Element;

#[test]
fn what_nft_adds_is_there_at_once_with_its_life() {
    let mut lab = Lab::in_sync();
    lab.add(0, element(1, Some((60, 50))));
    lab.add(0, element(2, None));
    lab.run(10 * MS);
    assert_eq!(lab.left_s(1, 1), Some(50));
    assert!(lab.has(1, 2));
    lab.delete(0, 2);
    lab.run(10 * MS);
    assert!(!lab.has(1, 2) && lab.has(1, 1));
    lab.run(2 * S);
    lab.assert_in_sync();
}

#[test]
fn what_packets_add_and_delete_is_there_after_a_poll() {
    let mut lab = Lab::in_sync();
    lab.insert(0, element(1, Some((60, 60))));
    lab.run(1_100 * MS);
    assert!(lab.has(1, 1));
    lab.kernel(0).elements.clear();
    lab.run(1_100 * MS);
    assert!(!lab.has(1, 1));
}

#[test]
fn what_ends_by_itself_is_not_told() {
    let mut lab = Lab::in_sync();
    lab.add(0, element(1, Some((5, 5))));
    lab.run(S);
    let before = lab.puts;
    lab.run(7 * S);
    assert_eq!(lab.count(0), 0);
    lab.assert_in_sync();
    assert_eq!(lab.puts, before);
    assert_eq!(lab.machine(1).kernel.written, 1);
}

#[test]
fn an_element_that_packets_renew_never_ends_at_the_peer() {
    for timeout_s in [3, 10, 600] {
        let mut lab = Lab::in_sync();
        let begun = lab.now_ns();
        for _ in 0..100 {
            lab.insert(0, element(1, Some((timeout_s, timeout_s))));
            lab.run(500 * MS);
            let age = lab.now_ns() - begun;
            assert!(age < 6 * S || lab.has(1, 1), "{timeout_s} at {age}");
        }
        // timeout 50 s: sent now and then, and not at every poll
        let written = lab.machine(1).kernel.written;
        assert!(written < 52, "{timeout_s}: {written}");
    }
}

#[test]
fn another_timeout_follows_at_once() {
    let mut lab = Lab::in_sync();
    lab.add(0, element(1, Some((60, 60))));
    lab.run(10 * MS);
    lab.add(0, element(1, Some((61, 61))));
    lab.run(10 * MS);
    assert_eq!(lab.left_s(1, 1), Some(61));
    lab.add(0, element(1, None));
    lab.run(10 * MS);
    assert_eq!(lab.left_s(1, 1), None);
    assert!(lab.has(1, 1));
}

#[test]
fn data_and_comments_follow() {
    let mut lab = Lab::in_sync();
    let mut one = element(1, Some((60, 60)));
    one.data = Box::new([1, 2, 3, 4]);
    one.comment = Box::new([0, 2, b'x', 0]);
    lab.add(0, one.clone());
    lab.run(S);
    let there = |lab: &Lab| {
        let (found, _) = lab.machine(1).kernel.elements.get(&key(1)).expect("it");
        (found.data.clone(), found.comment.clone())
    };
    assert_eq!(there(&lab), (one.data.clone(), one.comment.clone()));
    one.data = Box::new([5, 2, 3, 4]);
    lab.add(0, one.clone());
    lab.run(S);
    assert_eq!(there(&lab).0, one.data);
}

#[test]
fn who_joins_late_gets_all_in_pieces_as_small_as_the_kernel_likes() {
    for piece in [usize::MAX, 7] {
        let mut lab = Lab::new(0, settings(Default::default()));
        for node in [0, 1] {
            lab.kernel(node).piece = piece;
        }
        for number in 0..400 {
            lab.insert(0, element(number, Some((600, 600))));
        }
        lab.role(0, true);
        lab.link();
        lab.run(3 * S);
        assert_eq!(lab.count(1), 400, "{piece}");
        lab.assert_in_sync();
        let written = lab.machine(1).kernel.written;
        lab.run(130 * S);
        assert_eq!(lab.machine(1).kernel.written, written, "nothing twice");
    }
}

#[test]
fn what_the_backup_has_alone_before_it_joins_is_added() {
    let mut lab = Lab::new(0, settings(Default::default()));
    lab.insert(0, element(1, None));
    lab.insert(1, element(2, None));
    lab.role(0, true);
    lab.link();
    lab.run(3 * S);
    lab.assert_in_sync();
    assert_eq!(lab.count(0), 2);
}

#[test]
fn what_is_added_at_the_backup_is_undone_and_what_is_deleted_there_comes_back() {
    let mut lab = Lab::in_sync();
    lab.add(0, element(1, None));
    lab.run(S);
    lab.add(1, element(2, None));
    lab.delete(1, 1);
    lab.run(S);
    assert!(lab.has(1, 1) && !lab.has(1, 2) && !lab.has(0, 2));
    // added by packets, too
    lab.insert(1, element(3, None));
    lab.run(3 * S);
    lab.assert_in_sync();
    assert!(!lab.has(0, 3));
}

#[test]
fn lost_notifications_are_made_good_by_reading() {
    let mut lab = Lab::in_sync();
    lab.kernel(0).piece = 10;
    for number in 0..100 {
        lab.add(0, element(number, None));
    }
    lab.kernel(0).lose_events();
    lab.run(S);
    assert_eq!(lab.count(1), 100);
    lab.delete(0, 5);
    lab.kernel(0).lose_events();
    lab.run(5 * S);
    assert!(!lab.has(1, 5));
    lab.assert_in_sync();
}

#[test]
fn a_flush_of_the_set_by_name_follows() {
    let mut lab = Lab::in_sync();
    for number in 0..50 {
        lab.add(0, element(number, None));
    }
    lab.run(S);
    assert_eq!(lab.count(1), 50);
    lab.flush(0);
    lab.run(100 * MS);
    assert_eq!(lab.count(1), 0);
    lab.run(5 * S);
    lab.assert_in_sync();
}

/// `update @flood { ip saddr limit rate over 10/second } drop`: without its limit, an element makes the rule drop all
/// packets of its address.
#[test]
fn what_a_rule_gave_a_limit_is_neither_told_nor_put_back_and_that_is_said_once() {
    let mut lab = Lab::in_sync();
    let metered = |number| Element {
        metered: true,
        ..element(number, Some((600, 600)))
    };
    lab.add(0, metered(1));
    lab.insert(0, metered(2));
    lab.add(0, element(3, Some((600, 600))));
    lab.run(3 * S);
    assert_eq!(lab.keys(1), [key(3)]);
    lab.reload(0, &[]);
    lab.run(3 * S);
    assert_eq!(lab.keys(0), [key(3)]);
    lab.assert_in_sync();
    // the rule adds its elements again with the next packets
    lab.insert(0, metered(2));
    lab.run(3 * S);
    let summary = lab.machine(0).engine.summary(lab.now_ns());
    let left_out = "1 element with limits of rules left out (inet filter bans)";
    assert!(summary.ends_with(left_out), "{summary}");
    let sentence = "set inet filter bans has elements with a limit, a quota or a count of \
                    connections that a rule gave them: these are not replicated";
    assert_eq!(lab.machine(0).warned, [sentence]);
}

#[test]
fn what_a_rule_of_the_backup_gave_a_limit_is_not_written_again_and_again() {
    let mut lab = Lab::in_sync();
    let metered = Element {
        metered: true,
        ..element(1, None)
    };
    lab.insert(1, metered);
    lab.run(3 * S);
    assert_eq!(
        lab.row(1, "inet filter bans.left_out"),
        Some(Value::Number(1))
    );
    lab.add(0, element(1, Some((600, 600))));
    lab.run(S);
    let puts = lab.puts;
    lab.run(30 * S);
    assert_eq!(lab.puts, puts);
    lab.assert_in_sync();
}
