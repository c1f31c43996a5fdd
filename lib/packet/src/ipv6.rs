//! The IPv6 header: RFC 8200 section 3.
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +-------+---------------+---------------------------------------+
//! |Version| Traffic class |              Flow label               |
//! +-------+---------------+-------+---------------+---------------+
//! |        Payload length         |  Next header  |   Hop limit   |
//! +-------------------------------+---------------+---------------+
//! |                     Source address, 16 bytes                  |
//! +---------------------------------------------------------------+
//! |                  Destination address, 16 bytes                |
//! +---------------------------------------------------------------+
//! ```
//!
//! Extension headers are not followed: no sender of the packets that are read here puts any before the payload.

use std::net::Ipv6Addr;

use crate::{Error, array, length_field, number};

/// Length of a header in bytes.
pub const HEADER_LEN: usize = 40;

mod field {
    pub const PAYLOAD_LENGTH: usize = 4;
    pub const NEXT_HEADER: usize = 6;
    pub const HOP_LIMIT: usize = 7;
    pub const SOURCE: usize = 8;
    pub const DESTINATION: usize = 24;
}

/// Received packet.
#[derive(Clone, Copy, Debug)]
pub struct Packet<'a> {
    fixed: [u8; HEADER_LEN],
    payload: &'a [u8],
}

impl<'a> Packet<'a> {
    /// Reads a whole packet. Bytes after its payload are padding and are cut off.
    ///
    /// # Errors
    /// `Truncated`, `Malformed`.
    pub fn new_checked(bytes: &'a [u8]) -> Result<Self, Error> {
        let Self { fixed, payload } = Self::new_quoted(bytes)?;
        let length = number(&fixed, field::PAYLOAD_LENGTH).ok_or(Error::Truncated)?;
        let payload = payload.get(..length.into()).ok_or(Error::Truncated)?;
        Ok(Self { fixed, payload })
    }

    /// Reads the beginning of a packet, as an ICMPv6 error quotes it (RFC 4443 section 2.4). Its length is not
    /// checked.
    ///
    /// # Errors
    /// `Truncated`, `Malformed`.
    pub fn new_quoted(bytes: &'a [u8]) -> Result<Self, Error> {
        let fixed: [u8; HEADER_LEN] = array(bytes, 0).ok_or(Error::Truncated)?;
        if fixed[0] >> 4 != 6 {
            return Err(Error::Malformed);
        }
        let payload = bytes.get(HEADER_LEN..).ok_or(Error::Truncated)?;
        Ok(Self { fixed, payload })
    }

    /// Protocol of the payload.
    pub fn next_header(&self) -> u8 {
        self.fixed[field::NEXT_HEADER]
    }

    /// Hop limit.
    pub fn hop_limit(&self) -> u8 {
        self.fixed[field::HOP_LIMIT]
    }

    /// Address of the sender.
    pub fn source(&self) -> Ipv6Addr {
        address(&self.fixed, field::SOURCE)
    }

    /// Address of the receiver.
    pub fn destination(&self) -> Ipv6Addr {
        address(&self.fixed, field::DESTINATION)
    }

    /// True if the source can be a station's own address: RFC 4291 sections 2.5.2 and 2.7.
    pub fn is_from_a_host(&self) -> bool {
        let source = self.source();
        !source.is_unspecified() && !source.is_loopback() && !source.is_multicast()
    }

    /// Payload of the packet.
    pub fn payload(&self) -> &'a [u8] {
        self.payload
    }
}

fn address(fixed: &[u8; HEADER_LEN], at: usize) -> Ipv6Addr {
    array::<16>(fixed, at).unwrap_or_default().into()
}

/// Header to send, with flow label 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Repr {
    /// Address of the sender.
    pub source: Ipv6Addr,
    /// Address of the receiver.
    pub destination: Ipv6Addr,
    /// Protocol of the payload.
    pub next_header: u8,
    /// Differentiated services and congestion bits.
    pub traffic_class: u8,
    /// Hop limit.
    pub hop_limit: u8,
    /// Length in bytes of the payload, which the caller appends.
    pub payload_len: usize,
}

impl Repr {
    /// Appends the header.
    pub fn emit(&self, out: &mut Vec<u8>) {
        let [high, low] = length_field(self.payload_len);
        let class = self.traffic_class;
        out.extend_from_slice(&[0x60 | class >> 4, class << 4, 0, 0]);
        out.extend_from_slice(&[high, low, self.next_header, self.hop_limit]);
        out.extend_from_slice(&self.source.octets());
        out.extend_from_slice(&self.destination.octets());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOLDEN: [u8; 45] = [
        0x6c, 0, 0, 0, 0, 5, 0x70, 0xff, // VRRP, hop limit 255
        0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x0a, // source
        0xff, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x12, // destination
        b'h', b'e', b'l', b'l', b'o',
    ];

    fn repr() -> Repr {
        Repr {
            source: "fe80::a".parse().unwrap(),
            destination: "ff02::12".parse().unwrap(),
            next_header: 112,
            traffic_class: 0xc0,
            hop_limit: 255,
            payload_len: 5,
        }
    }

    #[test]
    fn a_header_has_these_bytes() {
        let mut packet = Vec::new();
        repr().emit(&mut packet);
        packet.extend(b"hello");
        assert_eq!(packet, GOLDEN);
    }

    #[test]
    fn a_packet_is_read_and_its_padding_cut_off() {
        let mut padded = GOLDEN.to_vec();
        padded.resize(60, 0xaa);
        let packet = Packet::new_checked(&padded).unwrap();
        let repr = repr();
        assert_eq!(packet.payload(), b"hello");
        assert_eq!(
            (packet.source(), packet.destination()),
            (repr.source, repr.destination)
        );
        assert_eq!((packet.next_header(), packet.hop_limit()), (112, 255));
        assert!(packet.is_from_a_host());
        let quoted = Packet::new_quoted(&GOLDEN[..42]).unwrap();
        assert_eq!(quoted.payload(), b"he");
    }

    #[test]
    fn every_fault_has_its_reason() {
        for length in 0..GOLDEN.len() {
            let cut = Packet::new_checked(&GOLDEN[..length]).err();
            assert_eq!(cut, Some(Error::Truncated), "{length}");
        }
        let mut other = GOLDEN;
        other[0] = 0x4c;
        assert_eq!(Packet::new_checked(&other).err(), Some(Error::Malformed));
    }
}
