//! A station on one network that sends anything: if heartbeats are heard there, it delays no failover and moves no
//! role.

use spared_sdk::Role;

use super::lab::{Forgery, LONGEST_NS, Lab, MS, SECOND, SECOND_ROUTER, by_priority};
use super::linked::{LINKS, both_cut, by_quality};

const FORGERIES: [Forgery; 11] = [
    Forgery::Advert(255, LONGEST_NS),
    Forgery::Advert(201, LONGEST_NS),
    Forgery::Advert(255, 10 * MS),
    Forgery::Advert(254, 100 * MS),
    Forgery::Advert(1, LONGEST_NS),
    Forgery::Advert(0, 100 * MS),
    Forgery::Own,
    Forgery::Replay,
    Forgery::HeldBack(3),
    Forgery::HeldBack(40),
    Forgery::Everything,
];
const RATES: [u64; 3] = [1, 5, 50];
const INTERVAL_NS: u64 = 100 * MS;

/// Failure of the active node, r1.
#[derive(Clone, Copy, Debug)]
enum Failure {
    Death,
    Hang,
    ShutDown,
    AllCut,
    Carrier,
    Switch,
}

const FAILURES: [Failure; 6] = [
    Failure::Death,
    Failure::Hang,
    Failure::ShutDown,
    Failure::AllCut,
    Failure::Carrier,
    Failure::Switch,
];

fn cause_failure(lab: &mut Lab, failure: Failure) {
    match failure {
        Failure::Death => lab.kill(0),
        Failure::Hang => lab.stop(0),
        Failure::ShutDown => lab.shut_down(0),
        Failure::AllCut => {
            for wire in ["lan1", "lan2", "link1", "link2"] {
                lab.cut(wire, 0, 1);
            }
        }
        Failure::Carrier => lab.carrier(0, "lan1", false),
        Failure::Switch => lab.switch(0),
    }
}

/// Begin of the forgery, relative to the failure.
#[derive(Clone, Copy, Debug)]
enum ForgeryStart {
    Before,
    With,
    After,
}

/// Time until r2 is active; asserts that nothing else moves.
fn failover_ns(lab: &Lab, failure: Failure, forger: Option<(Forgery, u64, ForgeryStart)>) -> u64 {
    let case = format!("{failure:?} {forger:?}");
    let mut lab = lab.clone();
    let begin = |lab: &mut Lab, when: fn(&ForgeryStart) -> bool| {
        if let Some((forgery, rate, _)) = forger.filter(|(.., begins)| when(begins)) {
            lab.forge("lan1", forgery, rate);
        }
    };
    begin(&mut lab, |begins| matches!(begins, ForgeryStart::Before));
    lab.run(3 * SECOND + 37 * MS);
    assert_eq!((lab.active(), lab.failovers()), (vec![0], 0), "{case}");
    let began_ns = lab.clock.now_ns();
    cause_failure(&mut lab, failure);
    begin(&mut lab, |begins| matches!(begins, ForgeryStart::With));
    let took = lab.run_until(50 * MS, |lab| lab.nodes[1].role() == Role::Active);
    begin(&mut lab, |begins| matches!(begins, ForgeryStart::After));
    if took.is_none() {
        let took = lab.run_until(10 * SECOND, |lab| lab.nodes[1].role() == Role::Active);
        assert!(took.is_some(), "{case}: never");
    }
    let took_ns = lab.clock.now_ns() - began_ns;
    lab.run(5 * SECOND);
    assert_eq!(lab.failovers(), 1, "{case}");
    assert_eq!(lab.nodes[1].role(), Role::Active, "{case}");
    assert!(lab.longest_overlap_ns() <= 2 * lab.latency_ns || matches!(failure, Failure::AllCut));
    took_ns
}

fn delays_nothing(lab: &Lab, failures: &[Failure]) {
    for failure in failures {
        let plain_ns = failover_ns(lab, *failure, None);
        for forgery in FORGERIES {
            for rate in RATES {
                for begins in [
                    ForgeryStart::Before,
                    ForgeryStart::With,
                    ForgeryStart::After,
                ] {
                    let forger = (forgery, rate, begins);
                    let took_ns = failover_ns(lab, *failure, Some(forger));
                    assert!(
                        took_ns <= plain_ns + INTERVAL_NS,
                        "{failure:?} {forger:?}: {} ms instead of {}",
                        took_ns / MS,
                        plain_ns / MS
                    );
                }
            }
        }
    }
}

#[test]
fn no_forgery_delays_a_failover_by_quality() {
    delays_nothing(&Lab::linked(&by_quality(""), &LINKS), &FAILURES);
}

#[test]
fn no_forgery_delays_a_failover_by_priority() {
    let text = by_priority(&[200, 100], "preempt = false", SECOND_ROUTER);
    delays_nothing(&Lab::linked(&text, &LINKS), &FAILURES);
}

#[test]
fn nor_where_the_links_were_cut_before() {
    let mut lab = Lab::linked(&by_quality(""), &LINKS);
    both_cut(&mut lab);
    lab.run(10 * SECOND);
    lab.forget();
    delays_nothing(&lab, &FAILURES[..5]);
}

#[test]
fn nor_where_there_is_no_link_at_all() {
    let by_priority = by_priority(&[200, 100], "", SECOND_ROUTER);
    for text in [by_quality("prefer = \"r1\""), by_priority] {
        delays_nothing(&Lab::linked(&text, &[]), &FAILURES[..5]);
    }
}

#[test]
fn nor_with_virtual_macs_and_one_network_without_a_second() {
    let text = by_quality("")
        .replace(SECOND_ROUTER, "")
        .replace("vrid = 7\n", "vrid = 7\nvmac = true\n");
    let mut lab = Lab::linked(&text, &LINKS);
    delays_nothing(&lab, &[Failure::Death, Failure::Switch]);
    both_cut(&mut lab);
    lab.run(10 * SECOND);
    lab.forget();
    delays_nothing(&lab, &[Failure::Death]);
}

#[test]
fn a_survivor_is_not_talked_out_of_its_role() {
    for forgery in FORGERIES {
        let mut lab = Lab::linked(&by_priority(&[200, 100], "", SECOND_ROUTER), &LINKS);
        lab.kill(0);
        lab.run(2 * SECOND);
        lab.forget();
        lab.forge("lan1", forgery, 50);
        lab.run(200 * SECOND);
        assert_eq!(lab.nodes[1].roles, [], "{forgery:?}");
        let told = lab.nodes[1].events.len();
        assert!(told <= 4, "{forgery:?}: {:?}", lab.nodes[1].events);
    }
}

#[test]
fn somebody_who_advertises_in_the_peers_name_is_told_of_once_a_minute() {
    let mut lab = Lab::linked(&by_quality(""), &LINKS);
    lab.forge("lan1", Forgery::Advert(255, 100 * MS), 50);
    lab.run(100 * SECOND);
    assert_eq!((lab.active(), lab.failovers()), (vec![0], 0));
    let events = &lab.nodes[0].events;
    assert_eq!(events.len(), 2, "{events:?}");
    assert_eq!(
        events[0],
        "g: 10.1.0.3 on lan1 (vrid 7, priority 255) advertises, and r2 says by heartbeats that it is \
         not active: the advert is ignored"
    );
}

/// A filter lets protocol 112 pass, but no heartbeats.
#[test]
fn where_heartbeats_are_filtered_adverts_count_and_it_is_told() {
    let mut lab = Lab::without_start(&by_quality(""), &LINKS);
    for wire in ["lan1", "lan2"] {
        lab.filtered.insert(wire.to_owned());
    }
    lab.start(0);
    lab.start(1);
    lab.run(20 * SECOND);
    let told = |lab: &Lab| {
        let events = lab.nodes[1].events.iter();
        let filtered = events.filter(|text| text.contains("heartbeats are filtered on lan"));
        filtered.count()
    };
    assert_eq!(told(&lab), 2, "{:?}", lab.nodes[1].events);
    both_cut(&mut lab);
    lab.forget();
    lab.run(60 * SECOND);
    assert_eq!((lab.active(), lab.failovers()), (vec![0], 0));
    lab.kill(0);
    let took = lab.run_until(SECOND, |lab| lab.active() == [1]);
    assert!(took.expect("a failover") < 410 * MS);
}

#[test]
fn heartbeats_of_a_peer_that_is_gone_are_filtered_no_longer() {
    let mut lab = Lab::without_start(&by_quality(""), &LINKS);
    lab.filtered.insert("lan1".to_owned());
    lab.start(0);
    lab.start(1);
    lab.run(20 * SECOND);
    let row = |lab: &Lab| lab.text(1, "g.interface.lan1.heartbeats");
    assert_eq!(row(&lab).as_deref(), Some("filtered"));
    lab.kill(0);
    lab.run(2 * SECOND);
    assert_eq!((lab.active(), row(&lab)), (vec![1], None));
}

#[test]
fn where_the_nodes_cannot_hear_each_other_nothing_is_disputed() {
    let text = by_quality("").replace("vrid = 7\n", "vrid = 7\nheartbeats = false\n");
    let mut lab = Lab::without_start(&text, &LINKS);
    lab.cut("lan1", 0, 1);
    lab.start(0);
    lab.start(1);
    lab.run(60 * SECOND);
    assert_eq!(lab.active().len(), 1);
    for node in &lab.nodes {
        assert!(node.events.is_empty(), "{:?}", node.events);
        assert_eq!(node.probes, 0);
    }
}

/// A node starts without a key, as the process that signs is gone. Its adverts prove nothing to the peer, so it gives
/// way.
#[test]
fn who_starts_anew_without_a_key_leaves_the_group_to_the_peer() {
    for priorities in [[200, 100], [100, 200]] {
        let mut lab = Lab::linked(&by_priority(&priorities, "", SECOND_ROUTER), &LINKS);
        both_cut(&mut lab);
        let active = lab.active()[0];
        lab.kill(active);
        lab.run(2 * SECOND);
        assert_eq!(lab.active(), [1 - active]);
        lab.nobody_signs = true;
        lab.start(active);
        lab.run(60 * SECOND);
        assert_eq!(lab.active(), [1 - active], "{:?}", lab.nodes[active].roles);
        // while apart both are active; when they meet, the node without a key gives way
        lab.cut("lan1", 0, 1);
        lab.cut("lan2", 0, 1);
        lab.run(20 * SECOND);
        assert_eq!(lab.active().len(), 2);
        lab.fix();
        both_cut(&mut lab);
        let took = lab.run_until(5 * SECOND, |lab| lab.active().len() == 1);
        assert!(took.is_some_and(|took| took <= SECOND), "{took:?}");
        lab.run(5 * SECOND);
        assert_eq!(lab.active(), [1 - active]);
        lab.fix();
        lab.nobody_signs = false;
        lab.run(60 * SECOND);
        assert_eq!(lab.active().len(), 1);
    }
}
