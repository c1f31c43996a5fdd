//! Tests link-local virtual addresses, which are separate in each network: copies that somebody sets, on devices that
//! are renamed, swapped or used by others, also after a kill.

use std::time::Duration;

use spared_contract::{Claims, Family};
use spared_kernel::Kernel;

use crate::lab::*;

/// Makes claims of fe80::1 on each of these interfaces.
fn claims_on(interfaces: &[&str]) -> Claims {
    let mut claims = claims(&[], LONG);
    for (number, name) in interfaces.iter().enumerate() {
        claims.routers.push(router(name, Family::V6, 50));
        let of = Some(number as u32);
        claims.addresses.push(address(name, "fe80::1/64", of));
    }
    claims
}

/// Returns true if somebody answers a solicitation of fe80::1 through this device of the station.
fn answers(net: &Net, peer: &str) -> bool {
    let tap = net.tap_on(peer);
    let mac = mac_in(&net.station, peer);
    tap.send(&solicitation("fe80::3", "fe80::1", mac));
    tap.hears(|it| it.len() >= 78 && it[12..14] == [0x86, 0xdd] && it[54] == 136)
}

/// Returns true if somebody answers within five tries, as the machine may be busy.
fn answers_soon(net: &Net, peer: &str) -> bool {
    (0..5).any(|_| answers(net, peer))
}

/// Gives each of two devices the other one's name, while they are up.
fn swap(net: &Net, first: &str, second: &str) {
    for (from, to) in [(first, "t-swap"), (second, first), ("t-swap", second)] {
        net.ip(&format!("link set {from} name {to}"));
    }
}

/// Returns the interfaces that have copies of the group's addresses.
fn copies(kernel: &Kernel) -> Vec<String> {
    let foreign = kernel.foreign_addresses("office").into_iter();
    foreign.map(|it| it.interface).collect()
}

#[test]
fn a_copy_does_not_answer_on_a_renamed_interface() {
    let Some(net) = Net::new() else { return };
    let mut kernel = Kernel::open().unwrap();
    kernel.claim("office", claims_on(&["lan2"])).unwrap();
    net.ip("addr add fe80::1/80 dev lan2 nodad");
    let mut before = "lan2";
    for name in ["lan2", "lan9", "lan8"] {
        if name != before {
            net.ip(&format!("link set {before} name {name}"));
            before = name;
        }
        drive_for(&mut kernel, Duration::from_millis(50));
        assert!(!answers(&net, "peer"), "{name}");
    }
    assert_eq!(copies(&kernel), ["lan8"]);
    // another device has its name now
    net.add_link("lan2", "peer2");
    drive_for(&mut kernel, Duration::from_millis(50));
    assert!(!answers(&net, "peer"), "beside another lan2");
    assert_eq!(copies(&kernel), ["lan8"]);
    net.ip("link del lan2");
    net.ip("link set lan8 name lan2");
    drive_for(&mut kernel, Duration::from_millis(50));
    net.ip("link set lan2 name lan9");
    drive_for(&mut kernel, Duration::from_millis(50));
    kernel.close();
    assert!(!answers(&net, "peer"), "after an end");
}

#[test]
fn a_copy_does_not_answer_after_two_names_were_swapped() {
    for kill in [false, true] {
        let Some(net) = Net::new() else { return };
        net.add_link("wan", "peer2");
        // the group has an IPv4 router in the other network
        let mut wanted = claims_on(&["lan2"]);
        wanted.routers.push(router("wan", Family::V4, 51));
        let mut kernel = Kernel::open().unwrap();
        kernel.claim("office", wanted.clone()).unwrap();
        net.ip("addr add fe80::1/80 dev lan2 nodad");
        drive_for(&mut kernel, Duration::from_millis(50));
        assert!(!answers(&net, "peer"));
        if kill {
            drop(kernel);
            swap(&net, "lan2", "wan");
            assert!(!answers(&net, "peer"), "killed");
            kernel = Kernel::open().unwrap();
            kernel.remove_leftovers().unwrap();
            kernel.claim("office", wanted).unwrap();
        } else {
            swap(&net, "lan2", "wan");
        }
        // waits until no device counts as renamed any longer
        drive_for(&mut kernel, Duration::from_millis(700));
        assert!(!answers(&net, "peer"), "kill: {kill}");
        assert_eq!(copies(&kernel), ["wan"], "kill: {kill}");
        net.ip("addr del fe80::1/80 dev wan");
        drive_for(&mut kernel, Duration::from_millis(50));
        net.ip("addr add fe80::1/80 dev wan nodad");
        assert!(!answers(&net, "peer"), "set afterwards, kill: {kill}");
    }
}

#[test]
fn an_address_of_both_networks_answers_in_both_after_their_names_were_swapped() {
    let Some(net) = Net::new() else { return };
    net.add_link("wan", "peer2");
    let mut kernel = Kernel::open().unwrap();
    let both = claims_on(&["lan2", "wan"]);
    kernel.claim("office", both).unwrap();
    kernel.grant_lease("office").unwrap();
    kernel.install("office").unwrap();
    drive_for(&mut kernel, Duration::from_millis(50));
    let all_answer = || {
        ["peer", "peer2"]
            .iter()
            .all(|peer| answers_soon(&net, peer))
    };
    assert!(all_answer());
    swap(&net, "lan2", "wan");
    drive_for(&mut kernel, Duration::from_millis(700));
    kernel.grant_leases(&[("office", true)]).remove(0).unwrap();
    assert!(all_answer(), "swapped");
    assert!(copies(&kernel).is_empty());
}

#[test]
fn a_copy_does_not_answer_on_a_macvlan_or_a_bridge_of_the_network() {
    let Some(net) = Net::new() else { return };
    net.add_link("wan", "peer2");
    let mut kernel = Kernel::open().unwrap();
    kernel.claim("office", claims_on(&["lan2"])).unwrap();
    // in another network it is another address, which does not concern the group
    net.ip("addr add fe80::1/64 dev wan nodad");
    net.ip("link add mv link lan2 type macvlan mode bridge");
    net.ip("link add br0 type bridge");
    for device in ["mv", "br0"] {
        net.ip(&format!("link set {device} up"));
        if device == "br0" {
            // the kernel refuses as a port a device that has a macvlan; the renamed device has no chain of the fence
            net.ip("link del mv");
            net.ip("link set lan2 name lan9");
            net.ip("link set lan9 master br0");
        }
        drive_for(&mut kernel, Duration::from_millis(1200));
        net.ip(&format!("addr add fe80::1/64 dev {device} nodad"));
        assert!(!answers(&net, "peer"), "{device}, unread");
        drive_for(&mut kernel, Duration::from_millis(50));
        assert!(!answers(&net, "peer"), "{device}");
        assert_eq!(copies(&kernel), [device]);
        net.ip(&format!("addr del fe80::1/64 dev {device}"));
        drive_for(&mut kernel, Duration::from_millis(50));
    }
    assert!(answers_soon(&net, "peer2"));
}

/// Packets for a macvlan arrive through the device below it.
#[test]
fn an_address_of_a_macvlan_answers_while_its_group_is_active_and_no_longer() {
    for vmac in [false, true] {
        let Some(net) = Net::new() else { return };
        net.ip("link add mv link lan2 type macvlan mode bridge");
        net.ip("link set mv up");
        let mut wanted = claims_on(&["mv"]);
        wanted.routers[0].vmac = vmac;
        let mut kernel = Kernel::open().unwrap();
        kernel.claim("office", wanted).unwrap();
        kernel.grant_lease("office").unwrap();
        kernel.install("office").unwrap();
        drive_for(&mut kernel, Duration::from_millis(700));
        assert!(answers_soon(&net, "peer"), "vmac: {vmac}");
        kernel.revoke_lease("office").unwrap();
        assert!(!answers(&net, "peer"), "vmac: {vmac}");
    }
}
