//! E15: a network that carries the active node's heartbeats, but not its adverts or nothing from its virtual MAC.

use spared_sdk::Value;

use super::duplicates::StationNet;
use super::lab::{FilteredFrames, Lab, MS, SECOND};
use super::linked::{LINKS, by_quality, quality};
use crate::engine::Table;
use crate::engine::interface::InterfaceFacts;
use crate::wire::{Family, virtual_mac};

const VMAC: &str = "vrid = 7\nvmac = true\n";

pub fn with_vmac(group: &str) -> String {
    by_quality(group).replacen("vrid = 7\n", VMAC, 1)
}

/// Pair with a virtual MAC address on lan1, with which the active node answers. r2 is less fit, so that no role moves.
fn pair(toml: &str) -> StationNet {
    let mut net = net(Lab::linked(toml, &LINKS));
    net.lab.directive(1, quality(50));
    net.run_with_checks(1);
    net
}

pub fn net(lab: Lab) -> StationNet {
    let mut net = StationNet::new(lab);
    net.answers_as = Some(virtual_mac(Family::V4, 7));
    net
}

/// Rows of a node about the virtual identity on lan1.
pub fn rows(net: &StationNet, node: usize) -> Vec<String> {
    let rows = net.lab.nodes[node]
        .engine
        .rows(net.lab.clock.now_ns(), Table::Status);
    let about = rows.into_iter().filter_map(|(key, value)| {
        let kinds = [
            "adverts_lost",
            "virtual_mac_dropped",
            "virtual_mac_unanswered",
            "virtual_mac_was_dropped",
        ];
        let kind = kinds.iter().find(|kind| key.ends_with(*kind))?;
        let Value::Text(text) = value else {
            panic!("{value:?}")
        };
        Some(format!("{} {kind} {text}", key.split('.').nth(2)?))
    });
    about.collect()
}

pub fn assert_both_report(net: &StationNet, said: &[&str]) {
    for node in 0..2 {
        assert_eq!(rows(net, node), said, "r{}", node + 1);
    }
}

const DROPPED: &str = "lan1 virtual_mac_dropped r1: 00:00:5e:00:01:07";
const LOST: &str = "lan1 adverts_lost r1: adverts";

#[test]
fn a_virtual_mac_that_the_network_drops_is_named_by_both_nodes_until_it_passes() {
    let mut net = pair(&with_vmac(""));
    assert_eq!(net.lab.active(), [0]);
    net.run_with_checks(10);
    assert_both_report(&net, &[]);
    net.lab.drop_there("lan1", 0, FilteredFrames::VirtualMac);
    net.run_with_checks(3);
    assert_both_report(&net, &[DROPPED]);
    net.run_with_checks(60);
    assert_both_report(&net, &[DROPPED]);
    net.lab.dropped.clear();
    net.lab.run(500 * MS);
    assert_both_report(&net, &[]);
    assert_eq!((net.lab.failovers(), net.lab.switchovers()), (0, 0));
}

#[test]
fn adverts_that_are_lost_although_the_virtual_mac_answers_are_filtered() {
    let mut net = pair(&with_vmac(""));
    net.run_with_checks(10);
    net.lab.drop_there("lan1", 0, FilteredFrames::Adverts);
    net.run_with_checks(3);
    assert_both_report(&net, &[LOST]);
    net.run_with_checks(60);
    assert_both_report(&net, &[LOST]);
    // then the MAC address is filtered as well
    net.lab.drop_there("lan1", 0, FilteredFrames::VirtualMac);
    net.run_with_checks(5);
    assert_both_report(&net, &[DROPPED]);
    net.lab.dropped.clear();
    net.lab.run(500 * MS);
    assert_both_report(&net, &[]);
}

#[test]
fn each_virtual_router_in_doubt_is_asked_in_its_turn() {
    let second = "[[group.interface]]\ninterface = \"lan1\"\nvrid = 9\nvmac = true\n\
                  addresses = [\"10.1.0.9/24\"]\n";
    let mut net = pair(&format!("{}{second}", with_vmac("")));
    net.run_with_checks(10);
    net.lab.drop_there("lan1", 0, FilteredFrames::Adverts);
    net.run_with_checks(5);
    net.asked.clear();
    net.run_with_checks(20);
    let count = |address: [u8; 4]| {
        let asked = net.asked.iter();
        asked.filter(|it| **it == (1, address.into())).count()
    };
    let (one, other) = (count([10, 1, 0, 1]), count([10, 1, 0, 9]));
    assert!(one.abs_diff(other) <= 2, "{one} {other}");
}

#[test]
fn without_a_virtual_mac_adverts_that_are_lost_are_filtered_and_nobody_is_asked() {
    let mut net = StationNet::new(Lab::linked(&by_quality(""), &LINKS));
    net.lab.drop_there("lan1", 0, FilteredFrames::Adverts);
    net.lab.run(1_500 * MS);
    assert_both_report(&net, &[LOST]);
    net.lab.dropped.clear();
    net.lab.run(500 * MS);
    assert_both_report(&net, &[]);
}

#[test]
fn an_address_or_a_mac_address_that_both_nodes_have_is_named_until_it_is_one_nodes_alone() {
    let mut net = StationNet::new(Lab::linked(&by_quality(""), &LINKS));
    net.lab.run(3 * SECOND);
    let shared = |net: &StationNet, node: usize| net.lab.text(node, "g.interface.lan1.shared");
    assert_eq!([shared(&net, 0), shared(&net, 1)], [None, None]);
    let own = net.lab.nodes[1].facts["lan1"].clone();
    let tell = |net: &mut StationNet, facts: &InterfaceFacts| {
        let known = &mut net.lab.nodes[1].facts;
        known.insert("lan1".to_owned(), facts.clone());
        net.lab.report_interface(1, "lan1", facts);
        net.lab.run(3 * SECOND);
    };
    let mut both = own.clone();
    both.addresses.push([10, 1, 0, 2].into());
    tell(&mut net, &both);
    let address = Some("r1: address 10.1.0.2".to_owned());
    assert_eq!([shared(&net, 0), shared(&net, 1)], [None, address]);
    let mac = net.lab.nodes[0].facts["lan1"].mac;
    tell(&mut net, &InterfaceFacts { mac, ..own.clone() });
    let what = "MAC address 02:00:00:00:01:02";
    let named = ["r2", "r1"].map(|peer| Some(format!("{peer}: {what}")));
    assert_eq!([shared(&net, 0), shared(&net, 1)], named);
    tell(&mut net, &own);
    assert_eq!([shared(&net, 0), shared(&net, 1)], [None, None]);
}

#[test]
fn the_role_moves_and_the_finding_is_about_whoever_is_active() {
    let mut net = net(Lab::linked(&with_vmac(""), &LINKS));
    net.lab.drop_there("lan1", 0, FilteredFrames::VirtualMac);
    net.run_with_checks(3);
    assert_both_report(&net, &[DROPPED]);
    net.run_with_checks(5);
    assert_eq!(net.lab.active(), [1]);
    let before = "lan1 virtual_mac_was_dropped r1: 00:00:5e:00:01:07";
    assert_both_report(&net, &[before]);
    net.lab.drop_there("lan1", 1, FilteredFrames::VirtualMac);
    net.run_with_checks(5);
    let there = "lan1 virtual_mac_dropped r2: 00:00:5e:00:01:07";
    assert_both_report(&net, &[there, before]);
    net.lab.kill(1);
    net.run_with_checks(3);
    assert_eq!(net.lab.active(), [0]);
    assert_eq!(rows(&net, 0), [""; 0], "nobody is left who could hear");
    net.asked.clear();
    net.run_with_checks(4);
    let own = (0, "10.1.0.1".parse().unwrap());
    let asked = net.asked.iter().filter(|it| **it == own).count();
    assert!(asked <= 5, "{asked} questions in turn, and no others");
    net.lab.start(1);
    net.run_with_checks(10);
    // r2 failed as well, and is untried since it has started again
    assert_both_report(&net, &[DROPPED]);
}

#[test]
fn a_network_that_carries_no_heartbeats_either_proves_nothing() {
    let mut net = pair(&with_vmac(""));
    net.lab.cut("lan1", 0, 1);
    net.run_with_checks(20);
    assert_both_report(&net, &[]);
    net.lab.fix();
    net.run_with_checks(1);
    assert_both_report(&net, &[]);
}

#[test]
fn of_a_network_without_heartbeats_nothing_is_said() {
    let toml = with_vmac("").replacen(VMAC, "vrid = 7\nvmac = true\nheartbeats = false\n", 1);
    let mut net = pair(&toml);
    net.lab.drop_there("lan1", 0, FilteredFrames::VirtualMac);
    net.run_with_checks(10);
    assert_both_report(&net, &[]);
}

#[test]
fn of_two_groups_on_one_network_each_names_its_own_address() {
    let second = "[[group]]\nname = \"h\"\nprefer = \"r2\"\nfailback_delay = \"1s\"\n[[group.interface]]\n\
                  interface = \"lan1\"\nvrid = 8\nvmac = true\naddresses = [\"10.1.0.9/24\"]\n";
    let mut net = net(Lab::linked(&(with_vmac("") + second), &LINKS));
    net.lab.run(20 * SECOND);
    net.lab.drop_there("lan1", 0, FilteredFrames::VirtualMac);
    net.lab.drop_there("lan1", 1, FilteredFrames::VirtualMac);
    net.run_with_checks(3);
    let other = "lan1 virtual_mac_dropped r2: 00:00:5e:00:01:08";
    assert_both_report(&net, &[DROPPED, other]);
    net.lab.dropped.clear();
    net.lab.run(500 * MS);
    assert_both_report(&net, &[]);
}

#[test]
fn virtual_routers_of_both_families_are_told_apart() {
    let addresses = "addresses = [\"10.1.0.1/24\"]";
    let toml = with_vmac("").replacen(
        addresses,
        "addresses = [\"10.1.0.1/24\", \"fd01::1/64\"]",
        1,
    );
    let mut net = pair(&toml);
    net.run_with_checks(5);
    assert_both_report(&net, &[]);
    net.lab.drop_there("lan1", 0, FilteredFrames::VirtualMac);
    net.run_with_checks(6);
    assert_both_report(
        &net,
        &["lan1 virtual_mac_dropped r1: 00:00:5e:00:01:07, 00:00:5e:00:02:07"],
    );
}

#[test]
fn unicast_adverts_prove_nothing_for_a_virtual_mac() {
    let peers = "vrid = 7\nvmac = true\npeers = [\"10.1.0.2\", \"10.1.0.3\"]\nunicast = true\n";
    let mut net = pair(&with_vmac("").replacen(VMAC, peers, 1));
    net.run_with_checks(10);
    assert_both_report(&net, &[]);
    net.lab.drop_there("lan1", 0, FilteredFrames::VirtualMac);
    net.run_with_checks(5);
    assert_both_report(&net, &[DROPPED]);
    net.lab.dropped.clear();
    net.run_with_checks(3);
    assert_both_report(&net, &[]);
    net.lab.drop_there("lan1", 0, FilteredFrames::Adverts);
    net.run_with_checks(5);
    assert_both_report(&net, &[LOST]);
}

#[test]
fn adverts_that_arrive_and_are_not_used_are_not_lost() {
    let mut net = pair(&with_vmac(""));
    net.lab.reload(1, &with_vmac("version = 2"));
    net.run_with_checks(10);
    assert_both_report(&net, &[]);
    net.lab
        .reload(1, &with_vmac("").replacen("vrid = 7", "vrid = 9", 1));
    net.run_with_checks(10);
    assert_both_report(&net, &[]);
}

#[test]
fn a_node_that_was_stopped_or_restarted_blames_nobody() {
    let mut net = pair(&with_vmac(""));
    for node in [1, 0] {
        net.lab.stop(node);
        net.lab.run(5 * SECOND);
        net.lab.resume(node);
        net.lab.run(50 * MS);
        assert_both_report(&net, &[]);
        net.run_with_checks(5);
        assert_both_report(&net, &[]);
        net.lab.crash(node);
        net.run_with_checks(2);
        net.lab.start(node);
        net.run_with_checks(5);
        assert_both_report(&net, &[]);
    }
}
