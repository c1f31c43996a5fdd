//! Tests the kernel's part of a switchover: the old node carries packets after its answers have
//! ended, and on the new node addresses wait in silence.

use std::time::{Duration, Instant};

use spared_contract::{Claims, Family};
use spared_kernel::{FenceState, Kernel};

use crate::lab::*;

const VIP: [u8; 4] = [10, 0, 0, 1];

// Makes claims of a virtual router of each family, with addresses that a neighbour may use.
fn both_families(vmac: bool) -> Claims {
    let mut claims = claims(&["10.0.0.1/24", "fe80::1/64", "2001:db8::1/64"], LONG);
    for router in &mut claims.routers {
        router.vmac = vmac;
    }
    claims
}

// Makes the station remember the MAC of an address, so that it does not ask again.
fn remember(net: &Net, address: &str, mac: &str) {
    net.station_ip(&format!(
        "neigh replace {address} lladdr {mac} dev peer nud permanent"
    ));
}

#[test]
fn what_is_released_is_carried_and_nobody_learns_it_any_more() {
    let Some((net, mut kernel)) = installed(both_families(false)) else {
        return;
    };
    let tap = net.tap();
    let mac = mac_text(&net, "lan2");
    kernel.grant_lease("office").unwrap();
    for address in ["10.0.0.1", "fe80::1%peer", "2001:db8::1"] {
        assert!(net.pings(address), "{address}");
    }
    kernel.carry_lease("office").unwrap();
    assert_eq!(kernel.fence_status("office"), FenceState::Blocking);
    let refused = kernel.counts().fence.refused;
    for (address, at) in [("10.0.0.1", ""), ("fe80::1", "%peer"), ("2001:db8::1", "")] {
        remember(&net, address, &mac);
        assert!(
            net.pings(&format!("{address}{at}")),
            "{address} is not carried"
        );
    }
    assert_eq!(kernel.counts().fence.refused, refused);

    tap.clear();
    tap.send(&arp_request(VIP));
    for address in ["fe80::1", "2001:db8::1"] {
        let source = if address == "fe80::1" {
            "fe80::33"
        } else {
            "2001:db8::34"
        };
        tap.send(&solicitation(source, address, [2, 0, 0, 0, 0, 0x33]));
    }
    kernel.announce("office");
    let taught = |frame: &[u8]| {
        let arp = frame[12..14] == [8, 6] && frame[28..32] == VIP;
        let advertised = frame[12..14] == [0x86, 0xdd] && frame[20] == 58 && frame[54] == 136;
        arp || advertised
    };
    let heard = tap.frames(Duration::from_millis(300));
    let heard: Vec<_> = heard.iter().filter(|frame| taught(frame)).collect();
    assert!(heard.is_empty(), "{heard:x?}");
    // Frames that a program sends do not leave either: ARP, an advertisement and duplicate
    // detection.
    let own = mac_of(&net, "lan2");
    let mut advertisement = solicitation("fe80::2", "2001:db8::1", own);
    advertisement[54] = 136;
    let mut reply = arp_request([10, 0, 0, 3]);
    reply[28..32].copy_from_slice(&VIP);
    for frame in [&advertisement, &solicitation("::", "fe80::1", own), &reply] {
        assert!(send(frame).is_err(), "{frame:x?} leaves");
    }

    kernel.end_carry("office").unwrap();
    for address in ["10.0.0.1", "fe80::1%peer", "2001:db8::1"] {
        assert!(net.ignores(address), "{address} is carried for ever");
    }
}

#[test]
fn after_a_release_the_resignation_passes_and_nothing_else_of_vrrp() {
    let Some((net, mut kernel)) = installed(claims(&["10.0.0.1/24"], LONG)) else {
        return;
    };
    let (tap, mac) = (net.tap(), mac_of(&net, "lan2"));
    kernel.grant_lease("office").unwrap();
    assert!(net.pings("10.0.0.1"));
    kernel.carry_lease("office").unwrap();
    tap.clear();
    assert!(send(&advert(mac, Family::V4, 50, 100)).is_err());
    send(&advert(mac, Family::V4, 50, 0)).unwrap();
    let heard = tap.frames(Duration::from_millis(200));
    let adverts: Vec<_> = heard.iter().filter(|frame| is_advert(frame)).collect();
    assert_eq!(adverts.len(), 1, "{adverts:x?}");
    assert_eq!(adverts[0][36], 0);
    // The resignation ends leases, but not the carrying.
    remember(&net, "10.0.0.1", &mac_text(&net, "lan2"));
    assert!(net.pings("10.0.0.1"));
}

#[test]
fn an_announcement_that_is_due_while_a_group_is_carried_is_dropped() {
    let Some((net, mut kernel)) = installed(claims(&["10.0.0.1/24"], LONG)) else {
        return;
    };
    kernel.grant_lease("office").unwrap();
    kernel.carry_lease("office").unwrap();
    drive_for(&mut kernel, Duration::from_millis(50));
    let tap = net.tap();
    kernel.announce("office");
    let now = Instant::now();
    assert_eq!(kernel.handle_timeout(now), []);
    let next = kernel.next_timeout();
    assert!(next.is_none_or(|at| at > now), "the loop would spin");
    assert!(!tap.hears(|frame| frame[12..14] == [8, 6]), "announced");
}

#[test]
fn a_released_virtual_mac_carries_what_comes_and_sends_nothing_that_a_switch_learns_from() {
    let mut claims = claims(&["10.0.0.1/24"], LONG);
    claims.routers[0].vmac = true;
    let Some((net, mut kernel)) = installed(claims) else {
        return;
    };
    let tap = net.tap();
    let through = echo_through(VMAC4);
    kernel.grant_lease("office").unwrap();
    assert!(net.pings("10.0.0.1"));
    kernel.carry_lease("office").unwrap();
    tap.clear();
    tap.send(&through);
    assert!(
        tap.hears(is_echo_reply),
        "frames to the virtual MAC are lost"
    );
    remember(&net, "10.0.0.1", "00:00:5e:00:01:32");
    assert!(net.pings("10.0.0.1"), "packets to the address are lost");
    let packet = [
        0x45, 0, 0, 20, 0, 0, 0, 0, 64, 253, 0, 0, 10, 0, 0, 1, 10, 0, 0, 3,
    ];
    let from = |mac: [u8; 6]| [&[0xff; 6][..], &mac, &[8, 0], &packet, &[0; 26]].concat();
    assert!(
        send(&from(VMAC4)).is_err(),
        "a switch would learn the old port"
    );
    assert!(send(&from(mac_of(&net, "lan2"))).is_ok());
    tap.clear();
    tap.send(&arp_request(VIP));
    assert!(!tap.hears(|frame| is_arp_reply_from(frame, VIP)));

    kernel.end_carry("office").unwrap();
    tap.clear();
    tap.send(&through);
    assert!(!tap.hears(is_echo_reply));
}

#[test]
fn addresses_that_are_not_accepted_are_not_while_they_are_carried() {
    let mut claims = claims(&["10.0.0.1/24"], LONG);
    claims.routers[0].accept = false;
    let Some((net, mut kernel)) = installed(claims) else {
        return;
    };
    kernel.grant_lease("office").unwrap();
    kernel.carry_lease("office").unwrap();
    remember(&net, "10.0.0.1", &mac_text(&net, "lan2"));
    let before = kernel.counts().fence.not_accepted;
    assert!(net.ignores("10.0.0.1"));
    assert!(kernel.counts().fence.not_accepted > before);
}

#[test]
fn what_is_carried_ends_by_itself_after_three_seconds_should_the_host_die() {
    let mut claims = claims(&["10.0.0.1/24"], LONG);
    claims.addresses.push(address("lan2", "10.0.0.77/32", None));
    let Some((net, mut kernel)) = installed(claims) else {
        return;
    };
    kernel.grant_lease("office").unwrap();
    assert!(net.pings("10.0.0.1"), "both learn each other's MAC");
    kernel.carry_lease("office").unwrap();
    let released = Instant::now();
    drop(kernel);
    for address in ["10.0.0.1", "10.0.0.77"] {
        remember(&net, address, &mac_text(&net, "lan2"));
        assert!(
            net.pings(address),
            "{address}: the group's lease is switched over too"
        );
    }
    std::thread::sleep(Duration::from_millis(3_100).saturating_sub(released.elapsed()));
    for address in ["10.0.0.1", "10.0.0.77"] {
        assert!(net.ignores(address), "{address}");
    }
}

#[test]
fn a_flush_ends_what_is_carried() {
    let Some((net, mut kernel)) = installed(claims(&["10.0.0.1/24"], LONG)) else {
        return;
    };
    kernel.grant_lease("office").unwrap();
    assert!(net.pings("10.0.0.1"), "both learn each other's MAC");
    kernel.carry_lease("office").unwrap();
    remember(&net, "10.0.0.1", &mac_text(&net, "lan2"));
    assert!(net.pings("10.0.0.1"));
    net.output("nft", "flush ruleset");
    drive_until(&mut kernel, |kernel, _| {
        kernel.fence_status("office") == FenceState::Blocking
    });
    assert!(net.ignores("10.0.0.1"));
    kernel.end_carry("office").unwrap();
    kernel.grant_lease("office").unwrap();
    assert!(net.pings("10.0.0.1"));
}

#[test]
fn a_lease_that_ran_out_is_not_carried() {
    let short = Duration::from_millis(100);
    let Some((net, mut kernel)) = installed(claims(&["10.0.0.1/24"], short)) else {
        return;
    };
    kernel.grant_lease("office").unwrap();
    std::thread::sleep(short * 2);
    kernel.carry_lease("office").unwrap();
    remember(&net, "10.0.0.1", &mac_text(&net, "lan2"));
    assert!(net.ignores("10.0.0.1"));
}

#[test]
fn a_group_that_is_taken_back_has_its_lease_and_no_more_than_that() {
    let short = Duration::from_millis(300);
    let Some((net, mut kernel)) = installed(claims(&["10.0.0.1/24"], short)) else {
        return;
    };
    kernel.grant_lease("office").unwrap();
    kernel.carry_lease("office").unwrap();
    remember(&net, "10.0.0.1", &mac_text(&net, "lan2"));
    kernel.grant_lease("office").unwrap();
    assert_eq!(kernel.fence_status("office"), FenceState::Passing);
    std::thread::sleep(short * 2);
    assert!(
        net.ignores("10.0.0.1"),
        "what was carried outlives the lease"
    );
}

// A backup: it has claims, and nothing is installed.
fn backup(claims: Claims) -> Option<(Net, Kernel)> {
    let net = Net::new()?;
    net.ip("addr add 10.0.0.2/24 dev lan2");
    net.ip("addr add fe80::2/64 dev lan2 nodad");
    net.ip("addr add 2001:db8::2/64 dev lan2 nodad");
    net.station_ip("addr add 10.0.0.3/24 dev peer");
    net.station_ip("addr add fe80::3/64 dev peer nodad");
    net.station_ip("addr add 2001:db8::3/64 dev peer nodad");
    let mut kernel = Kernel::open().unwrap();
    kernel.follow("lan2", 1).unwrap();
    kernel.claim("office", claims).unwrap();
    drive_for(&mut kernel, Duration::from_millis(100));
    Some((net, kernel))
}

#[test]
fn addresses_that_wait_are_there_and_say_nothing() {
    for vmac in [false, true] {
        let Some((net, mut kernel)) = backup(both_families(vmac)) else {
            return;
        };
        let tap = net.tap();
        kernel.prepare("office").unwrap();
        let addresses = net.output("ip", "addr");
        for text in ["10.0.0.1/", "fe80::1/", "2001:db8::1/"] {
            assert!(addresses.contains(text), "vmac {vmac}: {text}: {addresses}");
        }
        tap.send(&arp_request(VIP));
        tap.send(&solicitation("fe80::33", "fe80::1", [2, 0, 0, 0, 0, 0x33]));
        tap.send(&solicitation(
            "2001:db8::34",
            "2001:db8::1",
            [2, 0, 0, 0, 0, 0x34],
        ));
        for address in ["10.0.0.1", "fe80::1%peer", "2001:db8::1"] {
            assert!(net.ignores(address), "vmac {vmac}: {address} answers");
        }
        drive_for(&mut kernel, Duration::from_millis(500));
        let virtual_mac = |frame: &[u8]| frame[6..12] == VMAC4 || frame[6..12] == VMAC6;
        let about = |frame: &[u8]| {
            let neighbour = frame[12..14] == [0x86, 0xdd] && frame[20] == 58;
            let ours = |at: usize| {
                let target: Option<&[u8]> = frame.get(at..at + 16);
                let addresses = ["fe80::1", "2001:db8::1"];
                addresses.iter().any(|text| {
                    let octets = text.parse::<std::net::Ipv6Addr>().unwrap().octets();
                    target == Some(&octets[..])
                })
            };
            let from = frame[12..14] == [0x86, 0xdd] && ours(22);
            from || (neighbour && frame[54] == 136 && ours(62))
        };
        let arp = |frame: &[u8]| frame[12..14] == [8, 6] && frame[28..32] == VIP;
        let heard = tap.frames(Duration::ZERO);
        let own = mac_of(&net, "lan2");
        let spoke: Vec<_> = heard
            .iter()
            .filter(|f| virtual_mac(f) || (f[6..12] == own && (arp(f) || about(f))))
            .collect();
        assert!(spoke.is_empty(), "vmac {vmac}: {spoke:x?}");
        let source =
            net.output("ip", "route get 10.0.0.3") + &net.output("ip", "-6 route get 2001:db8::3");
        assert!(!source.contains("src 10.0.0.1 "), "vmac {vmac}: {source}");
        assert!(
            !source.contains("src 2001:db8::1 "),
            "vmac {vmac}: {source}"
        );

        let failures = kernel.unprepare("office");
        assert!(failures.is_empty(), "{failures:?}");
        let addresses = net.output("ip", "addr");
        for text in ["10.0.0.1/", "fe80::1/", "2001:db8::1/"] {
            assert!(
                !addresses.contains(text),
                "vmac {vmac}: {text}: {addresses}"
            );
        }
    }
}

#[test]
fn what_is_prepared_is_announced_within_a_few_milliseconds_and_answers() {
    for vmac in [false, true] {
        let mut claims = both_families(vmac);
        for n in 10..60 {
            let text = format!("10.0.0.{n}/24");
            claims.addresses.push(address("lan2", &text, Some(0)));
        }
        let Some((net, mut kernel)) = backup(claims) else {
            return;
        };
        let tap = net.tap();
        kernel.prepare("office").unwrap();
        drive_for(&mut kernel, Duration::from_millis(50));
        tap.clear();
        // The shortest of three counts, as the machine may stall.
        let mut took = Vec::new();
        for _ in 0..3 {
            kernel.grant_lease("office").unwrap();
            let installed = kernel.install("office").unwrap();
            assert!(installed.failures.is_empty(), "{:?}", installed.failures);
            took.push(installed.took);
            let frames = tap.frames(Duration::from_millis(50));
            let announced = frames
                .iter()
                .any(|frame| frame[12..14] == [8, 6] && frame[28..32] == VIP);
            assert!(announced, "vmac {vmac}");
            for text in ["10.0.0.1", "fe80::1%peer", "2001:db8::1", "10.0.0.59"] {
                assert!(net.pings(text), "vmac {vmac}: {text}");
            }
            kernel.revoke_lease("office").unwrap();
            assert!(kernel.remove("office").is_empty());
            kernel.prepare("office").unwrap();
        }
        took.sort();
        println!("vmac {vmac}: announced and in place within {took:?}");
        assert!(took[0] < Duration::from_millis(5), "vmac {vmac}: {took:?}");
    }
}

#[test]
fn an_address_that_brings_a_route_waits_for_the_failover() {
    let mut claims = claims(&["10.0.0.1/24"], LONG);
    claims
        .addresses
        .push(address("lan2", "172.16.0.1/24", Some(0)));
    let Some((net, mut kernel)) = backup(claims) else {
        return;
    };
    let before = net.output("ip", "route");
    kernel.prepare("office").unwrap();
    assert!(!net.output("ip", "addr").contains("172.16.0.1"));
    assert_eq!(net.output("ip", "route"), before);
    kernel.grant_lease("office").unwrap();
    kernel.install("office").unwrap();
    assert!(net.output("ip", "addr").contains("172.16.0.1/24"));
    assert!(net.pings("10.0.0.1"));
}

#[test]
fn what_waits_goes_with_its_claims_and_with_the_host() {
    let Some((net, mut kernel)) = backup(claims(&["10.0.0.1/24"], LONG)) else {
        return;
    };
    let has = |text: &str| net.output("ip", "addr").contains(text);
    kernel.prepare("office").unwrap();
    kernel
        .claim("office", claims(&["10.0.0.9/24"], LONG))
        .unwrap();
    assert!(!has("10.0.0.1/24") && !has("10.0.0.9/24"));
    kernel.prepare("office").unwrap();
    assert!(has("10.0.0.9/24"));
    kernel.release_all(&["office"]);
    assert!(!has("10.0.0.9/24"));
    kernel
        .claim("office", claims(&["10.0.0.1/24"], LONG))
        .unwrap();
    kernel.prepare("office").unwrap();
    assert!(has("10.0.0.1/24"));
    kernel.close();
    assert!(!has("10.0.0.1/24"));
}
