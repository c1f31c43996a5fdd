//! E13: the last node standing serves.

use std::net::IpAddr;

use spared_sdk::Role;

use super::lab::{Lab, MS, SECOND, SECOND_ROUTER, by_priority};

const LINKS: [&str; 2] = ["link1", "link2"];

fn alone() -> Lab {
    Lab::settled(&by_priority(&[200], "", SECOND_ROUTER), 1)
}

fn linked() -> Lab {
    Lab::linked(&by_priority(&[200, 100], "", SECOND_ROUTER), &LINKS)
}

fn stop_for(lab: &mut Lab, node: usize, for_ns: u64) {
    lab.stop(node);
    lab.run(for_ns);
    lab.resume(node);
}

/// Roles other than active that a node has taken.
fn others(lab: &Lab, node: usize) -> Vec<&str> {
    let roles = lab.nodes[node].roles.iter();
    let others = roles.filter(|(_, role, _)| *role != Role::Active);
    others.map(|(.., why)| why.as_str()).collect()
}

fn set_own(lab: &mut Lab, node: usize, interface: &str, own: &[&str]) {
    let facts = lab.nodes[node].facts.get_mut(interface).expect("known");
    facts.addresses = own
        .iter()
        .map(|address| address.parse::<IpAddr>().expect("an address"))
        .collect();
    let facts = facts.clone();
    lab.report_interface(node, interface, &facts);
}

// ---- a lapse is not a role change --------------------------------------------------------------

#[test]
fn a_late_node_alone_keeps_its_role_and_opens_at_once() {
    for late_ms in [275, 280, 300, 343, 400, 500, 550] {
        let mut lab = alone();
        lab.run(37 * MS);
        stop_for(&mut lab, 0, late_ms * MS);
        assert_eq!(lab.active(), [0], "{late_ms} ms");
        lab.run(5 * SECOND);
        assert_eq!(others(&lab, 0), Vec::<&str>::new(), "{late_ms} ms");
        assert_eq!(lab.answering("lan1"), [0]);
        assert_eq!(lab.answering("lan2"), [0]);
        let counters = &lab.nodes[0].engine.groups[0].counters;
        assert_eq!((counters.lapses, counters.late_step_downs), (1, 0));
        let events = lab.nodes[0].events.join("\n");
        assert!(events.contains("no other router was active"), "{events}");
        assert_eq!(lab.nodes[0].events.len(), 1, "{events}");
    }
}

#[test]
fn a_node_that_is_late_again_and_again_says_so_once_a_minute() {
    let mut lab = alone();
    for _ in 0..150 {
        stop_for(&mut lab, 0, 300 * MS);
        lab.run(700 * MS);
    }
    let events = &lab.nodes[0].events;
    assert_eq!(events.len(), 3, "{events:?}");
    assert!(events[1].ends_with("(59 suppressed before)"), "{events:?}");
}

#[test]
fn a_node_that_was_stopped_for_long_listens_before_it_keeps_its_role() {
    for late_ms in [700, 1000, 30_000] {
        let mut lab = alone();
        stop_for(&mut lab, 0, late_ms * MS);
        assert!(lab.active().is_empty());
        assert_eq!(lab.answering("lan1"), Vec::<usize>::new());
        let took = lab.run_until(SECOND, |lab| lab.active() == [0]);
        assert_eq!(took, Some(150 * MS));
        lab.run(5 * SECOND);
        assert_eq!(others(&lab, 0), Vec::<&str>::new());
    }
}

#[test]
fn where_the_host_cannot_grant_the_leases_anew_the_role_is_gone() {
    let mut lab = alone();
    lab.stop(0);
    lab.run(300 * MS);
    lab.nodes[0].host_fails = true;
    lab.resume(0);
    assert!(lab.active().is_empty());
    lab.nodes[0].host_fails = false;
    let took = lab.run_until(SECOND, |lab| lab.active() == [0]);
    assert!(took.is_some());
}

#[test]
fn a_refused_lease_ends_the_conflict_with_the_role() {
    let mut lab = Lab::settled(&by_priority(&[200, 100], "", ""), 2);
    let in_conflict = |lab: &Lab| {
        let group = &lab.nodes[0].engine.groups[0];
        group.conflicts.current().is_some()
    };
    // r2 does not hear r1, so that it takes over and does not give way
    lab.cut_one_way("lan1", 0, 1);
    lab.run(SECOND);
    assert_eq!(lab.active(), [0, 1]);
    assert!(in_conflict(&lab));
    lab.cut("lan1", 0, 1);
    lab.nodes[0].host_fails = true;
    stop_for(&mut lab, 0, 300 * MS);
    assert_eq!(lab.nodes[0].engine.groups[0].counters.lapses, 1);
    assert_eq!(lab.active(), [1]);
    assert!(!in_conflict(&lab), "it ended with the role");
    lab.nodes[0].host_fails = false;
    lab.forget();
    lab.run(5 * SECOND);
    assert_eq!(lab.active(), [0, 1]);
    let events = lab.nodes[0].events.join("\n");
    assert!(!events.contains("conflict"), "{events}");
}

#[test]
fn a_peer_that_took_over_meanwhile_stays_and_nobody_answers_beside_it() {
    for (links, preempt) in [(true, true), (true, false), (false, false)] {
        let group = if preempt { "" } else { "preempt = false" };
        let text = by_priority(&[200, 100], group, SECOND_ROUTER);
        for late_ms in (250..=700).step_by(5).chain([1000, 10_000]) {
            let mut lab = if links {
                Lab::linked(&text, &LINKS)
            } else {
                Lab::settled(&text, 2)
            };
            lab.run(37 * MS);
            stop_for(&mut lab, 0, late_ms * MS);
            lab.run(5 * SECOND);
            let step = format!("links {links}, preempt {preempt}, {late_ms} ms");
            assert_eq!(lab.active().len(), 1, "{step}");
            assert!(lab.longest_overlap_ns() <= lab.latency_ns, "{step}");
            if late_ms > 500 && !preempt {
                assert_eq!(lab.active(), [1], "{step}");
            }
        }
    }
}

#[test]
fn a_machine_that_was_paused_with_its_cards_does_not_open_beside_its_successor() {
    // time by which the peer's heartbeats are behind, and time of the pause within a round
    let phases = (0..100).step_by(20).flat_map(|behind_ms| {
        let paused = (1..100).step_by(12);
        paused.map(move |phase_ms| (behind_ms, phase_ms))
    });
    for (behind_ms, phase_ms) in phases {
        for late_ms in [280, 310, 330, 350, 400, 550] {
            let mut lab = linked();
            lab.run(SECOND + behind_ms * MS);
            lab.kill(1);
            lab.start(1);
            lab.run(10 * SECOND + phase_ms * MS);
            lab.forget();
            // a frame that comes meanwhile is in no socket yet when the node goes on
            for wire in ["lan1", "lan2", "link1", "link2"] {
                lab.cut_one_way(wire, 1, 0);
            }
            stop_for(&mut lab, 0, late_ms * MS);
            lab.run(2 * MS);
            lab.fix();
            lab.run(2 * SECOND);
            let overlap_ns = lab.longest_overlap_ns();
            assert!(
                overlap_ns <= 2 * lab.latency_ns,
                "{behind_ms}, {phase_ms}, {late_ms} ms: {overlap_ns} ns"
            );
            assert_eq!(lab.active().len(), 1);
        }
    }
}

#[test]
fn a_late_node_beside_a_peer_that_has_just_started_keeps_its_role() {
    for after_ms in (0..1500).step_by(100) {
        let mut lab = linked();
        lab.kill(1);
        lab.run(10 * SECOND);
        lab.start(1);
        lab.run(after_ms * MS);
        lab.forget();
        lab.run_until(SECOND, |lab| !lab.sent_by(0).is_empty())
            .expect("an advert");
        stop_for(&mut lab, 0, 343 * MS);
        lab.run(100 * MS);
        assert_eq!(others(&lab, 0), Vec::<&str>::new(), "{after_ms} ms");
        assert_eq!(lab.active(), [0], "{after_ms} ms");
    }
}

#[test]
fn a_survivor_of_a_linked_pair_opens_at_once() {
    let mut lab = linked();
    lab.kill(1);
    lab.run(10 * SECOND);
    lab.forget();
    stop_for(&mut lab, 0, 343 * MS);
    assert_eq!(lab.active(), [0]);
    lab.run(5 * SECOND);
    assert_eq!(others(&lab, 0), Vec::<&str>::new());
}

// ---- an interface that cannot advertise is hurt alone --------------------------------------------

#[test]
fn a_lone_node_with_an_interface_without_an_own_address_serves_on_the_others() {
    let mut lab = Lab::new(&by_priority(&[200], "", SECOND_ROUTER), 1);
    let facts = lab.nodes[0].facts.get_mut("lan2").expect("known");
    facts.addresses.clear();
    lab.start(0);
    lab.run(10 * SECOND);
    lab.forget();
    lab.watches_silence = true;
    lab.run(60 * SECOND);
    assert_eq!(others(&lab, 0), Vec::<&str>::new());
    assert_eq!(lab.longest_silence_ns("lan1"), 0);
    set_own(&mut lab, 0, "lan2", &["10.2.0.2"]);
    assert_eq!(lab.answering("lan2"), [0]);
    lab.run(5 * SECOND);
    assert_eq!(lab.answering("lan2"), [0]);
    assert_eq!(others(&lab, 0), Vec::<&str>::new());
}

#[test]
fn a_lease_that_lapsed_alone_is_granted_anew() {
    let mut lab = alone();
    lab.lapse(0, "lan2");
    lab.run(SECOND);
    assert_eq!(lab.answering("lan2"), [0]);
    assert_eq!(others(&lab, 0), Vec::<&str>::new());
}

#[test]
fn an_interface_that_lets_no_advert_out_is_hurt_alone_and_tried_again() {
    let mut lab = alone();
    lab.nodes[0].refuses_on.insert("lan2".to_owned());
    lab.run(5 * SECOND);
    lab.watches_silence = true;
    lab.forget();
    lab.run(300 * SECOND);
    assert_eq!(others(&lab, 0), Vec::<&str>::new());
    assert_eq!(lab.longest_silence_ns("lan1"), 0);
    lab.nodes[0].refuses_on.clear();
    lab.run(70 * SECOND);
    assert_eq!(lab.answering("lan2"), [0]);
}

#[test]
fn a_backup_whose_adverts_were_refused_is_fit_again_after_a_pause_that_grows() {
    let text = by_priority(&[200, 100], "", SECOND_ROUTER);
    let mut lab = Lab::linked(&text, &LINKS);
    lab.nodes[0].refuses_on.insert("lan2".to_owned());
    lab.run(5 * SECOND);
    assert_eq!(lab.active(), [1], "{}", lab.why(0));
    lab.nodes[0].refuses_on.clear();
    lab.run(70 * SECOND);
    assert_eq!(lab.active(), [0], "{}", lab.why(0));
    // a filter stays: retries after 1, 2, 4 and 8 minutes, and no more often
    lab.nodes[0].refuses_on.insert("lan2".to_owned());
    lab.run(5 * SECOND);
    let before = lab.nodes[0].roles.len();
    lab.run(900 * SECOND);
    let roles = &lab.nodes[0].roles[before..];
    let tries = roles.iter().filter(|it| it.1 == Role::Active).count();
    assert!((1..=4).contains(&tries), "{tries}");
    assert_eq!(lab.active(), [1]);
    // an administrator who fixes it need not wait
    lab.nodes[0].refuses_on.clear();
    lab.run(5 * SECOND);
    assert_eq!(lab.active(), [1]);
    assert_eq!(lab.nodes[0].engine.retry(lab.clock.now_ns()), 1);
    lab.run(15 * SECOND);
    assert_eq!(lab.active(), [0], "{}", lab.why(0));
    assert_eq!(lab.nodes[0].engine.retry(lab.clock.now_ns()), 0);
}

/// The fixture checks every heartbeat.
#[test]
fn no_heartbeat_calls_an_interface_usable_whose_fence_blocks() {
    for group in ["", "advert_interval = \"1s\"", "advert_interval = \"10ms\""] {
        let text = by_priority(&[200, 100], group, SECOND_ROUTER);
        let mut lab = Lab::linked(&text, &LINKS);
        assert_eq!(lab.active(), [0]);
        lab.nodes[0].refuses_on.insert("lan2".to_owned());
        lab.run(5 * SECOND);
        lab.nodes[0].refuses_on.clear();
        lab.run(100 * SECOND);
        assert_eq!(lab.active().len(), 1);
        assert_eq!(lab.answering("lan2"), lab.active());
    }
}

// ---- faults that bar a node count only while another serves ----------------------------------------

#[test]
fn two_nodes_whose_adverts_did_not_leave_serve_again_within_seconds() {
    for links in [true, false] {
        let text = by_priority(&[200, 100], "", "");
        let mut lab = if links {
            Lab::linked(&text, &LINKS)
        } else {
            Lab::settled(&text, 2)
        };
        for node in &mut lab.nodes {
            node.refuses_all = true;
        }
        lab.run(10 * SECOND);
        for node in &mut lab.nodes {
            node.refuses_all = false;
        }
        let took = lab.run_until(60 * SECOND, |lab| lab.active().len() == 1);
        assert!(
            took.is_some_and(|ns| ns < 6 * SECOND),
            "links {links}: {took:?}"
        );
    }
}
