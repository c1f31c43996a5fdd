//! E15: the active node asks stations from its virtual MAC address, and finds that frames to that address are dropped.

use super::duplicates::StationNet;
use super::lab::{FilteredFrames, Lab, MS, SECOND};
use super::linked::{LINKS, by_quality, moved_once, quality};
use super::virtual_identity::{assert_both_report, net, rows, with_vmac};
use crate::config::Address;

const UNANSWERED: [&str; 2] = [
    "lan1 virtual_mac_unanswered r1: 00:00:5e:00:01:07",
    "lan1 virtual_mac_unanswered r2: 00:00:5e:00:01:07",
];
const BEFORE: &str = "lan1 virtual_mac_was_dropped r1: 00:00:5e:00:01:07";
/// Longest time until both nodes report a verdict.
const VERDICT_NS: u64 = 2 * SECOND;
const BOUND_NS: u64 = VERDICT_NS + 2 * SECOND + 100 * MS;

/// Pair on a network with a station that both nodes reach.
fn pair(toml: &str) -> StationNet {
    let mut net = net(Lab::linked(toml, &LINKS));
    // E9's hold is the shortest from then on
    net.lab.run(400 * SECOND);
    for node in 0..2 {
        net.lab.stations.insert(("lan1".to_owned(), node));
    }
    net.lab.start_station_traffic("lan1");
    net.lab.run(5 * SECOND);
    net.lab.forget();
    net
}

fn has_row(lab: &Lab, row: &str) -> bool {
    let key = format!("g.interface.lan1.{row}");
    [0, 1].iter().all(|node| lab.text(*node, &key).is_some())
}

#[test]
fn what_drops_frames_to_the_virtual_mac_is_found_and_the_role_moves_once() {
    let settled = pair(&with_vmac("prefer = \"r1\"\nfailback_delay = \"1s\""));
    for phase_ms in [0, 130, 500, 870] {
        let mut net = StationNet::new(settled.lab.clone());
        net.lab.run(phase_ms * MS);
        net.lab.forget();
        net.lab.drop_there("lan1", 0, FilteredFrames::ToVirtualMac);
        let said = |lab: &Lab| has_row(lab, "virtual_mac_unanswered");
        let took = net.lab.run_until(5 * SECOND, said);
        assert!(took.is_some_and(|ns| ns <= VERDICT_NS), "{took:?}");
        assert_both_report(&net, &[UNANSWERED[0]]);
        let moved = net.lab.run_until(5 * SECOND, |lab| lab.active() == [1]);
        let took = took.zip(moved).map(|(one, two)| one + two);
        assert!(took.is_some_and(|ns| ns <= BOUND_NS), "{took:?}");
        net.lab.run(5 * SECOND);
        moved_once(&net.lab, 1);
        let moved = "stations on lan1 do not answer its virtual MAC: it leaves the role";
        let roles = &net.lab.nodes[0].roles;
        assert!(roles.iter().any(|it| it.2.contains(moved)), "{roles:?}");
        assert_both_report(&net, &[BEFORE]);
        net.lab.run(600 * SECOND);
        moved_once(&net.lab, 1);
    }
}

#[test]
fn where_neither_is_answered_it_moves_once_and_both_say_which() {
    let mut net = pair(&with_vmac("prefer = \"r1\"\nfailback_delay = \"1s\""));
    for node in 0..2 {
        net.lab
            .drop_there("lan1", node, FilteredFrames::ToVirtualMac);
    }
    net.lab.run(15 * SECOND);
    assert_both_report(&net, &[UNANSWERED[1], BEFORE]);
    net.lab.run(600 * SECOND);
    moved_once(&net.lab, 1);
    net.lab.dropped.clear();
    net.lab.run(2 * SECOND);
    assert_both_report(&net, &[BEFORE]);
}

#[test]
fn a_station_that_is_gone_proves_nothing() {
    let mut net = pair(&with_vmac(""));
    // r2 is less fit, so that no role moves
    net.lab.directive(1, quality(50));
    net.lab.stations.clear();
    net.lab.drop_there("lan1", 0, FilteredFrames::ToVirtualMac);
    net.lab.run(60 * SECOND);
    assert_both_report(&net, &[]);
    // a station that is gone proves nothing either, after it had answered
    net.lab.stations.insert(("lan1".to_owned(), 0));
    net.lab.run(8 * SECOND);
    assert_both_report(&net, &[UNANSWERED[0]]);
    net.lab.stations.clear();
    net.lab.run(60 * SECOND);
    assert_both_report(&net, &[]);
    assert_eq!((net.lab.active(), net.lab.failovers()), (vec![0], 0));
}

#[test]
fn some_questions_that_are_lost_prove_nothing() {
    for lost in [1, 3, 5] {
        let mut net = pair(&with_vmac(""));
        net.lab.lost_probes = lost;
        for _ in 0..300 {
            net.lab.run(10 * MS);
            assert_both_report(&net, &[]);
        }
        assert_eq!(net.lab.lost_probes, 0, "it asked");
    }
}

#[test]
fn a_filter_at_the_backups_port_moves_nothing_where_stations_answer() {
    let mut net = pair(&with_vmac(""));
    net.lab
        .drop_there("lan1", 1, FilteredFrames::VirtualMacThere);
    net.run_with_checks(20);
    assert_both_report(&net, &["lan1 virtual_mac_dropped r1: 00:00:5e:00:01:07"]);
    assert_eq!((net.lab.active(), net.lab.failovers()), (vec![0], 0));
    // if no station answers, no node knows whose port drops the frames
    net.lab.stations.clear();
    net.run_with_checks(20);
    assert_eq!(net.lab.active(), [1]);
}

#[test]
fn what_does_not_leave_is_one_fault() {
    let mut net = pair(&with_vmac(""));
    net.lab.drop_there("lan1", 0, FilteredFrames::VirtualMac);
    net.run_with_checks(2);
    assert_both_report(&net, &["lan1 virtual_mac_dropped r1: 00:00:5e:00:01:07"]);
    net.run_with_checks(5);
    assert_eq!(net.lab.active(), [1]);
    assert_eq!(rows(&net, 1), [BEFORE]);
}

#[test]
fn a_network_sees_one_question_a_second_and_only_from_whoever_is_active() {
    let second = "[[group]]\nname = \"h\"\n[[group.interface]]\n\
                  interface = \"lan1\"\nvrid = 8\nvmac = true\naddresses = [\"10.1.0.9/24\"]\n";
    let mut net = pair(&(with_vmac("") + second));
    let count = |net: &StationNet, node| {
        let asked = net.lab.asked_from_virtual.iter();
        asked.filter(|(_, it, _)| *it == node).count()
    };
    net.lab.asked_from_virtual.clear();
    net.lab.run(20 * SECOND);
    assert!((17..=21).contains(&count(&net, 0)), "{}", count(&net, 0));
    assert_eq!(count(&net, 1), 0);
    assert_both_report(&net, &[]);
    assert!(!net.lab.nodes[0].listens(), "it reads while it waits");
    net.lab.directive(1, quality(50));
    net.lab.drop_there("lan1", 0, FilteredFrames::ToVirtualMac);
    net.lab.run(5 * SECOND);
    assert_both_report(
        &net,
        &[
            UNANSWERED[0],
            "lan1 virtual_mac_unanswered r1: 00:00:5e:00:01:08",
        ],
    );
}

#[test]
fn nobody_is_asked_without_a_virtual_mac_or_a_station_of_its_network() {
    let other = with_vmac("").replacen("10.1.0.1/24", "192.0.2.1/24", 1);
    for toml in [by_quality(""), other] {
        let mut net = pair(&toml);
        net.lab.run(20 * SECOND);
        assert_eq!(net.lab.asked_from_virtual, []);
    }
}

#[test]
fn a_station_is_near_an_address_of_its_network() {
    let near = |address: &str, prefix, station: &str| {
        let address = Address {
            address: address.parse().unwrap(),
            prefix,
            source: false,
            label: String::new(),
        };
        address.is_in_network(station.parse().unwrap())
    };
    assert!(near("10.1.0.1", 24, "10.1.0.250"));
    assert!(!near("10.1.0.1", 24, "10.1.1.250"));
    assert!(!near("10.1.0.1", 32, "10.1.0.2"));
    assert!(near("10.1.0.1", 0, "192.0.2.1"));
    assert!(near("fd01::1", 64, "fd01::9:9"));
    assert!(!near("fd01::1", 64, "fe80::9"));
    assert!(!near("fd01::1", 64, "10.1.0.1"));
}

#[test]
fn a_machine_with_the_virtual_address_answers_nothing_and_proves_nothing() {
    let mut net = pair(&with_vmac(""));
    net.run_with_checks(2);
    net.add_third_machine("10.1.0.1");
    net.run_with_checks(2);
    // such a machine answers all stations except those who ask in its own name
    net.lab.drop_there("lan1", 0, FilteredFrames::ToVirtualMac);
    net.lab.forget();
    net.run_with_checks(10);
    assert!(!has_row(&net.lab, "virtual_mac_unanswered"));
    assert_eq!((net.lab.active(), net.lab.switchovers()), (vec![0], 0));
}

#[test]
fn a_machine_with_one_of_many_virtual_addresses_is_named_and_no_filter_is() {
    let more: Vec<String> = (20..40).map(|n| format!("\"10.1.0.{n}/24\"")).collect();
    let toml = with_vmac("").replace(
        "\"10.1.0.1/24\"",
        &format!("\"10.1.0.1/24\", {}", more.join(", ")),
    );
    assert!(toml.contains("10.1.0.39"));
    let settled = pair(&toml);
    for phase_ms in [0, 400, 800] {
        let mut net = net(settled.lab.clone());
        net.run_with_checks_for(phase_ms * MS);
        net.add_third_machine("10.1.0.1");
        net.lab.drop_there("lan1", 0, FilteredFrames::ToVirtualMac);
        for _ in 0..40 {
            net.run_with_checks_for(100 * MS);
            assert!(!has_row(&net.lab, "virtual_mac_unanswered"));
        }
        let named = net.rows(0);
        assert!(
            named.iter().any(|it| it.contains("10.1.0.1.duplicate")),
            "{named:?}"
        );
        assert_eq!((net.lab.active(), net.lab.switchovers()), (vec![0], 0));
    }
}

#[test]
fn what_stations_did_not_answer_is_no_fault_while_the_interface_is_down_or_after_it() {
    let mut net = pair(&with_vmac(""));
    // r2 is less fit, so that no role moves
    net.lab.directive(1, quality(20));
    net.lab.drop_there("lan1", 0, FilteredFrames::ToVirtualMac);
    net.lab.run(5 * SECOND);
    assert_both_report(&net, &[UNANSWERED[0]]);
    net.lab.carrier(0, "lan1", false);
    net.lab.dropped.clear();
    net.lab.run(SECOND);
    for down in [true, false] {
        for _ in 0..50 {
            assert_both_report(&net, &[]);
            net.lab.run(100 * MS);
        }
        net.lab.carrier(0, "lan1", down);
    }
    assert_eq!((net.lab.active(), net.lab.failovers()), (vec![0], 0));
}
