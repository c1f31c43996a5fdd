//! Flows for tests.

use std::net::SocketAddr;

use proptest::prelude::*;

use super::{Direction, Flow, ICMP, ICMPV6, INCARNATIONS, TCP, Tcp, Tuple, UDP, Zone, status};
use crate::codec::parse::attribute;
use crate::kernel::bytes_of;

/// Kinds of the attributes that a peer may set: helper, master, adjustments of both directions, labels, SYN proxy.
pub const PASSED_ON: [u16; 6] = [5, 14, 15, 16, 22, 24];

/// Parses spaced hex.
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

/// Tuple between two ends, each a text like "192.0.2.2:40001".
pub fn tuple(protocol: u8, source: &str, destination: &str) -> Tuple {
    let end = |text: &str| text.parse::<SocketAddr>().expect("an address with a port");
    let (source, destination) = (end(source), end(destination));
    let [a, b] = source.port().to_be_bytes();
    let [c, d] = destination.port().to_be_bytes();
    Tuple {
        is_ipv6: source.is_ipv6(),
        protocol,
        source: bytes_of(source.ip()).1,
        destination: bytes_of(destination.ip()).1,
        ports: [a, b, c, d],
    }
}

/// Answered flow without translation.
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

/// Established TCP connection.
pub fn connection() -> Flow {
    flow(TCP, "192.0.2.2:40001", "198.51.100.2:80")
}

/// Encodes attributes as the kernel does.
pub fn extra(attributes: &[(u16, &[u8])]) -> Vec<u8> {
    let mut out = Vec::new();
    for (kind, value) in attributes {
        attribute(*kind, value, &mut out);
    }
    out
}

/// Strategy for any flow that a record can hold.
pub fn any_flow() -> impl Strategy<Value = Flow> {
    (
        tuples(),
        zones(),
        any::<u32>(),
        prop::option::of(0..u32::MAX),
        any::<u32>(),
        states(),
        attributes(),
        0..INCARNATIONS,
        prop_oneof![Just(0), 1..u32::MAX],
    )
        .prop_map(
            |(
                (original, reply),
                zone,
                bits,
                timeout_s,
                mark,
                tcp,
                extra,
                incarnation,
                policy_timeout_s,
            )| {
                Flow {
                    tcp: (original.protocol == TCP).then_some(tcp),
                    status: bits & status::SHARED,
                    original,
                    reply,
                    zone,
                    timeout_s,
                    mark,
                    extra,
                    state: None,
                    incarnation,
                    policy_timeout_s,
                }
            },
        )
}

fn a_tuple(is_ipv6: bool, protocol: u8) -> impl Strategy<Value = Tuple> {
    (any::<[u8; 16]>(), any::<[u8; 16]>(), any::<[u8; 4]>()).prop_map(
        move |(mut source, mut destination, ports)| {
            let width = if is_ipv6 { 16 } else { 4 };
            source[width..].fill(0);
            destination[width..].fill(0);
            Tuple {
                is_ipv6,
                protocol,
                source,
                destination,
                ports,
            }
        },
    )
}

fn tuples() -> impl Strategy<Value = (Tuple, Tuple)> {
    let protocol = prop_oneof![Just(TCP), Just(UDP), Just(ICMP), Just(ICMPV6), 1u8..];
    (any::<bool>(), protocol).prop_flat_map(|(is_ipv6, protocol)| {
        let translated = prop::option::of(a_tuple(is_ipv6, protocol));
        (a_tuple(is_ipv6, protocol), translated).prop_map(|(original, reply)| {
            let reply = reply.unwrap_or_else(|| original.inverse());
            (original, reply)
        })
    })
}

fn zones() -> impl Strategy<Value = Zone> {
    let of = prop_oneof![
        Just(Direction::Both),
        Just(Direction::Original),
        Just(Direction::Reply)
    ];
    (any::<u16>(), of).prop_map(|(id, of)| Zone { id, of })
}

fn states() -> impl Strategy<Value = Tcp> {
    (any::<u8>(), [0u8..16, 0u8..16], any::<[u8; 2]>()).prop_map(|(state, scales, flags)| Tcp {
        state,
        scales,
        flags,
    })
}

fn attributes() -> impl Strategy<Value = Vec<u8>> {
    let kind = prop::sample::select(&PASSED_ON[..]);
    let value = prop::collection::vec(any::<u8>(), 0..40);
    prop::collection::vec((kind, value), 0..4).prop_map(|list| {
        let list: Vec<(u16, &[u8])> = list.iter().map(|(kind, it)| (*kind, &it[..])).collect();
        extra(&list)
    })
}
