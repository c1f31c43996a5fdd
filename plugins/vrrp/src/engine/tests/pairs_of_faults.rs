//! Every pair of single faults, up to half a second apart.

use super::lab::{Lab, MS, SECOND, SECOND_ROUTER, by_priority};
use super::linked::{LINKS, by_quality, pair};

/// Fault between the nodes, in one direction or both, or at one of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    Cut(&'static [&'static str]),
    /// Nothing leaves this node any more on these paths.
    OneWay(&'static [&'static str], usize),
    NoCarrier(&'static str, usize),
    Dead(usize),
}

const LINK: &[&str] = &["link1"];
const ALL_LINKS: &[&str] = &["link1", "link2"];
const LAN1: &[&str] = &["lan1"];
const LAN2: &[&str] = &["lan2"];
const PATHS: [&str; 4] = ["link1", "link2", "lan1", "lan2"];

const FAULTS: [Fault; 18] = [
    Fault::Cut(LINK),
    Fault::OneWay(LINK, 0),
    Fault::OneWay(LINK, 1),
    Fault::Cut(ALL_LINKS),
    Fault::OneWay(ALL_LINKS, 0),
    Fault::OneWay(ALL_LINKS, 1),
    Fault::Cut(LAN1),
    Fault::OneWay(LAN1, 0),
    Fault::OneWay(LAN1, 1),
    Fault::NoCarrier("lan1", 0),
    Fault::NoCarrier("lan1", 1),
    Fault::Cut(LAN2),
    Fault::OneWay(LAN2, 0),
    Fault::OneWay(LAN2, 1),
    Fault::NoCarrier("lan2", 0),
    Fault::NoCarrier("lan2", 1),
    Fault::Dead(0),
    Fault::Dead(1),
];

/// Longest time until one node is active: for each of the two faults one Active_Down and the time for answers of
/// stations.
const BOUND_NS: u64 = 2 * (400 + 300) * MS;

fn happen(lab: &mut Lab, fault: Fault) {
    match fault {
        Fault::Cut(paths) => paths.iter().for_each(|path| lab.cut(path, 0, 1)),
        Fault::OneWay(paths, from) => {
            for path in paths {
                lab.cut_one_way(path, from, 1 - from);
            }
        }
        Fault::NoCarrier(wire, node) => lab.carrier(node, wire, false),
        Fault::Dead(node) => lab.kill(node),
    }
}

/// True if both nodes live and some path carries in both directions.
fn has_two_way_path(faults: [Fault; 2]) -> bool {
    let hit = |path: &&str| {
        faults.iter().any(|fault| match fault {
            Fault::Cut(paths) | Fault::OneWay(paths, _) => paths.contains(path),
            Fault::NoCarrier(wire, _) => wire == path,
            Fault::Dead(_) => true,
        })
    };
    PATHS.iter().any(|path| !hit(path))
}

fn survivors(faults: [Fault; 2]) -> usize {
    let dead = |node: &usize| faults.contains(&Fault::Dead(*node));
    2 - (0..2).filter(dead).count()
}

fn every_pair(settled: &Lab) {
    assert_eq!(settled.active(), [0]);
    for first in FAULTS {
        for second in FAULTS.into_iter().filter(|second| *second != first) {
            let faults = [first, second];
            let lone = survivors(faults) == 1;
            if !lone && !has_two_way_path(faults) || survivors(faults) == 0 {
                continue;
            }
            for apart_ms in (0..=500).step_by(25) {
                let mut lab = settled.clone();
                happen(&mut lab, first);
                lab.run(apart_ms * MS);
                happen(&mut lab, second);
                lab.run(BOUND_NS);
                let step = format!("{first:?}, {second:?} {apart_ms} ms later");
                assert_eq!(lab.active().len(), 1, "{step}");
                lab.run(2 * SECOND);
                assert_eq!(lab.active().len(), 1, "{step}, later");
            }
        }
    }
}

#[test]
fn by_quality_one_serves_within_the_sum_of_the_bounds() {
    every_pair(&pair("prefer = \"r1\""));
}

#[test]
fn by_priority_one_serves_within_the_sum_of_the_bounds() {
    let text = by_priority(&[200, 100], "", SECOND_ROUTER);
    every_pair(&Lab::linked(&text, &LINKS));
}

/// Cuts a network whose far side is with the backup, and both links, one after the other in either order, some time
/// after the last advert. Asserts that the backup is active within the bound, and stays.
fn lan2_and_all_links(settled: &Lab, phases_ms: &[u64], bound_ns: u64) {
    for [first, second] in [[LAN2, ALL_LINKS], [ALL_LINKS, LAN2]] {
        for apart_ms in (0..=500).step_by(25).chain([1, 5, 10, 40, 60, 3000]) {
            for phase_ms in phases_ms {
                let mut lab = settled.clone();
                lab.stations.insert(("lan2".to_owned(), 1));
                lab.run(phase_ms * MS);
                happen(&mut lab, Fault::Cut(first));
                lab.run(apart_ms * MS);
                happen(&mut lab, Fault::Cut(second));
                let step = format!("{first:?} first, {apart_ms} ms, {phase_ms}");
                let took = lab.run_until(bound_ns, |lab| lab.active() == [1]);
                assert!(took.is_some(), "{step}: {:?}", lab.active());
                lab.run(5 * SECOND);
                assert_eq!(lab.active(), [1], "{step}, later");
            }
        }
    }
}

/// A network whose far side is with the backup, and both links, are cut in any order. If heartbeats go over the
/// networks, they tell whose network is at fault, and no node claims.
#[test]
fn a_network_and_both_links_cut_in_any_order_are_claimed_as_soon_as_both_are_known() {
    for text in [by_priority(&[200, 100], "", SECOND_ROUTER), by_quality("")] {
        // a witness on lan2
        let text = text.trim_end().to_owned() + "\nwitnesses = [\"10.2.0.250\"]\n";
        let mut settled = Lab::without_start(&text, &LINKS);
        settled.filters = true;
        settled.start(0);
        settled.start(1);
        settled.run(20 * SECOND);
        assert_eq!(settled.active(), [0]);
        // one Active_Down, and the peer's next advert, which shows that the peer lives
        lan2_and_all_links(&settled, &[0, 30, 70], 400 * MS);
    }
}

#[test]
fn where_heartbeats_go_by_the_networks_the_order_matters_as_little() {
    for text in [by_priority(&[200, 100], "", SECOND_ROUTER), by_quality("")] {
        let text = text.trim_end().to_owned() + "\nwitnesses = [\"10.2.0.250\"]\n";
        let settled = Lab::linked(&text, &LINKS);
        lan2_and_all_links(&settled, &[0], 1100 * MS);
    }
}

/// The peer carries packets after a switchover for at most 200 ms.
#[test]
fn an_interface_that_dies_right_after_a_switchover_moves_the_group_back_within_300_ms() {
    for after_ms in (0..=500).step_by(10) {
        let mut lab = pair("");
        lab.switch(0);
        lab.run_until(SECOND, |lab| lab.active() == [1])
            .expect("a switchover");
        lab.run(after_ms * MS);
        lab.carrier(1, "lan2", false);
        let took = lab.run_until(10 * SECOND, |lab| lab.active() == [0]);
        assert!(
            took.is_some_and(|ns| ns <= 310 * MS),
            "{after_ms} ms: {took:?}"
        );
    }
}
