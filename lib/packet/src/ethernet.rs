//! The Ethernet header: IEEE 802.3 section 3.2, with the type of RFC 894.
//!
//! ```text
//! +--------------------+-------------------+-----------+   14 bytes
//! | destination MAC, 6 | source MAC, 6     | type, 2   |
//! +--------------------+-------------------+-----------+
//! ```

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::{Error, array, number};

/// MAC address.
pub type Mac = [u8; 6];

/// Length of a header in bytes.
pub const HEADER_LEN: usize = 14;
/// Type of an IPv4 packet.
pub const IPV4: u16 = 0x0800;
/// Type of an ARP packet.
pub const ARP: u16 = 0x0806;
/// Type of an IPv6 packet.
pub const IPV6: u16 = 0x86dd;
/// Broadcast address: all stations.
pub const BROADCAST: Mac = [0xff; 6];

mod field {
    pub const SOURCE: usize = 6;
    pub const TYPE: usize = 12;
}

/// Received frame.
#[derive(Clone, Copy, Debug)]
pub struct Packet<'a> {
    destination: Mac,
    source: Mac,
    ethertype: u16,
    payload: &'a [u8],
}

impl<'a> Packet<'a> {
    /// # Errors
    /// `Truncated`.
    pub fn new_checked(bytes: &'a [u8]) -> Result<Self, Error> {
        Ok(Self {
            destination: array(bytes, 0).ok_or(Error::Truncated)?,
            source: array(bytes, field::SOURCE).ok_or(Error::Truncated)?,
            ethertype: number(bytes, field::TYPE).ok_or(Error::Truncated)?,
            payload: bytes.get(HEADER_LEN..).ok_or(Error::Truncated)?,
        })
    }

    /// MAC address of the receiver, or of a group.
    pub fn destination(&self) -> Mac {
        self.destination
    }

    /// MAC address of the sender.
    pub fn source(&self) -> Mac {
        self.source
    }

    /// Type of the payload.
    pub fn ethertype(&self) -> u16 {
        self.ethertype
    }

    /// Payload, with the padding of short frames.
    pub fn payload(&self) -> &'a [u8] {
        self.payload
    }
}

/// Header to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Repr {
    /// MAC address of the receiver.
    pub destination: Mac,
    /// MAC address of the sender.
    pub source: Mac,
    /// Type of the payload.
    pub ethertype: u16,
}

impl Repr {
    /// Appends the header.
    pub fn emit(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.destination);
        out.extend_from_slice(&self.source);
        out.extend_from_slice(&self.ethertype.to_be_bytes());
    }
}

/// MAC address of an IPv4 multicast group: RFC 1112 section 6.4.
pub fn multicast_v4(group: Ipv4Addr) -> Mac {
    let [_, b, c, d] = group.octets();
    [0x01, 0x00, 0x5e, b & 0x7f, c, d]
}

/// MAC address of an IPv6 multicast group: RFC 2464 section 7.
pub fn multicast_v6(group: Ipv6Addr) -> Mac {
    let [.., a, b, c, d] = group.octets();
    [0x33, 0x33, a, b, c, d]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_has_these_bytes() {
        let repr = Repr {
            destination: multicast_v4(Ipv4Addr::new(224, 0, 0, 18)),
            source: [0, 0, 0x5e, 0, 1, 50],
            ethertype: IPV4,
        };
        let mut frame = Vec::new();
        repr.emit(&mut frame);
        let golden = [1, 0, 0x5e, 0, 0, 18, 0, 0, 0x5e, 0, 1, 50, 8, 0];
        assert_eq!(frame, golden);
        let packet = Packet::new_checked(&frame).unwrap();
        assert_eq!((packet.source(), packet.ethertype()), (repr.source, IPV4));
        assert_eq!(packet.payload(), b"");
        assert_eq!(
            Packet::new_checked(&frame[..13]).err(),
            Some(Error::Truncated)
        );
    }

    #[test]
    fn groups_have_the_addresses_that_the_rfcs_say() {
        let group = multicast_v4(Ipv4Addr::new(239, 255, 1, 2));
        assert_eq!(group, [1, 0, 0x5e, 0x7f, 1, 2]);
        let group = multicast_v6("ff02::1:ff12:3456".parse().unwrap());
        assert_eq!(group, [0x33, 0x33, 0xff, 0x12, 0x34, 0x56]);
    }
}
