//! Tests addresses, routes and virtual-MAC devices: installed, kept, restored, removed.

use std::time::{Duration, Instant};

use spared_contract::{Claims, Family, RouteClaim, SocketKind};
use spared_kernel::{Kernel, KernelEvent};

use crate::lab::*;

const LEASE: Duration = Duration::from_secs(30);

fn active(net: &Net, claims: Claims) -> Kernel {
    net.ip("addr add 10.0.0.2/24 dev lan2");
    let mut kernel = Kernel::open().unwrap();
    kernel.follow("lan2", 1).unwrap();
    kernel.claim("office", claims).unwrap();
    kernel.grant_lease("office").unwrap();
    let installed = kernel.install("office").unwrap();
    assert!(installed.failures.is_empty(), "{:?}", installed.failures);
    drive_for(&mut kernel, Duration::from_millis(50));
    kernel
}

fn restored(events: &[KernelEvent]) -> usize {
    events
        .iter()
        .filter(|event| matches!(event, KernelEvent::Restored { .. }))
        .count()
}

#[test]
fn an_address_that_somebody_deletes_is_put_back_at_once_and_announced() {
    let Some(net) = Net::new() else { return };
    let mut kernel = active(&net, claims(&["10.0.0.1/24"], LEASE));
    let tap = net.tap();
    net.ip("addr del 10.0.0.1/24 dev lan2");
    let events = drive_until(&mut kernel, |_, events| restored(events) > 0);
    assert_eq!(
        events,
        [KernelEvent::Restored {
            group: "office".into(),
            address: "10.0.0.1/24".into(),
            interface: "lan2".into(),
            count: 1
        }]
    );
    assert!(net.output("ip", "addr show lan2").contains("10.0.0.1/24"));
    assert!(tap.hears(|frame| frame[12..14] == [8, 6] && frame[38..42] == [10, 0, 0, 1]));
    let status = kernel.address_status("office");
    assert_eq!((status[0].present, status[0].restored), (true, 1));
}

#[test]
fn an_address_whose_local_route_somebody_deletes_is_put_back_with_it() {
    let Some(net) = Net::new() else { return };
    let mut kernel = active(&net, claims(&["10.0.0.1/24"], LEASE));
    let route = |net: &Net| net.output("ip", "route show table local 10.0.0.1");
    assert!(!route(&net).is_empty());
    net.ip("route del local 10.0.0.1 dev lan2 table local");
    let events = drive_until(&mut kernel, |_, events| restored(events) > 0);
    assert_eq!(restored(&events), 1, "{events:?}");
    assert!(route(&net).starts_with("local 10.0.0.1"), "{}", route(&net));
    // a route that the kernel deletes with its address was not deleted by another program
    net.ip("addr add 10.0.0.9/24 dev lan2");
    net.ip("addr del 10.0.0.9/24 dev lan2");
    let events = drive_for(&mut kernel, Duration::from_millis(100));
    assert_eq!(restored(&events), 0, "{events:?}");
}

#[test]
fn an_ipv6_address_whose_local_route_somebody_deletes_is_put_back_with_it() {
    let Some(net) = Net::new() else { return };
    let mut kernel = active(&net, claims(&["fe80::1/64", "2001:db8::1/64"], LEASE));
    net.ip("-6 route del local 2001:db8::1 dev lan2 table local");
    let mut events = drive_until(&mut kernel, |_, events| restored(events) > 0);
    // the kernel adds the local route of an IPv6 address from a work queue
    events.extend(drive_until(&mut kernel, |_, _| {
        let shown = net.output("ip", "-6 route show table local 2001:db8::1");
        shown.starts_with("local 2001:db8::1")
    }));
    assert_eq!(restored(&events), 1, "{events:?}");
}

#[test]
fn an_ipv6_address_that_somebody_deletes_is_put_back_without_detection_and_unpreferred() {
    let Some(net) = Net::new() else { return };
    let mut kernel = active(&net, claims(&["fe80::1/64", "2001:db8::1/64"], LEASE));
    net.ip("addr del 2001:db8::1/64 dev lan2");
    drive_until(&mut kernel, |_, events| restored(events) > 0);
    let shown = net.output("ip", "-6 addr show lan2");
    let line = shown
        .lines()
        .find(|line| line.contains("2001:db8::1/64"))
        .unwrap_or_default();
    assert!(
        line.contains("nodad") && line.contains("deprecated"),
        "{shown}"
    );
    assert!(!shown.contains("tentative"), "{shown}");
}

#[test]
fn an_address_that_is_deleted_again_and_again_is_contested() {
    let Some(net) = Net::new() else { return };
    let mut kernel = active(&net, claims(&["10.0.0.1/24"], LEASE));
    for _ in 0..5 {
        net.ip("addr del 10.0.0.1/24 dev lan2");
        let events = drive_until(&mut kernel, |_, events| restored(events) > 0);
        assert!(
            !events
                .iter()
                .any(|event| matches!(event, KernelEvent::Contested { .. }))
        );
        // an earlier deletion would belong to the same flush
        drive_for(&mut kernel, Duration::from_millis(110));
    }
    net.ip("addr del 10.0.0.1/24 dev lan2");
    let events = drive_until(&mut kernel, |_, events| !events.is_empty());
    assert_eq!(
        events,
        [KernelEvent::Contested {
            group: "office".into(),
            why: "another program keeps deleting 10.0.0.1".into()
        }]
    );
    assert!(!kernel.address_status("office")[0].present);
    // If the node is still active, the address is restored, at a slower pace.
    drive_until(&mut kernel, |_, events| restored(events) > 0);
}

#[test]
fn a_flush_comes_to_its_end_and_the_address_back() {
    let Some(net) = Net::new() else { return };
    let mut kernel = active(&net, claims(&["10.0.0.1/24"], LEASE));
    for flushes in 1..=3 {
        net.ip("addr del 10.0.0.1/24 dev lan2");
        let begun = Instant::now();
        drive_until(&mut kernel, |_, events| restored(events) > 0);
        // the flush lists the addresses again, and finds it
        net.ip("addr del 10.0.0.1/24 dev lan2");
        drive_for(&mut kernel, Duration::from_millis(2));
        // what others add and delete meanwhile is a deletion, but no restoration
        net.ip("addr add 10.0.0.1/24 dev lan2");
        drive_for(&mut kernel, Duration::from_millis(2));
        net.ip("addr del 10.0.0.1/24 dev lan2");
        if begun.elapsed() > Duration::from_millis(50) {
            return eprintln!("skipped: this machine is too slow to look again in time");
        }
        let events = drive_for(&mut kernel, Duration::from_millis(20));
        assert_eq!(restored(&events), 0, "it is left to its end: {events:?}");
        let events = drive_until(&mut kernel, |_, events| !events.is_empty());
        assert_eq!(restored(&events), 1, "{events:?}");
        let status = kernel.address_status("office");
        assert_eq!(status[0].restored, 2 * flushes, "{events:?}");
    }
}

#[test]
fn the_nodes_own_primary_address_may_go_and_the_virtual_one_stays() {
    let Some(net) = Net::new() else { return };
    assert_eq!(
        net.output("sysctl", "-n net.ipv4.conf.lan2.promote_secondaries")
            .trim(),
        "0"
    );
    let mut kernel = active(&net, claims(&["10.0.0.1/24"], LEASE));
    net.ip("addr del 10.0.0.2/24 dev lan2");
    let events = drive_for(&mut kernel, Duration::from_millis(200));
    assert_eq!(
        restored(&events),
        0,
        "it went with the primary one: {events:?}"
    );
    assert!(net.output("ip", "addr show lan2").contains("10.0.0.1/24"));
    kernel.close();
    let after = net.output("sysctl", "-n net.ipv4.conf.lan2.promote_secondaries");
    assert_eq!(after.trim(), "0", "a borrowed setting is given back");
}

#[test]
fn what_admin_down_took_comes_back_with_up() {
    let Some(net) = Net::new() else { return };
    let mut claims = claims(&["10.0.0.1/24", "fe80::1/64", "2001:db8::1/64"], LEASE);
    claims
        .routes
        .push(route("198.51.100.0/24", Some("10.0.0.3"), None));
    claims
        .routes
        .push(route("2001:db8:9::/48", Some("fe80::3"), Some("lan2")));
    let mut kernel = active(&net, claims);
    assert!(net.output("ip", "-6 route").contains("2001:db8:9::/48"));
    net.ip("link set lan2 down");
    let events = drive_for(&mut kernel, Duration::from_millis(200));
    assert!(!net.output("ip", "route").contains("198.51.100.0/24"));
    assert!(!net.output("ip", "addr show lan2").contains("2001:db8::1"));
    net.ip("link set lan2 up");
    let mut events = [events, drive_for(&mut kernel, Duration::from_millis(500))].concat();
    let shown = net.output("ip", "addr show lan2");
    for wanted in ["10.0.0.1/24", "fe80::1/64", "2001:db8::1/64"] {
        assert!(shown.contains(wanted), "{wanted} {shown}");
    }
    assert!(
        net.output("ip", "route")
            .contains("198.51.100.0/24 via 10.0.0.3 dev lan2 proto 213")
    );
    assert!(net.output("ip", "-6 route").contains("2001:db8:9::/48"));
    // Nobody deleted our addresses deliberately.
    assert_eq!(restored(&events), 0, "{events:?}");
    events.retain(|event| !matches!(event, KernelEvent::Interface(_)));
    assert_eq!(events, []);
}

#[test]
fn an_interface_that_is_made_anew_gets_everything_again() {
    let Some(net) = Net::new() else { return };
    let mut claims = claims(&["10.0.0.1/24", "fe80::1/64"], LEASE);
    claims.routers[1].vmac = true;
    let mut kernel = active(&net, claims);
    let before = kernel.interface("lan2").unwrap().0;
    let kinds = [1, 2, 3, 4, 9].map(SocketKind::from);
    assert_eq!(before.sockets, kinds);
    net.ip("link del lan2");
    drive_until(&mut kernel, |kernel, _| {
        !kernel.interface("lan2").unwrap().0.present
    });
    assert_eq!(
        kernel.interface("lan2").unwrap().1.len(),
        0,
        "sockets of a dead interface"
    );

    net.add_link("lan2", "peer");
    net.ip("addr add 10.0.0.2/24 dev lan2");
    drive_until(&mut kernel, |kernel, _| {
        kernel.interface("lan2").unwrap().0.carrier
    });
    drive_for(&mut kernel, Duration::from_millis(200));
    let after = kernel.interface("lan2").unwrap().0;
    assert_ne!(
        (before.index, before.generation),
        (after.index, after.generation)
    );
    assert_eq!(after.sockets, before.sockets);
    let shown = net.output("ip", "addr");
    assert!(shown.contains("10.0.0.1/24"), "{shown}");
    assert!(shown.contains("fe80::1/64"), "{shown}");
    assert!(shown.contains("vrrp50v6.lan2"), "{shown}");
    // The fence is blocking until the elector asks again.
    net.station_ip("addr add 10.0.0.3/24 dev peer");
    net.station_ip("addr add fe80::3/64 dev peer nodad");
    assert!(net.ignores("10.0.0.1"));
    kernel.grant_lease("office").unwrap();
    assert!(net.pings("10.0.0.1"));
    assert!(net.pings("fe80::1%peer"));
    kernel.close();
    let shown = net.output("ip", "addr");
    assert!(
        !shown.contains("10.0.0.1/24") && !shown.contains("vrrp50"),
        "{shown}"
    );
}

#[test]
fn two_hundred_addresses_are_installed_in_one_batch() {
    let Some(net) = Net::new() else { return };
    for family in [Family::V4, Family::V6] {
        let texts: Vec<String> = (1..=200)
            .map(|n| match family {
                Family::V4 => format!("10.1.0.{n}/24"),
                Family::V6 => format!("2001:db8::{n}/64"),
            })
            .collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let mut kernel = Kernel::open().unwrap();
        let begun = Instant::now();
        kernel.claim("office", claims(&texts, LEASE)).unwrap();
        let claimed = begun.elapsed();
        let tap = net.tap();
        kernel.grant_lease("office").unwrap();
        let opened = begun.elapsed() - claimed;
        let installed = kernel.install("office").unwrap();
        assert!(installed.failures.is_empty(), "{:?}", installed.failures);
        println!(
            "{family:?}: 200 addresses: claimed in {claimed:?}, lease opened in {opened:?}, \
                  installed and announced in {:?}",
            installed.took
        );
        let announced = tap.frames(Duration::from_millis(80)).len();
        assert!(announced >= 200, "{announced} frames");
        assert!(
            kernel
                .address_status("office")
                .iter()
                .all(|address| address.present)
        );
        let begun = Instant::now();
        kernel.remove("office");
        println!("{family:?}: removed in {:?}", begun.elapsed());
        let shown = net.output("ip", "addr show lan2");
        assert!(
            !shown.contains("10.1.0.") && !shown.contains("2001:db8"),
            "{shown}"
        );
        kernel.close();
    }
}

#[test]
fn two_thousand_addresses_with_a_virtual_mac_fit_into_one_transaction() {
    let Some(net) = Net::new() else { return };
    let texts: Vec<String> = (0..2000)
        .map(|n| format!("10.1.{}.{}/16", n / 250, n % 250 + 1))
        .collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let mut claims = claims(&texts, LEASE);
    claims.routers[0].vmac = true;
    claims.routers[0].accept = false;
    let mut kernel = Kernel::open().unwrap();
    let begun = Instant::now();
    kernel.claim("office", claims).unwrap();
    println!("2000 addresses: fenced in {:?}", begun.elapsed());
    kernel.grant_lease("office").unwrap();
    let installed = kernel.install("office").unwrap();
    assert!(
        installed.failures.is_empty(),
        "{:?}",
        installed.failures.first()
    );
    println!("installed and announced in {:?}", installed.took);
    assert_eq!(
        net.output("nft", "list map netdev spared guard4")
            .matches("jump")
            .count(),
        2000
    );
    let begun = Instant::now();
    drive_for(&mut kernel, Duration::from_millis(1));
    println!("2000 events read in {:?}", begun.elapsed());
    net.output("ip", "addr flush dev vrrp50.lan2");
    let events = drive_until(&mut kernel, |_, events| restored(events) >= 2000);
    assert!(
        !events
            .iter()
            .any(|event| matches!(event, KernelEvent::Contested { .. }))
    );
}

#[test]
fn a_start_removes_what_a_killed_run_left_and_nothing_else() {
    let Some(net) = Net::new() else { return };
    let mut claims = claims(&["10.0.0.1/24", "fe80::1/64"], LEASE);
    claims.routers[1].vmac = true;
    claims
        .routes
        .push(route("198.51.100.0/24", Some("10.0.0.3"), None));
    drop(active(&net, claims));
    // Objects of the administrator that look like ours.
    net.ip("addr add 10.0.0.5/24 dev lan2");
    net.ip("link add link lan2 name vrrp51.lan2 type macvlan mode bridge");
    net.ip("route add 203.0.113.0/24 via 10.0.0.3");
    net.output("nft", "add table netdev other");

    let mut kernel = Kernel::open().unwrap();
    let mut removed = kernel.remove_leftovers().unwrap();
    removed.sort();
    assert_eq!(
        removed,
        [
            "address 10.0.0.1/24 on lan2",
            "address fe80::1/64 on vrrp50v6.lan2",
            "device vrrp50v6.lan2",
            "route 198.51.100.0/24",
        ]
    );
    let shown = net.output("ip", "addr");
    assert!(
        !shown.contains("10.0.0.1/24") && !shown.contains("vrrp50"),
        "{shown}"
    );
    assert!(
        shown.contains("10.0.0.2/24") && shown.contains("10.0.0.5/24"),
        "{shown}"
    );
    assert!(shown.contains("vrrp51.lan2"), "{shown}");
    assert!(net.output("ip", "route").contains("203.0.113.0/24"));
    let tables = |net: &Net| net.output("nft", "list tables");
    assert!(tables(&net).contains("table netdev spared\n"));
    assert_eq!(
        kernel.remove_leftovers().unwrap(),
        Vec::<String>::new(),
        "nothing is left for a second one"
    );
    // nothing is claimed any more
    kernel.handle_timeout(Instant::now() + Duration::from_secs(61));
    assert_eq!(tables(&net).trim(), "table netdev other");
}

#[test]
fn source_makes_the_node_speak_from_the_virtual_address() {
    let Some(net) = Net::new() else { return };
    net.ip("addr add 10.0.0.2/24 dev lan2");
    net.ip("route add default via 10.0.0.3 dev lan2");
    net.ip("addr add 2001:db8::2/64 dev lan2 nodad");
    net.ip("route add default via 2001:db8::3 dev lan2 metric 1024");
    let mut claims = claims(&["10.0.0.1/24"], LEASE);
    claims.addresses[0].source = true;
    claims
        .addresses
        .push(address("lan2", "2001:db8::1/64", Some(0)));
    claims.addresses[1].source = true;
    let mut kernel = Kernel::open().unwrap();
    kernel.claim("office", claims).unwrap();
    let source = |destination: &str| {
        let text = net.output("ip", &format!("route get {destination}"));
        let mut words = text.split_whitespace().skip_while(|word| *word != "src");
        words.nth(1).unwrap_or_default().to_owned()
    };
    assert_eq!(source("10.0.0.9"), "10.0.0.2");
    let installed = kernel.install("office").unwrap();
    assert!(installed.failures.is_empty(), "{:?}", installed.failures);
    for (destination, expected) in [
        ("10.0.0.9", "10.0.0.1"),
        ("192.0.2.1", "10.0.0.1"),
        ("2001:db8::9", "2001:db8::1"),
        ("2001:db8:7::1", "2001:db8::1"),
    ] {
        assert_eq!(
            source(destination),
            expected,
            "{}",
            net.output("ip", "-6 route")
        );
    }
    kernel.remove("office");
    assert_eq!(source("10.0.0.9"), "10.0.0.2");
    assert_eq!(source("2001:db8:7::1"), "2001:db8::2");
}

#[test]
fn a_virtual_route_that_somebody_deletes_comes_back() {
    let Some(net) = Net::new() else { return };
    let mut claims = claims(&["10.0.0.1/24"], LEASE);
    claims
        .routes
        .push(route("198.51.100.0/24", Some("10.0.0.3"), None));
    let mut kernel = active(&net, claims);
    net.ip("route del 198.51.100.0/24");
    drive_for(&mut kernel, Duration::from_millis(200));
    assert!(net.output("ip", "route").contains("198.51.100.0/24"));
    kernel.remove("office");
    drive_for(&mut kernel, Duration::from_millis(200));
    assert!(!net.output("ip", "route").contains("198.51.100.0/24"));
}

#[test]
fn an_address_that_is_the_nodes_own_is_neither_taken_nor_removed() {
    let Some(net) = Net::new() else { return };
    net.ip("addr add 10.0.0.1/24 dev lan2");
    let mut kernel = active(&net, claims(&["10.0.0.1/24"], LEASE));
    kernel.remove("office");
    kernel.close();
    assert!(net.output("ip", "addr show lan2").contains("10.0.0.1/24"));
}

#[test]
fn announcements_are_repeated_five_times() {
    let Some(net) = Net::new() else { return };
    let tap = net.tap();
    let mut kernel = active(&net, claims(&["10.0.0.1/24"], LEASE));
    skip(&mut kernel, Instant::now(), Duration::from_millis(5300));
    assert_eq!(announcements(&tap), 5);
    assert_eq!(kernel.next_timeout(), None);
}

fn announcements(tap: &Tap) -> usize {
    let frames = tap.frames(Duration::ZERO);
    let is_one = |frame: &&Vec<u8>| frame[12..14] == [8, 6] && frame[28..32] == [10, 0, 0, 1];
    frames.iter().filter(is_one).count()
}

#[test]
fn another_interval_of_announcements_is_in_force_at_once() {
    let Some(net) = Net::new() else { return };
    let tap = net.tap();
    let mut claims = claims(&["10.0.0.1/24"], LEASE);
    let mut kernel = active(&net, claims.clone());
    let now = skip(&mut kernel, Instant::now(), Duration::from_millis(5300));
    assert_eq!(announcements(&tap), 5);
    claims.refresh_s = 1;
    kernel.claim("office", claims.clone()).unwrap();
    let now = skip(&mut kernel, now, Duration::from_millis(2800));
    assert!((2..=3).contains(&announcements(&tap)));
    claims.refresh_s = 0;
    kernel.claim("office", claims).unwrap();
    skip(&mut kernel, now, Duration::from_millis(1500));
    assert_eq!((announcements(&tap), kernel.next_timeout()), (0, None));
}

#[test]
fn another_prefix_of_an_address_replaces_it_and_blames_nobody() {
    let Some(net) = Net::new() else { return };
    let before = ["10.0.0.1/24", "fe80::1/64", "2001:db8::1/64"];
    let after = ["10.0.0.1/25", "fe80::1/65", "2001:db8::1/65"];
    let mut kernel = active(&net, claims(&before, LEASE));
    for (gone, there) in [(before, after), (after, before)] {
        kernel.claim("office", claims(&there, LEASE)).unwrap();
        let shown = net.output("ip", "addr show lan2");
        for (gone, there) in gone.iter().zip(there) {
            assert!(shown.contains(there) && !shown.contains(gone), "{shown}");
        }
        let events = drive_for(&mut kernel, Duration::from_millis(300));
        assert_eq!(events, []);
        assert!(
            kernel
                .address_status("office")
                .iter()
                .all(|one| one.present)
        );
    }
    kernel.remove("office");
    let shown = net.output("ip", "addr show lan2");
    assert!(before.iter().all(|gone| !shown.contains(gone)), "{shown}");
}

fn labels(net: &Net) -> Vec<String> {
    let shown = net.output("ip", "-o -4 addr show dev lan2");
    let labels = shown.lines().map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let at = words.iter().position(|word| word.starts_with("valid_lft"));
        let label = at.and_then(|at| words.get(at - 1)).unwrap_or(&"");
        format!("{} {}", words[3], label.trim_end_matches('\\'))
    });
    labels.collect()
}

#[test]
fn an_address_has_its_label_also_when_it_is_put_back_and_after_a_reload_with_another() {
    let Some(net) = Net::new() else { return };
    let mut claims = claims(&["10.0.0.1/24"], LEASE);
    claims.addresses[0].label = "lan2:vip".to_owned();
    let mut kernel = active(&net, claims.clone());
    let own = "10.0.0.2/24 lan2".to_owned();
    let with = |label: &str| vec![own.clone(), format!("10.0.0.1/24 {label}")];
    assert_eq!(labels(&net), with("lan2:vip"));
    net.ip("addr del 10.0.0.1/24 dev lan2");
    drive_until(&mut kernel, |_, events| restored(events) > 0);
    assert_eq!(labels(&net), with("lan2:vip"));
    claims.addresses[0].label = "lan2:1".to_owned();
    kernel.claim("office", claims.clone()).unwrap();
    assert_eq!(labels(&net), with("lan2:1"));
    let events = drive_for(&mut kernel, Duration::from_millis(200));
    assert_eq!(restored(&events), 0, "nobody else deleted it");
    claims.addresses[0].label = "lan2:a_long_name".to_owned();
    let error = kernel.claim("office", claims).unwrap_err();
    assert_eq!(
        error.to_string(),
        "office: \"lan2:a_long_name\" is no label of an address"
    );
    let left = kernel.remove("office");
    assert!(left.is_empty(), "{left:?}");
    assert_eq!(labels(&net), [own]);
}

#[test]
fn claims_that_contradict_other_groups_are_refused_and_change_nothing() {
    let Some(net) = Net::new() else { return };
    let mut kernel = active(&net, claims(&["10.0.0.1/24"], LEASE));
    let before = net.output("nft", "-s list ruleset");
    let error = kernel
        .claim("branch", claims(&["10.0.0.9/24"], LEASE))
        .unwrap_err();
    assert_eq!(error.to_string(), "branch: lan2: vrid 50 is claimed twice");
    assert_eq!(net.output("nft", "-s list ruleset"), before);
}

/// The other route is like that of a routing daemon, whose routes are not watched.
#[test]
fn a_route_is_tried_again_when_another_route_may_lead_to_its_gateway() {
    let Some(net) = Net::new() else { return };
    let mut claims = claims(&["10.0.0.1/24"], LEASE);
    let far = route("198.51.100.0/24", Some("10.9.0.3"), None);
    claims.routes.push(far);
    let mut kernel = active(&net, claims);
    assert_eq!(kernel.missing_routes("office").len(), 1);
    net.ip("route add 10.9.0.0/24 dev lan2");
    skip(&mut kernel, Instant::now(), Duration::from_millis(10_500));
    assert_eq!(kernel.missing_routes("office"), []);
    let shown = net.output("ip", "route show proto 213");
    assert!(shown.contains("198.51.100.0/24 via 10.9.0.3"), "{shown}");
}

#[test]
fn a_route_whose_gateway_is_not_there_is_missing_until_it_is_and_no_address_is() {
    let Some(net) = Net::new() else { return };
    let mut claims = claims(&["10.0.0.1/24"], LEASE);
    let routes = &mut claims.routes;
    routes.push(route("198.51.100.0/24", Some("10.9.0.3"), None));
    routes.push(route("203.0.113.0/24", Some("10.0.0.3"), Some("lan2")));
    net.ip("addr add 10.0.0.2/24 dev lan2");
    let mut kernel = Kernel::open().unwrap();
    kernel.claim("office", claims).unwrap();
    assert_eq!(kernel.missing_routes("office"), []);
    kernel.grant_lease("office").unwrap();
    let installed = kernel.install("office").unwrap();
    assert!(installed.failures.is_empty(), "{:?}", installed.failures);
    assert_eq!(installed.route_failures.len(), 1);
    let missing = |kernel: &Kernel| -> Vec<String> {
        let missing = kernel.missing_routes("office").into_iter();
        missing.map(|it| it.route).collect()
    };
    const FAR: &str = "198.51.100.0/24 via 10.9.0.3";
    const NEAR: &str = "203.0.113.0/24 via 10.0.0.3 dev lan2";
    assert_eq!(missing(&kernel), [FAR]);
    net.ip("addr add 10.9.0.2/24 dev lan2");
    drive_until(&mut kernel, |kernel, _| missing(kernel).is_empty());
    net.ip("link set lan2 down");
    drive_until(&mut kernel, |kernel, _| missing(kernel) == [FAR, NEAR]);
    net.ip("link set lan2 up");
    drive_until(&mut kernel, |kernel, _| missing(kernel).is_empty());
    kernel.remove("office");
    assert_eq!(kernel.missing_routes("office"), []);
}

fn route(destination: &str, gateway: Option<&str>, interface: Option<&str>) -> RouteClaim {
    let (address, prefix) = destination.split_once('/').unwrap();
    RouteClaim {
        destination: address.parse().unwrap(),
        prefix: prefix.parse().unwrap(),
        gateway: gateway.map(|text| text.parse().unwrap()),
        interface: interface.map(str::to_owned),
        source: None,
        metric: 0,
        table: 0,
    }
}
