//! Changes of roles, and nodes that lose and regain the link.

use spared_sdk::Engine as _;

use super::lab::*;

fn filled() -> Lab {
    let mut lab = Lab::in_sync();
    for number in 0..100 {
        lab.add(0, element(number, Some((600, 600))));
    }
    lab.run(S);
    lab.assert_in_sync();
    lab
}

#[test]
fn a_switch_writes_nothing_and_goes_on_the_other_way() {
    let mut lab = filled();
    let (puts, written) = (
        lab.puts,
        [0, 1].map(|node| lab.machine(node).kernel.written),
    );
    lab.switch(0);
    lab.run(10 * S);
    assert_eq!(lab.puts, puts);
    let after = [0, 1].map(|node| lab.machine(node).kernel.written);
    assert_eq!(after, written);
    lab.assert_in_sync();
    lab.add(1, element(1_000, None));
    lab.run(10 * MS);
    assert!(lab.has(0, 1_000));
    lab.delete(1, 3);
    lab.run(10 * MS);
    assert!(!lab.has(0, 3));
    lab.switch(1);
    lab.run(S);
    lab.add(0, element(1_001, None));
    lab.run(130 * S);
    assert!(lab.has(1, 1_001));
    lab.assert_in_sync();
}

#[test]
fn with_both_active_changes_go_both_ways() {
    let mut lab = filled();
    lab.role(1, true);
    lab.run(S);
    lab.add(0, element(200, None));
    lab.add(1, element(201, None));
    lab.delete(0, 1);
    lab.delete(1, 2);
    lab.insert(0, element(202, None));
    lab.insert(1, element(203, None));
    lab.run(3 * S);
    lab.assert_in_sync();
    for number in [200, 201, 202, 203] {
        assert!(lab.has(0, number), "{number}");
    }
    assert!(!lab.has(0, 1) && !lab.has(0, 2));
    // and sets that are created again are filled
    for node in [0, 1] {
        lab.reload(node, &[]);
        lab.run(S);
        assert_eq!(lab.count(node), 102, "node {node}");
    }
    lab.run(S);
    lab.assert_in_sync();
}

#[test]
fn what_the_new_active_node_changes_at_once_follows() {
    let mut lab = filled();
    lab.switch(0);
    lab.add(1, element(500, None));
    lab.run(S);
    assert!(lab.has(0, 500));
    lab.assert_in_sync();
}

#[test]
fn who_takes_over_keeps_all_and_gives_it_back() {
    let mut lab = filled();
    lab.cut();
    lab.role(1, true);
    lab.run(S);
    lab.add(1, element(200, None));
    lab.delete(1, 7);
    // the other machine was off: its kernel starts with an empty set
    lab.role(0, false);
    lab.restart(0);
    lab.reload(0, &[]);
    lab.run(2 * S);
    let written = lab.machine(1).kernel.written;
    lab.link();
    lab.run(3 * S);
    lab.assert_in_sync();
    assert_eq!(lab.count(0), 100);
    assert!(lab.has(0, 200) && !lab.has(0, 7));
    assert_eq!(
        lab.machine(1).kernel.written,
        written,
        "nothing is overwritten"
    );
}

/// Both nodes live: the fence of the active one blocks, or its addresses moved to the other.
#[test]
fn what_was_added_unseen_before_another_took_over_is_kept() {
    let mut lab = filled();
    lab.kernel(0).piece = 10;
    // the set is not read before the other node has its role
    lab.kernel(0).spent_ns = 300 * MS;
    lab.run(10 * S);
    let before = lab.count(0);
    // added by packets, or with more notifications than the socket holds
    for number in 300..340 {
        lab.insert(0, element(number, None));
    }
    lab.kernel(0).lose_events();
    lab.switch(0);
    lab.run(10 * S);
    lab.assert_in_sync();
    assert_eq!(lab.count(1), before + 40);
    // after that it is an ordinary backup
    lab.insert(0, element(400, None));
    lab.run(10 * S);
    lab.assert_in_sync();
    assert!(!lab.has(0, 400) && !lab.has(1, 400));
}

#[test]
fn after_a_split_nothing_is_lost() {
    let mut lab = Lab::in_sync();
    lab.add(0, element(1, Some((600, 600))));
    lab.add(0, element(2, None));
    lab.run(S);
    lab.cut();
    lab.role(1, true);
    lab.add(0, element(10, None));
    lab.add(0, element(11, Some((60, 60))));
    lab.delete(0, 2);
    lab.run(10 * S);
    lab.add(1, element(20, None));
    lab.add(1, element(11, Some((600, 600))));
    lab.run(S);
    lab.link();
    lab.run(S);
    // both are still active, and have the same elements
    assert_eq!(lab.keys(0), [1, 10, 11, 20].map(key));
    lab.role(0, false);
    lab.run(S);
    lab.assert_in_sync();
    assert_eq!(lab.keys(0), [1, 10, 11, 20].map(key));
    // the younger one of two changes holds
    for node in [0, 1] {
        assert!(lab.left_s(node, 11).is_some_and(|left_s| left_s > 590));
    }
}

#[test]
fn what_was_deleted_while_a_worker_was_restarted_goes_from_the_other_node_too() {
    for node in [0, 1] {
        let mut lab = filled();
        lab.cut();
        lab.kernel(node).elements.remove(&key(3));
        lab.restart(node);
        lab.link();
        lab.run(3 * S);
        assert!(!lab.has(0, 3) && !lab.has(1, 3), "node {node}");
        lab.assert_in_sync();
        assert_eq!(lab.count(0), 99);
    }
}

#[test]
fn a_drain_reads_what_packets_added_and_ends_when_the_peer_has_it() {
    let mut lab = filled();
    lab.insert(0, element(300, None));
    let now_ns = lab.now_ns();
    lab.at(0).engine.start_drain(now_ns, now_ns + 2 * S);
    assert!(!lab.at(0).engine.is_drained());
    lab.run(100 * MS);
    assert!(lab.has(1, 300));
    assert!(lab.at(0).engine.is_drained());
    // without a peer the drain waits for nothing
    lab.cut();
    let now_ns = lab.now_ns();
    lab.at(0).engine.start_drain(now_ns, now_ns + 2 * S);
    assert!(lab.at(0).engine.is_drained());
}

#[test]
fn a_drain_ends_when_the_peer_goes() {
    let mut lab = filled();
    let now_ns = lab.now_ns();
    lab.at(0).engine.start_drain(now_ns, now_ns + 2 * S);
    lab.run(MS);
    lab.cut();
    lab.run(10 * MS);
    assert!(lab.at(0).engine.is_drained());
}

#[test]
fn a_node_that_is_active_for_any_group_is_active() {
    let mut lab = filled();
    let now_ns = lab.now_ns();
    lab.at(0).engine.handle_role(now_ns, "other", role_of(true));
    lab.at(0)
        .engine
        .handle_role(now_ns, "office", role_of(false));
    lab.run(S);
    lab.add(0, element(400, None));
    lab.run(S);
    assert!(lab.has(1, 400));
}
