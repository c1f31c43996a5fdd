//! E15: rows of the status about the identities of both nodes.

use super::duplicates::StationNet;
use super::lab::{FilteredFrames, Lab, SECOND};
use super::linked::{LINKS, by_quality};
use super::virtual_identity::{net, with_vmac};

/// Texts about this node's own and virtual identity on lan1, and about the peer's.
fn identity_texts(net: &StationNet, node: usize) -> [String; 4] {
    let keys = [
        "own_identity",
        "virtual_identity",
        "peer_own_identity",
        "peer_virtual_identity",
    ];
    let text = |key| net.lab.text(node, &format!("g.interface.lan1.{key}"));
    keys.map(|key| text(key).expect("a row"))
}

const PROVEN: &str = "in yes, out yes, proven 0 s ago";
const NOT_YET: &str = "in unknown, out unknown, not proven yet";
const OUT: &str = "in unknown, out yes, proven 0 s ago";

#[test]
fn each_identity_is_yes_no_or_unknown_in_each_direction() {
    let mut net = net(Lab::linked(&with_vmac(""), &LINKS));
    net.run_with_checks(5);
    // no station is known, so that none answers the virtual MAC
    assert_eq!(identity_texts(&net, 0), [PROVEN, OUT, PROVEN, NOT_YET]);
    assert_eq!(identity_texts(&net, 1), [PROVEN, NOT_YET, PROVEN, OUT]);
    net.lab.stations.insert(("lan1".to_owned(), 0));
    net.lab.start_station_traffic("lan1");
    net.run_with_checks(3);
    let [_, virtual_here, ..] = identity_texts(&net, 0);
    assert!(
        virtual_here.starts_with("in yes, out yes, proven"),
        "{virtual_here}"
    );
    net.lab.stations.clear();
    net.lab.end_station_traffic();
    net.run_with_checks(10);
    assert_eq!(identity_texts(&net, 0), [PROVEN, OUT, PROVEN, NOT_YET]);
    net.lab.drop_there("lan1", 0, FilteredFrames::VirtualMac);
    net.run_with_checks(3);
    let [own, virtual_here, ..] = identity_texts(&net, 0);
    assert_eq!(own, PROVEN);
    assert!(
        virtual_here.starts_with("in unknown, out no, dropped for"),
        "{virtual_here}"
    );
    net.run_with_checks(60);
    // the role has moved, and the observations are remembered
    let [_, here, _, there] = identity_texts(&net, 0);
    assert!(here.starts_with("in no, out no, dropped for 6"), "{here}");
    assert_eq!(there, OUT);
    net.lab.run(3600 * SECOND);
    assert_eq!(identity_texts(&net, 0)[1], NOT_YET);
}

#[test]
fn a_backup_that_was_active_is_remembered_and_without_a_virtual_mac_heartbeats_prove_the_way_in() {
    let mut net = StationNet::new(Lab::linked(&by_quality(""), &LINKS));
    net.lab.run(5 * SECOND);
    assert_eq!(identity_texts(&net, 0), [PROVEN, PROVEN, PROVEN, NOT_YET]);
    net.lab.switch(0);
    net.lab.run(100 * SECOND);
    assert_eq!(net.lab.active(), [1]);
    let [_, here, _, there] = identity_texts(&net, 0);
    assert!(here.starts_with("in yes, out yes, proven 1"), "{here}");
    assert_eq!(there, PROVEN);
}

#[test]
fn a_network_that_is_cut_is_unknown_where_nobody_can_be_asked() {
    let mut net = StationNet::new(Lab::linked(&by_quality(""), &LINKS));
    net.lab.cut("lan1", 0, 1);
    net.lab.run(20 * SECOND);
    assert_eq!(identity_texts(&net, net.lab.active()[0])[0], NOT_YET);
}

#[test]
fn a_group_of_which_no_network_is_proven_says_so_and_one_that_is_proven_does_not() {
    let silent = "vrid = 7\nheartbeats = false\n";
    let toml = by_quality("").replace("vrid = 7\n", silent);
    let mut net = StationNet::new(Lab::linked(&toml, &LINKS));
    net.lab.run(20 * SECOND);
    assert_eq!(net.lab.text(0, "g.unproven"), None, "adverts are heard");
    net.lab.drop_there("lan1", 0, FilteredFrames::Adverts);
    net.lab.run(30 * SECOND);
    assert_eq!(net.lab.text(0, "g.unproven"), None, "on lan2");
    net.lab.drop_there("lan2", 0, FilteredFrames::Adverts);
    net.lab.run(30 * SECOND);
    let unproven = net.lab.text(0, "g.unproven");
    assert_eq!(unproven.as_deref(), Some("lan1, lan2"));
    assert_eq!(net.lab.text(1, "g.unproven"), None, "it is backup");
    net.lab.dropped.clear();
    net.lab.run(2 * SECOND);
    assert_eq!(net.lab.text(0, "g.unproven"), None);
    net.lab.kill(1);
    net.lab.run(20 * SECOND);
    assert_eq!(net.lab.text(0, "g.unproven"), None, "it is alone");
}
