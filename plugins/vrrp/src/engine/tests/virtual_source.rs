//! Virtual addresses that are set on a node by hand: they are no sources of what the node sends.

use std::net::IpAddr;

use super::lab::{Lab, SECOND, by_priority};
use super::linked::{by_quality, pair};
use crate::config::is_link_local;
use crate::engine::InterfaceFacts;

const SECOND_GROUP: &str = "[[group]]\nname = \"h\"\n[[group.interface]]\ninterface = \"lan2\"\nvrid = 9\n\
                            addresses = [\"10.2.0.9/24\", \"fd02::9/64\"]\n";

/// Replaces a node's addresses on lan1.
fn address(lab: &mut Lab, node: usize, addresses: &[&str]) {
    let facts = InterfaceFacts {
        addresses: addresses.iter().map(|it| it.parse().unwrap()).collect(),
        ..lab.nodes[node].facts["lan1"].clone()
    };
    lab.report_interface(node, "lan1", &facts);
    lab.nodes[node].facts.insert("lan1".to_owned(), facts);
    lab.run(2 * SECOND);
}

/// Sources of a node's adverts, and of its heartbeats on networks.
fn sources(lab: &Lab, node: usize) -> [Vec<IpAddr>; 2] {
    let engine = &lab.nodes[node].engine;
    let routers = engine
        .groups
        .iter()
        .flat_map(|group| group.networks.routers());
    let here = routers.filter(|router| router.config.interface == "lan1");
    let adverts = here.filter_map(|router| router.source).collect();
    let targets = engine
        .groups
        .iter()
        .flat_map(|group| group.networks.targets());
    let targets = targets.filter(|it| it.mac[4] == 1);
    [adverts, targets.map(|it| it.source).collect()]
}

fn none() -> [Vec<IpAddr>; 2] {
    [Vec::new(), Vec::new()]
}

fn all(address: &str) -> [Vec<IpAddr>; 2] {
    let address: IpAddr = address.parse().unwrap();
    [vec![address], vec![address]]
}

#[test]
fn the_own_address_is_the_source_though_a_virtual_one_comes_first() {
    let mut lab = pair("");
    for node in 0..2 {
        let own = format!("10.1.0.{}", node + 2);
        address(&mut lab, node, &["10.1.0.1", &own]);
        assert_eq!(sources(&lab, node), all(&own));
    }
    assert_eq!((lab.failovers(), lab.active().len()), (0, 1));
}

#[test]
fn a_node_with_nothing_but_virtual_addresses_sends_nothing_there() {
    let two = format!("{}{SECOND_GROUP}", by_quality(""));
    // an address of its own group, and one of another group on another interface
    for virtual_one in ["10.1.0.1", "10.2.0.9"] {
        let mut lab = Lab::linked(&two, &["link1"]);
        address(&mut lab, 1, &[virtual_one]);
        assert_eq!(sources(&lab, 1), none());
        let check = lab.nodes[1].host.checks["lan1"];
        assert_eq!(check.1, 0);
        assert_eq!(lab.nodes[1].host.why["lan1"], "no source address");
        // the address is an own one as soon as no group has it
        let one = two.replace(virtual_one, "10.9.0.1");
        lab.reload(1, &one);
        lab.run(2 * SECOND);
        assert_eq!(sources(&lab, 1), all(virtual_one));
    }
}

#[test]
fn a_virtual_address_is_no_source_though_the_file_names_it() {
    let toml = by_priority(
        &[200, 100],
        "",
        "advert_source = { r1 = \"10.1.0.2\", r2 = \"10.1.0.1\" }",
    );
    let mut lab = Lab::new(&toml, 2);
    lab.start(0);
    lab.start(1);
    address(&mut lab, 1, &["10.1.0.1", "10.1.0.3"]);
    assert_eq!(
        sources(&lab, 1)[0],
        [""; 0].map(|it| it.parse::<IpAddr>().unwrap())
    );
}

#[test]
fn a_link_local_address_is_virtual_on_its_own_network_alone() {
    let toml = "[[group]]\nname = \"g\"\n[[group.interface]]\ninterface = \"lan1\"\nvrid = 7\n\
                addresses = [\"fe80::1/64\", \"fd01::1/64\"]\n\
                [[group.interface]]\ninterface = \"lan2\"\nvrid = 7\naddresses = [\"fd02::1/64\"]\n";
    let mut lab = Lab::linked(toml, &["link1"]);
    address(&mut lab, 1, &["fe80::1"]);
    assert_eq!(sources(&lab, 1), none());
    address(&mut lab, 1, &["fe80::1", "fe80::3"]);
    assert_eq!(sources(&lab, 1), all("fe80::3"));
    let facts = InterfaceFacts {
        addresses: vec!["fe80::1".parse().unwrap()],
        ..lab.nodes[1].facts["lan2"].clone()
    };
    lab.report_interface(1, "lan2", &facts);
    lab.run(SECOND);
    let routers = lab.nodes[1].engine.groups[0].networks.routers().iter();
    let mut there = routers.filter(|router| router.config.interface == "lan2");
    let source = there.find_map(|router| router.source);
    assert!(source.is_some_and(is_link_local), "{source:?}");
}

#[test]
fn the_owner_of_an_address_sends_from_it() {
    let mut lab = Lab::new(&by_priority(&[255, 100], "", ""), 2);
    lab.nodes[0].facts.get_mut("lan1").unwrap().addresses = vec!["10.1.0.1".parse().unwrap()];
    lab.start(0);
    lab.start(1);
    lab.run(5 * SECOND);
    assert_eq!(lab.active(), [0]);
    assert_eq!(sources(&lab, 0)[0], all("10.1.0.1")[0]);
}
