//! Packets for a tunnel while a charon with trap policies starts.

use super::charon::Charon;
use super::daemon::report_daemon_event;
use super::kernel::{Fate, TRAP};
use super::sessions::{begin_charon, fail_over, pair_with_sessions, start_charon, taken_over};
use super::*;
use crate::codec::body::{blocked_id, is_parked, own_reqid};

/// Policies that a charon puts at its start for a connection that is to begin when a packet asks for it.
pub fn traps(number: u32, reqid: u32) -> Vec<Policy> {
    let trap = |direction| {
        let it = policy(number, direction, reqid);
        let mut bytes = it.body.bytes().to_vec();
        bytes[152..156].copy_from_slice(&TRAP.to_ne_bytes());
        parse_policy(Body::new(bytes)).expect("a policy")
    };
    [1, 0, 2].map(trap).into()
}

fn put_traps(pair: &mut Pair, node: usize, tunnels: u32) {
    for number in 0..tunnels {
        for trap in traps(number, 900 - number) {
            pair.nodes[node].kernel.put_policy(trap);
        }
    }
    pair.settle();
}

pub fn fate(pair: &Pair, node: usize, number: u32) -> Fate {
    pair.nodes[node].kernel.fate(&policy(number, 1, 0).id)
}

#[track_caller]
fn assert_sent(pair: &Pair, node: usize, tunnels: u32) {
    for number in 0..tunnels {
        assert_eq!(fate(pair, node, number), Fate::Sent(out_of(number)));
    }
}

/// Copies in a node's kernel that lead or wait.
fn copies(pair: &Pair, node: usize) -> usize {
    let kernel = &pair.nodes[node].kernel;
    let all = kernel.all_policies();
    let copies = all.filter(|it| blocked_id(&it.id).is_some() && !it.templates.is_empty());
    copies.count()
}

/// A node that became active, whose charon has put traps.
fn trapped(tunnels: u32) -> Pair {
    let mut pair = pair_with_sessions(tunnels);
    pair.link();
    pair.switch_over(0);
    pair.run(S);
    assert_eq!(copies(&pair, 1), tunnels as usize, "before charon starts");
    put_traps(&mut pair, 1, tunnels);
    pair
}

#[test]
fn no_packet_meets_a_trap_before_charon_has_the_child() {
    for is_busy in [false, true] {
        let mut pair = trapped(20);
        assert_sent(&pair, 1, 20);
        let traits = Charon {
            is_busy,
            ..Charon::default()
        };
        begin_charon(&mut pair, 1, traits);
        while taken_over(&pair, 1) < 20 {
            for number in 0..20 {
                let fate = fate(&pair, 1, number);
                let goes = matches!(fate, Fate::Sent(_) | Fate::Waits);
                assert!(goes, "{number}: {fate:?}");
            }
            pair.advance(MS);
        }
        pair.advance(50 * MS);
        assert_sent(&pair, 1, 20);
        assert_eq!(copies(&pair, 1), 0);
        let sa = pair.nodes[1].kernel.sa(&out_of(3)).unwrap();
        assert_eq!(sa.reqid, 4, "charon's own");
    }
}

#[test]
fn the_peer_gets_no_trap_in_the_place_of_a_policy() {
    let mut pair = trapped(2);
    pair.run(2 * S);
    let held = &pair.nodes[0].engine.store.held.policies;
    let out = held.values().filter(|it| it.id.is_outbound());
    let reqids: BTreeSet<u32> = out.map(|it| it.templates[0].reqid).collect();
    assert_eq!(reqids, [1, 2].map(own_reqid).into());
    // the role goes back before charon has anything
    pair.switch_over(1);
    pair.advance(10 * MS);
    assert_sent(&pair, 0, 2);
    assert_eq!(copies(&pair, 1), 0);
    pair.run(2 * S);
    // and comes again
    pair.switch_over(0);
    pair.advance(10 * MS);
    assert_sent(&pair, 1, 2);
    put_traps(&mut pair, 1, 2);
    start_charon(&mut pair, 1);
    assert_eq!(taken_over(&pair, 1), 2);
    assert_sent(&pair, 1, 2);
}

#[test]
fn nothing_is_sent_in_clear_when_the_role_leaves_at_any_moment() {
    for wait_ms in 0..8 {
        let mut pair = trapped(12);
        let traits = Charon {
            is_busy: true,
            ..Charon::default()
        };
        begin_charon(&mut pair, 1, traits);
        pair.advance(wait_ms * MS);
        pair.kill(0);
        pair.link();
        pair.run(3 * S);
        pair.switch_over(1);
        for _ in 0..20 {
            for number in 0..12 {
                let fate = fate(&pair, 1, number);
                assert!(fate != Fate::Clear, "{wait_ms} ms, {number}: {fate:?}");
            }
            pair.advance(MS);
        }
        assert_sent(&pair, 0, 12);
        assert_eq!(copies(&pair, 1), 0);
    }
}

#[test]
fn a_charon_that_ends_with_its_traps_is_followed_by_another() {
    for deletes in [false, true] {
        let mut pair = trapped(3);
        if deletes {
            for number in 0..3 {
                for trap in traps(number, 900) {
                    let kernel = &mut pair.nodes[1].kernel;
                    kernel.delete_policy(&trap.id, Deleter::Daemon);
                }
            }
            pair.settle();
        }
        assert_sent(&pair, 1, 3);
        report_daemon_event(&mut pair, 1, DaemonEvent::Started);
        report_daemon_event(&mut pair, 1, DaemonEvent::Ended);
        assert_sent(&pair, 1, 3);
        put_traps(&mut pair, 1, 3);
        assert_sent(&pair, 1, 3);
        start_charon(&mut pair, 1);
        assert_eq!(taken_over(&pair, 1), 3);
        assert_sent(&pair, 1, 3);
        assert_eq!(copies(&pair, 1), 0);
    }
}

#[test]
fn a_child_that_charon_does_not_take_goes_on_until_charon_has_another() {
    let mut pair = trapped(2);
    let traits = Charon {
        fails: BTreeSet::from([1]),
        ..Charon::default()
    };
    begin_charon(&mut pair, 1, traits);
    pair.advance(4 * S);
    assert_eq!(taken_over(&pair, 1), 1);
    assert_sent(&pair, 1, 2);
    assert_eq!(copies(&pair, 1), 1);
    // its own, with the reqid of the trap; the policy comes after them
    let now_ns = pair.now_ns;
    let mut own = tunnel(50);
    for sa in &mut own {
        *sa = crate::codec::body::sa_with_reqid(sa, 899);
        pair.nodes[1].kernel.add_sa(now_ns, sa.clone());
    }
    pair.nodes[1].kernel.put_policy(policy(1, 1, 899));
    pair.settle();
    assert_eq!(copies(&pair, 1), 0);
    assert_eq!(fate(&pair, 1, 1), Fate::Sent(own[1].id));
}

#[test]
fn a_copy_of_an_earlier_run_goes_on_while_its_sa_does() {
    let mut pair = trapped(2);
    pair.restart(1, true);
    pair.run(2 * S);
    assert_sent(&pair, 1, 2);
    assert_eq!(copies(&pair, 1), 2);
    let kernel = &mut pair.nodes[1].kernel;
    kernel.delete_sa(&out_of(1), Deleter::Other);
    pair.settle();
    assert_eq!(copies(&pair, 1), 1);
    assert_eq!(fate(&pair, 1, 1), Fate::Trapped);
    // without a role there are no outbound SAs
    pair.switch_over(1);
    pair.run(2 * S);
    assert_eq!(copies(&pair, 1), 0);
    assert_ne!(fate(&pair, 1, 0), Fate::Clear);
}

#[test]
fn a_copy_that_an_earlier_run_left_parked_blocks() {
    let mut pair = trapped(2);
    let traits = Charon {
        fails: BTreeSet::from([0, 1]),
        ..Charon::default()
    };
    begin_charon(&mut pair, 1, traits);
    pair.advance(5 * MS);
    assert_eq!(fate(&pair, 1, 0), Fate::Waits);
    pair.restart(1, true);
    pair.run(2 * S);
    assert_eq!(copies(&pair, 1), 0);
    assert!(
        pair.nodes[1]
            .kernel
            .policies()
            .iter()
            .all(|it| !is_parked(it))
    );
    assert_ne!(fate(&pair, 1, 0), Fate::Clear);
}

#[test]
fn the_end_of_an_sa_ends_its_copy_and_shows_the_trap() {
    let mut pair = trapped(2);
    let kernel = &mut pair.nodes[1].kernel;
    kernel.delete_sa(&out_of(0), Deleter::Other);
    pair.settle();
    assert_eq!(copies(&pair, 1), 1);
    assert_eq!(fate(&pair, 1, 0), Fate::Trapped);
    let id = policy(0, 1, 0).id;
    let known = &pair.nodes[1].engine.store.policies[&id].policy;
    assert_eq!(known.templates[0].reqid, 900);
    // an administrator deletes a policy with its copy
    let id = policy(1, 1, 0).id;
    let kernel = &mut pair.nodes[1].kernel;
    kernel.delete_policy(&id, Deleter::Other);
    pair.settle();
    assert_eq!(copies(&pair, 1), 0);
    assert_eq!(fate(&pair, 1, 1), Fate::Clear);
}

#[test]
fn a_copy_that_another_program_deletes_is_put_again() {
    let mut pair = trapped(1);
    let id = crate::codec::body::blocking_id(&policy(0, 1, 0).id).unwrap();
    let kernel = &mut pair.nodes[1].kernel;
    kernel.delete_policy(&id, Deleter::Other);
    pair.settle();
    assert_sent(&pair, 1, 1);
    // without a notification a reading finds it
    let kernel = &mut pair.nodes[1].kernel;
    kernel.loses_notifications = true;
    kernel.delete_policy(&id, Deleter::Other);
    kernel.loses_notifications = false;
    pair.run(31 * S);
    assert_sent(&pair, 1, 1);
}

/// The interface was down when the role came, or refused the address.
#[test]
fn an_address_that_comes_later_than_its_role_has_copies() {
    for is_started in [false, true] {
        let mut pair = pair_with_sessions(2);
        pair.kill(0);
        pair.prepare(1);
        let now_ns = pair.now_ns;
        pair.nodes[1].engine.handle_role(now_ns, "office", true);
        pair.run(5 * S);
        if is_started {
            start_charon(&mut pair, 1);
        }
        assert_eq!(copies(&pair, 1), 0);
        let now_ns = pair.now_ns;
        let engine = &mut pair.nodes[1].engine;
        engine.handle_endpoints(now_ns, [IpAddr::from(VIP)].into());
        // charon does not yet get them
        while let Some(changes) = pair.nodes[1].engine.poll_action() {
            let Action::Apply(changes) = changes else {
                continue;
            };
            let kernel = &mut pair.nodes[1].kernel;
            let refused = kernel.apply(now_ns, &changes);
            let engine = &mut pair.nodes[1].engine;
            engine.handle_applied(now_ns, changes, &refused);
        }
        assert_eq!(copies(&pair, 1), 2, "{is_started}");
    }
}

/// SAs that come after charon has its connections, and with them its traps.
#[test]
fn sas_that_come_after_the_traps_of_charon_have_copies() {
    let mut pair = pair_with_sessions(2);
    pair.kill(0);
    // a kernel that does not take one of the SAs at first
    pair.nodes[1].kernel.rival = Some(tunnel(0)[1].clone());
    pair.activate(1);
    pair.nodes[1].kernel.rival = None;
    pair.nodes[1].kernel.delete_sa(&out_of(0), Deleter::Other);
    pair.settle();
    assert_eq!(copies(&pair, 1), 1);
    put_traps(&mut pair, 1, 2);
    pair.run(3 * S);
    assert_eq!(copies(&pair, 1), 2);
    assert_sent(&pair, 1, 2);
    // the peer gets the policy, and not the trap
    pair.link();
    pair.run(3 * S);
    let held = &pair.nodes[0].engine.store.held.policies;
    let held = &held[&policy(0, 1, 0).id];
    assert_eq!(held.templates[0].reqid, own_reqid(1));
    start_charon(&mut pair, 1);
    assert_eq!(taken_over(&pair, 1), 2);
    assert_sent(&pair, 1, 2);
    assert_eq!(copies(&pair, 1), 0);
}

#[test]
fn a_plugin_that_stops_leaves_a_block_in_the_place_of_a_copy() {
    for in_batch in [false, true] {
        let mut pair = trapped(2);
        if in_batch {
            let traits = Charon {
                fails: BTreeSet::from([0, 1]),
                ..Charon::default()
            };
            begin_charon(&mut pair, 1, traits);
            pair.advance(5 * MS);
            assert_eq!(fate(&pair, 1, 0), Fate::Waits);
        }
        let now_ns = pair.now_ns;
        let node = &mut pair.nodes[1];
        while let Some(changes) = node.engine.poll_last_changes(now_ns) {
            node.kernel.apply(now_ns, &changes);
        }
        assert_eq!(copies(&pair, 1), 0);
        for number in 0..2 {
            let kernel = &pair.nodes[1].kernel;
            assert!(kernel.blocks(&policy(number, 1, 0).id));
            let fate = fate(&pair, 1, number);
            let goes = matches!(fate, Fate::Trapped | Fate::Sent(_));
            assert!(goes, "{number}: {fate:?}");
        }
    }
}

#[test]
fn the_status_says_how_many_policies_have_a_copy() {
    let text = |pair: &Pair| pair.nodes[1].engine.copies_text();
    let rows = |pair: &Pair| pair.nodes[1].engine.rows(pair.now_ns);
    let mut pair = trapped(2);
    let said = "2 policies lead to replicated SAs until charon has their tunnels";
    assert_eq!(text(&pair), said);
    let row = (
        "all.copies".to_owned(),
        spared_sdk::Value::Text(said.to_owned()),
    );
    assert!(rows(&pair).contains(&row));
    pair.nodes[1].kernel.delete_sa(&out_of(1), Deleter::Other);
    pair.settle();
    let said = "1 policy leads to replicated SAs until charon has its tunnel";
    assert_eq!(text(&pair), said);
    start_charon(&mut pair, 1);
    assert_eq!(text(&pair), "none");
}

#[test]
fn clients_with_a_virtual_address_need_no_copy() {
    let mut pair = Pair::settled(1);
    let ike = crate::sessions::IkeSpis(100, 1);
    let now_ns = pair.now_ns;
    let vip = crate::sessions::message::virtual_addresses(3, ike, false, &[IpAddr::from(PEER)]);
    for message in Charon::connected(ike, &[0]).into_iter().chain([vip]) {
        let engine = &mut pair.nodes[0].engine;
        engine.handle_charon_message(now_ns, &message);
    }
    pair.settle();
    fail_over(&mut pair);
    assert_eq!(copies(&pair, 1), 0);
}

#[test]
fn a_reading_that_ends_while_charon_adds_an_sa_puts_none_back() {
    let mut pair = pair_with_sessions(1);
    fail_over(&mut pair);
    pair.run(S);
    pair.nodes[1].slow = true;
    put_traps(&mut pair, 1, 1);
    let traits = Charon {
        fails: BTreeSet::from([0]),
        ..Charon::default()
    };
    begin_charon(&mut pair, 1, traits);
    pair.advance(5 * MS);
    let now_ns = pair.now_ns;
    pair.nodes[1].finish_readings(now_ns);
    pair.settle();
    assert!(pair.nodes[1].kernel.sa(&in_of(0)).is_none());
    // put back, it has the reqid to which the trap leads
    pair.advance(3 * S);
    let sa = pair.nodes[1].kernel.sa(&in_of(0)).expect("the SA");
    assert_eq!(sa.reqid, 900);
}
