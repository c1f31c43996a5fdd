//! The fence hears of tables that it has, and of no elements of other sets, however many.

mod inside;

use std::collections::BTreeSet;

use inside::feed;
use spared_netlink::Monitor;
use spared_netlink::constants::*;
use spared_netlink::test_namespace::is_inside;

/// `net.core.optmem_max` in bytes of kernels from 6.7 on.
const ROOM: u32 = 131_072;

/// Kinds of the messages that came, with their families.
fn heard(monitor: &mut Monitor) -> BTreeSet<(u16, u8)> {
    let mut heard = BTreeSet::new();
    let read = monitor.read_raw(|header, payload| {
        let family = payload.first().copied().unwrap_or(0);
        heard.insert((header.kind & 0xff, family));
    });
    assert_eq!(read.expect("a socket"), Ok(()), "no overrun");
    heard
}

fn elements(count: usize) -> String {
    let all: Vec<String> = (0..count)
        .map(|it| format!("10.{}.{}.{}", it >> 16, it >> 8 & 255, it & 255))
        .collect();
    all.join(", ")
}

#[test]
fn elements_of_other_families_are_dropped_and_nothing_else_of_their_transaction() {
    // a namespace need not have it: this is asked outside, too
    let room = std::fs::read_to_string("/proc/sys/net/core/optmem_max");
    let room = room.ok().and_then(|it| it.trim().parse().ok());
    if room.is_some_and(|room: u32| room < ROOM) {
        return eprintln!("skipped: net.core.optmem_max is below {ROOM}");
    }
    if !is_inside("elements_of_other_families_are_dropped_and_nothing_else_of_their_transaction") {
        return;
    }
    const INET: u8 = 1;
    let nft = |text: &str| feed(&["nft", "-f", "-"], text);
    let set = "set s { type ipv4_addr; }";
    nft(&format!(
        "table inet t {{ chain c {{ }}; {set}; }}\ntable netdev spared {{ {set}; }}\n"
    ));
    let mut monitor = Monitor::nftables_in(NFPROTO_NETDEV).expect("a socket");
    for verb in ["add", "delete"] {
        nft(&format!(
            "{verb} element inet t s {{ {} }}\n",
            elements(3000)
        ));
        assert_eq!(heard(&mut monitor), BTreeSet::new(), "{verb}");
    }
    // one behind elements in the same datagram, and behind more than a datagram of them
    for count in [1, 3000] {
        let all = elements(count);
        nft(&format!(
            "add element inet t s {{ {all} }}\nadd rule inet t c accept\nflush set inet t s\n"
        ));
        assert!(
            heard(&mut monitor).contains(&(NFT_MSG_NEWRULE, INET)),
            "{count}"
        );
    }
    nft("add element inet t s { 10.0.0.1 }\nadd element netdev spared s { 10.0.0.1 }\n");
    assert!(heard(&mut monitor).contains(&(NFT_MSG_NEWSETELEM, NFPROTO_NETDEV)));
    nft("delete element inet t s { 10.0.0.1 }\ndelete element netdev spared s { 10.0.0.1 }\n");
    assert!(heard(&mut monitor).contains(&(NFT_MSG_DELSETELEM, NFPROTO_NETDEV)));
    nft("delete table netdev spared\n");
    assert!(heard(&mut monitor).contains(&(NFT_MSG_DELTABLE, NFPROTO_NETDEV)));
}
