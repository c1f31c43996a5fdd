//! An IKE daemon that is stopped while roles leave and come: its deletions are undone.

use proptest::prelude::*;

use super::*;
use crate::codec::body::{blocking_id, blocking_policy};

/// Pair whose first node was active with tunnels of its own daemon, gave the role away, and has it back while that
/// daemon is still being stopped.
fn role_returned(tunnels: u32) -> Pair {
    let mut pair = Pair::settled(tunnels);
    report_names(&mut pair, tunnels);
    report_daemon_event(&mut pair, 0, DaemonEvent::Started);
    pair.run(10 * S);
    pair.switch_over(0);
    pair.run(500 * MS);
    pair.switch_over(1);
    pair
}

pub fn report_names(pair: &mut Pair, tunnels: u32) {
    let named = (0..tunnels).flat_map(|number| {
        let name = ChildName {
            ike: "office".to_owned(),
            child: format!("net{number}"),
        };
        [in_of(number).spi, out_of(number).spi].map(|spi| NamedSpi {
            spi,
            name: name.clone(),
            is_up: true,
        })
    });
    let now_ns = pair.now_ns;
    pair.nodes[0].engine.handle_names(now_ns, named.collect());
    pair.settle();
}

pub fn report_daemon_event(pair: &mut Pair, node: usize, event: DaemonEvent) {
    let now_ns = pair.now_ns;
    let running = pair.nodes[node].charon.running();
    let engine = &mut pair.nodes[node].engine;
    if event == DaemonEvent::Started {
        engine.handle_running(running);
    }
    engine.handle_presence(now_ns, event);
    pair.settle();
}

/// Deletes what a daemon deletes when it is stopped, or an administrator by hand.
pub fn delete(pair: &mut Pair, node: usize, tunnels: u32, by: Deleter) {
    let kernel = &mut pair.nodes[node].kernel;
    for number in 0..tunnels {
        for policy in policies(number) {
            kernel.delete_policy(&policy.id, by);
        }
        for sa in tunnel(number) {
            kernel.delete_sa(&sa.id, by);
        }
    }
    pair.settle();
}

#[track_caller]
pub fn assert_up(pair: &Pair, active: usize, tunnels: usize) {
    let [a, b] = [active, 1 - active].map(|node| &pair.nodes[node]);
    assert_eq!(a.kernel.sas().len(), 2 * tunnels, "SAs here");
    assert_eq!(a.kernel.policies().len(), 3 * tunnels, "policies here");
    assert_eq!(
        b.engine.store.held.sas().len(),
        2 * tunnels,
        "SAs kept there"
    );
    assert_eq!(b.kernel.policies().len(), 3 * tunnels, "policies there");
}

#[test]
fn what_a_daemon_takes_along_when_the_role_is_back_is_put_back_and_not_told() {
    let mut pair = role_returned(3);
    let told = pair.nodes[0].deletions;
    delete(&mut pair, 0, 3, Deleter::Daemon);
    assert_up(&pair, 0, 3);
    report_daemon_event(&mut pair, 0, DaemonEvent::Ended);
    delete(&mut pair, 0, 3, Deleter::Daemon);
    assert_up(&pair, 0, 3);
    assert_eq!(pair.nodes[0].deletions, told, "a deletion was told");
    assert_eq!(pair.nodes[0].count("restored"), 30);
    // the daemon that comes after it is asked for all of them
    assert_eq!(pair.nodes[0].adopts.as_ref().map(Vec::len), Some(3));
    pair.run(60 * S);
    assert_up(&pair, 0, 3);
}

#[test]
fn numbers_of_what_is_put_back_are_never_used_again() {
    let mut pair = role_returned(1);
    for _ in 0..5 {
        pair.carry(0, &out_of(0), 50);
        // the kernel panics if a number is sent again
        delete(&mut pair, 0, 1, Deleter::Daemon);
    }
    pair.carry(0, &out_of(0), 50);
}

#[test]
fn an_administrator_s_deletions_count_at_any_time() {
    for calm_ns in [0, 10 * S] {
        let mut pair = role_returned(2);
        pair.run(calm_ns);
        delete(&mut pair, 0, 2, Deleter::Other);
        pair.run(S);
        assert_up(&pair, 0, 0);
        assert_eq!(pair.nodes[0].pings, 0);
    }
}

#[test]
fn a_living_daemon_s_deletions_of_its_own_count_when_it_has_answered() {
    let mut pair = Pair::settled(2);
    report_daemon_event(&mut pair, 0, DaemonEvent::Started);
    delete(&mut pair, 0, 1, Deleter::Daemon);
    assert_eq!(pair.nodes[0].kernel.policies().len(), 6);
    assert_eq!(
        pair.nodes[1].engine.store.held.sas().len(),
        4,
        "it was told"
    );
    assert_eq!(pair.nodes[0].pings, 1);
    report_daemon_event(&mut pair, 0, DaemonEvent::Answered);
    // deletions during a question wait for a second answer
    if pair.nodes[0].pings > 1 {
        report_daemon_event(&mut pair, 0, DaemonEvent::Answered);
    }
    assert_up(&pair, 0, 1);
    assert_eq!(pair.nodes[0].down, None);
}

/// A daemon that was left running on the backup finds its other end dead meanwhile, and reports that when the role is
/// back.
#[test]
fn what_followed_is_no_daemon_s_to_delete_however_alive_it_is() {
    let mut pair = role_returned(3);
    for calm_ns in [0, 200 * MS, 6 * S, 90 * S] {
        pair.run(calm_ns);
        let told = pair.nodes[0].deletions;
        delete(&mut pair, 0, 3, Deleter::Daemon);
        report_daemon_event(&mut pair, 0, DaemonEvent::Answered);
        pair.run(2 * S);
        assert_up(&pair, 0, 3);
        assert_eq!(pair.nodes[0].deletions, told, "a deletion was told");
    }
    // the same with a run of the plugin that did not install them
    pair.nodes[0].engine = {
        let (settings, config) = (Settings::default(), pair.next_run(0));
        Engine::new(pair.now_ns, settings, config)
    };
    pair.cut();
    pair.role(0, true);
    pair.link();
    pair.run(10 * S);
    report_daemon_event(&mut pair, 0, DaemonEvent::Started);
    delete(&mut pair, 0, 3, Deleter::Daemon);
    report_daemon_event(&mut pair, 0, DaemonEvent::Answered);
    pair.run(2 * S);
    assert_up(&pair, 0, 3);
}

#[test]
fn a_policy_that_a_daemon_puts_in_the_place_of_one_that_followed_is_its_own() {
    let mut pair = role_returned(1);
    pair.run(10 * S);
    for policy in policies(0) {
        pair.nodes[0].kernel.put_policy(policy);
    }
    pair.settle();
    for policy in policies(0) {
        pair.nodes[0]
            .kernel
            .delete_policy(&policy.id, Deleter::Daemon);
    }
    pair.settle();
    assert_eq!(pair.nodes[0].kernel.policies().len(), 3, "not yet believed");
    report_daemon_event(&mut pair, 0, DaemonEvent::Answered);
    if pair.nodes[0].pings > 1 {
        report_daemon_event(&mut pair, 0, DaemonEvent::Answered);
    }
    assert_eq!(pair.nodes[0].kernel.policies().len(), 0);
}

#[test]
fn tunnels_that_should_be_up_and_are_not_fail_a_check() {
    let mut pair = role_returned(12);
    assert_eq!(pair.nodes[0].down, None);
    report_daemon_event(&mut pair, 0, DaemonEvent::Ended);
    // the SAs have expired, and no daemon negotiates
    for number in 0..12 {
        for sa in tunnel(number) {
            pair.nodes[0].kernel.delete_sa(&sa.id, Deleter::Other);
        }
    }
    pair.run(2 * S);
    let down = pair.nodes[0].down.clone();
    assert_eq!(
        down.as_deref(),
        Some("12 of 12 tunnels down, first office/net0")
    );
    assert_eq!(pair.nodes[0].kernel.policies().len(), 36, "they block");
    assert_eq!(pair.nodes[0].adopts.as_ref().map(Vec::len), Some(12));
    pair.switch_over(0);
    assert_eq!(pair.nodes[0].down, None);
}

#[test]
fn policies_that_no_sa_serves_fail_a_check_though_nobody_named_them() {
    let mut pair = Pair::settled(2);
    pair.switch_over(0);
    for sa in tunnel(1) {
        pair.nodes[1].kernel.delete_sa(&sa.id, Deleter::Other);
    }
    pair.run(2 * S);
    let down = pair.nodes[1].down.clone();
    assert_eq!(
        down.as_deref(),
        Some("1 replicated policy blocks because it has no SA")
    );
}

#[test]
fn sas_that_a_hand_deleted_below_a_daemon_fail_a_check() {
    let mut pair = Pair::settled(2);
    report_names(&mut pair, 2);
    report_daemon_event(&mut pair, 0, DaemonEvent::Started);
    pair.run(3 * S);
    assert_eq!(pair.nodes[0].down, None);
    for sa in tunnel(1) {
        pair.nodes[0].kernel.delete_sa(&sa.id, Deleter::Other);
    }
    // the list may be older than the deletion
    pair.settle();
    assert_eq!(pair.nodes[0].down, None);
    pair.run(3 * S);
    let down = pair.nodes[0].down.clone();
    let none = "tunnel office/net1 has no SA in the kernel, and charon has not noticed: rekey it (swanctl --rekey --child net1)";
    assert_eq!(down.as_deref(), Some(none));
    // the daemon knows now
    report_names(&mut pair, 1);
    pair.run(2 * S);
    assert_eq!(pair.nodes[0].down, None);
}

#[test]
fn tunnels_that_went_while_no_plugin_ran_nor_a_peer_fail_a_check() {
    let mut pair = Pair::settled(2);
    pair.cut();
    pair.nodes[0].kernel.loses_notifications = true;
    delete(&mut pair, 0, 2, Deleter::Daemon);
    pair.nodes[0].kernel.loses_notifications = false;
    let (settings, config) = (Settings::default(), pair.next_run(0));
    pair.nodes[0].engine = Engine::new(pair.now_ns, settings, config);
    pair.role(0, true);
    pair.run(10 * S);
    let down = pair.nodes[0].down.clone();
    let gone = "2 policies are gone, and their traffic is blocked";
    assert_eq!(down.as_deref(), Some(gone));
    for policy in policies(0) {
        pair.nodes[0].kernel.put_policy(policy);
    }
    pair.run(2 * S);
    let gone = "1 policy is gone, and its traffic is blocked";
    assert_eq!(pair.nodes[0].down.as_deref(), Some(gone));
    let block = blocking_id(&policies(1)[0].id).expect("it has no user");
    let by_hand = pair.nodes[0].kernel.delete_policy(&block, Deleter::Other);
    assert!(by_hand);
    pair.run(2 * S);
    assert_eq!(pair.nodes[0].down, None);
}

#[test]
fn a_daemon_that_answers_no_more_was_being_stopped() {
    let mut pair = role_returned(2);
    pair.run(20 * S);
    delete(&mut pair, 0, 2, Deleter::Daemon);
    pair.run(3 * S);
    report_daemon_event(&mut pair, 0, DaemonEvent::Ended);
    pair.run(60 * S);
    assert_up(&pair, 0, 2);
}

#[test]
fn a_stop_that_no_change_of_roles_was_told_of_ends_no_tunnel() {
    let mut pair = Pair::settled(3);
    report_names(&mut pair, 3);
    report_daemon_event(&mut pair, 0, DaemonEvent::Started);
    pair.run(20 * S);
    delete(&mut pair, 0, 3, Deleter::Daemon);
    assert_eq!(pair.nodes[0].kernel.policies().len(), 9);
    pair.run(35 * S);
    report_daemon_event(&mut pair, 0, DaemonEvent::Ended);
    assert_up(&pair, 0, 3);
    roles::assert_policies_lead_to_sas(&pair, 0);
    assert_eq!(pair.nodes[0].adopts.as_ref().map(Vec::len), Some(3));
    pair.run(60 * S);
    assert_up(&pair, 0, 3);
}

#[test]
fn deletions_that_a_reading_finds_within_a_farewell_are_put_back() {
    let mut pair = role_returned(2);
    pair.nodes[0].kernel.loses_notifications = true;
    delete(&mut pair, 0, 2, Deleter::Daemon);
    pair.nodes[0].kernel.loses_notifications = false;
    let now_ns = pair.now_ns;
    pair.nodes[0].engine.handle_event(now_ns, XfrmEvent::Unsure);
    pair.settle();
    assert_up(&pair, 0, 2);
}

/// A child is terminated and initiated again before the plugin has the answer to its question.
#[test]
fn what_a_daemon_deletes_and_puts_again_is_there() {
    for (reqid, heard_between) in [(1, true), (7, true), (1, false), (7, false)] {
        let mut pair = Pair::settled(1);
        report_names(&mut pair, 1);
        report_daemon_event(&mut pair, 0, DaemonEvent::Started);
        pair.run(20 * S);
        let [policy, again] = [1, reqid].map(|it| policy(0, 1, it));
        let sa = &tunnel(0)[0];
        let kernel = &mut pair.nodes[0].kernel;
        kernel.delete_policy(&policy.id, Deleter::Daemon);
        kernel.delete_sa(&sa.id, Deleter::Daemon);
        if heard_between {
            pair.settle();
        }
        let now_ns = pair.now_ns;
        let kernel = &mut pair.nodes[0].kernel;
        kernel.put_policy(again.clone());
        kernel.add_sa(now_ns, sa.clone());
        pair.settle();
        for _ in 0..2 {
            report_daemon_event(&mut pair, 0, DaemonEvent::Answered);
        }
        pair.run(S);
        let node = &pair.nodes[0];
        let case = (reqid, heard_between);
        assert_eq!(node.kernel.policy(&policy.id), Some(&again), "{case:?}");
        assert!(node.kernel.blocks(&policy.id), "{case:?}");
        assert_eq!(node.count("sas"), 2, "{case:?}");
        assert_eq!(pair.nodes[1].engine.store.held.sas().len(), 2, "{case:?}");
        assert_eq!(pair.nodes[1].kernel.policies().len(), 3, "{case:?}");
    }
}

/// The notifications were lost, and the daemon has not answered yet.
#[test]
fn deletions_that_only_a_reading_finds_are_asked_about() {
    for (word, left) in [(DaemonEvent::Ended, 2), (DaemonEvent::Answered, 0)] {
        let mut pair = Pair::settled(2);
        report_names(&mut pair, 2);
        report_daemon_event(&mut pair, 0, DaemonEvent::Started);
        pair.run(20 * S);
        pair.nodes[0].kernel.loses_notifications = true;
        delete(&mut pair, 0, 2, Deleter::Daemon);
        pair.nodes[0].kernel.loses_notifications = false;
        let now_ns = pair.now_ns;
        pair.nodes[0].engine.handle_event(now_ns, XfrmEvent::Unsure);
        pair.settle();
        let kernel = &pair.nodes[0].kernel;
        assert_eq!((kernel.policies().len(), pair.nodes[0].pings), (6, 1));
        assert_eq!(pair.nodes[1].engine.store.held.sas().len(), 4);
        // the deletions in between as well
        report_daemon_event(&mut pair, 0, word);
        report_daemon_event(&mut pair, 0, word);
        pair.run(S);
        assert_up(&pair, 0, left);
    }
}

/// `ip xfrm state flush; ip xfrm policy flush`: the kernel reports only the flush itself.
#[test]
fn what_an_administrator_flushes_is_gone() {
    let mut pair = Pair::settled(2);
    report_daemon_event(&mut pair, 0, DaemonEvent::Started);
    pair.switch_over(0);
    pair.run(20 * S);
    report_daemon_event(&mut pair, 1, DaemonEvent::Started);
    pair.nodes[1].kernel.loses_notifications = true;
    delete(&mut pair, 1, 2, Deleter::Other);
    pair.nodes[1].kernel.loses_notifications = false;
    let now_ns = pair.now_ns;
    let flushed = XfrmEvent::Flushed(Deleter::Other);
    pair.nodes[1].engine.handle_event(now_ns, flushed);
    pair.run(S);
    assert_up(&pair, 1, 0);
    assert_eq!(pair.nodes[1].kernel.policies().len(), 0);
}

#[test]
fn where_no_daemon_answers_its_deletions_of_its_own_count_at_once() {
    let mut pair = Pair::settled(2);
    delete(&mut pair, 0, 1, Deleter::Daemon);
    assert_up(&pair, 0, 1);
}

#[test]
fn before_the_daemon_is_known_its_deletions_wait() {
    for (word, left) in [
        (DaemonEvent::Absent, 2),
        (DaemonEvent::Ended, 2),
        (DaemonEvent::Started, 1),
    ] {
        let mut pair = Pair::settled(2);
        pair.cut();
        let (settings, config) = (Settings::default(), pair.next_run(0));
        pair.nodes[0].engine = Engine::new(pair.now_ns, settings, config);
        pair.role(0, true);
        pair.link();
        pair.run(3 * S);
        delete(&mut pair, 0, 1, Deleter::Daemon);
        assert_eq!(pair.nodes[0].kernel.policies().len(), 6);
        report_daemon_event(&mut pair, 0, word);
        for _ in 0..pair.nodes[0].pings {
            report_daemon_event(&mut pair, 0, DaemonEvent::Answered);
        }
        pair.run(S);
        assert_up(&pair, 0, left);
    }
}

#[test]
fn what_an_administrator_deletes_blocks_no_more() {
    let mut pair = Pair::settled(2);
    delete(&mut pair, 0, 1, Deleter::Other);
    pair.run(S);
    for node in &pair.nodes {
        assert!(!node.kernel.blocks(&policies(0)[0].id));
        assert!(node.kernel.blocks(&policies(1)[0].id));
    }
    // policies that were deleted while no plugin ran are not blocked either, once the peer has none
    pair.cut();
    let block = blocking_id(&policies(0)[0].id).expect("it has no user");
    let stray = blocking_policy(&policies(0)[0]).expect("it has no user");
    pair.nodes[1].kernel.put_policy(stray);
    let (settings, config) = (Settings::default(), pair.next_run(1));
    pair.nodes[1].engine = Engine::new(pair.now_ns, settings, config);
    pair.link();
    pair.run(40 * S);
    assert!(pair.nodes[1].kernel.policy(&block).is_none());
    assert!(pair.nodes[1].kernel.blocks(&policies(1)[0].id));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// The role leaves and comes back. The daemon's stop begins with the first, takes a while, and its deletions fall
    /// anywhere into it.
    #[test]
    fn in_whatever_order_a_daemon_s_stop_ends_no_tunnel(
        back_ms in 100_u64..10_000,
        stop_ms in 0_u64..10_000,
        deletions in prop::collection::vec((0_u64..100, 0_u32..3), 1..12),
    ) {
        let mut pair = Pair::settled(3);
        report_names(&mut pair, 3);
        report_daemon_event(&mut pair, 0, DaemonEvent::Started);
        pair.run(10 * S);
        pair.switch_over(0);
        let begun_ns = pair.now_ns;
        let mut events: Vec<(u64, Option<u32>)> = deletions
            .iter()
            .map(|(share, number)| (stop_ms * share / 100, Some(*number)))
            .collect();
        events.push((back_ms, None));
        events.push((stop_ms, Some(u32::MAX)));
        events.sort_by_key(|(at_ms, what)| (*at_ms, what.is_some(), *what));
        for (at_ms, what) in events {
            pair.run((begun_ns + at_ms * MS).saturating_sub(pair.now_ns));
            match what {
                None => pair.switch_over(1),
                Some(u32::MAX) => report_daemon_event(&mut pair, 0, DaemonEvent::Ended),
                Some(number) => {
                    let kernel = &mut pair.nodes[0].kernel;
                    for policy in policies(number) {
                        kernel.delete_policy(&policy.id, Deleter::Daemon);
                    }
                    for sa in tunnel(number) {
                        kernel.delete_sa(&sa.id, Deleter::Daemon);
                    }
                    pair.settle();
                    let policies = pair.nodes[0].kernel.policies().len();
                    let active = pair.nodes[0].engine.is_active();
                    prop_assert!(!active || policies == 9, "{policies} policies");
                }
            }
        }
        pair.run(20 * S);
        assert_up(&pair, 0, 3);
        prop_assert!(pair.nodes[0].adopts.is_some(), "nothing is adopted");
    }
}
