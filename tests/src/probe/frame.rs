// SPDX-License-Identifier: MIT OR Apache-2.0
//! Composes and parses the probes' frames with etherparse, so that spared's frames are not checked by its own codec.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use etherparse::checksum::Sum16BitWords;
use etherparse::{
    ArpEthIpv4Packet, ArpOperation, EtherType, Ethernet2Header, IcmpEchoHeader, Icmpv6Type,
    IpNumber, Ipv4Header, Ipv6Header, LaxNetSlice, LaxSlicedPacket, PacketBuilder,
};

use super::watch::Sight;

pub type Mac = [u8; 6];

pub const BROADCAST: Mac = [0xff; 6];
pub const ETHERTYPE_IPV4: u16 = 0x0800;
pub const ETHERTYPE_ARP: u16 = 0x0806;
const ICMP: u8 = 1;
const ICMPV6: u8 = 58;
const VRRP: u8 = 112;
/// Identifier in the probes' echo requests.
const PING: u16 = 0x5a5a;

/// An advert as it was sent.
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
    let header = Ethernet2Header {
        destination: to,
        source: from,
        ether_type: EtherType(ethertype),
    };
    [&header.to_bytes()[..], payload].concat()
}

pub fn ipv4(from: Ipv4Addr, to: Ipv4Addr, protocol: u8, ttl: u8, payload: &[u8]) -> Vec<u8> {
    let length = payload.len() as u16;
    let (from, to) = (from.octets(), to.octets());
    let mut header =
        Ipv4Header::new(length, ttl, IpNumber(protocol), from, to).expect("a short payload");
    header.header_checksum = header.calc_header_checksum();
    [&header.to_bytes()[..], payload].concat()
}

pub fn ipv6(from: Ipv6Addr, to: Ipv6Addr, next: u8, hops: u8, payload: &[u8]) -> Vec<u8> {
    let header = Ipv6Header {
        payload_length: payload.len() as u16,
        next_header: IpNumber(next),
        hop_limit: hops,
        source: from.octets(),
        destination: to.octets(),
        ..Ipv6Header::default()
    };
    [&header.to_bytes()[..], payload].concat()
}

/// The Internet checksum (RFC 1071) of the parts. All except the last must have an even length.
pub fn checksum(parts: &[&[u8]]) -> u16 {
    let sum = parts
        .iter()
        .fold(Sum16BitWords::new(), |sum, part| sum.add_slice(part));
    u16::from_be(sum.ones_complement())
}

pub fn arp_request(mac: Mac, own: Ipv4Addr, wanted: Ipv4Addr) -> Vec<u8> {
    let packet = ArpEthIpv4Packet {
        operation: ArpOperation::REQUEST,
        sender_mac: mac,
        sender_ipv4: own.octets(),
        target_mac: [0; 6],
        target_ipv4: wanted.octets(),
    };
    ethernet(BROADCAST, mac, ETHERTYPE_ARP, &packet.to_bytes())
}

pub fn ping(to_mac: Mac, mac: Mac, own: Ipv4Addr, to: Ipv4Addr, sequence: u16) -> Vec<u8> {
    let ping = PacketBuilder::ethernet2(mac, to_mac)
        .ipv4(own.octets(), to.octets(), 64)
        .icmpv4_echo_request(PING, sequence);
    let mut frame = Vec::with_capacity(ping.size(0));
    ping.write(&mut frame, &[]).expect("memory takes it");
    frame
}

pub fn ping6(to_mac: Mac, mac: Mac, own: Ipv6Addr, to: Ipv6Addr, sequence: u16) -> Vec<u8> {
    let ping = Icmpv6Type::EchoRequest(IcmpEchoHeader {
        id: PING,
        seq: sequence,
    });
    icmpv6(to_mac, mac, own, to, ping, &[])
}

/// A neighbour solicitation, sent to all solicited nodes of the address.
pub fn solicitation(mac: Mac, own: Ipv6Addr, wanted: Ipv6Addr) -> Vec<u8> {
    let target = wanted.octets();
    let group = Ipv6Addr::from([
        0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, target[13], target[14], target[15],
    ]);
    let to_mac = [0x33, 0x33, 0xff, target[13], target[14], target[15]];
    let body = [&target[..], &[1, 1][..], &mac[..]].concat();
    let kind = Icmpv6Type::NeighborSolicitation;
    icmpv6(to_mac, mac, own, group, kind, &body)
}

// Neighbour discovery requires a hop limit of 255 (RFC 4861 §7.1.1).
fn icmpv6(
    to_mac: Mac,
    mac: Mac,
    own: Ipv6Addr,
    to: Ipv6Addr,
    kind: Icmpv6Type,
    body: &[u8],
) -> Vec<u8> {
    let message = PacketBuilder::ethernet2(mac, to_mac)
        .ipv6(own.octets(), to.octets(), 255)
        .icmpv6(kind);
    let mut frame = Vec::with_capacity(message.size(body.len()));
    message.write(&mut frame, body).expect("memory takes it");
    frame
}

/// Returns the contents that the watch records; None for other frames.
pub fn parse(frame: &[u8]) -> Option<Sight> {
    match LaxSlicedPacket::from_ethernet(frame).ok()?.net? {
        LaxNetSlice::Arp(arp) => parse_arp(&arp.to_packet().try_eth_ipv4().ok()?),
        LaxNetSlice::Ipv4(ip) => {
            let header = ip.header();
            let (source, body) = (header.source_addr(), ip.payload().payload);
            match header.protocol().0 {
                VRRP => parse_advert(body, source.into(), header.destination_addr().into()),
                ICMP if body.first() == Some(&0) => Some(Sight::EchoReply {
                    from: source.into(),
                }),
                _ => None,
            }
        }
        LaxNetSlice::Ipv6(ip) => {
            let header = ip.header();
            let (source, body) = (header.source_addr(), ip.payload().payload);
            match (header.next_header().0, body.first()?) {
                (VRRP, _) => parse_advert(body, source.into(), header.destination_addr().into()),
                (ICMPV6, 129) => Some(Sight::EchoReply {
                    from: source.into(),
                }),
                (ICMPV6, 136) => Some(Sight::Neighbour {
                    address: Ipv6Addr::from(array::<16>(body, 8)?),
                    solicited: body.get(4)? & 0x40 != 0,
                }),
                _ => None,
            }
        }
    }
}

fn parse_arp(arp: &ArpEthIpv4Packet) -> Option<Sight> {
    let (sender, target) = (arp.sender_ipv4_addr(), arp.target_ipv4_addr());
    match (arp.operation, sender == target) {
        (_, true) => Some(Sight::ArpAnnouncement { address: sender }),
        (ArpOperation::REPLY, false) => Some(Sight::ArpReply { address: sender }),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_rfc_1071_has_its_sum() {
        let bytes = [0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7];
        assert_eq!(checksum(&[&bytes]), !0xddf2);
        assert_eq!(checksum(&[&bytes[..2], &bytes[2..]]), !0xddf2);
    }

    #[test]
    fn questions_have_these_bytes() {
        let mac = [2, 0, 0, 0, 0, 0x0a];
        let (own, to) = (Ipv4Addr::new(192, 0, 2, 2), Ipv4Addr::new(192, 0, 2, 99));
        let golden = [
            &[0xff; 6][..],
            &mac,
            &[8, 6, 0, 1, 8, 0, 6, 4, 0, 1],
            &mac,
            &own.octets(),
            &[0; 6],
            &to.octets(),
        ];
        assert_eq!(arp_request(mac, own, to), golden.concat());
        let ping = ping(BROADCAST, mac, own, to, 7);
        assert_eq!(ping[34..], [8, 0, 0x9d, 0x9e, 0x5a, 0x5a, 0, 7]);
        let (own, to) = ("fe80::a".parse().unwrap(), "fe80::12:3456".parse().unwrap());
        let asked = solicitation(mac, own, to);
        assert_eq!(asked[..6], [0x33, 0x33, 0xff, 0x12, 0x34, 0x56]);
        assert_eq!(asked[54..62], [0x87, 0, 0x11, 0xb9, 0, 0, 0, 0]);
        assert_eq!(asked[78..], [1, 1, 2, 0, 0, 0, 0, 0x0a]);
    }
}
