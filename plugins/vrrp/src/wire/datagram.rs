//! The IP and UDP headers around a beat: a packet socket delivers them before any firewall, and
//! before the kernel has looked at them.
//!
//! ```text
//! +----------------------------------------------------+
//! | IPv4 header, 20 and options, or IPv6 header, 40    |
//! +------------------+------------------+--------------+
//! | source port, 2   | destination, 2   | length, 2    |
//! +------------------+------------------+--------------+
//! | checksum, 2      | payload                         |
//! +------------------+---------------------------------+
//! ```
//!
//! The checksum is not looked at: on a virtual link it may be left to a card that is not there,
//! and a beat brings a better one.

use super::array;
use super::frame::{parse_ipv4, parse_ipv6};

const UDP: u8 = 17;
const UDP_LEN: usize = 8;

/// What a whole IP packet carries over UDP; None where it is anything else. Addresses and ports
/// are the socket's filter's.
pub fn payload(packet: &[u8]) -> Option<&[u8]> {
    let ip = match packet.first()? >> 4 {
        4 => parse_ipv4(packet, UDP),
        6 => parse_ipv6(packet, UDP),
        _ => return None,
    };
    let datagram = ip.ok()?.payload;
    let length = usize::from(u16::from_be_bytes(array(datagram, 4)?));
    if length != datagram.len() {
        return None;
    }
    datagram.get(UDP_LEN..)
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
        let length = u16::try_from(payload.len() + UDP_LEN).expect("short");
        let mut packet = vec![0x60, 0, 0, 0];
        packet.extend(length.to_be_bytes());
        packet.extend([UDP, 64]);
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
        // another protocol, a length of UDP beside the packet's, a wrong header checksum
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
}
