//! What a raw ICMP socket hears, from anybody: no bytes may disturb the health plugin.
#![no_main]

use std::net::Ipv6Addr;

use libfuzzer_sys::fuzz_target;
use spared_health::wire::icmp::{parse_ipv4, parse_ipv6};

fuzz_target!(|bytes: &[u8]| {
    let _ = parse_ipv4(bytes);
    let _ = parse_ipv6(Ipv6Addr::LOCALHOST, bytes);
});
