//! Flows for tests.

use std::net::{IpAddr, SocketAddr};

use super::{Flow, TCP, Tcp, Tuple, status};
use crate::kernel::bytes_of;

/// What spaced hex stands for.
pub fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
    assert!(digits.len() % 2 == 0, "half a byte: {hex}");
    let pairs = digits
        .chunks(2)
        .map(|pair| std::str::from_utf8(pair).expect("ascii"));
    pairs
        .map(|pair| u8::from_str_radix(pair, 16).expect("hex"))
        .collect()
}

/// One direction, by texts like "192.0.2.2:40001".
pub fn tuple(protocol: u8, source: &str, destination: &str) -> Tuple {
    let end = |text: &str| text.parse::<SocketAddr>().expect("an address with a port");
    let (source, destination) = (end(source), end(destination));
    let [a, b] = source.port().to_be_bytes();
    let [c, d] = destination.port().to_be_bytes();
    Tuple {
        is_ipv6: source.is_ipv6(),
        protocol,
        source: address(source.ip()),
        destination: address(destination.ip()),
        ends: [a, b, c, d],
    }
}

fn address(ip: IpAddr) -> [u8; 16] {
    bytes_of(ip).1
}

/// A flow that is not translated and was answered.
pub fn flow(protocol: u8, source: &str, destination: &str) -> Flow {
    let original = tuple(protocol, source, destination);
    let established = Tcp {
        state: 3,
        scales: [10, 7],
        flags: [0x23, 0x23],
    };
    Flow {
        reply: original.inverse(),
        original,
        status: status::SEEN_REPLY | status::ASSURED,
        timeout_s: Some(432_000),
        tcp: (protocol == TCP).then_some(established),
        ..Flow::default()
    }
}

/// An established TCP connection.
pub fn connection() -> Flow {
    flow(TCP, "192.0.2.2:40001", "198.51.100.2:80")
}
