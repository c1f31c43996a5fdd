//! Tests virtual addresses whose interfaces are renamed, become ports of a bridge or leave the namespace, and copies of
//! them that somebody else sets. A station asks by ARP and neighbour discovery which addresses still answer.

use std::time::Duration;

use spared_kernel::{Kernel, KernelEvent};

use crate::lab::*;

const ADDRESSES: [&str; 2] = ["10.0.0.1/24", "2001:db8::1/64"];

/// Makes the namespaces of an active node, and its kernel.
fn active() -> Option<(Net, Kernel)> {
    let (net, mut kernel) = installed(claims(&ADDRESSES, LONG))?;
    kernel.grant_lease("office").unwrap();
    drive_for(&mut kernel, Duration::from_millis(50));
    Some((net, kernel))
}

/// Returns true if all of the group's addresses answer a station within five tries, as the machine may be busy.
fn all_answer(net: &Net) -> bool {
    (0..5).any(|_| answering(net) == ADDRESSES)
}

/// Returns the group's addresses that answer a station.
fn answering(net: &Net) -> Vec<&'static str> {
    let tap = net.tap();
    let source = "fe80::3";
    let mac = mac_in(&net.station, "peer");
    tap.send(&arp_request([10, 0, 0, 1]));
    tap.send(&solicitation(source, "2001:db8::1", mac));
    let frames = tap.frames(Duration::from_millis(300));
    let arp = |frame: &Vec<u8>| is_arp_reply_from(frame, [10, 0, 0, 1]);
    let mut found = Vec::new();
    if frames.iter().any(arp) {
        found.push(ADDRESSES[0]);
    }
    if frames.iter().any(|frame| is_advertisement(frame)) {
        found.push(ADDRESSES[1]);
    }
    found
}

fn is_advertisement(frame: &[u8]) -> bool {
    let target: std::net::Ipv6Addr = "2001:db8::1".parse().unwrap();
    frame.len() >= 78
        && frame[12..14] == [0x86, 0xdd]
        && frame[54] == 136
        && frame[62..78] == target.octets()
}

/// Returns the virtual addresses on a device, as `ip` prints them.
fn on(net: &Net, device: &str) -> Vec<&'static str> {
    let shown = net.output("ip", &format!("addr show {device}"));
    let has = |address: &&str| shown.contains(&format!(" {address} "));
    ADDRESSES.into_iter().filter(has).collect()
}

#[test]
fn an_address_does_not_go_with_a_renamed_interface_and_is_there_again_with_the_name() {
    let Some((net, mut kernel)) = active() else {
        return;
    };
    assert!(all_answer(&net));
    for live in [true, false] {
        if !live {
            net.ip("link set lan2 down");
        }
        net.ip("link set lan2 name lan9");
        if !live {
            net.ip("link set lan9 up");
        }
        drive_for(&mut kernel, Duration::from_millis(100));
        assert_eq!(on(&net, "lan9"), [""; 0], "live: {live}");
        assert_eq!(answering(&net), [""; 0], "live: {live}");
        net.ip("link set lan9 name lan2");
        drive_for(&mut kernel, Duration::from_millis(100));
        kernel.grant_leases(&[("office", true)]).remove(0).unwrap();
        assert_eq!(on(&net, "lan2"), ADDRESSES, "live: {live}");
        assert!(all_answer(&net), "live: {live}");
    }
}

#[test]
fn an_interface_that_comes_back_under_its_name_to_a_backup_has_no_address() {
    let Some((net, mut kernel)) = active() else {
        return;
    };
    net.ip("link set lan2 name lan9");
    // the group becomes backup before the kernel's events are read
    kernel.revoke_lease("office").unwrap();
    assert!(kernel.remove("office").is_empty());
    drive_for(&mut kernel, Duration::from_millis(100));
    net.ip("link set lan9 name lan2");
    drive_for(&mut kernel, Duration::from_millis(100));
    assert_eq!(on(&net, "lan2"), [""; 0]);
    assert_eq!(answering(&net), [""; 0]);
}

#[test]
fn an_end_leaves_nothing_on_a_renamed_interface() {
    for read in [true, false] {
        let Some((net, mut kernel)) = active() else {
            return;
        };
        net.ip("link set lan2 name lan9");
        if read {
            drive_for(&mut kernel, Duration::from_millis(50));
        }
        kernel.close();
        assert_eq!(on(&net, "lan9"), [""; 0], "read: {read}");
    }
}

#[test]
fn another_device_that_takes_the_name_is_fenced_and_gets_the_addresses() {
    let Some((net, mut kernel)) = active() else {
        return;
    };
    net.add_link("spare", "peer2");
    net.ip("link set lan2 name lan9");
    net.ip("link set spare name lan2");
    drive_for(&mut kernel, Duration::from_millis(100));
    assert_eq!(on(&net, "lan9"), [""; 0]);
    assert_eq!(on(&net, "lan2"), ADDRESSES);
    // both renames are read together, and nobody granted a lease on the other device
    net.ip("link set lan2 name spare");
    net.ip("link set lan9 name lan2");
    drive_for(&mut kernel, Duration::from_millis(100));
    assert_eq!(on(&net, "spare"), [""; 0]);
    assert_eq!(on(&net, "lan2"), ADDRESSES);
    assert_eq!(answering(&net), [""; 0], "the lease did not end");
    let ruleset = net.output("nft", "list table netdev spared");
    assert!(ruleset.contains("device \"lan2\""), "{ruleset}");
}

#[test]
fn a_bridge_that_takes_the_interface_answers_for_no_address() {
    let Some((net, mut kernel)) = active() else {
        return;
    };
    net.ip("link add br0 type bridge");
    net.ip("link set br0 up");
    net.ip("link set lan2 master br0");
    drive_for(&mut kernel, Duration::from_millis(100));
    assert!(kernel.is_port("lan2"));
    assert!(!kernel.interface("lan2").unwrap().0.carrier);
    assert_eq!(on(&net, "lan2"), [""; 0]);
    assert_eq!(answering(&net), [""; 0]);
    net.ip("link set lan2 nomaster");
    drive_until(&mut kernel, |kernel, _| {
        kernel.interface("lan2").unwrap().0.carrier
    });
    assert!(!kernel.is_port("lan2"));
    kernel.grant_leases(&[("office", true)]).remove(0).unwrap();
    assert_eq!(on(&net, "lan2"), ADDRESSES);
    assert!(all_answer(&net));
}

#[test]
fn a_copy_that_somebody_set_is_told_and_replaced_when_it_goes() {
    for (prefix, first) in [(32, true), (24, true), (32, false)] {
        let Some(net) = Net::new() else { return };
        let mut kernel = Kernel::open().unwrap();
        kernel
            .claim("office", claims(&["10.0.0.1/24"], LONG))
            .unwrap();
        let copy = format!("10.0.0.1/{prefix}");
        if first {
            net.ip(&format!("addr add {copy} dev lan2"));
            drive_for(&mut kernel, Duration::from_millis(50));
        }
        kernel.grant_lease("office").unwrap();
        kernel.install("office").unwrap();
        if !first {
            net.ip(&format!("addr add {copy} dev lan2"));
        }
        drive_for(&mut kernel, Duration::from_millis(50));
        let foreign = kernel.foreign_addresses("office");
        assert_eq!(foreign.len(), 1, "{foreign:?}");
        assert_eq!(
            (foreign[0].address.as_str(), foreign[0].interface.as_str()),
            (copy.as_str(), "lan2")
        );
        net.ip(&format!("addr del {copy} dev lan2"));
        drive_for(&mut kernel, Duration::from_millis(50));
        assert_eq!(kernel.foreign_addresses("office"), []);
        let shown = net.output("ip", "addr show lan2");
        assert!(shown.contains("10.0.0.1/24"), "{copy}, {first}: {shown}");
        kernel.remove("office");
        let shown = net.output("ip", "addr show lan2");
        assert!(!shown.contains("10.0.0.1"), "{copy}, {first}: {shown}");
    }
}

#[test]
fn a_copy_on_another_device_is_behind_the_fence() {
    let Some(net) = Net::new() else { return };
    net.add_link("other", "peer2");
    net.station_ip("addr add 10.0.0.3/24 dev peer2");
    let mut kernel = Kernel::open().unwrap();
    kernel
        .claim("office", claims(&["10.0.0.1/24"], LONG))
        .unwrap();
    net.ip("addr add 10.0.0.2/24 dev other");
    net.ip("addr add 10.0.0.1/32 dev other");
    drive_for(&mut kernel, Duration::from_millis(50));
    assert!(net.ignores("10.0.0.1"));
    assert_eq!(kernel.foreign_addresses("office")[0].interface, "other");
    kernel.grant_lease("office").unwrap();
    assert!(net.pings("10.0.0.1"), "an active node's address answers");
}

#[test]
fn a_copy_does_not_answer_between_a_kill_and_the_claims_of_the_next_run() {
    let Some((net, mut kernel)) = copied("10.0.0.1/32", false) else {
        return;
    };
    assert_eq!(answering(&net), [""; 0]);
    drop(kernel);
    assert_eq!(answering(&net), [""; 0], "killed");
    kernel = Kernel::open().unwrap();
    kernel.remove_leftovers().unwrap();
    assert_eq!(answering(&net), [""; 0], "started");
    kernel.claim("office", claims(&ADDRESSES, LONG)).unwrap();
    drive_for(&mut kernel, Duration::from_millis(50));
    assert_eq!(answering(&net), [""; 0], "claimed");
}

#[test]
fn a_copy_does_not_answer_after_an_end_unless_it_is_the_nodes_own() {
    for own in [false, true] {
        let Some((net, kernel)) = copied("10.0.0.1/32", own) else {
            return;
        };
        assert_eq!(kernel.foreign_addresses("office").len(), usize::from(!own));
        kernel.close();
        let is_fenced = net.output("nft", "list tables").contains("netdev spared\n");
        assert_eq!(is_fenced, !own);
        assert_eq!(answering(&net).is_empty(), !own, "own: {own}");
        net.ip("addr del 10.0.0.1/32 dev lan2");
        let mut kernel = Kernel::open().unwrap();
        kernel.remove_leftovers().unwrap();
        kernel.claim("office", claims(&ADDRESSES, LONG)).unwrap();
        kernel.close();
        assert_eq!(net.output("nft", "list tables"), "", "own: {own}");
    }
}

/// Makes a node whose group is not active, and a copy of one of its addresses that somebody set.
fn copied(copy: &str, own: bool) -> Option<(Net, Kernel)> {
    let net = Net::new()?;
    let mut claims = claims(&ADDRESSES, LONG);
    claims.addresses.iter_mut().for_each(|it| it.own = own);
    let mut kernel = Kernel::open().unwrap();
    kernel.claim("office", claims).unwrap();
    net.ip(&format!("addr add {copy} dev lan2"));
    drive_for(&mut kernel, Duration::from_millis(50));
    Some((net, kernel))
}

#[test]
fn a_device_that_is_renamed_while_it_is_down_is_guarded_when_it_is_up() {
    let Some((net, mut kernel)) = copied("10.0.0.1/32", false) else {
        return;
    };
    net.ip("addr del 10.0.0.1/32 dev lan2");
    net.ip("addr add 10.0.0.1/32 dev lo");
    drive_for(&mut kernel, Duration::from_millis(300));
    net.ip("link set lan2 down");
    drive_for(&mut kernel, Duration::from_millis(300));
    net.ip("link set lan2 name lan9");
    net.ip("link set lan9 up");
    drive_for(&mut kernel, Duration::from_millis(20));
    let tap = net.tap();
    tap.send(&arp_request([10, 0, 0, 1]));
    let frames = tap.frames(Duration::from_millis(100));
    let is_reply = |it: &Vec<u8>| is_arp_reply_from(it, [10, 0, 0, 1]);
    assert!(!frames.iter().any(is_reply));
}

#[test]
fn addresses_of_ours_that_nobody_claims_are_deleted_wherever_they_are() {
    let Some((net, mut kernel)) = active() else {
        return;
    };
    net.add_link("other", "peer2");
    let message = spared_netlink::Message::add_address(
        index_of("other"),
        "10.0.0.1".parse().unwrap(),
        32,
        false,
    );
    let mut requests = spared_netlink::Requests::open().unwrap();
    requests.run_one(message).unwrap();
    let events = drive_until(&mut kernel, |_, events| {
        let told = |event: &KernelEvent| matches!(event, KernelEvent::Warning(text) if text.contains("10.0.0.1/32"));
        events.iter().any(told)
    });
    let text = "other: 10.0.0.1/32 was deleted, as it does not belong there now".to_owned();
    assert!(events.contains(&KernelEvent::Warning(text)), "{events:?}");
    assert!(!net.output("ip", "addr show other").contains("10.0.0.1"));
    assert_eq!(on(&net, "lan2"), ADDRESSES);
}

#[test]
fn no_other_device_answers_for_an_address_whose_lease_has_ended() {
    let Some((net, mut kernel)) = active() else {
        return;
    };
    // the kernel answers ARP on any device
    net.add_link("other", "peer2");
    drive_for(&mut kernel, Duration::from_millis(400));
    let tap = net.tap_on("peer2");
    let answered = || {
        tap.send(&arp_request([10, 0, 0, 1]));
        tap.send(&solicitation(
            "fe80::3",
            "2001:db8::1",
            mac_in(&net.station, "peer2"),
        ));
        let frames = tap.frames(Duration::from_millis(300));
        let arp = frames
            .iter()
            .any(|frame| is_arp_reply_from(frame, [10, 0, 0, 1]));
        let all = frames.iter().filter(|frame| is_advertisement(frame));
        (arp, all.count())
    };
    assert!(answered().0, "it does while the group is active");
    kernel.revoke_lease("office").unwrap();
    assert_eq!(answered(), (false, 0));
}

#[test]
fn an_interface_that_is_renamed_while_nobody_looks_is_silent() {
    let Some((net, kernel)) = active() else {
        return;
    };
    assert!(all_answer(&net));
    // as after a kill: the lease ends, and nobody reads the kernel's events
    let mut kernel = std::mem::ManuallyDrop::new(kernel);
    kernel.revoke_lease("office").unwrap();
    net.ip("link set lan2 name lan9");
    assert_eq!(on(&net, "lan9"), ADDRESSES);
    assert_eq!(answering(&net), [""; 0]);
    net.ip("link set lan9 name lan2");
    assert_eq!(answering(&net), [""; 0]);
}

#[test]
fn the_nodes_own_packets_come_from_its_own_address_after_it_was_replaced() {
    for new_first in [true, false] {
        let Some(net) = Net::new() else { return };
        net.ip("addr add 10.0.0.2/24 dev lan2");
        net.station_ip("addr add 10.0.0.3/24 dev peer");
        let mut kernel = Kernel::open().unwrap();
        kernel
            .claim("office", claims(&["10.0.0.1/24"], LONG))
            .unwrap();
        kernel.grant_lease("office").unwrap();
        kernel.install("office").unwrap();
        drive_for(&mut kernel, Duration::from_millis(50));
        let steps = [
            "addr add 10.0.0.7/24 dev lan2",
            "addr del 10.0.0.2/24 dev lan2",
        ];
        let order = if new_first { [0, 1] } else { [1, 0] };
        for step in order {
            net.ip(steps[step]);
            drive_for(&mut kernel, Duration::from_millis(50));
        }
        let route = net.output("ip", "route get 10.0.0.3");
        assert!(
            route.contains("src 10.0.0.7"),
            "new first {new_first}: {route}"
        );
        assert!(net.pings("10.0.0.1"));
        let events = drive_for(&mut kernel, Duration::from_millis(200));
        assert!(events.is_empty(), "new first {new_first}: {events:?}");
    }
}

#[test]
fn a_macvlan_may_have_a_virtual_mac() {
    let Some(net) = Net::new() else { return };
    net.ip("link add mv link lan2 type macvlan mode bridge");
    net.ip("link set mv up");
    net.ip("addr add 10.0.0.2/24 dev mv");
    net.station_ip("addr add 10.0.0.3/24 dev peer");
    let mut claims = claims(&["10.0.0.1/24"], LONG);
    claims.routers[0].vmac = true;
    claims.routers[0].interface = "mv".into();
    claims.addresses[0].interface = "mv".into();
    let mut kernel = Kernel::open().unwrap();
    kernel.claim("office", claims).unwrap();
    kernel.grant_lease("office").unwrap();
    kernel.install("office").unwrap();
    let device = |net: &Net| net.output("ip", "-o link show dev vrrp50.mv");
    let first = device(&net);
    drive_for(&mut kernel, Duration::from_millis(300));
    assert_eq!(device(&net).split(':').next(), first.split(':').next());
    assert!(net.pings("10.0.0.1"));
    let neighbours = net.station.shell("ip neigh show 10.0.0.1").unwrap();
    assert!(neighbours.contains("00:00:5e:00:01:32"), "{neighbours}");
}

#[test]
fn a_device_that_is_deleted_again_and_again_is_made_three_times_and_told() {
    let Some(net) = Net::new() else { return };
    let mut claims = claims(&["10.0.0.1/24"], LONG);
    claims.routers[0].vmac = true;
    claims.routers[0].vmac_name = "inside".into();
    let mut kernel = Kernel::open().unwrap();
    kernel.claim("office", claims).unwrap();
    kernel.grant_lease("office").unwrap();
    kernel.install("office").unwrap();
    let is_there = |net: &Net| net.output("ip", "link show").contains("inside@lan2");
    for _ in 0..3 {
        assert!(is_there(&net));
        assert!(kernel.address_status("office")[0].present);
        net.ip("link del inside");
        drive_for(&mut kernel, Duration::from_millis(100));
    }
    assert!(!is_there(&net));
    let status = &kernel.address_status("office")[0];
    assert_eq!(
        (status.present, status.why.as_str()),
        (
            false,
            "another program keeps deleting its virtual-MAC device inside"
        )
    );
}
