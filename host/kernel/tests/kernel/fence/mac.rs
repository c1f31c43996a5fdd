//! Tests the fence with virtual MACs, and with addresses that are not accepted.

use std::time::Duration;

use spared_kernel::Kernel;

use crate::lab::*;

#[test]
fn a_virtual_mac_is_silent_until_active_and_alone_answers_then() {
    let mut claims = claims(&["10.0.0.1/24", "fe80::1/64", "2001:db8::1/64"], LONG);
    claims.routers[0].vmac = true;
    claims.routers[1].vmac = true;
    let Some(net) = Net::new() else { return };
    net.ip("addr add 10.0.0.2/24 dev lan2");
    net.ip("addr add fe80::2/64 dev lan2 nodad");
    net.station_ip("addr add 10.0.0.3/24 dev peer");
    net.station_ip("addr add fe80::3/64 dev peer nodad");
    net.station_ip("route add 2001:db8::/64 dev peer");
    let tap = net.tap();
    let virtual_mac = |frame: &[u8]| frame[6..12] == VMAC4 || frame[6..12] == VMAC6;

    let mut kernel = Kernel::open().unwrap();
    kernel.claim("office", claims).unwrap();
    tap.send(&arp_request([10, 0, 0, 1]));
    tap.send(&arp_request([10, 0, 0, 2]));
    let frames = tap.frames(Duration::from_millis(1500));
    assert!(
        !frames.iter().any(|frame| virtual_mac(frame)),
        "a backup's device speaks"
    );

    kernel.grant_lease("office").unwrap();
    kernel.install("office").unwrap();
    assert!(tap.hears(virtual_mac), "nothing was announced");
    assert!(net.pings("10.0.0.1"));
    assert!(net.pings("fe80::1%peer"));
    assert!(net.pings("2001:db8::1"));
    let neighbours = net.station.shell("ip neigh show").unwrap();
    for (address, mac) in [
        ("10.0.0.1 ", "00:00:5e:00:01:32"),
        ("fe80::1 ", "00:00:5e:00:02:32"),
        ("2001:db8::1 ", "00:00:5e:00:02:32"),
    ] {
        let line = neighbours
            .lines()
            .find(|line| line.starts_with(address))
            .unwrap_or_default();
        assert!(
            line.contains(mac),
            "{address} has another MAC: {neighbours}"
        );
    }
    // The node's own address keeps its own MAC.
    tap.clear();
    tap.send(&arp_request([10, 0, 0, 2]));
    let replies = tap.frames(Duration::from_millis(300));
    let replies: Vec<_> = replies
        .iter()
        .filter(|frame| is_arp_reply_from(frame, [10, 0, 0, 2]))
        .collect();
    assert_eq!(replies.len(), 1, "one answer for the node's own address");
    assert_eq!(replies[0][6..12], mac_of(&net, "lan2"));
    // The virtual address has one answer, from the virtual MAC.
    tap.send(&arp_request([10, 0, 0, 1]));
    let replies = tap.frames(Duration::from_millis(300));
    let macs: Vec<&[u8]> = replies
        .iter()
        .filter(|frame| is_arp_reply_from(frame, [10, 0, 0, 1]))
        .map(|frame| &frame[6..12])
        .collect();
    assert_eq!(macs, [VMAC4]);
    assert!(kernel.counts().fence.wrong_mac > 0);

    kernel.revoke_lease("office").unwrap();
    tap.clear();
    assert!(net.ignores("10.0.0.1"));
    assert!(net.ignores("2001:db8::1"));
    assert!(
        !tap.frames(Duration::ZERO)
            .iter()
            .any(|frame| virtual_mac(frame))
    );
}

#[test]
fn addresses_that_are_not_accepted_are_learned_but_not_reached() {
    let mut claims = claims(&["10.0.0.1/24", "fe80::1/64"], LONG);
    claims.routers[0].accept = false;
    claims.routers[1].accept = false;
    let Some((net, mut kernel)) = installed(claims) else {
        return;
    };
    kernel.grant_lease("office").unwrap();
    let tap = net.tap();
    tap.send(&arp_request([10, 0, 0, 1]));
    assert!(tap.hears(|frame| is_arp_reply_from(frame, [10, 0, 0, 1])));
    assert!(net.ignores("10.0.0.1"));
    assert!(net.ignores("fe80::1%peer"));
    let advertised =
        |frame: &[u8]| frame[12..14] == [0x86, 0xdd] && frame[20] == 58 && frame[54] == 136;
    let neighbours = net.station.shell("ip neigh show").unwrap();
    let learned = neighbours
        .lines()
        .any(|l| l.starts_with("fe80::1 ") && l.contains("lladdr"));
    assert!(learned || tap.hears(advertised), "{neighbours}");
    assert!(kernel.counts().fence.not_accepted >= 2);
}

#[test]
fn frames_to_the_virtual_mac_are_carried_only_while_the_lease_lives() {
    let mut claims = claims(&["10.0.0.1/24"], LONG);
    claims.routers[0].vmac = true;
    let Some((net, mut kernel)) = installed(claims) else {
        return;
    };
    let tap = net.tap();
    let frame = echo_through(VMAC4);
    let is_reply = is_echo_reply;
    tap.send(&frame);
    assert!(
        !tap.hears(is_reply),
        "a backup carries frames to the virtual MAC"
    );
    kernel.grant_lease("office").unwrap();
    tap.send(&frame);
    assert!(
        tap.hears(is_reply),
        "the active one does not carry frames to the virtual MAC"
    );
    kernel.revoke_lease("office").unwrap();
    tap.clear();
    tap.send(&frame);
    assert!(!tap.hears(is_reply));
}

#[test]
fn only_the_virtual_mac_may_answer_for_its_ipv6_address() {
    let mut claims = claims(&["fe80::1/64"], LONG);
    claims.routers[0].vmac = true;
    let Some((net, mut kernel)) = installed(claims) else {
        return;
    };
    kernel.grant_lease("office").unwrap();
    for (mac, may) in [(mac_of(&net, "lan2"), false), (VMAC6, true)] {
        let mut answer = solicitation("fe80::2", "fe80::1", mac);
        answer[54] = 136;
        assert_eq!(send(&answer).is_ok(), may, "{mac:x?}");
    }
}

#[test]
fn frames_from_the_virtual_mac_leave_only_while_the_lease_lives() {
    let mut claims = claims(&["10.0.0.1/24"], LONG);
    claims.routers[0].vmac = true;
    let Some((_net, mut kernel)) = installed(claims) else {
        return;
    };
    // The frame is of a protocol that the fence does not know. A switch would learn from it
    // nevertheless.
    let frame = [&[0xff; 6][..], &VMAC4, &[0x88, 0xb5], &[0; 46]].concat();
    assert!(send(&frame).is_err());
    kernel.grant_lease("office").unwrap();
    assert!(send(&frame).is_ok());
}
