//! Overrun of a socket's buffer by many changes: the loss is reported when a dump is complete, not before.
//!
//! From the first notification that does not fit until the socket is empty, the kernel drops all notifications, and
//! reports that once. A dump in between misses the changes after that dump.

mod inside;

use inside::feed;
use spared_netlink::test_namespace::is_inside;
use spared_netlink::{Event, Monitor, Notifications};

const NFNLGRP_NFTABLES: u32 = 7;
const NFT_NEWTABLE: u16 = 10 << 8;

#[test]
fn what_changes_after_an_overrun_of_addresses_was_told_is_told() {
    if !is_inside("what_changes_after_an_overrun_of_addresses_was_told_is_told") {
        return;
    }
    let mut monitor = Monitor::links_and_addresses().expect("a socket");
    let mut batch = String::new();
    for round in 0..40 {
        let verb = ["add", "del"][round % 2];
        for n in 0..250 {
            batch += &format!("addr {verb} 172.16.{n}.1/32 dev lo\n");
        }
    }
    for _ in 0..3 {
        feed(&["ip", "-batch", "-"], &batch);
    }
    let mut events = Vec::new();
    let read = |monitor: &mut Monitor, events: &mut Vec<Event>| monitor.read(events).expect("read");
    while read(&mut monitor, &mut events).is_ok() {
        assert!(!events.is_empty(), "no overrun");
        events.clear();
    }
    feed(&["ip", "-batch", "-"], "addr add 10.0.0.5/32 dev lo\n");
    events.clear();
    let _ = read(&mut monitor, &mut events);
    let is_it = |event: &Event| match event {
        Event::Address(address) => address.address.to_string() == "10.0.0.5",
        _ => false,
    };
    assert!(events.first().is_some_and(is_it), "{:?}", events.first());
}

#[test]
fn what_changes_after_an_overrun_of_nftables_was_told_is_told() {
    if !is_inside("what_changes_after_an_overrun_of_nftables_was_told_is_told") {
        return;
    }
    feed(
        &["nft", "-f", "-"],
        "table ip t {\nset s { type ipv4_addr; }\n}\n",
    );
    let mut notifications = Notifications::open(1 << 16, 0).expect("a socket");
    notifications.join(NFNLGRP_NFTABLES).expect("a group");
    for round in 0..200 {
        let elements: Vec<String> = (0..10).map(|n| format!("10.{round}.0.{n}")).collect();
        let elements = elements.join(", ");
        feed(
            &["nft", "-f", "-"],
            &format!("add element ip t s {{ {elements} }}\n"),
        );
    }
    let (mut reads, mut overruns) = (0, 0);
    while overruns == 0 {
        let read = notifications.read(|_, _| {}).expect("read");
        overruns += u32::from(read.overrun);
        reads += 1;
        assert!(
            reads < 10_000 && (overruns > 0 || !read.empty),
            "no overrun"
        );
    }
    feed(&["nft", "-f", "-"], "table ip later { }\n");
    let mut is_told = false;
    let read = notifications.read(|header, _| is_told |= header.kind == NFT_NEWTABLE);
    assert!(is_told && !read.expect("read").overrun);
}
