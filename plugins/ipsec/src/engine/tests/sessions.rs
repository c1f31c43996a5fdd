//! IKE sessions: charon on the other node goes on with them, and with the SAs of their children.

use super::charon::Charon;
use super::copies::{fate, traps};
use super::daemon::report_daemon_event;
use super::kernel::Fate;
use super::*;
use crate::codec::body::{is_parked, parked_policy};
use crate::sessions::IkeSpis;
use crate::sessions::message::{Kind, message_id};
use crate::sessions::written::Written;

const IKE: IkeSpis = IkeSpis(11, 12);
const NEXT: IkeSpis = IkeSpis(21, 22);

/// A pair with tunnels, of which charon on the first node has told.
pub fn pair_with_sessions(tunnels: u32) -> Pair {
    let mut pair = Pair::settled(tunnels);
    for number in 0..tunnels {
        let ike = IkeSpis(100 + u64::from(number), 1);
        tell(&mut pair, 0, &Charon::connected(ike, &[number]));
    }
    pair
}

/// charon on a node says this.
fn tell(pair: &mut Pair, node: usize, messages: &[Vec<u8>]) {
    for message in messages {
        let now_ns = pair.now_ns;
        pair.nodes[node]
            .engine
            .handle_charon_message(now_ns, message);
    }
    pair.settle();
}

pub fn start_charon(pair: &mut Pair, node: usize) {
    begin_charon(pair, node, Charon::default());
    pair.advance(50 * MS);
}

/// Starts a charon of these traits, with its plugin `ha`.
pub fn begin_charon(pair: &mut Pair, node: usize, traits: Charon) {
    pair.nodes[node].charon = Charon {
        has_ha: true,
        ..traits
    };
    report_daemon_event(pair, node, DaemonEvent::Started);
}

pub fn fail_over(pair: &mut Pair) {
    pair.kill(0);
    pair.activate(1);
}

pub fn taken_over(pair: &Pair, node: usize) -> u64 {
    pair.nodes[node].count("sessions_taken_over")
}

#[test]
fn charon_goes_on_with_the_sessions_of_a_node_that_died() {
    let mut pair = pair_with_sessions(20);
    pair.carry(0, &out_of(3), 500);
    pair.carry(0, &in_of(3), 400);
    let mids = message_id(3, Kind::MidResponder, IkeSpis(103, 1), false, 9);
    tell(&mut pair, 0, &[mids]);
    pair.run(S);
    fail_over(&mut pair);
    pair.carry(1, &out_of(3), 10);
    start_charon(&mut pair, 1);
    let charon = &pair.nodes[1].charon;
    assert_eq!((charon.ikes.len(), charon.children.len()), (20, 20));
    assert!(charon.is_active);
    assert_eq!(charon.message_ids[&IkeSpis(103, 1)], 9);
    assert_eq!(taken_over(&pair, 1), 20);
    assert_eq!(pair.nodes[1].holds, None);
    // they are charon's own now, and no number is used twice
    let sa = pair.nodes[1].kernel.sa(&out_of(3)).unwrap();
    assert_eq!(sa.reqid, 4);
    pair.carry(1, &out_of(3), 10);
    let sequence = pair.replay(1, &in_of(3)).unwrap().seq;
    assert!(sequence >= 400, "{sequence}");
    pair.carry(1, &in_of(3), 1);
}

#[test]
fn a_child_has_its_name_before_charon_is_asked_for_it() {
    // charon tells of a child before it adds the SAs; a plugin that starts hears of it after that
    for is_added_first in [false, true] {
        let mut pair = Pair::settled(1);
        pair.link();
        let add = |pair: &mut Pair| {
            let now_ns = pair.now_ns;
            for sa in tunnel(1) {
                pair.nodes[0].kernel.add_sa(now_ns, sa);
            }
            pair.settle();
        };
        if is_added_first {
            add(&mut pair);
        }
        let child = Written::new(Kind::ChildAdd, IKE).spis(in_of(1).spi, out_of(1).spi);
        let messages = Charon::connected(IKE, &[]);
        tell(&mut pair, 0, &messages[..1]);
        tell(&mut pair, 0, &[child.name("net").bytes()]);
        tell(&mut pair, 0, &messages[1..]);
        if !is_added_first {
            add(&mut pair);
        }
        pair.run(S);
        let name = ChildName {
            ike: "rw".to_owned(),
            child: "net".to_owned(),
        };
        let held = pair.nodes[1].engine.store.held.sas();
        for id in [in_of(1), out_of(1)] {
            assert_eq!(held[&id].name.as_ref(), Some(&name), "{is_added_first}");
        }
    }
}

#[test]
fn sessions_of_ikev1_are_said_not_to_follow() {
    let mut pair = pair_with_sessions(1);
    start_charon(&mut pair, 0);
    assert_eq!(pair.nodes[0].engine.sessions_text(), "follow");
    let version_1 = Written::new(Kind::IkeAdd, IKE).ikev1();
    tell(&mut pair, 0, &[version_1.bytes()]);
    let told = "follow, but not 1 of IKEv1";
    assert_eq!(pair.nodes[0].engine.sessions_text(), told);
    report_daemon_event(&mut pair, 0, DaemonEvent::Ended);
    start_charon(&mut pair, 0);
    assert_eq!(pair.nodes[0].engine.sessions_text(), "follow");
}

#[test]
fn charon_is_told_in_the_version_of_its_release_before_it_has_said_anything() {
    for (release, version) in [("5.9.8", 3), ("6.0.1", 4), ("6.0.6", 5)] {
        let mut pair = Pair::settled(1);
        pair.nodes[0].engine.handle_release(release);
        let traits = Charon {
            version: Some(version),
            ..Charon::default()
        };
        begin_charon(&mut pair, 0, traits);
        pair.advance(50 * MS);
        assert!(pair.nodes[0].charon.is_active, "{release}");
    }
}

#[test]
fn a_program_in_the_place_of_charons_ha_is_named_until_charon_answers() {
    let mut pair = pair_with_sessions(1);
    fail_over(&mut pair);
    let engine = &mut pair.nodes[1].engine;
    let stranger = NotTold::Stranger("a program of user 65534".to_owned());
    engine.handle_segment(pair.now_ns, Err(stranger));
    assert_eq!(engine.ike.feed.fault(), Some("a program of user 65534"));
    start_charon(&mut pair, 1);
    assert_eq!(pair.nodes[1].engine.ike.feed.fault(), None);
}

#[test]
fn the_survivor_replicates_what_it_took_over() {
    let mut pair = pair_with_sessions(2);
    fail_over(&mut pair);
    start_charon(&mut pair, 1);
    pair.link();
    pair.run(3 * S);
    assert_eq!(pair.nodes[0].count("held_ike_sas"), 2);
    pair.carry(1, &out_of(0), 50);
    pair.kill(1);
    pair.activate(0);
    start_charon(&mut pair, 0);
    assert_eq!(pair.nodes[0].charon.children.len(), 2);
    pair.carry(0, &out_of(0), 50);
}

#[test]
fn a_rekeyed_ike_sa_comes_with_the_child_of_its_former_keys() {
    let mut pair = Pair::settled(2);
    tell(&mut pair, 0, &Charon::connected(IKE, &[0]));
    tell(&mut pair, 0, &Charon::rekeyed(IKE, NEXT));
    tell(&mut pair, 0, &[Charon::child(NEXT, 1)]);
    fail_over(&mut pair);
    start_charon(&mut pair, 1);
    assert_rekeyed(&pair, 1);
    // and stays with it
    pair.link();
    pair.run(3 * S);
    pair.kill(1);
    pair.activate(0);
    start_charon(&mut pair, 0);
    assert_rekeyed(&pair, 0);
}

fn assert_rekeyed(pair: &Pair, node: usize) {
    let charon = &pair.nodes[node].charon;
    assert_eq!(charon.ikes.keys().copied().collect::<Vec<_>>(), [NEXT]);
    assert_eq!(charon.children, BTreeMap::from([(0, NEXT), (1, NEXT)]));
    assert_eq!(taken_over(pair, node), 2);
}

#[test]
fn what_charon_does_not_add_is_put_back_and_established_again() {
    let mut pair = pair_with_sessions(3);
    fail_over(&mut pair);
    pair.carry(1, &out_of(1), 10);
    pair.nodes[1].charon.fails.insert(1);
    let fails = BTreeSet::from([1]);
    pair.nodes[1].charon = Charon {
        has_ha: true,
        fails,
        ..Charon::default()
    };
    report_daemon_event(&mut pair, 1, DaemonEvent::Started);
    pair.advance(4 * S);
    assert_eq!(pair.nodes[1].charon.children.len(), 2);
    assert_eq!(
        (
            taken_over(&pair, 1),
            pair.nodes[1].count("sessions_not_taken")
        ),
        (2, 1)
    );
    pair.carry(1, &out_of(1), 10);
    assert_led(&pair, 1);
}

/// Policies lead to SAs again, and no packet waits.
fn assert_led(pair: &Pair, node: usize) {
    let node = &pair.nodes[node];
    assert_eq!(node.holds, None);
    let parked: Vec<&Policy> = node.kernel.policies();
    let parked: Vec<_> = parked.into_iter().filter(|it| is_parked(it)).collect();
    assert!(parked.is_empty(), "{parked:?}");
}

#[test]
fn charon_is_quiet_from_the_beginning_of_a_switchover() {
    let mut pair = pair_with_sessions(2);
    start_charon(&mut pair, 0);
    assert!(pair.nodes[0].charon.is_active);
    pair.link();
    pair.run(S);
    for moves in [false, true] {
        let now_ns = pair.now_ns;
        pair.nodes[0].engine.handle_drain(now_ns, now_ns + S);
        pair.settle();
        assert!(!pair.nodes[0].charon.is_active);
        assert!(!pair.nodes[0].engine.is_drained(), "before charon has read");
        pair.advance(10 * MS);
        assert!(pair.nodes[0].engine.is_drained());
        let why = "charon answers nothing: a switchover is under way";
        assert_eq!(pair.nodes[0].engine.sessions_text(), why);
        if moves {
            set_ends(&mut pair, 0, &[]);
        }
        pair.advance(2 * S);
        assert_eq!(pair.nodes[0].charon.is_active, !moves);
    }
    let why = "charon answers nothing: no address of a group is on this node";
    assert_eq!(pair.nodes[0].engine.sessions_text(), why);
    // the addresses come back, and the role has not left
    set_ends(&mut pair, 0, &[IpAddr::from(VIP)]);
    assert!(pair.nodes[0].charon.is_active);
}

#[test]
fn charon_is_quiet_while_its_addresses_are_away() {
    let mut pair = pair_with_sessions(2);
    start_charon(&mut pair, 0);
    for _ in 0..2 {
        set_ends(&mut pair, 0, &[]);
        assert!(!pair.nodes[0].charon.is_active);
        set_ends(&mut pair, 0, &[IpAddr::from(VIP)]);
        assert!(pair.nodes[0].charon.is_active);
    }
}

#[test]
fn charon_gets_the_rest_of_its_sessions_when_the_addresses_are_back() {
    for wait_ms in 0..8 {
        let mut pair = pair_with_sessions(40);
        fail_over(&mut pair);
        pair.nodes[1].charon = Charon {
            has_ha: true,
            is_busy: true,
            ..Charon::default()
        };
        report_daemon_event(&mut pair, 1, DaemonEvent::Started);
        pair.advance(wait_ms * MS);
        set_ends(&mut pair, 1, &[]);
        pair.advance(20 * MS);
        let charon = &pair.nodes[1].charon;
        let before = charon.children.len();
        assert!(!charon.is_active && before < 40, "after {wait_ms} ms");
        pair.advance(80 * MS);
        assert_eq!(pair.nodes[1].charon.children.len(), before);
        set_ends(&mut pair, 1, &[IpAddr::from(VIP)]);
        pair.advance(200 * MS);
        let node = &pair.nodes[1];
        assert_eq!(node.charon.children.len(), 40, "after {wait_ms} ms");
        assert!(node.charon.is_active);
        assert_eq!(node.count("sessions_not_taken"), 0);
        assert_led(&pair, 1);
    }
}

#[test]
fn a_switchover_waits_for_no_sessions_that_charon_does_not_have_yet() {
    let mut pair = pair_with_sessions(40);
    fail_over(&mut pair);
    pair.link();
    pair.run(3 * S);
    pair.nodes[1].charon = Charon {
        has_ha: true,
        is_busy: true,
        ..Charon::default()
    };
    report_daemon_event(&mut pair, 1, DaemonEvent::Started);
    pair.advance(2 * MS);
    let now_ns = pair.now_ns;
    pair.nodes[1].engine.handle_drain(now_ns, now_ns + S);
    pair.settle();
    pair.advance(50 * MS);
    assert!(pair.nodes[1].engine.is_drained());
    assert!(pair.nodes[1].charon.children.len() < 40);
    assert!(!pair.nodes[1].charon.is_active);
}

#[test]
fn sessions_that_come_with_an_address_after_charons_start_are_fed() {
    let mut pair = pair_with_sessions(2);
    pair.kill(0);
    // the role comes before the address, and charon before both
    pair.nodes[1].charon = Charon {
        has_ha: true,
        ..Charon::default()
    };
    let now_ns = pair.now_ns;
    pair.nodes[1].engine.handle_role(now_ns, "office", true);
    report_daemon_event(&mut pair, 1, DaemonEvent::Started);
    pair.advance(50 * MS);
    assert!(!pair.nodes[1].charon.is_active);
    set_ends(&mut pair, 1, &[IpAddr::from(VIP)]);
    pair.advance(50 * MS);
    assert_eq!(pair.nodes[1].charon.children.len(), 2);
    assert!(pair.nodes[1].charon.is_active);
}

#[test]
fn a_rekeyed_ike_sa_that_charon_has_is_not_fed_again() {
    let mut pair = Pair::settled(2);
    start_charon(&mut pair, 0);
    tell(&mut pair, 0, &Charon::connected(IKE, &[0]));
    tell(&mut pair, 0, &Charon::rekeyed(IKE, NEXT));
    set_ends(&mut pair, 0, &[]);
    set_ends(&mut pair, 0, &[IpAddr::from(VIP)]);
    pair.advance(50 * MS);
    assert!(pair.nodes[0].charon.ikes.is_empty(), "it has told of them");
    assert!(pair.nodes[0].charon.is_active);
}

#[test]
fn a_charon_that_ends_while_it_is_fed_is_followed_by_one_with_all_sessions() {
    let mut pair = pair_with_sessions(20);
    fail_over(&mut pair);
    pair.nodes[1].charon = Charon {
        has_ha: true,
        is_busy: true,
        ..Charon::default()
    };
    report_daemon_event(&mut pair, 1, DaemonEvent::Started);
    pair.advance(3 * MS);
    // its socket is gone before its control socket
    pair.nodes[1].charon.has_ha = false;
    pair.advance(20 * MS);
    report_daemon_event(&mut pair, 1, DaemonEvent::Ended);
    start_charon(&mut pair, 1);
    assert_eq!(pair.nodes[1].charon.children.len(), 20);
}

#[test]
fn a_charon_whose_control_socket_fails_keeps_its_sessions_and_gets_none_twice() {
    let mut pair = pair_with_sessions(3);
    fail_over(&mut pair);
    start_charon(&mut pair, 1);
    report_daemon_event(&mut pair, 1, DaemonEvent::Ended);
    // the same one: it fails if it gets an IKE SA that it has
    report_daemon_event(&mut pair, 1, DaemonEvent::Started);
    pair.advance(50 * MS);
    assert_eq!(pair.nodes[1].charon.children.len(), 3);
    assert!(pair.nodes[1].charon.is_active);
    assert_eq!(taken_over(&pair, 1), 3);
}

#[test]
fn the_former_sas_in_an_earlier_reading_are_not_taken_for_charons() {
    let mut pair = pair_with_sessions(1);
    fail_over(&mut pair);
    let kernel = &pair.nodes[1].kernel;
    let former = [in_of(0), out_of(0)].map(|id| kernel.sa(&id).unwrap().clone());
    let engine = &mut pair.nodes[1].engine;
    engine.read_fresh();
    assert!(matches!(engine.poll_action(), Some(Action::Read)));
    pair.nodes[1].charon = Charon {
        has_ha: true,
        fails: BTreeSet::from([0]),
        ..Charon::default()
    };
    report_daemon_event(&mut pair, 1, DaemonEvent::Started);
    let entries = former.map(XfrmEvent::Sa).to_vec();
    let now_ns = pair.now_ns;
    pair.nodes[1].engine.handle_entries(now_ns, entries);
    pair.settle();
    assert!(pair.nodes[1].holds.is_some(), "charon is to add its own");
    assert_eq!(pair.nodes[1].count("sessions_not_taken"), 0);
}

#[test]
fn the_end_of_an_earlier_wait_leaves_a_batch_protected() {
    let mut pair = pair_with_sessions(2);
    fail_over(&mut pair);
    pair.nodes[1].charon = Charon {
        has_ha: true,
        fails: (0..2).collect(),
        ..Charon::default()
    };
    report_daemon_event(&mut pair, 1, DaemonEvent::Started);
    pair.advance(5 * MS);
    assert!(pair.nodes[1].holds.is_some(), "charon is to add them");
    // packets of the wait before it were left
    let now_ns = pair.now_ns;
    pair.nodes[1].engine.handle_still_held(now_ns);
    pair.advance(5 * MS);
    assert!(pair.nodes[1].holds.is_some());
}

#[test]
fn a_policy_that_a_killed_run_left_parked_is_replaced() {
    let mut pair = Pair::settled(1);
    let kernel = &mut pair.nodes[1].kernel;
    let there = kernel.policies().into_iter().cloned();
    let policies: Vec<Policy> = there.filter(|it| it.id.is_outbound()).collect();
    for policy in &policies {
        kernel.put_policy(parked_policy(policy));
    }
    pair.restart(1, false);
    pair.run(3 * S);
    assert_led(&pair, 1);
    assert_eq!(pair.nodes[1].kernel.policies().len(), 3);
}

#[test]
fn charon_begins_no_session_of_its_own_before_it_has_those_that_it_gets() {
    let ends = BTreeSet::from([(IpAddr::from(VIP), IpAddr::from(PEER))]);
    let mut pair = pair_with_sessions(40);
    assert!(pair.nodes[0].blocked.is_empty(), "it has them");
    fail_over(&mut pair);
    assert_eq!(pair.nodes[1].blocked, ends, "before it starts");
    pair.nodes[1].charon = Charon {
        has_ha: true,
        is_busy: true,
        ..Charon::default()
    };
    report_daemon_event(&mut pair, 1, DaemonEvent::Started);
    while !pair.nodes[1].charon.is_active {
        assert_eq!(pair.nodes[1].blocked, ends);
        pair.advance(MS);
    }
    pair.advance(20 * MS);
    let connections = BTreeSet::from(["rw".to_owned()]);
    assert_eq!(pair.nodes[1].given_up, Some(connections));
    assert_eq!(pair.nodes[1].blocked, ends, "it gives up what it began");
    pair.nodes[1].engine.handle_given_up();
    pair.settle();
    assert!(pair.nodes[1].blocked.is_empty());
    // the next one gets them as well, also if it starts late
    report_daemon_event(&mut pair, 1, DaemonEvent::Ended);
    assert_eq!(pair.nodes[1].blocked, ends);
    pair.run(31 * S);
    assert!(pair.nodes[1].blocked.is_empty(), "it does not start");
    pair.nodes[1].charon = Charon::default();
    report_daemon_event(&mut pair, 1, DaemonEvent::Started);
    assert_eq!(pair.nodes[1].blocked, ends);
    pair.run(2 * S);
    assert!(pair.nodes[1].blocked.is_empty(), "it has no ha");
}

#[test]
fn charon_may_begin_sessions_that_it_does_not_get() {
    let mut pair = pair_with_sessions(2);
    pair.link();
    pair.switch_over(0);
    assert!(!pair.nodes[1].blocked.is_empty());
    pair.nodes[1].charon = Charon {
        has_ha: true,
        lacks: BTreeSet::from(["rw".to_owned()]),
        ..Charon::default()
    };
    report_daemon_event(&mut pair, 1, DaemonEvent::Started);
    assert!(pair.nodes[1].blocked.is_empty());
    // the role leaves while charon is awaited
    let mut pair = pair_with_sessions(2);
    pair.link();
    pair.switch_over(0);
    pair.run(S);
    pair.switch_over(1);
    assert!(pair.nodes[1].blocked.is_empty());
    assert!(!pair.nodes[0].blocked.is_empty());
    // a charon that ran before this run of the plugin has its sessions
    pair.nodes[0].charon.ikes = (0..2).map(|it| (IkeSpis(100 + it, 1), None)).collect();
    pair.restart(0, true);
    report_daemon_event(&mut pair, 0, DaemonEvent::Started);
    assert!(pair.nodes[0].blocked.is_empty());
}

#[test]
fn a_charon_of_the_backup_that_ran_before_the_plugin_gets_sessions_as_they_are_now() {
    for old in [0, 1, 2] {
        let mut pair = pair_with_sessions(2);
        pair.link();
        pair.nodes[1].charon = Charon {
            has_ha: true,
            ikes: (0..old).map(|it| (IkeSpis(100 + it, 1), None)).collect(),
            ..Charon::default()
        };
        pair.restart(1, false);
        report_daemon_event(&mut pair, 1, DaemonEvent::Started);
        pair.run(S);
        assert!(pair.nodes[1].charon.ikes.is_empty(), "they are the peer's");
        pair.switch_over(0);
        pair.run(S);
        assert_eq!(taken_over(&pair, 1), 2);
    }
}

#[test]
fn what_ended_while_the_plugin_of_the_active_node_did_not_run_is_forgotten() {
    let mut pair = pair_with_sessions(2);
    pair.link();
    pair.run(S);
    pair.nodes[0].charon = Charon {
        has_ha: true,
        ikes: BTreeMap::from([(IkeSpis(101, 1), None)]),
        ..Charon::default()
    };
    pair.restart(0, true);
    report_daemon_event(&mut pair, 0, DaemonEvent::Started);
    pair.run(S);
    for node in &pair.nodes {
        let sessions = &node.engine.store.sessions;
        let ikes = sessions.own.ikes.keys().chain(sessions.held.ikes.keys());
        assert_eq!(ikes.copied().collect::<Vec<_>>(), [IkeSpis(101, 1)]);
    }
    // messages of the time without a plugin are told again
    assert!(pair.nodes[0].charon.is_resynced && pair.nodes[0].charon.is_active);
    // the one that it has is the peer's when the role leaves
    pair.switch_over(0);
    pair.run(S);
    assert!(pair.nodes[0].charon.ikes.is_empty());
}

#[test]
fn sessions_that_do_not_follow_end_as_well_where_their_address_left_and_others_stay() {
    let mut pair = Pair::settled(0);
    begin_charon(&mut pair, 0, Charon::default());
    let (ikev1, other) = (IkeSpis(100, 1), IkeSpis(101, 1));
    pair.nodes[0].charon.ikes = [ikev1, other].map(|it| (it, None)).into();
    let update = |ike| Written::new(Kind::IkeUpdate, ike);
    let of_node = |it: Written| it.put(6, &[0x11, 0x94, 2, 198, 51, 100, 9]);
    let messages = [
        Written::new(Kind::IkeAdd, ikev1).ikev1(),
        update(ikev1).ikev1().end(),
        Written::new(Kind::IkeAdd, other),
        of_node(update(other)).name("rw"),
    ];
    tell(&mut pair, 0, &messages.map(Written::bytes));
    pair.switch_over(0);
    pair.run(S);
    assert_eq!(
        pair.nodes[0].charon.ikes.keys().collect::<Vec<_>>(),
        [&other]
    );
}

#[test]
fn a_charon_that_runs_on_forgets_sessions_that_left_when_their_last_numbers_are_known() {
    let mut pair = pair_with_sessions(40);
    for node in [0, 1] {
        begin_charon(&mut pair, node, Charon::default());
    }
    pair.link();
    pair.nodes[0].charon.ikes = (0..40).map(|it| (IkeSpis(100 + it, 1), None)).collect();
    pair.nodes[0].charon.is_busy = true;
    pair.move_addresses(0);
    pair.nodes[0].slow = true;
    pair.role(0, false);
    pair.advance(5 * MS);
    assert_eq!(pair.nodes[0].charon.ikes.len(), 40);
    let now_ns = pair.now_ns;
    pair.nodes[0].finish_readings(now_ns);
    pair.advance(20 * MS);
    assert_eq!(pair.nodes[0].charon.ikes.len(), 0);
    assert!(!pair.nodes[0].charon.is_active);
    // they are fed again as they are when they return
    let mids = message_id(3, Kind::MidResponder, IkeSpis(103, 1), false, 9);
    tell(&mut pair, 1, &[mids]);
    pair.switch_over(1);
    pair.advance(100 * MS);
    assert_eq!(pair.nodes[0].charon.ikes.len(), 40);
    assert_eq!(pair.nodes[0].charon.message_ids[&IkeSpis(103, 1)], 9);
    assert_eq!(pair.nodes[1].charon.ikes.len(), 0);
}

/// Sets the addresses of a node.
fn set_ends(pair: &mut Pair, node: usize, ends: &[IpAddr]) {
    let now_ns = pair.now_ns;
    let ends = ends.iter().copied().collect();
    pair.nodes[node].engine.handle_endpoints(now_ns, ends);
    pair.settle();
}

#[test]
fn charon_answers_when_it_has_all_children_and_after_ten_seconds() {
    for (children, answers_at_once) in [(20, true), (40, false)] {
        let mut pair = pair_with_sessions(children);
        fail_over(&mut pair);
        pair.nodes[1].charon = Charon {
            has_ha: true,
            fails: if answers_at_once {
                BTreeSet::new()
            } else {
                (0..children).collect()
            },
            ..Charon::default()
        };
        report_daemon_event(&mut pair, 1, DaemonEvent::Started);
        pair.advance(50 * MS);
        assert_eq!(pair.nodes[1].charon.is_active, answers_at_once);
        // a batch that charon does not add takes two seconds
        pair.advance(7 * S);
        assert_eq!(pair.nodes[1].charon.is_active, answers_at_once);
        pair.advance(4 * S);
        assert!(pair.nodes[1].charon.is_active);
    }
}

#[test]
fn without_its_plugin_charon_is_told_nothing() {
    let mut pair = pair_with_sessions(2);
    fail_over(&mut pair);
    report_daemon_event(&mut pair, 1, DaemonEvent::Started);
    pair.advance(2 * S);
    assert!(!pair.nodes[1].engine.are_sessions_waiting());
    pair.carry(1, &out_of(1), 10);
}

#[test]
fn sessions_of_a_connection_that_charon_does_not_have_are_named() {
    let mut pair = pair_with_sessions(2);
    fail_over(&mut pair);
    pair.nodes[1].charon = Charon {
        has_ha: true,
        lacks: BTreeSet::from(["rw".to_owned()]),
        ..Charon::default()
    };
    report_daemon_event(&mut pair, 1, DaemonEvent::Started);
    let events = &pair.nodes[1].events;
    let named = "IKE sessions of rw do not follow: charon has no such connection here";
    assert!(events.iter().any(|it| it == named), "{events:?}");
    assert!(pair.nodes[1].charon.ikes.is_empty());
    assert!(!pair.nodes[1].engine.are_sessions_waiting());
}

#[test]
fn a_charon_that_ends_is_followed_by_one_with_its_sessions() {
    let mut pair = pair_with_sessions(2);
    report_daemon_event(&mut pair, 0, DaemonEvent::Started);
    report_daemon_event(&mut pair, 0, DaemonEvent::Ended);
    pair.settle();
    start_charon(&mut pair, 0);
    assert_eq!(pair.nodes[0].charon.ikes.len(), 2);
}

#[test]
fn a_role_that_leaves_while_charon_takes_over_leaves_no_number_twice() {
    for wait_ms in 0..6 {
        let mut pair = pair_with_sessions(12);
        pair.link();
        pair.switch_over(0);
        pair.run(S);
        pair.carry(1, &out_of(1), 10);
        pair.nodes[1].charon.has_ha = true;
        pair.nodes[1].charon.fails = (0..12).collect();
        report_daemon_event(&mut pair, 1, DaemonEvent::Started);
        pair.advance(wait_ms * 100 * MS);
        pair.switch_over(1);
        pair.advance(S);
        assert!(!pair.nodes[1].charon.is_active);
        pair.carry(0, &out_of(1), 10);
        pair.carry(0, &in_of(1), 1);
    }
}

#[test]
fn a_child_whose_outbound_sa_is_refused_receives_on() {
    let mut pair = pair_with_sessions(1);
    pair.run(S);
    pair.nodes[1].kernel.rival = Some(tunnel(0)[1].clone());
    fail_over(&mut pair);
    pair.nodes[1].kernel.rival = None;
    pair.nodes[1].kernel.delete_sa(&out_of(0), Deleter::Other);
    start_charon(&mut pair, 1);
    pair.run(3 * S);
    for id in [in_of(0), out_of(0)] {
        assert!(pair.nodes[1].kernel.sa(&id).is_some(), "{id:?}");
    }
}

#[test]
fn a_batch_that_ends_before_its_sas_are_deleted_leaves_them() {
    let mut pair = pair_with_sessions(2);
    pair.link();
    pair.switch_over(0);
    pair.run(S);
    pair.nodes[1].waits_to_detach = true;
    start_charon(&mut pair, 1);
    assert!(pair.nodes[1].is_next_detach());
    let former = pair.nodes[1].kernel.sa(&out_of(1)).cloned();
    let now_ns = pair.now_ns;
    pair.nodes[1].engine.put_batch_back(now_ns);
    pair.nodes[1].waits_to_detach = false;
    pair.nodes[1].charon.fails = (0..2).collect();
    pair.settle();
    assert_eq!(pair.nodes[1].kernel.sa(&out_of(1)).cloned(), former);
    pair.carry(1, &out_of(1), 10);
    assert!(pair.nodes[1].holds.is_none());
}

/// Clients, charons and roles at random. What the clients have is what charon of the active node has.
struct World {
    pair: Pair,
    random: Random,
    active: usize,
    /// charon runs on both nodes, whatever their roles.
    both_run: bool,
    /// Sessions as their far ends have them: children of each.
    sessions: BTreeMap<IkeSpis, BTreeSet<u32>>,
    /// Children that were rekeyed and deleted, whose inbound SAs charon keeps for late packets.
    draining: Vec<(IkeSpis, u32)>,
    /// Children that a charon before the present one has ended.
    ended: Vec<u32>,
    next_ike: u64,
    next_child: u32,
}

impl World {
    fn new(seed: u64, both_run: bool) -> Self {
        let mut pair = Pair::with(Settings::default());
        if both_run {
            begin_charon(&mut pair, 1, Charon::default());
        }
        pair.link();
        pair.activate(0);
        pair.run(S);
        let mut world = Self {
            pair,
            random: Random::new(seed),
            active: 0,
            both_run,
            sessions: BTreeMap::new(),
            draining: Vec::new(),
            ended: Vec::new(),
            next_ike: 1,
            next_child: 0,
        };
        world.start();
        world
    }

    /// charon of the active node is started, and has what its clients have.
    fn start(&mut self) {
        if self.random.below(2) == 0 {
            self.put_traps();
        }
        self.end_draining();
        if !self.both_run {
            self.pair.nodes[1 - self.active].charon = Charon::default();
        }
        self.pair.nodes[self.active].charon = Charon {
            has_ha: true,
            is_busy: self.random.below(2) == 0,
            ..Charon::default()
        };
        report_daemon_event(&mut self.pair, self.active, DaemonEvent::Started);
    }

    /// Another charon, or the same one with sessions that return, does not know of them.
    fn end_draining(&mut self) {
        let draining = self.draining.drain(..).map(|(_, number)| number);
        self.ended.extend(draining);
    }

    /// charon puts its traps before it gets anything.
    fn put_traps(&mut self) {
        let other = 900 * self.random.below(2) as u32;
        for number in self.sessions.values().flatten() {
            for trap in traps(*number, 1 + number + other) {
                self.pair.nodes[self.active].kernel.put_policy(trap);
            }
        }
        self.pair.settle();
    }

    /// The role goes and comes while charon takes over, or has just ended.
    fn flap(&mut self) {
        for _ in 0..1 + self.random.below(3) {
            match self.random.below(4) {
                0 => self.die(),
                1 => self.crash(),
                2 => self.switch_over(),
                _ => self.call_off(),
            }
            let wait_ms = self.random.below(12);
            self.pair.advance(wait_ms * MS);
            self.carry();
        }
    }

    fn tell(&mut self, messages: &[Vec<u8>]) {
        tell(&mut self.pair, self.active, messages);
    }

    fn charon(&mut self) -> &mut Charon {
        &mut self.pair.nodes[self.active].charon
    }

    fn ike(&mut self) -> Option<IkeSpis> {
        let count = self.sessions.len() as u64;
        let at = (count > 0).then(|| self.random.below(count))?;
        self.sessions.keys().nth(at as usize).copied()
    }

    fn new_ike(&mut self) -> IkeSpis {
        self.next_ike += 1;
        IkeSpis(self.next_ike, 1)
    }

    fn new_child(&mut self, ike: IkeSpis) -> u32 {
        let number = self.next_child;
        self.next_child += 1;
        self.pair.establish(self.active, number);
        self.charon().children.insert(number, ike);
        self.sessions.entry(ike).or_default().insert(number);
        number
    }

    fn connect(&mut self) {
        let ike = self.new_ike();
        let child = self.new_child(ike);
        self.charon().ikes.insert(ike, None);
        self.tell(&Charon::connected(ike, &[child]));
    }

    fn rekey_ike(&mut self) {
        let Some(old) = self.ike() else { return };
        let new = self.new_ike();
        let children = self.sessions.remove(&old).unwrap_or_default();
        self.sessions.insert(new, children);
        let charon = &mut self.pair.nodes[self.active].charon;
        charon.ikes.remove(&old);
        charon.ikes.insert(new, Some(old));
        let draining = self.draining.iter_mut().map(|(ike, _)| ike);
        let moved = charon.children.values_mut().chain(draining);
        moved.filter(|it| **it == old).for_each(|it| *it = new);
        self.tell(&Charon::rekeyed(old, new));
    }

    fn rekey_child(&mut self) {
        let Some(ike) = self.ike() else { return };
        let old = self.sessions[&ike].first().copied();
        let new = self.new_child(ike);
        self.tell(&[Charon::child(ike, new)]);
        let Some(old) = old else { return };
        if self.random.below(2) == 0 {
            return self.end_child(ike, old);
        }
        self.forget_child(ike, old);
        self.delete_sas(&[out_of(old)]);
        self.draining.push((ike, old));
    }

    fn drain(&mut self) {
        for (ike, number) in std::mem::take(&mut self.draining) {
            self.end_child(ike, number);
        }
    }

    fn forget_child(&mut self, ike: IkeSpis, number: u32) {
        self.charon().children.remove(&number);
        if let Some(children) = self.sessions.get_mut(&ike) {
            children.remove(&number);
        }
    }

    fn end_child(&mut self, ike: IkeSpis, number: u32) {
        self.forget_child(ike, number);
        self.tell(&[Charon::child_deleted(ike, number)]);
        self.delete_sas(&tunnel(number).map(|it| it.id));
    }

    fn delete_sas(&mut self, ids: &[SaId]) {
        let kernel = &mut self.pair.nodes[self.active].kernel;
        for id in ids {
            kernel.delete_sa(id, Deleter::Daemon);
        }
        self.pair.settle();
        // the second answer is about what was deleted after the first question
        for _ in 0..2 {
            report_daemon_event(&mut self.pair, self.active, DaemonEvent::Answered);
        }
    }

    fn disconnect(&mut self) {
        let Some(ike) = self.ike() else { return };
        for number in self.sessions.remove(&ike).unwrap_or_default() {
            self.end_child(ike, number);
        }
        let draining = std::mem::take(&mut self.draining);
        for (of, number) in draining {
            if of == ike {
                self.end_child(ike, number);
            } else {
                self.draining.push((of, number));
            }
        }
        self.charon().ikes.remove(&ike);
        self.tell(&[Charon::disconnected(ike)]);
    }

    fn carry(&mut self) {
        let children: Vec<u32> = self.sessions.values().flatten().copied().collect();
        for number in children {
            let packets = self.random.below(40);
            let fate = fate(&self.pair, self.active, number);
            assert!(
                !matches!(fate, Fate::Clear | Fate::Trapped),
                "{number}: {fate:?}"
            );
            self.pair.carry(self.active, &out_of(number), packets);
            self.pair.carry(self.active, &in_of(number), packets / 2);
        }
    }

    fn stop_charon(&mut self) {
        let active = self.active;
        self.pair.nodes[active].charon = Charon::default();
        report_daemon_event(&mut self.pair, active, DaemonEvent::Ended);
    }

    fn wait(&mut self) {
        let wait_ms = self.random.below(30);
        self.pair.advance(wait_ms * MS);
    }

    fn switch_over(&mut self) {
        let from = self.active;
        self.pair.switch_over(from);
        if self.both_run {
            self.active = 1 - from;
            return self.end_draining();
        }
        self.stop_charon();
        self.active = 1 - from;
        self.wait();
        self.carry();
        self.start();
    }

    fn die(&mut self) {
        let died = self.active;
        self.pair.kill(died);
        self.active = 1 - died;
        self.pair.activate(self.active);
        self.wait();
        self.carry();
        if self.both_run {
            self.end_draining();
            begin_charon(&mut self.pair, died, Charon::default());
        } else {
            self.start();
        }
        self.pair.link();
        let wait_ms = 1_000 * self.random.below(3);
        self.pair.run(wait_ms * MS);
    }

    fn crash(&mut self) {
        self.stop_charon();
        self.wait();
        self.start();
    }

    /// charon's control socket fails for a while, also while a role leaves or comes.
    fn lose_control(&mut self) {
        let node = self.random.below(2) as usize;
        if !self.pair.nodes[node].charon.has_ha {
            return;
        }
        report_daemon_event(&mut self.pair, node, DaemonEvent::Ended);
        if self.both_run && self.random.below(2) == 0 {
            self.switch_over();
        }
        self.wait();
        report_daemon_event(&mut self.pair, node, DaemonEvent::Started);
    }

    /// The plugin starts again, and charon has run on.
    fn restart_plugin(&mut self) {
        let node = self.random.below(2) as usize;
        self.pair.run(S);
        self.pair.restart(node, node == self.active);
        if self.pair.nodes[node].charon.has_ha {
            report_daemon_event(&mut self.pair, node, DaemonEvent::Started);
        }
        self.wait();
        self.pair.run(S);
    }

    /// A switchover begins and does not come.
    fn call_off(&mut self) {
        let wait_ms = self.random.below(30);
        let now_ns = self.pair.now_ns;
        let engine = &mut self.pair.nodes[self.active].engine;
        engine.handle_drain(now_ns, now_ns + wait_ms * MS);
        self.pair.settle();
        self.pair.advance(wait_ms * MS);
    }

    /// The driver has other work before it deletes the SAs of a batch.
    fn delay_detach(&mut self) {
        let slow = self.active;
        self.pair.nodes[slow].waits_to_detach = true;
        self.crash();
        match self.random.below(3) {
            0 => self.die(),
            1 => self.crash(),
            _ => self.call_off(),
        }
        self.pair.nodes[slow].waits_to_detach = false;
        self.pair.settle();
    }

    fn step(&mut self) {
        let step = self.random.below(17);
        println!("step {step}");
        match step {
            0..3 => self.connect(),
            3 | 4 => self.rekey_child(),
            5 | 6 => self.rekey_ike(),
            7 => self.disconnect(),
            8 => self.carry(),
            9 => self.switch_over(),
            10 => self.flap(),
            11 => self.drain(),
            12 => self.call_off(),
            13 => self.delay_detach(),
            14 => self.lose_control(),
            15 => self.restart_plugin(),
            _ => self.crash(),
        }
        self.carry();
    }

    fn check(&mut self) {
        self.pair.advance(200 * MS);
        let sessions = self.sessions.clone();
        let charon = self.charon();
        assert!(charon.is_active);
        let ikes: BTreeSet<IkeSpis> = charon.ikes.keys().copied().collect();
        assert_eq!(ikes, sessions.keys().copied().collect());
        let children = charon.children.iter();
        let children: BTreeMap<u32, IkeSpis> = children.map(|(it, ike)| (*it, *ike)).collect();
        let expected = sessions.iter();
        let expected = expected.flat_map(|(ike, of)| of.iter().map(|it| (*it, *ike)));
        assert_eq!(children, expected.collect());
        assert_led(&self.pair, self.active);
        let other = &self.pair.nodes[1 - self.active].charon;
        assert!(other.ikes.is_empty(), "{:?} have left", other.ikes);
        for number in sessions.values().flatten() {
            let fate = fate(&self.pair, self.active, *number);
            assert_eq!(fate, Fate::Sent(out_of(*number)));
        }
        let kernel = &self.pair.nodes[self.active].kernel;
        for number in &self.ended {
            assert!(kernel.sa(&in_of(*number)).is_none(), "child {number}");
        }
    }
}

/// Number of histories; PROPTEST_CASES for another one.
fn seeds() -> u64 {
    let cases = std::env::var("PROPTEST_CASES").ok();
    cases.and_then(|it| it.parse().ok()).unwrap_or(60)
}

#[test]
fn whatever_happens_charon_has_what_its_clients_have() {
    play(false);
}

#[test]
fn whatever_happens_charon_has_what_its_clients_have_where_it_runs_on_both_nodes() {
    play(true);
}

fn play(both_run: bool) {
    for seed in 0..seeds() {
        println!("seed {seed}");
        let mut world = World::new(seed, both_run);
        for _ in 0..25 {
            world.step();
            world.check();
        }
    }
}
