//! Encodes and parses the IP and UDP headers of a heartbeat. A packet socket delivers them before any firewall and
//! before the kernel has checked them.

use std::net::IpAddr;

use spared_packet::{ethernet, udp};

use super::frame::{append_ip, emit_ethernet, group_address, group_mac, parse_ipv4, parse_ipv6};
use super::{Family, Mac};

/// Port of the links and of heartbeats, on both ends.
pub const PORT: u16 = 3780;

/// A heartbeat that arrived on a network.
#[derive(Clone, Copy, Debug)]
pub struct Received<'a> {
    pub source_mac: Mac,
    pub source: IpAddr,
    pub destination: IpAddr,
    pub ttl: u8,
    pub payload: &'a [u8],
}

/// Parses a complete Ethernet frame; None unless it is UDP.
pub fn parse(frame: &[u8]) -> Option<Received<'_>> {
    let frame = ethernet::Packet::new_checked(frame).ok()?;
    let ip = match frame.ethertype() {
        ethernet::IPV4 => parse_ipv4(frame.payload(), udp::PROTOCOL),
        ethernet::IPV6 => parse_ipv6(frame.payload(), udp::PROTOCOL),
        _ => return None,
    };
    let ip = ip.ok()?;
    Some(Received {
        source_mac: frame.source(),
        source: ip.source,
        destination: ip.destination,
        ttl: ip.ttl,
        payload: udp::Packet::new_checked(ip.payload).ok()?.payload(),
    })
}

/// Replaces `out` by a complete frame to the multicast group of adverts, or by an IP packet to one peer.
pub fn emit(mac: Mac, source: IpAddr, to: Option<IpAddr>, payload: &[u8], out: &mut Vec<u8>) {
    out.clear();
    let family = Family::of(source);
    let destination = to.unwrap_or(group_address(family));
    if to.is_none() {
        emit_ethernet(group_mac(family), mac, family, out);
    }
    let length = udp::HEADER_LEN + payload.len();
    if append_ip(source, destination, udp::PROTOCOL, length, out) {
        let datagram = udp::Repr {
            source,
            destination,
            port: PORT,
        };
        datagram.emit(payload, out);
    }
}

/// Returns the UDP payload of a complete IP packet; None for other packets. The socket's filter checks addresses and
/// ports.
pub fn payload(packet: &[u8]) -> Option<&[u8]> {
    let ip = match packet.first()? >> 4 {
        4 => parse_ipv4(packet, udp::PROTOCOL),
        6 => parse_ipv6(packet, udp::PROTOCOL),
        _ => return None,
    };
    let datagram = udp::Packet::new_checked(ip.ok()?.payload).ok()?;
    Some(datagram.payload())
}

#[cfg(test)]
mod tests {
    use super::*;

    const IPV4: [u8; 33] = [
        0x45, 0, 0, 33, 0, 0, 0x40, 0, 64, 17, 0xd8, 0xcc, 169, 254, 7, 1, 169, 254, 7,
        2, // IP
        0x0e, 0xc4, 0x0e, 0xc4, 0, 13, 0, 0, // UDP
        b'h', b'e', b'l', b'l', b'o',
    ];

    fn ipv6(payload: &[u8]) -> Vec<u8> {
        let length = u16::try_from(payload.len() + udp::HEADER_LEN).expect("short");
        let mut packet = vec![0x60, 0, 0, 0];
        packet.extend(length.to_be_bytes());
        packet.extend([udp::PROTOCOL, 64]);
        packet.extend([0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
        packet.extend([0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2]);
        packet.extend([0x0e, 0xc4, 0x0e, 0xc4]);
        packet.extend(length.to_be_bytes());
        packet.extend([0, 0]);
        packet.extend(payload);
        packet
    }

    #[test]
    fn a_datagram_of_either_family_is_read() {
        assert_eq!(payload(&IPV4), Some(&b"hello"[..]));
        assert_eq!(payload(&ipv6(b"hello")), Some(&b"hello"[..]));
        assert_eq!(payload(&ipv6(b"")), Some(&b""[..]));
    }

    #[test]
    fn padding_of_the_wire_is_cut_off() {
        let mut padded = IPV4.to_vec();
        padded.resize(46, 0);
        assert_eq!(payload(&padded), Some(&b"hello"[..]));
    }

    #[test]
    fn anything_else_is_refused() {
        for length in 0..IPV4.len() {
            assert_eq!(payload(&IPV4[..length]), None, "{length}");
        }
        let whole = ipv6(b"hello");
        for length in 0..whole.len() {
            assert_eq!(payload(&whole[..length]), None, "{length}");
        }
        // another protocol, a UDP length that differs from the packet's, a wrong header checksum
        let changed = |at: usize, value: u8| {
            let mut packet = ipv6(b"hello");
            packet[at] = value;
            payload(&packet).map(<[u8]>::len)
        };
        assert_eq!(changed(6, 6), None);
        assert_eq!(changed(45, 12), None);
        assert_eq!(changed(45, 14), None);
        let mut wrong = IPV4;
        wrong[8] -= 1;
        assert_eq!(payload(&wrong), None);
    }

    #[test]
    fn what_is_sent_over_a_network_is_read_there() {
        const OWN: Mac = [2, 0, 0, 0, 0, 1];
        let address = |text: &str| text.parse::<IpAddr>().expect("an address");
        for (source, group) in [("10.0.0.1", "224.0.0.18"), ("fe80::1", "ff02::12")] {
            let mut frame = Vec::new();
            emit(OWN, address(source), None, b"hello", &mut frame);
            let read = parse(&frame).expect("a datagram");
            assert_eq!((read.source_mac, read.source), (OWN, address(source)));
            assert_eq!((read.destination, read.ttl), (address(group), 255));
            assert_eq!(read.payload, b"hello");
            for length in 0..frame.len() {
                assert!(parse(&frame[..length]).is_none(), "{length}");
            }
        }
        let mut packet = Vec::new();
        emit(
            OWN,
            address("10.0.0.1"),
            Some(address("10.0.0.2")),
            b"hello",
            &mut packet,
        );
        assert_eq!(payload(&packet), Some(&b"hello"[..]));
    }
}
