//! Tests changes of the ruleset by others: the fence is restored, and leaves their rules alone.

use std::time::{Duration, Instant};

use spared_contract::Family;
use spared_kernel::{FenceState, Kernel, KernelEvent};

use crate::lab::*;

/// Drives the kernel until it has restored its tables.
fn until_fenced(kernel: &mut Kernel) -> Vec<KernelEvent> {
    drive_until(kernel, |_, events| {
        let mut events = events.iter();
        events.any(|event| matches!(event, KernelEvent::FenceRestored(_)))
    })
}

#[test]
fn a_flush_under_traffic_is_fenced_again_within_50_ms_and_the_active_stays_active() {
    let Some((net, mut kernel)) = installed(claims(&["10.0.0.1/24"], LONG)) else {
        return;
    };
    let frame = advert(mac_of(&net, "lan2"), Family::V4, 50, 100);
    kernel.grant_lease("office").unwrap();
    let mut times = Vec::new();
    for _ in 0..5 {
        let _ = send(&frame);
        assert_eq!(net.output("nft", "flush ruleset"), "");
        let events = until_fenced(&mut kernel);
        assert!(
            events
                .iter()
                .any(|event| matches!(event, KernelEvent::FenceMissing(_)))
        );
        times.extend(events.iter().filter_map(|event| match event {
            KernelEvent::FenceRestored(after) => Some(*after),
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
    assert_eq!(kernel.fence_status("office"), FenceState::Passing);
    assert!(net.pings("10.0.0.1"));
    assert_eq!(kernel.counts().refenced, 5);
}

#[test]
fn leases_are_closed_and_opened_also_before_the_notice_of_a_flush_is_read() {
    let Some((net, mut kernel)) = installed(claims(&["10.0.0.1/24"], LONG)) else {
        return;
    };
    kernel.grant_lease("office").unwrap();
    net.output("nft", "flush ruleset");
    kernel.revoke_lease("office").unwrap();
    assert_eq!(kernel.fence_status("office"), FenceState::Blocking);
    net.output("nft", "flush ruleset");
    kernel.grant_lease("office").unwrap();
    assert_eq!(kernel.fence_status("office"), FenceState::Passing);
    net.output("nft", "flush ruleset");
    drive_until(&mut kernel, |kernel, _| {
        kernel.fence_status("office") == FenceState::Passing
    });
    net.output("nft", "flush ruleset");
    kernel.revoke_lease("office").unwrap();
    net.output("nft", "flush ruleset");
    drive_for(&mut kernel, Duration::from_millis(100));
    assert_eq!(kernel.fence_status("office"), FenceState::Blocking);
    assert!(net.ignores("10.0.0.1"));
}

#[test]
fn without_a_mirror_a_flush_leaves_the_fence_closed() {
    let Some(net) = Net::new() else { return };
    net.station_ip("addr add 10.0.0.3/24 dev peer");
    // Another program has a table of this name.
    assert_eq!(net.output("nft", "add table netdev spared-mirror"), "");
    let mut kernel = Kernel::open().unwrap();
    kernel
        .claim("office", claims(&["10.0.0.1/24"], LONG))
        .unwrap();
    kernel.grant_lease("office").unwrap();
    kernel.install("office").unwrap();
    assert!(net.pings("10.0.0.1"));
    net.output("nft", "delete table netdev spared");
    until_fenced(&mut kernel);
    assert_eq!(kernel.fence_status("office"), FenceState::Blocking);
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
    kernel.grant_lease("office").unwrap();
    let opened = Instant::now();
    // Nobody sends adverts, and another program flushes the ruleset repeatedly.
    while opened.elapsed() < lease + Duration::from_millis(100) {
        net.output("nft", "flush ruleset");
        until_fenced(&mut kernel);
    }
    assert_eq!(kernel.fence_status("office"), FenceState::Blocking);
    assert!(net.ignores("10.0.0.1"));
}

/// True if the line shows a lease, whose remaining time changes. Newer versions of nft break lists
/// into lines.
fn is_lease(line: &str) -> bool {
    line.contains("elements = { 0x") || line.trim_start().starts_with("0x")
}

#[test]
fn a_rule_that_somebody_deletes_comes_back() {
    let Some((net, mut kernel)) = installed(claims(&["10.0.0.1/24"], LONG)) else {
        return;
    };
    kernel.grant_lease("office").unwrap();
    for tampering in [
        "flush chain netdev spared ingress",
        "flush set netdev spared own4",
        &format!("delete chain netdev spared in-lan2-{}", index_of("lan2")),
        "flush map netdev spared guard4",
        "delete table netdev spared",
        "add table netdev spared { flags dormant; }",
    ] {
        let before = net.output("nft", "-s list table netdev spared");
        assert_eq!(net.output("nft", tampering), "", "{tampering}");
        until_fenced(&mut kernel);
        let normal = |text: String| {
            let mut lines: Vec<String> = text
                .lines()
                .filter(|line| !is_lease(line))
                .map(str::to_owned)
                .collect();
            lines.sort();
            lines
        };
        let after = net.output("nft", "-s list table netdev spared");
        assert_eq!(normal(after), normal(before), "{tampering}");
        assert_eq!(
            kernel.fence_status("office"),
            FenceState::Passing,
            "{tampering}"
        );
    }
}

#[test]
fn a_fence_that_somebody_makes_dormant_is_missing_until_it_blocks_again() {
    let Some((net, mut kernel)) = installed(claims(&["10.0.0.1/24"], LONG)) else {
        return;
    };
    assert!(net.ignores("10.0.0.1"));
    let tampering = "add table netdev spared { flags dormant; }";
    assert_eq!(net.output("nft", tampering), "");
    assert_eq!(kernel.fence_status("office"), FenceState::Missing);
    assert!(net.pings("10.0.0.1"));
    until_fenced(&mut kernel);
    assert_eq!(kernel.fence_status("office"), FenceState::Blocking);
    assert!(net.ignores("10.0.0.1"));
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

/// Tables for unknown devices, without what changes by itself.
fn guards(net: &Net) -> String {
    ["arp", "inet"]
        .map(|family| net.output("nft", &format!("-s list table {family} spared-unknown")))
        .concat()
}

#[test]
fn the_guards_for_unknown_devices_that_somebody_flushes_come_back_and_no_role_is_lost() {
    let Some((net, mut kernel)) = installed(claims(&["10.0.0.1/24"], LONG)) else {
        return;
    };
    kernel.grant_lease("office").unwrap();
    drive_for(&mut kernel, Duration::from_millis(50));
    let before = guards(&net);
    assert!(before.contains("10.0.0.1"), "{before}");
    for tampering in [
        "flush ruleset inet",
        "flush ruleset arp",
        "delete table inet spared-unknown",
        "flush chain arp spared-unknown input",
    ] {
        assert_eq!(net.output("nft", tampering), "", "{tampering}");
        assert_ne!(guards(&net), before, "{tampering}");
        let mut told = Vec::new();
        drive_until(&mut kernel, |_, events| {
            told = events.to_vec();
            guards(&net) == before
        });
        assert_eq!(told, [], "{tampering}");
        assert_eq!(
            kernel.fence_status("office"),
            FenceState::Passing,
            "{tampering}"
        );
    }
    assert!(net.pings("10.0.0.1"));
    // elements that the kernel adds itself, as if another program did
    net.output("nft", "add element inet spared-unknown renamed { \"lo\" }");
    let listed = || net.output("nft", "list set inet spared-unknown renamed");
    let there = listed();
    drive_for(&mut kernel, Duration::from_millis(100));
    assert_eq!(listed(), there);
}

#[test]
fn a_fence_that_could_not_be_emptied_with_the_last_group_is_emptied_later() {
    let Some((net, mut kernel)) = installed(claims(&["10.0.0.1/24"], LONG)) else {
        return;
    };
    let is_guarded = || net.output("nft", "list ruleset").contains("10.0.0.1");
    while_refused(|| kernel.release_all(&["office"]));
    assert!(is_guarded());
    kernel.handle_timeout(Instant::now() + Duration::from_secs(2));
    assert!(!is_guarded(), "{}", net.output("nft", "list ruleset"));
}

#[test]
fn nft_lists_the_whole_ruleset_in_words() {
    let mut claims = claims(&["10.0.0.1/24", "fe80::1/64", "2001:db8::1/64"], LONG);
    claims.routers[0].vmac = true;
    claims.routers[0].accept = false;
    let Some((net, mut kernel)) = installed(claims) else {
        return;
    };
    kernel.grant_lease("office").unwrap();
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
