//! The fence, clause by clause, with real packets from a third namespace.

#![allow(clippy::unwrap_used)]

mod kernel_lab;

use std::time::{Duration, Instant};

use kernel_lab::*;
use spared::kernel::{FenceState, Kernel, KernelEvent};
use spared_worker::message::{Claims, Family};

/// Short, for what must be seen to expire.
const SHORT: Duration = Duration::from_millis(100);

// Sends an advert again and again for two and a half times a lease, often enough to keep it. False where the machine
// stalled for so long that the lease ran out by right.
fn keeps_sending(frame: &[u8], lease: Duration) -> bool {
    let begun = Instant::now();
    let mut last = begun;
    while begun.elapsed() < lease * 5 / 2 {
        let sent = send(frame);
        if last.elapsed() > lease * 4 / 5 {
            eprintln!("skipped: the machine stalled for {:?}", last.elapsed());
            return false;
        }
        sent.expect("a lease that was renewed in time lets the advert pass");
        last = Instant::now();
        std::thread::sleep(lease / 10);
    }
    true
}

#[test]
fn a_closed_lease_lets_nobody_learn_or_reach_an_ipv4_address() {
    let Some((net, mut kernel)) = installed(claims(&["10.0.0.1/24"], LONG)) else {
        return;
    };
    let tap = net.tap();
    tap.send(&arp_request([10, 0, 0, 1]));
    assert!(!tap.hears(|frame| is_arp_reply_from(frame, [10, 0, 0, 1])));
    assert!(net.ignores("10.0.0.1"));
    assert!(
        net.pings("10.0.0.2"),
        "the node's own address must not suffer"
    );

    kernel.open_lease("office").unwrap();
    tap.send(&arp_request([10, 0, 0, 1]));
    assert!(tap.hears(|frame| is_arp_reply_from(frame, [10, 0, 0, 1])));
    assert!(net.pings("10.0.0.1"));
    assert_eq!(kernel.fence_status("office"), FenceState::Held);

    kernel.close_lease("office").unwrap();
    // Even who knows the MAC already gets no answer.
    assert!(net.ignores("10.0.0.1"));
    assert_eq!(kernel.fence_status("office"), FenceState::Closed);
    assert!(kernel.counts().fence.refused > 0);
}

#[test]
fn a_closed_lease_lets_nobody_learn_or_reach_an_ipv6_address() {
    let claims = claims(&["fe80::1/64", "2001:db8::1/64"], LONG);
    let Some((net, mut kernel)) = installed(claims) else {
        return;
    };
    for address in ["fe80::1%peer", "2001:db8::1"] {
        assert!(
            net.ignores(address),
            "{address} answers through a closed fence"
        );
    }
    assert!(
        net.pings("fe80::2%peer"),
        "the node's own address must not suffer"
    );
    kernel.open_lease("office").unwrap();
    for address in ["fe80::1%peer", "2001:db8::1"] {
        assert!(
            net.pings(address),
            "{address} does not answer through an open fence"
        );
    }
    kernel.close_lease("office").unwrap();
    for address in ["fe80::1%peer", "2001:db8::1"] {
        assert!(
            net.ignores(address),
            "{address} answers to one who knows its MAC"
        );
    }
}

#[test]
fn nothing_leaves_from_an_address_without_a_lease() {
    let Some((net, mut kernel)) = installed(claims(&["10.0.0.1/24"], LONG)) else {
        return;
    };
    let tap = net.tap();
    let from_address = |frame: &[u8]| {
        (frame[12..14] == [8, 0] && frame[26..30] == [10, 0, 0, 1])
            || (frame[12..14] == [8, 6] && frame[28..32] == [10, 0, 0, 1])
    };
    let _ = net.output("ping", "-c1 -W0.2 -I 10.0.0.1 10.0.0.3");
    assert!(!tap.hears(from_address));
    kernel.announce("office");
    assert!(
        !tap.hears(from_address),
        "an announcement leaves without a lease"
    );
    kernel.open_lease("office").unwrap();
    kernel.announce("office");
    let _ = net.output("ping", "-c1 -W0.2 -I 10.0.0.1 10.0.0.3");
    assert!(tap.hears(from_address));
}

#[test]
fn adverts_renew_a_living_lease_and_cannot_open_a_dead_one() {
    let Some((net, mut kernel)) = installed(claims(&["10.0.0.1/24"], SHORT)) else {
        return;
    };
    let tap = net.tap();
    let frame = advert(mac_of(&net, "lan2"), Family::V4, 50, 100);
    assert!(
        send(&frame).is_err(),
        "an advert must be refused before a lease is opened"
    );
    assert!(!tap.hears(is_advert));

    kernel.open_lease("office").unwrap();
    if !keeps_sending(&frame, SHORT) {
        return;
    }
    assert_eq!(kernel.fence_status("office"), FenceState::Held);
    assert!(tap.hears(is_advert));

    // Silence longer than the lease, as of a daemon that was stopped.
    std::thread::sleep(SHORT * 2);
    assert_eq!(kernel.fence_status("office"), FenceState::Closed);
    let before = kernel.counts().fence.adverts_refused;
    assert!(
        send(&frame).is_err(),
        "it resumes, and must not open its own lease"
    );
    assert_eq!(kernel.counts().fence.adverts_refused, before + 1);
    assert_eq!(kernel.fence_status("office"), FenceState::Closed);
    assert!(net.ignores("10.0.0.1"));
    // Nor does the host by publishing active again.
    kernel.open_lease("office").unwrap();
    assert_eq!(kernel.fence_status("office"), FenceState::Closed);
}

#[test]
fn an_advert_of_priority_zero_passes_and_closes_the_lease() {
    let mut claims = claims(&["10.0.0.1/24"], LONG);
    claims.addresses.push(address("lan2", "10.0.0.77/32", None));
    let Some((net, mut kernel)) = installed(claims) else {
        return;
    };
    let tap = net.tap();
    kernel.open_lease("office").unwrap();
    assert!(net.pings("10.0.0.1"));
    assert!(
        net.pings("10.0.0.77"),
        "an address without a router follows the group"
    );
    tap.clear();
    send(&advert(mac_of(&net, "lan2"), Family::V4, 50, 0)).unwrap();
    assert!(tap.hears(is_advert));
    assert_eq!(kernel.fence_status("office"), FenceState::Closed);
    assert!(net.ignores("10.0.0.1"));
    assert!(net.ignores("10.0.0.77"));
    assert_eq!(kernel.counts().fence.resigned, 1);
    // Closed or not, a resignation always passes.
    send(&advert(mac_of(&net, "lan2"), Family::V4, 50, 0)).unwrap();
    assert!(tap.hears(is_advert));
}

#[test]
fn adverts_of_ipv6_renew_and_close_their_own_lease_only() {
    let mut claims = claims(&["10.0.0.1/24"], SHORT);
    claims.routers.push(router("lan2", Family::V6, 50));
    claims
        .addresses
        .push(address("lan2", "fe80::1/64", Some(1)));
    let Some((net, mut kernel)) = installed(claims) else {
        return;
    };
    let mac = mac_of(&net, "lan2");
    kernel.open_lease("office").unwrap();
    if !keeps_sending(&advert(mac, Family::V6, 50, 100), SHORT) {
        return;
    }
    assert!(
        send(&advert(mac, Family::V4, 50, 100)).is_err(),
        "nobody renewed IPv4"
    );
    assert!(
        send(&advert(mac, Family::V6, 50, 100)).is_ok(),
        "IPv6 was renewed"
    );
}

#[test]
fn vrrp_of_others_passes_untouched() {
    let Some((net, _kernel)) = installed(claims(&["10.0.0.1/24"], LONG)) else {
        return;
    };
    let tap = net.tap();
    send(&advert(mac_of(&net, "lan2"), Family::V4, 51, 100)).unwrap();
    assert!(tap.hears(|frame| is_advert(frame) && frame[35] == 51));
    // Also from the virtual MAC of a router that is not ours.
    send(&advert([0, 0, 0x5e, 0, 1, 51], Family::V4, 51, 100)).unwrap();
    assert!(tap.hears(|frame| is_advert(frame) && frame[35] == 51));
    send(&advert(mac_of(&net, "lan2"), Family::V6, 50, 100)).unwrap();
    assert!(tap.hears(|frame| frame[12..14] == [0x86, 0xdd] && frame[20] == 112));
}

#[test]
fn a_virtual_mac_is_silent_until_active_and_alone_answers_then() {
    let mut claims = claims(&["10.0.0.1/24"], LONG);
    claims.routers[0].vmac = true;
    claims.routers.push(router("lan2", Family::V6, 50));
    claims.routers[1].vmac = true;
    claims
        .addresses
        .push(address("lan2", "fe80::1/64", Some(1)));
    claims
        .addresses
        .push(address("lan2", "2001:db8::1/64", Some(1)));
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

    kernel.open_lease("office").unwrap();
    kernel.install("office").unwrap();
    assert!(tap.hears(virtual_mac), "nothing was announced");
    assert!(net.pings("10.0.0.1"));
    assert!(net.pings("fe80::1%peer"));
    assert!(net.pings("2001:db8::1"));
    let neighbours = net.inside(|| {
        let output = std::process::Command::new("ip")
            .args(["neigh", "show"])
            .output()
            .unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    });
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
    // And one answer for the virtual one, by the virtual MAC.
    tap.send(&arp_request([10, 0, 0, 1]));
    let replies = tap.frames(Duration::from_millis(300));
    let macs: Vec<&[u8]> = replies
        .iter()
        .filter(|frame| is_arp_reply_from(frame, [10, 0, 0, 1]))
        .map(|frame| &frame[6..12])
        .collect();
    assert_eq!(macs, [VMAC4]);
    assert!(kernel.counts().fence.wrong_mac > 0);

    kernel.close_lease("office").unwrap();
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
fn what_the_node_sends_from_a_virtual_address_reaches_who_it_never_heard_of() {
    let mut claims = claims(&["10.0.0.1/24"], LONG);
    claims.routers[0].vmac = true;
    let Some((net, mut kernel)) = installed(claims) else {
        return;
    };
    kernel.open_lease("office").unwrap();
    assert!(
        net.output("ping", "-c1 -W1 -I 10.0.0.1 10.0.0.3")
            .contains(" 1 received")
    );
}

#[test]
fn addresses_that_are_not_accepted_are_learned_but_not_reached() {
    let mut claims = claims(&["10.0.0.1/24"], LONG);
    claims.routers[0].accept = false;
    claims.routers.push(router("lan2", Family::V6, 50));
    claims.routers[1].accept = false;
    claims
        .addresses
        .push(address("lan2", "fe80::1/64", Some(1)));
    let Some((net, mut kernel)) = installed(claims) else {
        return;
    };
    kernel.open_lease("office").unwrap();
    let tap = net.tap();
    tap.send(&arp_request([10, 0, 0, 1]));
    assert!(tap.hears(|frame| is_arp_reply_from(frame, [10, 0, 0, 1])));
    assert!(net.ignores("10.0.0.1"));
    assert!(net.ignores("fe80::1%peer"));
    let advertised =
        |frame: &[u8]| frame[12..14] == [0x86, 0xdd] && frame[20] == 58 && frame[54] == 136;
    let neighbours = net.inside(|| {
        let output = std::process::Command::new("ip")
            .args(["neigh", "show"])
            .output()
            .unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    });
    let learned = neighbours
        .lines()
        .any(|l| l.starts_with("fe80::1 ") && l.contains("lladdr"));
    assert!(learned || tap.hears(advertised), "{neighbours}");
    assert!(kernel.counts().fence.not_accepted >= 2);
}

#[test]
fn the_host_may_die_and_the_fence_still_closes() {
    let Some((net, mut kernel)) = installed(claims(&["10.0.0.1/24"], SHORT)) else {
        return;
    };
    kernel.open_lease("office").unwrap();
    // No close(): as after SIGKILL, only descriptors are closed.
    drop(kernel);
    std::thread::sleep(SHORT * 2);
    assert!(net.output("ip", "addr show lan2").contains("10.0.0.1/24"));
    assert!(net.output("nft", "list tables").contains("netdev spared"));
    assert!(!net.output("nft", "list tables").contains("spared-mirror"));
    assert!(net.ignores("10.0.0.1"));
}

#[test]
fn a_flush_under_traffic_is_fenced_again_within_50_ms_and_the_active_stays_active() {
    let Some((net, mut kernel)) = installed(claims(&["10.0.0.1/24"], LONG)) else {
        return;
    };
    let frame = advert(mac_of(&net, "lan2"), Family::V4, 50, 100);
    kernel.open_lease("office").unwrap();
    let mut times = Vec::new();
    for _ in 0..5 {
        let _ = send(&frame);
        assert_eq!(net.output("nft", "flush ruleset"), "");
        let events = drive_until(&mut kernel, |_, events| {
            events
                .iter()
                .any(|event| matches!(event, KernelEvent::Fenced { .. }))
        });
        assert!(
            events
                .iter()
                .any(|event| matches!(event, KernelEvent::Unfenced { .. }))
        );
        times.extend(events.iter().filter_map(|event| match event {
            KernelEvent::Fenced { after } => Some(*after),
            _ => None,
        }));
        assert!(
            send(&frame).is_ok(),
            "the active one lost its lease with the flush"
        );
    }
    times.sort();
    println!("fenced again after {times:?}");
    // The machine may stall now and then.
    assert!(times[2] < Duration::from_millis(50), "{times:?}");
    assert_eq!(kernel.fence_status("office"), FenceState::Held);
    assert!(net.pings("10.0.0.1"));
    assert_eq!(kernel.counts().refenced, 5);
}

#[test]
fn leases_are_closed_and_opened_also_before_the_notice_of_a_flush_is_read() {
    let Some((net, mut kernel)) = installed(claims(&["10.0.0.1/24"], LONG)) else {
        return;
    };
    kernel.open_lease("office").unwrap();
    net.output("nft", "flush ruleset");
    kernel.close_lease("office").unwrap();
    assert_eq!(kernel.fence_status("office"), FenceState::Closed);
    net.output("nft", "flush ruleset");
    kernel.open_lease("office").unwrap();
    assert_eq!(kernel.fence_status("office"), FenceState::Held);
    net.output("nft", "flush ruleset");
    drive_until(&mut kernel, |kernel, _| {
        kernel.fence_status("office") == FenceState::Held
    });
    net.output("nft", "flush ruleset");
    kernel.close_lease("office").unwrap();
    net.output("nft", "flush ruleset");
    drive_for(&mut kernel, Duration::from_millis(100));
    assert_eq!(kernel.fence_status("office"), FenceState::Closed);
    assert!(net.ignores("10.0.0.1"));
}

#[test]
fn without_a_mirror_a_flush_leaves_the_fence_closed() {
    let Some(net) = Net::new() else { return };
    net.station_ip("addr add 10.0.0.3/24 dev peer");
    // Somebody else has the name.
    assert_eq!(net.output("nft", "add table netdev spared-mirror"), "");
    let mut kernel = Kernel::open().unwrap();
    kernel
        .claim("office", claims(&["10.0.0.1/24"], LONG))
        .unwrap();
    kernel.open_lease("office").unwrap();
    kernel.install("office").unwrap();
    assert!(net.pings("10.0.0.1"));
    net.output("nft", "delete table netdev spared");
    drive_until(&mut kernel, |_, events| {
        events
            .iter()
            .any(|event| matches!(event, KernelEvent::Fenced { .. }))
    });
    assert_eq!(kernel.fence_status("office"), FenceState::Closed);
    assert!(net.ignores("10.0.0.1"));
    kernel.close();
    assert_eq!(
        net.output("nft", "list tables").trim(),
        "table netdev spared-mirror"
    );
}

#[test]
fn a_flush_gives_a_dead_elector_no_time() {
    let lease = Duration::from_millis(600);
    let Some((net, mut kernel)) = installed(claims(&["10.0.0.1/24"], lease)) else {
        return;
    };
    kernel.open_lease("office").unwrap();
    let opened = Instant::now();
    // Nobody sends adverts. Again and again somebody flushes.
    while opened.elapsed() < lease + Duration::from_millis(100) {
        net.output("nft", "flush ruleset");
        drive_until(&mut kernel, |_, events| {
            events
                .iter()
                .any(|event| matches!(event, KernelEvent::Fenced { .. }))
        });
    }
    assert_eq!(kernel.fence_status("office"), FenceState::Closed);
    assert!(net.ignores("10.0.0.1"));
}

#[test]
fn a_rule_that_somebody_deletes_comes_back() {
    let Some((net, mut kernel)) = installed(claims(&["10.0.0.1/24"], LONG)) else {
        return;
    };
    kernel.open_lease("office").unwrap();
    for tampering in [
        "flush chain netdev spared ingress",
        "flush set netdev spared own4",
        "delete chain netdev spared in-lan2",
        "flush map netdev spared guard4",
        "delete table netdev spared",
        "add table netdev spared { flags dormant; }",
    ] {
        let before = net.output("nft", "-s list table netdev spared");
        assert_eq!(net.output("nft", tampering), "", "{tampering}");
        drive_until(&mut kernel, |_, events| {
            events
                .iter()
                .any(|event| matches!(event, KernelEvent::Fenced { .. }))
        });
        let normal = |text: String| {
            let mut lines: Vec<String> = text
                .lines()
                .filter(|line| !line.contains("elements = { 0x"))
                .map(str::to_owned)
                .collect();
            lines.sort();
            lines
        };
        let after = net.output("nft", "-s list table netdev spared");
        assert_eq!(normal(after), normal(before), "{tampering}");
        assert_eq!(
            kernel.fence_status("office"),
            FenceState::Held,
            "{tampering}"
        );
    }
}

#[test]
fn tables_of_others_are_nobody_of_ours_business() {
    let Some((net, mut kernel)) = installed(claims(&["10.0.0.1/24"], LONG)) else {
        return;
    };
    drive_for(&mut kernel, Duration::from_millis(50));
    net.output("nft", "add table inet filter");
    net.output("nft", "add set inet filter lease { type mark; }");
    net.output("nft", "add table netdev other");
    net.output("nft", "delete table inet filter");
    let events = drive_for(&mut kernel, Duration::from_millis(200));
    assert!(events.is_empty(), "{events:?}");
    kernel.close();
    assert_eq!(
        net.output("nft", "list tables").trim(),
        "table netdev other"
    );
}

#[test]
fn nft_lists_the_whole_ruleset_in_words() {
    let mut claims = claims(&["10.0.0.1/24"], LONG);
    claims.routers[0].vmac = true;
    claims.routers[0].accept = false;
    claims.routers.push(router("lan2", Family::V6, 50));
    claims
        .addresses
        .push(address("lan2", "fe80::1/64", Some(1)));
    claims
        .addresses
        .push(address("lan2", "2001:db8::1/64", Some(1)));
    let Some((net, mut kernel)) = installed(claims) else {
        return;
    };
    kernel.open_lease("office").unwrap();
    let listed = net.output("nft", "list ruleset");
    for words in [
        "10.0.0.1 : jump guard-lan2-50",
        "\"lan2\" . 00:00:5e:00:01:32 : jump guard-lan2-50",
        "ip daddr vmap @guard4 comment \"IPv4 to an address\"",
        "counter name \"adverts\" accept comment \"renews\"",
        "type filter hook egress device \"lan2\"",
        "@carry jump refuse comment \"no lease\"",
        "oif . @ll,48,48 @virtual jump refuse",
    ] {
        assert!(listed.contains(words), "{words}: {listed}");
    }
    assert!(!listed.contains("invalid type"), "{listed}");
}

#[test]
fn a_claim_that_changes_keeps_the_lease_and_the_counters() {
    let Some((net, mut kernel)) = installed(claims(&["10.0.0.1/24"], LONG)) else {
        return;
    };
    kernel.open_lease("office").unwrap();
    send(&advert(mac_of(&net, "lan2"), Family::V4, 50, 100)).unwrap();
    kernel
        .claim("office", claims(&["10.0.0.1/24", "10.0.0.9/24"], LONG))
        .unwrap();
    assert_eq!(kernel.fence_status("office"), FenceState::Held);
    assert!(net.pings("10.0.0.1"));
    assert!(net.pings("10.0.0.9"));
    assert_eq!(kernel.counts().fence.adverts, 1);
    kernel
        .claim("office", claims(&["10.0.0.9/24"], LONG))
        .unwrap();
    assert!(!net.output("ip", "addr").contains("10.0.0.1/24"));
    assert!(net.pings("10.0.0.9"));
}

#[test]
fn routers_of_one_group_have_leases_of_their_own() {
    let Some(net) = Net::new() else { return };
    net.add_link("lan3", "peer3");
    let mut claims = claims(&["10.0.0.1/24"], LONG);
    claims.routers.push(router("lan3", Family::V4, 50));
    claims
        .addresses
        .push(address("lan3", "10.0.1.1/24", Some(1)));
    net.station_ip("addr add 10.0.0.3/24 dev peer");
    net.station_ip("addr add 10.0.1.3/24 dev peer3");
    let mut kernel = Kernel::open().unwrap();
    kernel.claim("office", claims).unwrap();
    kernel.open_lease("office").unwrap();
    kernel.install("office").unwrap();
    assert!(net.pings("10.0.0.1") && net.pings("10.0.1.1"));
    kernel.follow("lan3", 0).unwrap();
    let carrier = |kernel: &Kernel| kernel.interface("lan3").unwrap().0.carrier;
    net.station_ip("link set peer3 down");
    drive_until(&mut kernel, |kernel, _| !carrier(kernel));
    assert!(net.pings("10.0.0.1"), "the other interface goes on");
    assert_eq!(kernel.fence_status("office"), FenceState::Held);
    // With the carrier back, only what was closed for it is opened.
    net.station_ip("link set peer3 up");
    drive_until(&mut kernel, |kernel, _| carrier(kernel));
    assert!(net.ignores("10.0.1.1"), "nobody asked for the lease yet");
    kernel.open_lease("office").unwrap();
    assert!(net.pings("10.0.1.1"));
}

#[test]
fn frames_of_a_vlan_are_judged_by_the_vlans_own_lease() {
    let Some(net) = Net::new() else { return };
    let vlan = |namespace: &str, parent: &str| {
        let link = format!("{parent}.5 type vlan id 5");
        let arguments = format!("-n {namespace} link add link {parent} name {link}");
        let output = std::process::Command::new("ip")
            .args(arguments.split(' '))
            .output()
            .unwrap();
        output.status.success()
    };
    if !vlan(&net.router, "lan2") || !vlan(&net.station, "peer") {
        return eprintln!("skipped: this kernel has no VLANs");
    }
    net.ip("link set lan2.5 up");
    net.station_ip("link set peer.5 up");
    net.station_ip("addr add fe80::3/64 dev peer nodad");
    net.station_ip("addr add fe80::3/64 dev peer.5 nodad");
    let mut kernel = Kernel::open().unwrap();
    for (group, interface) in [("plain", "lan2"), ("tagged", "lan2.5")] {
        let claims = Claims {
            routers: vec![router(interface, Family::V6, 50)],
            addresses: vec![address(interface, "fe80::1/64", Some(0))],
            lease_ns: LONG.as_nanos() as u64,
            ..Claims::default()
        };
        kernel.claim(group, claims).unwrap();
        kernel.install(group).unwrap();
    }
    kernel.open_lease("tagged").unwrap();
    assert!(net.pings("fe80::1%peer.5"));
    assert!(net.ignores("fe80::1%peer"));
    kernel.close_lease("tagged").unwrap();
    kernel.open_lease("plain").unwrap();
    assert!(net.ignores("fe80::1%peer.5"));
    assert!(net.pings("fe80::1%peer"));
}

#[test]
fn two_groups_on_one_interface_have_leases_and_lease_times_of_their_own() {
    let Some(net) = Net::new() else { return };
    net.station_ip("addr add 10.0.0.3/24 dev peer");
    let mut kernel = Kernel::open().unwrap();
    kernel
        .claim("office", claims(&["10.0.0.1/24"], LONG))
        .unwrap();
    let mut branch = claims(&["10.0.0.9/24"], SHORT);
    branch.routers[0].vrid = 51;
    kernel.claim("branch", branch).unwrap();
    for group in ["office", "branch"] {
        kernel.install(group).unwrap();
        kernel.open_lease(group).unwrap();
    }
    let mac = mac_of(&net, "lan2");
    let _ = send(&advert(mac, Family::V4, 50, 100));
    let _ = send(&advert(mac, Family::V4, 51, 100));
    std::thread::sleep(SHORT * 2);
    assert_eq!(kernel.fence_status("office"), FenceState::Held);
    assert_eq!(kernel.fence_status("branch"), FenceState::Closed);
    assert!(net.pings("10.0.0.1"));
    assert!(net.ignores("10.0.0.9"));
    kernel.release("office");
    assert_eq!(drive_for(&mut kernel, Duration::from_millis(100)), []);
    assert!(net.ignores("10.0.0.1"));
    assert!(!net.output("nft", "list ruleset").contains("10.0.0.1"));
    assert!(net.output("nft", "list ruleset").contains("10.0.0.9"));
}

#[test]
fn what_asks_for_a_closed_address_does_not_even_come_in() {
    let mut claims = claims(&["10.0.0.1/24"], LONG);
    claims.routers.push(router("lan2", Family::V6, 50));
    claims
        .addresses
        .push(address("lan2", "fe80::1/64", Some(1)));
    claims
        .addresses
        .push(address("lan2", "2001:db8::1/64", Some(1)));
    let Some((net, mut kernel)) = installed(claims) else {
        return;
    };
    let tap = net.tap();
    let ask = || {
        tap.send(&arp_request([10, 0, 0, 1]));
        tap.send(&solicitation("fe80::33", "fe80::1", [2, 0, 0, 0, 0, 0x33]));
        tap.send(&solicitation(
            "2001:db8::34",
            "2001:db8::1",
            [2, 0, 0, 0, 0, 0x34],
        ));
        std::thread::sleep(Duration::from_millis(100));
        net.output("ip", "neigh show dev lan2")
    };
    // The kernel notes who asks it, before it answers.
    let closed = ask();
    for asker in ["10.0.0.3 ", "fe80::33 ", "2001:db8::34 "] {
        assert!(!closed.contains(asker), "{asker} came in: {closed}");
    }
    kernel.open_lease("office").unwrap();
    let open = ask();
    for asker in ["10.0.0.3 ", "fe80::33 ", "2001:db8::34 "] {
        assert!(open.contains(asker), "{asker} did not come in: {open}");
    }
}

#[test]
fn no_neighbour_message_about_a_closed_ipv6_address_leaves() {
    let claims = claims(&["fe80::1/64", "2001:db8::1/64"], LONG);
    let Some((_net, mut kernel)) = installed(claims) else {
        return;
    };
    let mac = [2, 0, 0, 0, 0, 1];
    for address in ["fe80::1", "2001:db8::1"] {
        let detection = solicitation("::", address, mac);
        let mut advertisement = solicitation("fe80::2", address, mac);
        advertisement[54] = 136;
        let from = solicitation(address, "fe80::3", mac);
        let question = solicitation("fe80::2", address, mac);
        for frame in [&detection, &advertisement, &from] {
            kernel.close_lease("office").unwrap();
            assert!(send(frame).is_err(), "{address}: leaves without a lease");
            kernel.open_lease("office").unwrap();
            assert!(
                send(frame).is_ok(),
                "{address}: does not leave with a lease"
            );
        }
        kernel.close_lease("office").unwrap();
        assert!(
            send(&question).is_ok(),
            "a backup may ask who has {address}"
        );
    }
}

#[test]
fn adverts_of_any_router_keep_the_addresses_that_follow_the_group() {
    let lease = Duration::from_secs(1);
    let mut claims = claims(&["10.0.0.1/24"], lease);
    claims.addresses.push(address("lan2", "10.0.0.77/32", None));
    let Some((net, mut kernel)) = installed(claims) else {
        return;
    };
    kernel.open_lease("office").unwrap();
    let frame = advert(mac_of(&net, "lan2"), Family::V4, 50, 100);
    if !keeps_sending(&frame, lease) {
        return;
    }
    let leases = net.output("nft", "list set netdev spared lease");
    // The group's lease, and the router's.
    assert_eq!(leases.matches("expires").count(), 2, "{leases}");
    std::thread::sleep(lease * 2);
    let leases = net.output("nft", "list set netdev spared lease");
    assert_eq!(leases.matches("expires").count(), 0, "{leases}");
}

#[test]
fn a_backup_learns_from_the_announcements_of_the_active_router() {
    let Some(net) = Net::new() else { return };
    net.ip("addr add 10.0.0.2/24 dev lan2");
    let mut kernel = Kernel::open().unwrap();
    kernel
        .claim("office", claims(&["10.0.0.1/24"], LONG))
        .unwrap();
    net.ip("neigh add 10.0.0.1 lladdr 02:00:00:00:00:aa dev lan2 nud stale");
    let mac = [2, 0, 0, 0, 0, 0xbb];
    let vip = [10, 0, 0, 1];
    let arp = [0, 1, 8, 0, 6, 4, 0, 1];
    net.tap()
        .send(&[&[0xff; 6][..], &mac, &[8, 6], &arp, &mac, &vip, &mac, &vip].concat());
    std::thread::sleep(Duration::from_millis(100));
    let neighbours = net.output("ip", "neigh show 10.0.0.1");
    assert!(neighbours.contains("02:00:00:00:00:bb"), "{neighbours}");
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
    kernel.open_lease("office").unwrap();
    tap.send(&frame);
    assert!(
        tap.hears(is_reply),
        "the active one does not carry frames to the virtual MAC"
    );
    kernel.close_lease("office").unwrap();
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
    kernel.open_lease("office").unwrap();
    for (mac, may) in [(mac_of(&net, "lan2"), false), (VMAC6, true)] {
        let mut answer = solicitation("fe80::2", "fe80::1", mac);
        answer[54] = 136;
        assert_eq!(send(&answer).is_ok(), may, "{mac:x?}");
    }
}

#[test]
fn what_is_forwarded_from_a_closed_address_does_not_leave() {
    let Some((net, mut kernel)) = installed(claims(&["10.0.0.1/24"], LONG)) else {
        return;
    };
    let header = [
        0x45, 0, 0, 20, 0, 0, 0, 0, 64, 253, 0, 0, 10, 0, 0, 1, 10, 0, 0, 3,
    ];
    let frame = [
        &[0xff; 6][..],
        &mac_of(&net, "lan2"),
        &[8, 0],
        &header,
        &[0; 26],
    ]
    .concat();
    assert!(send(&frame).is_err());
    kernel.open_lease("office").unwrap();
    assert!(send(&frame).is_ok());
}

#[test]
fn frames_from_the_virtual_mac_leave_only_while_the_lease_lives() {
    let mut claims = claims(&["10.0.0.1/24"], LONG);
    claims.routers[0].vmac = true;
    let Some((_net, mut kernel)) = installed(claims) else {
        return;
    };
    // Of no protocol that the fence knows: a switch would learn from it all the same.
    let frame = [&[0xff; 6][..], &VMAC4, &[0x88, 0xb5], &[0; 46]].concat();
    assert!(send(&frame).is_err());
    kernel.open_lease("office").unwrap();
    assert!(send(&frame).is_ok());
}

#[test]
fn packets_to_a_closed_address_reach_no_socket() {
    let mut claims = claims(&["10.0.0.1/24"], LONG);
    claims.routers.push(router("lan2", Family::V6, 50));
    claims
        .addresses
        .push(address("lan2", "2001:db8::1/64", Some(1)));
    let Some((net, mut kernel)) = installed(claims) else {
        return;
    };
    let mac = net.output("cat", "/sys/class/net/lan2/address");
    for address in ["10.0.0.1", "2001:db8::1"] {
        net.station_ip(&format!(
            "neigh replace {address} lladdr {} dev peer",
            mac.trim()
        ));
    }
    net.station_ip("addr add 2001:db8::3/64 dev peer nodad");
    for (bind, to) in [
        ("0.0.0.0:5555", "10.0.0.1:5555"),
        ("[::]:5556", "[2001:db8::1]:5556"),
    ] {
        let socket = std::net::UdpSocket::bind(bind).unwrap();
        socket
            .set_read_timeout(Some(Duration::from_millis(200)))
            .unwrap();
        let sender = net.inside(|| {
            std::net::UdpSocket::bind(bind.replace("5555", "0").replace("5556", "0")).unwrap()
        });
        let arrives = || {
            sender.send_to(b"hello", to).unwrap();
            socket.recv(&mut [0; 16]).is_ok()
        };
        kernel.close_lease("office").unwrap();
        assert!(!arrives(), "{to}: reached through a closed fence");
        kernel.open_lease("office").unwrap();
        assert!(arrives(), "{to}: not reached through an open fence");
    }
}
