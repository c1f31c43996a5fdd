//! Packets that a raw ICMP socket hears, from anybody: no bytes may disturb the health plugin.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use spared_health::wire::icmp::{Echo, parse_ipv4, parse_ipv6, request};
use spared_packet::checksum::checksum;

use crate::sample::{ipv4, ipv6};

pub fn run(bytes: &[u8]) {
    let _ = parse_ipv4(bytes);
    let _ = parse_ipv6(Ipv6Addr::LOCALHOST, bytes);
}

/// An echo of each family as it comes back, and a router's word that one cannot be delivered.
pub fn seeds() -> Vec<Vec<u8>> {
    let echo = Echo {
        identifier: 7,
        sequence: 9,
        token: *b"a token!",
    };
    let address = Ipv4Addr::new(192, 0, 2, 2);
    let ask = |to: IpAddr, size| request(to, echo, size);
    let mut reply = ask(address.into(), 32);
    reply[0] = 0;
    let mut seeds = vec![ask(Ipv6Addr::LOCALHOST.into(), 8), ask(address.into(), 64)];
    let mut unreachable = vec![3, 1, 0, 0, 0, 0, 0, 0];
    unreachable.extend(ipv4(1, &ask(address.into(), 8)));
    for message in [reply, unreachable] {
        seeds.push(ipv4(1, &with_checksum(message)));
    }
    let mut unreachable = vec![1, 3, 0, 0, 0, 0, 0, 0];
    unreachable.extend(ipv6(58, &ask(Ipv6Addr::LOCALHOST.into(), 8)));
    let mut reply = ask(Ipv6Addr::LOCALHOST.into(), 16);
    reply[0] = 129;
    seeds.extend([unreachable, reply]);
    seeds
}

fn with_checksum(mut message: Vec<u8>) -> Vec<u8> {
    message[2..4].fill(0);
    let sum = checksum(&message).to_be_bytes();
    message[2..4].copy_from_slice(&sum);
    message
}
