//! Cases that storms of faults in the lab of real nodes have found.

use spared_sdk::{Forced, Role};

use super::lab::{Lab, MS, SECOND, SECOND_ROUTER, by_priority};
use super::linked::{LINKS, assert_settled, both_cut, by_quality, pair};
use crate::engine::Action;

fn returns_after_an_unheard_interface(mut lab: Lab) {
    assert_eq!(lab.active(), [0]);
    // r2 hears r1 on lan2 alone, and then nowhere
    lab.cut_one_way("lan1", 0, 1);
    both_cut(&mut lab);
    lab.run(5 * SECOND);
    assert_eq!(lab.active(), [0]);
    lab.carrier(0, "lan2", false);
    lab.run(5 * SECOND);
    assert!(lab.active().contains(&1));
    lab.carrier(0, "lan2", true);
    lab.fix();
    lab.run_until(60 * SECOND, |lab| lab.active() == [0])
        .expect("it is preferred, and all is well");
    assert_settled(&mut lab);
}

#[test]
fn the_preferred_node_is_back_after_a_failover_in_the_midst_of_an_unheard_interface() {
    returns_after_an_unheard_interface(pair("prefer = \"r1\""));
}

#[test]
fn also_where_adverts_come_from_virtual_macs() {
    let text = by_quality("prefer = \"r1\"").replace("vrid = 7\n", "vrid = 7\nvmac = true\n");
    returns_after_an_unheard_interface(Lab::linked(&text, &LINKS));
}

#[test]
fn also_where_a_single_advert_was_heard_before_its_wire_broke() {
    let mut lab = Lab::without_start(&by_quality("prefer = \"r1\""), &LINKS);
    lab.start(0);
    lab.start(1);
    lab.run_until(20 * SECOND, |lab| !lab.sent_by(0).is_empty());
    lab.run(MS);
    returns_after_an_unheard_interface(lab);
}

#[test]
fn a_wire_that_still_carries_one_way_only_gives_nothing_back() {
    let mut lab = pair("prefer = \"r1\"");
    lab.cut_one_way("lan1", 0, 1);
    both_cut(&mut lab);
    lab.run(5 * SECOND);
    lab.carrier(0, "lan2", false);
    lab.run(5 * SECOND);
    lab.carrier(0, "lan2", true);
    lab.fix();
    lab.cut_one_way("lan1", 0, 1);
    lab.run(60 * SECOND);
    assert_eq!(lab.active(), [1]);
    assert_settled(&mut lab);
}

/// A host that does not answer delays the worker: a heartbeat that was queued before must not carry the present
/// contents.
#[test]
fn no_heartbeat_lets_go_before_the_fence_is_blocking() {
    let mut lab = pair("");
    let active = lab.active()[0];
    let now_ns = lab.clock.now_ns();
    let engine = &mut lab.nodes[active].engine;
    engine.advertise_now(now_ns);
    engine.handle_published(now_ns, "g", Role::Active, false);
    // contents of each heartbeat about the group, and the adverts, before the fence blocks and after
    let (mut before, mut after, mut blocks) = (Vec::new(), Vec::new(), false);
    while let Some(action) = engine.poll_action() {
        let said = if blocks { &mut after } else { &mut before };
        match action {
            Action::Publish { role, .. } => blocks |= role == Role::Backup,
            Action::Heartbeat => {
                let (heartbeats, _) = engine.heartbeat(now_ns);
                said.extend(heartbeats.map(|heartbeat| format!("{:?}", heartbeat.role)));
            }
            Action::Transmit(id) if !id.resign => said.push("an advert".to_owned()),
            _ => {}
        }
    }
    assert_eq!((before, after), (vec![], vec!["Backup".to_owned()]));
}

/// Lab with r1 and r2 linked, and r3 of another maker.
fn with_a_third(started: bool) -> Lab {
    let priorities = by_priority(&[200, 150, 100], "routers = \"any\"", SECOND_ROUTER);
    let mut lab = Lab::new(&priorities, 3);
    lab.links = LINKS.map(str::to_owned).to_vec();
    lab.keys = true;
    for (node, peer) in [(0, "r2"), (1, "r1")] {
        lab.nodes[node].settings.peer = Some(peer.to_owned());
    }
    if started {
        for node in 0..3 {
            lab.start(node);
        }
        lab.run(20 * SECOND);
    }
    lab
}

#[test]
fn a_lower_third_router_is_preempted_by_the_better_one_of_two_with_a_link() {
    let mut lab = with_a_third(false);
    lab.start(2);
    lab.run(10 * SECOND);
    assert_eq!(lab.active(), [2]);
    lab.start(0);
    lab.start(1);
    lab.run(10 * SECOND);
    assert_eq!(lab.active(), [0]);
    assert!(lab.sent_by(1).iter().all(|sent| sent.priority == 0));
}

#[test]
fn the_lesser_one_preempts_it_where_the_better_one_does_not() {
    let mut lab = with_a_third(false);
    lab.start(2);
    lab.run(10 * SECOND);
    lab.nodes[0].directive.eligible = false;
    lab.start(0);
    lab.start(1);
    lab.run(10 * SECOND);
    assert_eq!(lab.active(), [1]);
}

#[test]
fn a_higher_third_router_wins_against_two_with_a_link() {
    let mut lab = with_a_third(true);
    assert_eq!(lab.active(), [0]);
    lab.force(2, Forced::Active);
    lab.run(2 * SECOND);
    assert_eq!(lab.active(), [2]);
    lab.forget();
    lab.run(60 * SECOND);
    assert_eq!(lab.active(), [2]);
    lab.force(2, Forced::No);
    lab.run(5 * SECOND);
    assert_eq!(lab.active(), [0]);
    lab.kill(0);
    let took = lab.run_until(5 * SECOND, |lab| lab.active() == [1]);
    assert!(took.expect("a failover") < 500 * MS);
}

/// The node reads only heartbeats of the other while nothing else is read: they alone say that the other is active.
#[test]
fn who_is_forced_while_it_hangs_does_not_race_the_one_that_took_over() {
    for resumes_ms in 200..220 {
        let mut lab = pair("");
        lab.jitter_ns = MS;
        lab.nodes[1].publish_ns = 3 * MS;
        lab.stop(0);
        lab.force(0, Forced::Active);
        lab.run(resumes_ms * MS);
        lab.resume(0);
        lab.run(2 * SECOND);
        assert_eq!(lab.active(), [0]);
        let crossing_ns = 2 * (lab.latency_ns + lab.jitter_ns);
        assert!(lab.longest_overlap_ns() <= crossing_ns, "{resumes_ms}");
    }
}

#[test]
fn after_a_split_whoever_took_over_stays_active() {
    // r1 sorts first, and was the node that no client could reach
    let mut lab = Lab::linked(&by_quality(""), &LINKS);
    lab.run(10 * SECOND);
    let first = lab.active();
    for _ in 0..2 {
        let old = lab.active()[0];
        for wire in ["lan1", "lan2", "link1", "link2"] {
            lab.cut(wire, old, 1 - old);
        }
        lab.run(5 * SECOND);
        assert_eq!(lab.active(), [0, 1]);
        lab.fix();
        lab.run(5 * SECOND);
        assert_eq!(lab.active(), [1 - old]);
    }
    assert_eq!(lab.active(), first);
}

#[test]
fn a_node_whose_host_refused_to_reopen_is_active_by_new_leases() {
    let text = by_quality("hold = \"500ms\"\nfailback_delay = \"5s\"");
    let mut lab = Lab::linked(&text, &LINKS);
    let active = lab.active()[0];
    lab.kill(1 - active);
    lab.run(SECOND);
    lab.stop(active);
    lab.run(270 * MS);
    lab.nodes[active].host_fails = true;
    lab.resume(active);
    lab.nodes[active].host_fails = false;
    lab.run(SECOND);
    assert_eq!(lab.answering("lan1"), [active]);
}
