// SPDX-License-Identifier: MIT OR Apache-2.0
//! The few frames that the probes send and understand.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use super::watch::Sight;

pub type Mac = [u8; 6];

pub const BROADCAST: Mac = [0xff; 6];
pub const ETHERTYPE_IPV4: u16 = 0x0800;
pub const ETHERTYPE_ARP: u16 = 0x0806;
pub const ETHERTYPE_IPV6: u16 = 0x86dd;
const ICMP: u8 = 1;
const ICMPV6: u8 = 58;
const VRRP: u8 = 112;

/// An advert as the wire carried it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advert {
    pub source: IpAddr,
    pub destination: IpAddr,
    pub version: u8,
    pub vrid: u8,
    pub priority: u8,
    pub addresses: u8,
    pub interval: Duration,
}

/// The virtual MAC of RFC 9568 §7.3.
pub fn vmac(ipv6: bool, vrid: u8) -> Mac {
    [0, 0, 0x5e, 0, if ipv6 { 2 } else { 1 }, vrid]
}

pub fn ethernet(to: Mac, from: Mac, ethertype: u16, payload: &[u8]) -> Vec<u8> {
    [&to[..], &from[..], &ethertype.to_be_bytes()[..], payload].concat()
}

pub fn ipv4(from: Ipv4Addr, to: Ipv4Addr, protocol: u8, ttl: u8, payload: &[u8]) -> Vec<u8> {
    let length = (20 + payload.len()) as u16;
    let mut header = [
        0x45, 0, 0, 0, 0, 0, 0x40, 0, ttl, protocol, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    ];
    header[2..4].copy_from_slice(&length.to_be_bytes());
    header[12..16].copy_from_slice(&from.octets());
    header[16..20].copy_from_slice(&to.octets());
    let sum = checksum(&[&header]);
    header[10..12].copy_from_slice(&sum.to_be_bytes());
    [&header[..], payload].concat()
}

pub fn ipv6(from: Ipv6Addr, to: Ipv6Addr, next: u8, hops: u8, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u16).to_be_bytes();
    let fixed = [0x60, 0, 0, 0, length[0], length[1], next, hops];
    [&fixed[..], &from.octets()[..], &to.octets()[..], payload].concat()
}

/// The Internet checksum (RFC 1071) over the parts, each of even length but the last.
pub fn checksum(parts: &[&[u8]]) -> u16 {
    let words = parts.iter().flat_map(|part| part.chunks(2));
    let sum: u32 = words
        .map(|pair| {
            u32::from(u16::from_be_bytes([
                pair[0],
                pair.get(1).copied().unwrap_or(0),
            ]))
        })
        .sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    !((folded & 0xffff) + (folded >> 16)) as u16
}

pub fn arp_request(mac: Mac, own: Ipv4Addr, wanted: Ipv4Addr) -> Vec<u8> {
    let payload = [
        &[0, 1, 8, 0, 6, 4, 0, 1][..],
        &mac[..],
        &own.octets()[..],
        &[0; 6][..],
        &wanted.octets()[..],
    ]
    .concat();
    ethernet(BROADCAST, mac, ETHERTYPE_ARP, &payload)
}

pub fn ping(to_mac: Mac, mac: Mac, own: Ipv4Addr, to: Ipv4Addr, sequence: u16) -> Vec<u8> {
    let mut message = [8, 0, 0, 0, 0x5a, 0x5a, 0, 0];
    message[6..8].copy_from_slice(&sequence.to_be_bytes());
    let sum = checksum(&[&message]);
    message[2..4].copy_from_slice(&sum.to_be_bytes());
    ethernet(
        to_mac,
        mac,
        ETHERTYPE_IPV4,
        &ipv4(own, to, ICMP, 64, &message),
    )
}

pub fn ping6(to_mac: Mac, mac: Mac, own: Ipv6Addr, to: Ipv6Addr, sequence: u16) -> Vec<u8> {
    let mut message = vec![128, 0, 0, 0, 0x5a, 0x5a, 0, 0];
    message[6..8].copy_from_slice(&sequence.to_be_bytes());
    icmpv6(to_mac, mac, own, to, message)
}

/// A neighbour solicitation, sent to all solicited nodes of the address.
pub fn solicitation(mac: Mac, own: Ipv6Addr, wanted: Ipv6Addr) -> Vec<u8> {
    let target = wanted.octets();
    let group = Ipv6Addr::from([
        0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, target[13], target[14], target[15],
    ]);
    let message = [
        &[135, 0, 0, 0, 0, 0, 0, 0][..],
        &target[..],
        &[1, 1][..],
        &mac[..],
    ]
    .concat();
    icmpv6(
        [0x33, 0x33, 0xff, target[13], target[14], target[15]],
        mac,
        own,
        group,
        message,
    )
}

fn icmpv6(to_mac: Mac, mac: Mac, own: Ipv6Addr, to: Ipv6Addr, mut message: Vec<u8>) -> Vec<u8> {
    let length = (message.len() as u32).to_be_bytes();
    let sum = checksum(&[
        &own.octets(),
        &to.octets(),
        &length,
        &[0, 0, 0, ICMPV6],
        &message,
    ]);
    message[2..4].copy_from_slice(&sum.to_be_bytes());
    // Neighbour discovery demands 255 (RFC 4861 §7.1.1).
    ethernet(
        to_mac,
        mac,
        ETHERTYPE_IPV6,
        &ipv6(own, to, ICMPV6, 255, &message),
    )
}

/// What a frame tells the watch; None for anything else.
pub fn parse(frame: &[u8]) -> Option<Sight> {
    let payload = frame.get(14..)?;
    match u16::from_be_bytes([*frame.get(12)?, *frame.get(13)?]) {
        ETHERTYPE_ARP => parse_arp(payload),
        ETHERTYPE_IPV4 => {
            let header = usize::from(payload.first()? & 0xf) * 4;
            let source = Ipv4Addr::from(array::<4>(payload, 12)?);
            let destination = Ipv4Addr::from(array::<4>(payload, 16)?);
            let body = payload.get(header..)?;
            match *payload.get(9)? {
                VRRP => parse_advert(body, source.into(), destination.into()),
                ICMP if body.first() == Some(&0) => Some(Sight::EchoReply {
                    from: source.into(),
                }),
                _ => None,
            }
        }
        ETHERTYPE_IPV6 => {
            let source = Ipv6Addr::from(array::<16>(payload, 8)?);
            let destination = Ipv6Addr::from(array::<16>(payload, 24)?);
            let body = payload.get(40..)?;
            match (payload.get(6)?, body.first()?) {
                (&VRRP, _) => parse_advert(body, source.into(), destination.into()),
                (&ICMPV6, 129) => Some(Sight::EchoReply {
                    from: source.into(),
                }),
                (&ICMPV6, 136) => Some(Sight::Neighbour {
                    address: Ipv6Addr::from(array::<16>(body, 8)?),
                    solicited: body.get(4)? & 0x40 != 0,
                }),
                _ => None,
            }
        }
        _ => None,
    }
}

fn parse_arp(arp: &[u8]) -> Option<Sight> {
    let sender = Ipv4Addr::from(array::<4>(arp, 14)?);
    let target = Ipv4Addr::from(array::<4>(arp, 24)?);
    match (arp.get(7)?, sender == target) {
        (_, true) => Some(Sight::ArpAnnouncement { address: sender }),
        (2, false) => Some(Sight::ArpReply { address: sender }),
        _ => None,
    }
}

fn parse_advert(body: &[u8], source: IpAddr, destination: IpAddr) -> Option<Sight> {
    let [first, vrid, priority, addresses, high, low] = array::<6>(body, 0)?;
    let version = first >> 4;
    let interval = if version == 2 {
        Duration::from_secs(low.into())
    } else {
        Duration::from_millis(u64::from(u16::from_be_bytes([high & 0xf, low])) * 10)
    };
    Some(Sight::Advert(Advert {
        source,
        destination,
        version,
        vrid,
        priority,
        addresses,
        interval,
    }))
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at + N)?.try_into().ok()
}
