//! Own addresses of a node that are gone for a moment, or for longer.

use std::net::IpAddr;

use spared_sdk::Role;

use super::lab::{Lab, MS, SECOND, SECOND_ROUTER, by_priority};
use super::linked::pair;

const WIRES: [&str; 2] = ["lan1", "lan2"];

/// Takes a node's addresses on an interface away, and returns them.
fn flush(lab: &mut Lab, node: usize, interface: &str) -> Vec<IpAddr> {
    replace(lab, node, interface, Vec::new())
}

fn replace(lab: &mut Lab, node: usize, interface: &str, addresses: Vec<IpAddr>) -> Vec<IpAddr> {
    let facts = lab.nodes[node].facts.get_mut(interface).expect("known");
    let were = std::mem::replace(&mut facts.addresses, addresses);
    let facts = facts.clone();
    lab.report_interface(node, interface, &facts);
    were
}

fn is_undisturbed(lab: &Lab) {
    assert_eq!((lab.failovers(), lab.switchovers()), (0, 0));
    assert_eq!(lab.overlaps, []);
    for (node, interface) in [(0, "lan1"), (0, "lan2"), (1, "lan1"), (1, "lan2")] {
        assert_eq!(lab.nodes[node].host.checks[interface].1, 100);
        assert!(lab.longest_silence_ns(interface) <= lab.latency_ns);
    }
}

/// For each node, on one interface and on both at once.
#[test]
fn an_own_address_that_is_gone_for_a_moment_disturbs_nothing() {
    for group in ["", "prefer = \"r1\""] {
        let settled = pair(group);
        for (node, wires) in [(0, &WIRES[..1]), (0, &WIRES), (1, &WIRES[1..]), (1, &WIRES)] {
            for gone_ns in [20 * MS, 250 * MS] {
                let mut lab = settled.clone();
                lab.run(SECOND);
                lab.forget();
                let were: Vec<_> = wires
                    .iter()
                    .map(|wire| flush(&mut lab, node, wire))
                    .collect();
                lab.run(gone_ns);
                is_undisturbed(&lab);
                for (wire, were) in wires.iter().zip(were) {
                    replace(&mut lab, node, wire, were);
                }
                lab.run(60 * SECOND);
                is_undisturbed(&lab);
                assert_eq!(lab.active(), [0]);
            }
        }
    }
}

#[test]
fn adverts_and_heartbeats_go_on_from_an_address_that_is_waited_for() {
    let mut lab = Lab::settled(&by_priority(&[200, 100], "", SECOND_ROUTER), 2);
    let were = WIRES.map(|wire| flush(&mut lab, 0, wire));
    lab.run(250 * MS);
    assert!(lab.sent_by(0).len() >= 4, "{}", lab.sent_by(0).len());
    for (wire, were) in WIRES.iter().zip(were) {
        replace(&mut lab, 0, wire, were);
    }
    lab.run(10 * SECOND);
    assert_eq!((lab.active(), lab.failovers()), (vec![0], 0));
    assert_eq!(lab.longest_overlap_ns(), 0);
}

/// At any time between two adverts; frames to the peer are lost as well.
#[test]
fn adverts_to_unicast_peers_wait_so_that_two_never_answer() {
    let unicast = "unicast = true\npeers = [\"10.1.0.2\", \"10.1.0.3\"]";
    let settled = Lab::settled(&by_priority(&[200, 100], "", unicast), 2);
    for (since_ns, gone_ns) in
        (0..10).flat_map(|n| [20, 250, 320, 2000].map(|ms| (n * 10 * MS, ms * MS)))
    {
        let mut lab = settled.clone();
        lab.run(since_ns);
        lab.forget();
        let were = flush(&mut lab, 0, "lan1");
        lab.cut("lan1", 0, 1);
        lab.run(gone_ns.min(250 * MS));
        assert!(lab.sent_by(0).is_empty());
        lab.run(gone_ns.saturating_sub(250 * MS));
        replace(&mut lab, 0, "lan1", were);
        lab.fix();
        lab.run(5 * SECOND);
        assert_eq!(lab.active(), [0]);
        assert!(gone_ns > 20 * MS || lab.failovers() == 0);
        assert!(
            lab.longest_overlap_ns() <= lab.latency_ns,
            "{since_ns} {gone_ns}: {:?}",
            lab.overlaps
        );
    }
}

#[test]
fn an_own_address_that_stays_away_hurts_its_interface_after_one_failover_time() {
    let mut lab = pair("");
    let failover_ns = lab.nodes[0].engine.longest_silence_ns();
    let were = flush(&mut lab, 0, "lan2");
    let took = lab.run_until(5 * SECOND, |lab| lab.nodes[0].host.checks["lan2"].1 == 0);
    let took = took.expect("a failed check");
    assert!((failover_ns..failover_ns + MS).contains(&took), "{took}");
    assert_eq!(lab.nodes[0].host.why["lan2"], "no source address");
    lab.run(SECOND);
    assert_eq!((lab.active(), lab.failovers()), (vec![1], 1));
    assert_eq!(lab.overlaps, []);
    // the address comes back, is gone for a moment, and then for good: each time the wait begins again
    replace(&mut lab, 0, "lan2", were);
    lab.run(SECOND);
    let were = flush(&mut lab, 0, "lan2");
    lab.run(failover_ns - MS);
    replace(&mut lab, 0, "lan2", were);
    lab.run(MS);
    flush(&mut lab, 0, "lan2");
    lab.run(failover_ns - MS);
    assert_eq!(lab.nodes[0].host.checks["lan2"].1, 100);
    lab.run(2 * MS);
    assert_eq!(lab.nodes[0].host.checks["lan2"].1, 0);
}

#[test]
fn another_own_address_is_the_source_at_once() {
    let mut lab = pair("");
    let other: IpAddr = "10.1.0.77".parse().unwrap();
    replace(&mut lab, 0, "lan1", vec![other]);
    let routers = lab.nodes[0].engine.groups[0].networks.routers();
    let here = routers.iter().find(|it| it.config.interface == "lan1");
    assert_eq!(here.and_then(|it| it.source), Some(other));
    lab.run(5 * SECOND);
    assert_eq!((lab.active(), lab.failovers()), (vec![0], 0));
}

#[test]
fn an_interface_that_goes_down_without_its_address_is_hurt_at_once() {
    let mut lab = pair("");
    flush(&mut lab, 0, "lan2");
    lab.run(20 * MS);
    lab.carrier(0, "lan2", false);
    assert_eq!(lab.nodes[0].host.checks["lan2"].1, 0);
    assert_eq!(lab.nodes[0].host.why["lan2"], "no carrier");
    // the carrier alone does not bring the address back
    lab.carrier(0, "lan2", true);
    assert_eq!(lab.nodes[0].host.why["lan2"], "no source address");
}

/// Takes away everything from which a node could send adverts: the one interface, and the addresses of the other.
fn isolate(lab: &mut Lab, node: usize) -> Vec<IpAddr> {
    let facts = lab.nodes[node].facts.get_mut("lan1").expect("known");
    facts.present = false;
    let facts = facts.clone();
    lab.report_interface(node, "lan1", &facts);
    flush(lab, node, "lan2")
}

fn was_active(lab: &Lab, node: usize) -> bool {
    let mut roles = lab.nodes[node].roles.iter();
    roles.any(|(_, role, _)| *role == Role::Active)
}

/// After a grant of the lease the addresses would answer, but no advert would follow.
#[test]
fn a_node_without_an_address_to_send_from_takes_nothing_that_its_peer_leaves() {
    let mut lab = pair("");
    let were = isolate(&mut lab, 1);
    lab.run(SECOND);
    lab.shut_down(0);
    for _ in 0..300 {
        lab.run(10 * MS);
        assert!(lab.answering("lan2").is_empty());
    }
    assert!(!was_active(&lab, 1));
    assert!(lab.why(1).contains("no interface is usable"));
    // the address comes back: nobody else serves
    replace(&mut lab, 1, "lan2", were);
    lab.run(SECOND);
    assert_eq!((lab.active(), lab.answering("lan2")), (vec![1], vec![1]));
}

#[test]
fn a_node_that_waits_for_its_address_serves_when_its_peer_leaves() {
    let settled = pair("");
    let lease_ns = settled.nodes[1].engine.groups[0].config.lease_ns;
    for comes_back in [true, false] {
        let mut lab = settled.clone();
        let were = isolate(&mut lab, 1);
        lab.run(200 * MS);
        lab.shut_down(0);
        lab.run(80 * MS);
        assert_eq!((lab.active(), lab.answering("lan2")), (vec![1], vec![1]));
        if comes_back {
            replace(&mut lab, 1, "lan2", were);
        }
        lab.run(100 * MS + lease_ns);
        let served: &[usize] = if comes_back { &[1] } else { &[] };
        assert_eq!(lab.answering("lan2"), served);
        lab.run(5 * SECOND);
        assert_eq!(
            (lab.active(), lab.answering("lan2")),
            (served.to_vec(), served.to_vec())
        );
        assert_eq!(lab.failovers(), 1);
    }
}

/// The peer cannot take the group for a while: its host refuses the role.
#[test]
fn a_node_without_an_address_takes_nothing_that_its_peer_may_take() {
    let mut lab = pair("");
    isolate(&mut lab, 1);
    lab.run(SECOND);
    lab.nodes[0].host_fails = true;
    lab.crash(0);
    lab.start(0);
    lab.run(10 * SECOND);
    assert!(!was_active(&lab, 1));
    lab.nodes[0].host_fails = false;
    lab.run(5 * SECOND);
    assert_eq!((lab.active(), lab.role(1)), (vec![0], Role::Backup));
}

/// The peer starts again, and stays or leaves again.
#[test]
fn a_node_without_an_address_stays_out_until_its_peer_serves_again() {
    let mut lab = pair("");
    isolate(&mut lab, 1);
    lab.run(SECOND);
    for _ in 0..2 {
        lab.shut_down(0);
        lab.run(2 * SECOND);
        lab.start(0);
        lab.run(10 * SECOND);
        assert_eq!((lab.active(), lab.role(1)), (vec![0], Role::Backup));
    }
    assert!(!was_active(&lab, 1));
}

/// The peer dies or its network is cut while this node waits for its address, or the faults come in the opposite order.
#[test]
fn whatever_else_happens_meanwhile_one_node_answers_in_the_end() {
    let settled = pair("");
    for (flushed, dies) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
        for gone_ns in [20 * MS, 250 * MS, 2 * SECOND] {
            let mut lab = settled.clone();
            let were = WIRES.map(|wire| flush(&mut lab, flushed, wire));
            lab.run(10 * MS);
            lab.kill(dies);
            lab.run(gone_ns);
            for (wire, were) in WIRES.iter().zip(were) {
                replace(&mut lab, flushed, wire, were);
            }
            lab.run(5 * SECOND);
            assert_eq!(lab.active(), [1 - dies], "{flushed} {dies} {gone_ns}");
            assert_eq!(lab.overlaps, []);
        }
    }
}
