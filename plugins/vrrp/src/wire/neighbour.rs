//! ARP (RFC 826) and neighbour discovery (RFC 4861): whether a wire still speaks.
//!
//! ```text
//! ARP request             neighbour solicitation (IPv6, hop limit 255)
//! +--------+--------+     +--------+--------+-----------------+
//! | 0x0001 | 0x0800 |     |  135   |   0    |    checksum     |
//! +----+---+--------+     +--------+--------+-----------------+
//! | 6  | 4 |    1   |     |             reserved              |
//! +----+---+--------+     +-----------------------------------+
//! | sender MAC, IP  |     |        target address, 16         |
//! | target MAC, IP  |     +--------+--------+-----------------+
//! +-----------------+     |   1    |   1    | sender's MAC, 6 |
//!                         +--------+--------+-----------------+
//! ```

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::frame::{ETHERNET_LEN, ETHERTYPE_IPV6, IPV6_LEN, emit_ethernet, emit_ipv6};
use super::{Mac, add_words, array, fold, pseudo_header};

const ETHERTYPE_ARP: u16 = 0x0806;
const ICMPV6: u8 = 58;
const NEIGHBOUR_SOLICITATION: u8 = 135;
const NEIGHBOUR_ADVERTISEMENT: u8 = 136;
const SOLICITATION_LEN: usize = 32;

/// The sender of an ARP or neighbour discovery frame.
pub fn station(frame: &[u8]) -> Option<Mac> {
    let mac: Mac = array(frame, 6)?;
    match u16::from_be_bytes(array(frame, 12)?) {
        ETHERTYPE_ARP => {
            // a complete Ethernet/IPv4 body, and a sender that names itself
            let _target: [u8; 4] = array(frame, ETHERNET_LEN + 24)?;
            Some(mac)
        }
        ETHERTYPE_IPV6 => {
            let next_header = *frame.get(ETHERNET_LEN + 6)?;
            let kind = *frame.get(ETHERNET_LEN + IPV6_LEN)?;
            let discovery = matches!(kind, NEIGHBOUR_SOLICITATION | NEIGHBOUR_ADVERTISEMENT);
            (next_header == ICMPV6 && discovery).then_some(mac)
        }
        _ => None,
    }
}

/// The address that the sender of such a frame calls its own.
pub fn speaker(frame: &[u8]) -> Option<IpAddr> {
    const ARP_SENDER_AT: usize = ETHERNET_LEN + 14;
    const IPV6_SOURCE_AT: usize = ETHERNET_LEN + 8;
    station(frame)?;
    match u16::from_be_bytes(array(frame, 12)?) {
        ETHERTYPE_ARP => Some(array::<4>(frame, ARP_SENDER_AT)?.into()),
        ETHERTYPE_IPV6 => Some(array::<16>(frame, IPV6_SOURCE_AT)?.into()),
        _ => None,
    }
}

/// A frame that asks `target` to answer; None where the families differ.
pub fn probe(mac: Mac, own: IpAddr, target: IpAddr) -> Option<Vec<u8>> {
    match (own, target) {
        (IpAddr::V4(own), IpAddr::V4(target)) => Some(arp_request(mac, own, target)),
        (IpAddr::V6(own), IpAddr::V6(target)) => Some(solicitation(mac, own, target)),
        _ => None,
    }
}

fn arp_request(mac: Mac, own: Ipv4Addr, target: Ipv4Addr) -> Vec<u8> {
    let mut out = Vec::with_capacity(42);
    emit_ethernet([0xff; 6], mac, ETHERTYPE_ARP, &mut out);
    out.extend_from_slice(&[0x00, 0x01, 0x08, 0x00, 6, 4, 0x00, 0x01]);
    out.extend_from_slice(&mac);
    out.extend_from_slice(&own.octets());
    out.extend_from_slice(&[0; 6]);
    out.extend_from_slice(&target.octets());
    out
}

fn solicitation(mac: Mac, own: Ipv6Addr, target: Ipv6Addr) -> Vec<u8> {
    let [.., a, b, c] = target.octets();
    let group = Ipv6Addr::from([0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, a, b, c]);
    let mut message = Vec::with_capacity(SOLICITATION_LEN);
    message.extend_from_slice(&[NEIGHBOUR_SOLICITATION, 0, 0, 0, 0, 0, 0, 0]);
    message.extend_from_slice(&target.octets());
    message.extend_from_slice(&[1, 1]);
    message.extend_from_slice(&mac);
    let pseudo = pseudo_header(own.into(), group.into(), ICMPV6, message.len());
    let checksum = fold(add_words(pseudo, &message)).to_be_bytes();
    message[2..4].copy_from_slice(&checksum);

    let mut out = Vec::with_capacity(ETHERNET_LEN + IPV6_LEN + SOLICITATION_LEN);
    emit_ethernet([0x33, 0x33, 0xff, a, b, c], mac, ETHERTYPE_IPV6, &mut out);
    emit_ipv6(0, own, group, ICMPV6, message.len(), &mut out);
    out.extend_from_slice(&message);
    out
}
