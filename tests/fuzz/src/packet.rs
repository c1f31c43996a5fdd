//! Whatever a wire brings: no header's reader may panic, and no payload is longer than its packet.

use std::net::{IpAddr, Ipv6Addr};

use spared_packet::{arp, ethernet, icmp, ipv4, ipv6, ndisc, udp};
use spared_vrrp::wire::datagram;
use spared_vrrp::wire::neighbour::probe;

use crate::sample::{hex, ipv4, ipv6};

pub fn run(bytes: &[u8]) {
    let Ok(frame) = ethernet::Packet::new_checked(bytes) else {
        return;
    };
    // also what the type does not say, so that the generator need not find it
    let inner = frame.payload();
    let _ = arp::Packet::new_checked(inner).map(|packet| packet.sender());
    for packet in [
        ipv4::Packet::new_checked(inner),
        ipv4::Packet::new_quoted(inner),
    ] {
        let Ok(packet) = packet else { continue };
        let _ = (
            packet.is_from_a_host(),
            packet.destination(),
            packet.protocol(),
        );
        assert!(packet.payload().len() + ipv4::HEADER_LEN <= inner.len());
        message(packet.payload());
    }
    for packet in [
        ipv6::Packet::new_checked(inner),
        ipv6::Packet::new_quoted(inner),
    ] {
        let Ok(packet) = packet else { continue };
        let _ = (
            packet.is_from_a_host(),
            packet.destination(),
            ndisc::is_discovery(&packet),
        );
        assert!(packet.payload().len() + ipv6::HEADER_LEN <= inner.len());
        message(packet.payload());
    }
}

fn message(bytes: &[u8]) {
    if let Ok(datagram) = udp::Packet::new_checked(bytes) {
        assert_eq!(datagram.payload().len() + udp::HEADER_LEN, bytes.len());
    }
    for message in [
        icmp::Packet::new_checked(bytes),
        icmp::Packet::new_verified(bytes),
    ] {
        let Ok(message) = message else { continue };
        let _ = (
            message.kind(),
            message.code(),
            message.identifier(),
            message.sequence(),
        );
        assert_eq!(message.payload().len() + icmp::HEADER_LEN, bytes.len());
    }
}

/// Frames of each kind that the programs send and hear.
pub fn seeds() -> Vec<Vec<u8>> {
    let (own, target) = ([192, 0, 2, 2].into(), [192, 0, 2, 1].into());
    let mut seeds: Vec<_> = probe([2, 0, 0, 0, 0, 1], own, target).into_iter().collect();
    let (own, target) = (IpAddr::V6(OWN), IpAddr::V6(Ipv6Addr::LOCALHOST));
    seeds.extend(probe([2, 0, 0, 0, 0, 1], own, target));
    for (source, to) in [
        (IpAddr::from([192, 0, 2, 2]), None),
        (own, None),
        (own, Some(target)),
    ] {
        let mut datagram = Vec::new();
        datagram::emit([2; 6], source, to, b"payload", &mut datagram);
        seeds.push(datagram);
    }
    let echo = icmp::Echo {
        kind: icmp::V4_ECHO_REQUEST,
        identifier: 1,
        sequence: 2,
        payload: &[3; 40],
    };
    let mut message = Vec::new();
    echo.emit(&mut message);
    for (kind, packet) in [
        ([8, 0], ipv4(1, &message)),
        ([0x86, 0xdd], ipv6(58, &message)),
    ] {
        seeds.push([&[2; 12][..], &kind, &packet].concat());
    }
    let frames = [
        &["ff"; 6][..],
        &["02"; 6],
        &["0806", "0001080006040002"],
        &["02"; 20],
    ]
    .concat();
    seeds.push(hex(&frames.concat()));
    seeds
}

const OWN: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0xff, 0xfe00, 0xa);
