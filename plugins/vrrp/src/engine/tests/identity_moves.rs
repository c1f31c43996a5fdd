//! E15: the role leaves a node whose virtual MAC address a network drops, once, for a node whose virtual MAC it may
//! carry.

use spared_sdk::Forced;

use super::duplicates::StationNet;
use super::lab::{FilteredFrames, Lab, MS, SECOND};
use super::linked::{LINKS, by_quality, moved_once, quality};
use super::virtual_identity::{assert_both_report, net, rows, with_vmac};

/// Longest time until the role moves: a verdict, and E9's hold.
const BOUND_NS: u64 = (2_000 + 2_000) * MS;
const HOUR_NS: u64 = 3600 * SECOND;

const DROPPED: [&str; 2] = [
    "lan1 virtual_mac_dropped r1: 00:00:5e:00:01:07",
    "lan1 virtual_mac_dropped r2: 00:00:5e:00:01:07",
];
const BEFORE: [&str; 2] = [
    "lan1 virtual_mac_was_dropped r1: 00:00:5e:00:01:07",
    "lan1 virtual_mac_was_dropped r2: 00:00:5e:00:01:07",
];
const PREFERRED: &str = "prefer = \"r1\"\nfailback_delay = \"1s\"";

/// A pair long after the last change, so that E9's hold is the shortest.
fn pair(group: &str) -> StationNet {
    let mut net = net(Lab::linked(&with_vmac(group), &LINKS));
    net.lab.run(400 * SECOND);
    net.lab.forget();
    net
}

fn drop_at(net: &mut StationNet, node: usize) {
    net.lab.drop_there("lan1", node, FilteredFrames::VirtualMac);
}

/// Time until a node is active.
fn moves_to(net: &mut StationNet, node: usize) -> u64 {
    let began_ns = net.lab.clock.now_ns();
    while net.lab.active() != [node] {
        net.run_with_checks_for(50 * MS);
        let for_ns = net.lab.clock.now_ns() - began_ns;
        assert!(for_ns < 20 * SECOND, "{:?}", net.lab.active());
    }
    net.lab.clock.now_ns() - began_ns
}

fn assert_stays_at(net: &mut StationNet, node: usize, for_ns: u64) {
    net.lab.forget();
    net.run_with_checks(60);
    net.lab.run(for_ns);
    assert_eq!((net.lab.active(), net.lab.failovers()), (vec![node], 0));
}

#[test]
fn the_role_moves_once_to_the_node_whose_virtual_mac_passes_and_stays_for_an_hour() {
    for group in ["", PREFERRED] {
        let mut net = pair(group);
        drop_at(&mut net, 0);
        let took_ns = moves_to(&mut net, 1);
        assert!((3 * SECOND..=BOUND_NS).contains(&took_ns), "{took_ns}");
        net.run_with_checks(1);
        moved_once(&net.lab, 1);
        let why = "r1 is backup because lan1 dropped its virtual MAC within the last hour: it leaves the role to another router";
        assert_eq!(net.lab.why(0), why);
        let moved = "lan1 drops its virtual MAC: it leaves the role";
        let roles = &net.lab.nodes[0].roles;
        assert!(roles.iter().any(|it| it.2.contains(moved)), "{roles:?}");
        assert_both_report(&net, &[BEFORE[0]]);
        assert_stays_at(&mut net, 1, HOUR_NS - 70 * SECOND);
        assert_both_report(&net, &[BEFORE[0]]);
        // then its virtual identity is untried, and a preferred node gets the group back
        net.lab.dropped.clear();
        net.lab.run(90 * SECOND);
        let expected = usize::from(group.is_empty());
        assert_eq!(net.lab.active(), [expected]);
        assert_both_report(&net, &[]);
        assert_stays_at(&mut net, expected, 0);
    }
}

#[test]
fn where_neither_passes_it_moves_once_and_never_back() {
    for group in ["", PREFERRED] {
        let mut net = pair(group);
        drop_at(&mut net, 0);
        drop_at(&mut net, 1);
        moves_to(&mut net, 1);
        net.run_with_checks(5);
        assert_both_report(&net, &[DROPPED[1], BEFORE[0]]);
        for _ in 0..3 {
            assert_stays_at(&mut net, 1, HOUR_NS);
        }
        assert_both_report(&net, &[DROPPED[1]]);
    }
}

#[test]
fn a_node_that_failed_within_the_hour_gets_it_back_only_after_that() {
    let mut net = pair("");
    drop_at(&mut net, 0);
    moves_to(&mut net, 1);
    net.run_with_checks(600);
    drop_at(&mut net, 1);
    net.run_with_checks(5);
    assert_both_report(&net, &[DROPPED[1], BEFORE[0]]);
    assert_stays_at(&mut net, 1, HOUR_NS);
    // its virtual MAC passes again, and fails when the observation of the other node is old
    net.lab.dropped.clear();
    net.run_with_checks(10);
    net.lab.run(HOUR_NS);
    drop_at(&mut net, 1);
    moves_to(&mut net, 0);
    assert_stays_at(&mut net, 0, SECOND);
}

#[test]
fn a_switchover_back_shows_that_it_passes_again() {
    let mut net = pair("");
    drop_at(&mut net, 0);
    moves_to(&mut net, 1);
    net.run_with_checks(2);
    net.lab.dropped.clear();
    net.run_with_checks(2);
    assert_both_report(&net, &[BEFORE[0]]);
    net.lab.switch(1);
    net.run_with_checks(2);
    assert_eq!(net.lab.active(), [0]);
    assert_both_report(&net, &[]);
    assert_stays_at(&mut net, 0, SECOND);
}

#[test]
fn who_has_repaired_it_says_so() {
    let mut net = pair(PREFERRED);
    drop_at(&mut net, 0);
    moves_to(&mut net, 1);
    net.run_with_checks(2);
    net.lab.dropped.clear();
    for node in 0..2 {
        let now_ns = net.lab.clock.now_ns();
        assert_eq!(net.lab.nodes[node].engine.retry(now_ns), 0);
    }
    assert_both_report(&net, &[]);
    net.run_with_checks(5);
    assert_eq!(net.lab.active(), [0]);
}

#[test]
fn without_virtual_macs_what_was_known_of_them_is_no_more() {
    let mut net = pair(PREFERRED);
    drop_at(&mut net, 0);
    moves_to(&mut net, 1);
    net.run_with_checks(2);
    for node in 0..2 {
        net.lab.reload(node, &by_quality(PREFERRED));
    }
    net.answers_as = None;
    net.run_with_checks(5);
    assert_both_report(&net, &[]);
    assert_eq!(net.lab.active(), [0]);
}

#[test]
fn an_interface_that_comes_back_is_untried() {
    let mut net = pair("");
    drop_at(&mut net, 0);
    moves_to(&mut net, 1);
    net.run_with_checks(2);
    net.lab.carrier(0, "lan1", false);
    net.run_with_checks(2);
    net.lab.carrier(0, "lan1", true);
    net.run_with_checks(2);
    assert_both_report(&net, &[]);
}

#[test]
fn a_backup_that_starts_again_is_untried() {
    let mut net = pair(PREFERRED);
    drop_at(&mut net, 0);
    moves_to(&mut net, 1);
    net.run_with_checks(2);
    assert_both_report(&net, &[BEFORE[0]]);
    net.lab.dropped.clear();
    net.lab.kill(0);
    net.run_with_checks(2);
    net.lab.start(0);
    net.run_with_checks(2);
    assert_both_report(&net, &[]);
    net.run_with_checks(5);
    assert_eq!(net.lab.active(), [0]);
}

#[test]
fn a_node_that_is_less_fit_or_must_not_serve_gets_nothing() {
    let mut nets: [StationNet; 3] = std::array::from_fn(|_| pair(""));
    nets[0].lab.directive(1, quality(50));
    nets[1].lab.force(0, Forced::Active);
    nets[2].lab.force(1, Forced::Backup);
    for mut net in nets {
        net.run_with_checks(1);
        drop_at(&mut net, 0);
        net.run_with_checks(10);
        assert_eq!((net.lab.active(), net.lab.failovers()), (vec![0], 0));
        assert_both_report(&net, &[DROPPED[0]]);
    }
}

#[test]
fn of_several_networks_as_many_must_be_gained_as_are_lost() {
    let text = with_vmac("").replace("\"lan2\"\nvrid = 7\n", "\"lan2\"\nvrid = 7\nvmac = true\n");
    let mut net = net(Lab::linked(&text, &LINKS));
    // r1 serves well on lan1, r2 failed there before
    net.lab.switch(0);
    net.run_with_checks(2);
    drop_at(&mut net, 1);
    moves_to(&mut net, 0);
    net.run_with_checks(2);
    net.lab.forget();
    net.lab.drop_there("lan2", 0, FilteredFrames::VirtualMac);
    net.run_with_checks(10);
    assert_eq!((net.lab.active(), net.lab.failovers()), (vec![0], 0));
    let here = "lan2 virtual_mac_dropped r1: 00:00:5e:00:01:07";
    assert_both_report(&net, &[BEFORE[1], here]);
    // now r1 fails on more networks
    drop_at(&mut net, 0);
    moves_to(&mut net, 1);
    assert_stays_at(&mut net, 1, SECOND);
}

#[test]
fn a_node_that_dies_meanwhile_is_followed_whatever_was_dropped() {
    let mut net = pair("");
    drop_at(&mut net, 0);
    moves_to(&mut net, 1);
    net.run_with_checks(2);
    net.lab.kill(1);
    let took = net.lab.run_until(SECOND, |lab| lab.active() == [0]);
    assert!(took.is_some_and(|ns| ns < 500 * MS), "{took:?}");
    // a node that starts again has forgotten, and learns from the peer's heartbeats
    net.lab.start(1);
    net.run_with_checks(8);
    moves_to(&mut net, 1);
    net.run_with_checks(2);
    assert_eq!(rows(&net, 0), [BEFORE[0]]);
}

#[test]
fn without_a_link_the_role_is_released() {
    let mut net = net(Lab::linked(&with_vmac(PREFERRED), &[]));
    net.lab.run(400 * SECOND);
    drop_at(&mut net, 0);
    let took_ns = moves_to(&mut net, 1);
    assert!(took_ns <= BOUND_NS + 500 * MS, "{took_ns}");
    assert_eq!(net.lab.overlaps, []);
    assert_stays_at(&mut net, 1, 600 * SECOND);
}

#[test]
fn a_dropped_virtual_mac_moves_what_is_elected_by_priority_as_well() {
    let priority = "election = \"priority\"\npriority = 150";
    let mut net = pair(priority);
    let active = net.lab.active()[0];
    drop_at(&mut net, active);
    moves_to(&mut net, 1 - active);
    assert_stays_at(&mut net, 1 - active, 600 * SECOND);
}
