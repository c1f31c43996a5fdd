//! Encodes and parses the Ethernet and IP headers of a VRRP message (RFC 9568 sections 5.1.1, 5.1.2
//! and 7.2).
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
//! Packet sockets deliver frames before the kernel has checked them, so that every check of the IP
//! header is made here.

use std::net::IpAddr;

use spared_packet::{Error, ethernet, ipv4, ipv6};

use super::vrrp::{self, Addresses, Checksums, Packet, Password, Repr, Version};
use super::{Family, Mac};
use crate::error::Discard;

/// TTL that is sent, and the only value that is accepted on a link (RFC 9568 section 5.1.1.3).
pub const TTL: u8 = 255;

/// Traffic class of network control (RFC 4594): a full queue drops it last.
const TRAFFIC_CLASS: u8 = 0xc0;

/// A received advert that passed every check that needs no configuration.
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
    /// A signature follows, which is not verified here.
    pub is_signed: bool,
    pub password: Option<Password>,
    pub addresses: Addresses<'a>,
}

/// Parses a complete Ethernet frame.
pub fn parse(frame: &[u8]) -> Result<Advert<'_>, Discard> {
    let frame = ethernet::Packet::new_checked(frame)?;
    let ip = match frame.ethertype() {
        ethernet::IPV4 => parse_ipv4(frame.payload(), vrrp::PROTOCOL)?,
        ethernet::IPV6 => parse_ipv6(frame.payload(), vrrp::PROTOCOL)?,
        _ => return Err(Discard::Protocol),
    };
    let family = Family::of(ip.source);
    let message = Packet::new_checked(ip.payload, family)?;
    Ok(Advert {
        source_mac: frame.source(),
        source: ip.source,
        destination: ip.destination,
        ttl: ip.ttl,
        family,
        version: message.version(),
        vrid: message.vrid(),
        priority: message.priority(),
        interval_ns: message.interval_ns(),
        checksums: message.verify(ip.source, ip.destination)?,
        is_signed: message.is_signed(),
        password: message.password(),
        addresses: message.addresses(),
    })
}

/// A complete IP packet.
pub(super) struct Ip<'a> {
    pub(super) source: IpAddr,
    pub(super) destination: IpAddr,
    pub(super) ttl: u8,
    pub(super) payload: &'a [u8],
}

pub(super) fn parse_ipv4(bytes: &[u8], protocol: u8) -> Result<Ip<'_>, Discard> {
    let packet = ipv4::Packet::new_checked(bytes)?;
    if packet.protocol() != protocol {
        return Err(Discard::Protocol);
    }
    if !packet.is_from_a_host() {
        return Err(Discard::Source);
    }
    Ok(Ip {
        source: packet.source().into(),
        destination: packet.destination().into(),
        ttl: packet.hop_limit(),
        payload: packet.payload(),
    })
}

pub(super) fn parse_ipv6(bytes: &[u8], protocol: u8) -> Result<Ip<'_>, Discard> {
    let packet = ipv6::Packet::new_checked(bytes)?;
    if !packet.is_from_a_host() {
        return Err(Discard::Source);
    }
    if packet.next_header() != protocol {
        return Err(Discard::Protocol);
    }
    Ok(Ip {
        source: packet.source().into(),
        destination: packet.destination().into(),
        ttl: packet.hop_limit(),
        payload: packet.payload(),
    })
}

impl From<Error> for Discard {
    fn from(error: Error) -> Discard {
        match error {
            Error::Truncated => Discard::Truncated,
            Error::Fragment => Discard::Fragment,
            Error::Malformed | Error::Checksum => Discard::BadIpHeader,
        }
    }
}

/// Returns the multicast group of a family.
pub fn group_address(family: Family) -> IpAddr {
    match family {
        Family::V4 => vrrp::GROUP_V4.into(),
        Family::V6 => vrrp::GROUP_V6.into(),
    }
}

/// Returns the MAC address of the multicast group.
pub(super) fn group_mac(family: Family) -> Mac {
    match family {
        Family::V4 => ethernet::multicast_v4(vrrp::GROUP_V4),
        Family::V6 => ethernet::multicast_v6(vrrp::GROUP_V6),
    }
}

/// Replaces `out` by a complete frame to the multicast group.
pub fn emit_frame(source_mac: Mac, source: IpAddr, repr: &Repr<'_>, out: &mut Vec<u8>) {
    out.clear();
    emit_ethernet(group_mac(repr.family), source_mac, repr.family, out);
    append_packet(source, group_address(repr.family), repr, out);
}

/// Replaces `out` by a complete frame from an interface to itself, which passes the egress hook.
pub fn emit_frame_to_self(mac: Mac, source: IpAddr, repr: &Repr<'_>, out: &mut Vec<u8>) {
    out.clear();
    emit_ethernet(mac, mac, repr.family, out);
    append_packet(source, source, repr, out);
}

/// Replaces `out` by a complete IP packet to one peer.
pub fn emit_packet(source: IpAddr, destination: IpAddr, repr: &Repr<'_>, out: &mut Vec<u8>) {
    out.clear();
    append_packet(source, destination, repr, out);
}

pub(super) fn emit_ethernet(destination: Mac, source: Mac, family: Family, out: &mut Vec<u8>) {
    let ethertype = match family {
        Family::V4 => ethernet::IPV4,
        Family::V6 => ethernet::IPV6,
    };
    let header = ethernet::Repr {
        destination,
        source,
        ethertype,
    };
    header.emit(out);
}

fn append_packet(source: IpAddr, destination: IpAddr, repr: &Repr<'_>, out: &mut Vec<u8>) {
    if append_ip(source, destination, vrrp::PROTOCOL, repr.buffer_len(), out) {
        repr.emit(source, destination, out);
    }
}

/// Appends an IP header. Returns false if the addresses differ in family, which the configuration
/// excludes: an empty packet is never sent.
pub(super) fn append_ip(
    source: IpAddr,
    destination: IpAddr,
    protocol: u8,
    payload_len: usize,
    out: &mut Vec<u8>,
) -> bool {
    match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => ipv4::Repr {
            source,
            destination,
            protocol,
            traffic_class: TRAFFIC_CLASS,
            hop_limit: TTL,
            payload_len,
        }
        .emit(out),
        (IpAddr::V6(source), IpAddr::V6(destination)) => ipv6::Repr {
            source,
            destination,
            next_header: protocol,
            traffic_class: TRAFFIC_CLASS,
            hop_limit: TTL,
            payload_len,
        }
        .emit(out),
        _ => return false,
    }
    true
}
