//! The Ethernet and IP headers around a VRRP message (RFC 9568 sections 5.1.1, 5.1.2 and 7.2).
//!
//! ```text
//! +--------------------+-------------------+-----------+   14 bytes
//! | destination MAC, 6 | source MAC, 6     | type, 2   |
//! +--------------------+-------------------+-----------+
//! | IPv4 header, 20 and options, or IPv6 header, 40    |
//! +----------------------------------------------------+
//! | VRRP message                                       |
//! +----------------------------------------------------+
//! ```
//!
//! Packet sockets deliver frames before the kernel has looked at them, so that every check of the
//! IP header is made here.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::vrrp::{self, Addresses, Checksums, Packet, Repr, Version};
use super::{Family, Mac, add_words, array, fold};
use crate::error::Discard;

/// RFC 9568 section 5.1.1.3: what is sent, and the only value that is accepted on a link.
pub const TTL: u8 = 255;

pub(super) const ETHERTYPE_IPV4: u16 = 0x0800;
pub(super) const ETHERTYPE_IPV6: u16 = 0x86dd;
pub(super) const ETHERNET_LEN: usize = 14;
const IPV4_LEN: usize = 20;
pub(super) const IPV6_LEN: usize = 40;
/// Network control (RFC 4594): a full queue drops it last.
const TRAFFIC_CLASS: u8 = 0xc0;
const DO_NOT_FRAGMENT: u16 = 0x4000;
const MORE_FRAGMENTS_AND_OFFSET: u16 = 0x3fff;

/// A received advert that passed every check which needs no configuration.
#[derive(Clone, Copy, Debug)]
pub struct Advert<'a> {
    pub source_mac: Mac,
    pub source: IpAddr,
    pub destination: IpAddr,
    pub ttl: u8,
    pub family: Family,
    pub version: Version,
    pub vrid: u8,
    pub priority: u8,
    pub interval_ns: u64,
    pub checksums: Checksums,
    pub addresses: Addresses<'a>,
}

/// Reads a whole Ethernet frame.
pub fn parse(frame: &[u8]) -> Result<Advert<'_>, Discard> {
    let source_mac: Mac = array(frame, 6).ok_or(Discard::Truncated)?;
    let ethertype = array(frame, 12)
        .map(u16::from_be_bytes)
        .ok_or(Discard::Truncated)?;
    let packet = frame.get(ETHERNET_LEN..).ok_or(Discard::Truncated)?;
    let ip = match ethertype {
        ETHERTYPE_IPV4 => parse_ipv4(packet, vrrp::PROTOCOL)?,
        ETHERTYPE_IPV6 => parse_ipv6(packet, vrrp::PROTOCOL)?,
        _ => return Err(Discard::Protocol),
    };
    let family = Family::of(ip.source);
    let message = Packet::new_checked(ip.payload, family)?;
    Ok(Advert {
        source_mac,
        source: ip.source,
        destination: ip.destination,
        ttl: ip.ttl,
        family,
        version: message.version(),
        vrid: message.vrid(),
        priority: message.priority(),
        interval_ns: message.interval_ns(),
        checksums: message.verify(ip.source, ip.destination)?,
        addresses: message.addresses(),
    })
}

/// A whole IP packet.
pub(super) struct Ip<'a> {
    source: IpAddr,
    destination: IpAddr,
    ttl: u8,
    pub(super) payload: &'a [u8],
}

pub(super) fn parse_ipv4(packet: &[u8], protocol: u8) -> Result<Ip<'_>, Discard> {
    let fixed: [u8; IPV4_LEN] = array(packet, 0).ok_or(Discard::Truncated)?;
    let header_len = usize::from(fixed[0] & 0x0f) * 4;
    let total_len = usize::from(u16::from_be_bytes([fixed[2], fixed[3]]));
    if fixed[0] >> 4 != 4 || header_len < IPV4_LEN || total_len < header_len {
        return Err(Discard::BadIpHeader);
    }
    // what follows total_len is Ethernet's padding
    let header = packet.get(..header_len).ok_or(Discard::Truncated)?;
    let payload = packet
        .get(header_len..total_len)
        .ok_or(Discard::Truncated)?;
    if fold(add_words(0, header)) != 0 {
        return Err(Discard::BadIpHeader);
    }
    if u16::from_be_bytes([fixed[6], fixed[7]]) & MORE_FRAGMENTS_AND_OFFSET != 0 {
        return Err(Discard::Fragment);
    }
    if fixed[9] != protocol {
        return Err(Discard::Protocol);
    }
    let source = Ipv4Addr::new(fixed[12], fixed[13], fixed[14], fixed[15]);
    if source.is_unspecified() || source.is_multicast() || source.is_broadcast() {
        return Err(Discard::BadIpHeader);
    }
    let destination = Ipv4Addr::new(fixed[16], fixed[17], fixed[18], fixed[19]);
    Ok(Ip {
        source: source.into(),
        destination: destination.into(),
        ttl: fixed[8],
        payload,
    })
}

pub(super) fn parse_ipv6(packet: &[u8], protocol: u8) -> Result<Ip<'_>, Discard> {
    let fixed: [u8; 8] = array(packet, 0).ok_or(Discard::Truncated)?;
    let source = Ipv6Addr::from(array::<16>(packet, 8).ok_or(Discard::Truncated)?);
    let destination = Ipv6Addr::from(array::<16>(packet, 24).ok_or(Discard::Truncated)?);
    if fixed[0] >> 4 != 6 || source.is_unspecified() || source.is_multicast() {
        return Err(Discard::BadIpHeader);
    }
    // no sender of adverts, or of beats, puts extension headers before them
    if fixed[6] != protocol {
        return Err(Discard::Protocol);
    }
    let end = IPV6_LEN + usize::from(u16::from_be_bytes([fixed[4], fixed[5]]));
    let payload = packet.get(IPV6_LEN..end).ok_or(Discard::Truncated)?;
    Ok(Ip {
        source: source.into(),
        destination: destination.into(),
        ttl: fixed[7],
        payload,
    })
}

/// The multicast group of a family.
pub fn group_address(family: Family) -> IpAddr {
    match family {
        Family::V4 => vrrp::GROUP_V4.into(),
        Family::V6 => vrrp::GROUP_V6.into(),
    }
}

/// Replaces `out` by a whole frame to the multicast group.
pub fn emit_frame(source_mac: Mac, source: IpAddr, repr: &Repr<'_>, out: &mut Vec<u8>) {
    out.clear();
    let (group_mac, ethertype) = match repr.family {
        Family::V4 => ([0x01, 0x00, 0x5e, 0x00, 0x00, 0x12], ETHERTYPE_IPV4),
        Family::V6 => ([0x33, 0x33, 0x00, 0x00, 0x00, 0x12], ETHERTYPE_IPV6),
    };
    emit_ethernet(group_mac, source_mac, ethertype, out);
    append_packet(source, group_address(repr.family), repr, out);
}

/// Replaces `out` by a whole frame from an interface to itself, which passes the egress hook.
pub fn emit_frame_to_self(mac: Mac, source: IpAddr, repr: &Repr<'_>, out: &mut Vec<u8>) {
    out.clear();
    let ethertype = match repr.family {
        Family::V4 => ETHERTYPE_IPV4,
        Family::V6 => ETHERTYPE_IPV6,
    };
    emit_ethernet(mac, mac, ethertype, out);
    append_packet(source, source, repr, out);
}

/// Replaces `out` by a whole IP packet to one peer.
pub fn emit_packet(source: IpAddr, destination: IpAddr, repr: &Repr<'_>, out: &mut Vec<u8>) {
    out.clear();
    append_packet(source, destination, repr, out);
}

pub(super) fn emit_ethernet(to: Mac, from: Mac, ethertype: u16, out: &mut Vec<u8>) {
    out.extend_from_slice(&to);
    out.extend_from_slice(&from);
    out.extend_from_slice(&ethertype.to_be_bytes());
}

fn append_packet(source: IpAddr, destination: IpAddr, repr: &Repr<'_>, out: &mut Vec<u8>) {
    match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            emit_ipv4(source, destination, repr.buffer_len(), out);
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            let traffic = TRAFFIC_CLASS;
            emit_ipv6(
                traffic,
                source,
                destination,
                vrrp::PROTOCOL,
                repr.buffer_len(),
                out,
            );
        }
        // configuration keeps families apart; an empty packet is never sent
        _ => return,
    }
    repr.emit(source, destination, out);
}

fn emit_ipv4(source: Ipv4Addr, destination: Ipv4Addr, payload_len: usize, out: &mut Vec<u8>) {
    let total_len = u16::try_from(IPV4_LEN + payload_len)
        .unwrap_or(u16::MAX)
        .to_be_bytes();
    let fragment = DO_NOT_FRAGMENT.to_be_bytes();
    let mut header = [0; IPV4_LEN];
    header[..4].copy_from_slice(&[0x45, TRAFFIC_CLASS, total_len[0], total_len[1]]);
    header[6..10].copy_from_slice(&[fragment[0], fragment[1], TTL, vrrp::PROTOCOL]);
    header[12..16].copy_from_slice(&source.octets());
    header[16..].copy_from_slice(&destination.octets());
    let checksum = fold(add_words(0, &header)).to_be_bytes();
    header[10..12].copy_from_slice(&checksum);
    out.extend_from_slice(&header);
}

pub(super) fn emit_ipv6(
    traffic_class: u8,
    source: Ipv6Addr,
    destination: Ipv6Addr,
    next_header: u8,
    payload_len: usize,
    out: &mut Vec<u8>,
) {
    let payload_len = u16::try_from(payload_len).unwrap_or(u16::MAX).to_be_bytes();
    out.extend_from_slice(&[0x60 | traffic_class >> 4, traffic_class << 4, 0, 0]);
    out.extend_from_slice(&[payload_len[0], payload_len[1], next_header, TTL]);
    out.extend_from_slice(&source.octets());
    out.extend_from_slice(&destination.octets());
}
