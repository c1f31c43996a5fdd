//! ARP for IPv4 on Ethernet: RFC 826.
//!
//! ```text
//! +----------------+----------------+
//! | hardware, 1    | protocol 0x0800|   2 bytes each
//! +-------+--------+----------------+
//! | 6     | 4      | operation      |   1, 1, 2
//! +-------+--------+----------------+
//! | sender MAC, 6  | sender IP, 4   |
//! +----------------+----------------+
//! | target MAC, 6  | target IP, 4   |
//! +----------------+----------------+   28 bytes
//! ```

use std::net::Ipv4Addr;

use crate::{Error, Mac, array, number};

/// Length of a packet in bytes.
pub const LEN: usize = 28;
/// Operation of a request.
pub const REQUEST: u16 = 1;
/// Operation of a reply.
pub const REPLY: u16 = 2;

/// Hardware Ethernet, protocol IPv4, and the lengths of their addresses.
const ETHERNET_IPV4: [u8; 6] = [0, 1, 0x08, 0x00, 6, 4];

mod field {
    pub const OPERATION: usize = 6;
    pub const SENDER_MAC: usize = 8;
    pub const SENDER: usize = 14;
    pub const TARGET: usize = 24;
}

/// A received packet.
#[derive(Clone, Copy, Debug)]
pub struct Packet {
    operation: u16,
    sender_mac: Mac,
    sender: Ipv4Addr,
    target: Ipv4Addr,
}

impl Packet {
    /// # Errors
    /// `Truncated`; `Malformed` for other hardware or another protocol.
    pub fn new_checked(bytes: &[u8]) -> Result<Self, Error> {
        let bytes: [u8; LEN] = array(bytes, 0).ok_or(Error::Truncated)?;
        if !bytes.starts_with(&ETHERNET_IPV4) {
            return Err(Error::Malformed);
        }
        let sender: [u8; 4] = array(&bytes, field::SENDER).ok_or(Error::Truncated)?;
        let target: [u8; 4] = array(&bytes, field::TARGET).ok_or(Error::Truncated)?;
        Ok(Self {
            operation: number(&bytes, field::OPERATION).ok_or(Error::Truncated)?,
            sender_mac: array(&bytes, field::SENDER_MAC).ok_or(Error::Truncated)?,
            sender: sender.into(),
            target: target.into(),
        })
    }

    /// MAC address that the sender claims for its IP address.
    pub fn sender_mac(&self) -> Mac {
        self.sender_mac
    }

    /// IP address that the sender claims.
    pub fn sender(&self) -> Ipv4Addr {
        self.sender
    }

    /// True if the packet answers a request.
    pub fn is_reply(&self) -> bool {
        self.operation == REPLY
    }

    /// IP address that is asked for; in a reply, the address of the node that asked.
    pub fn target(&self) -> Ipv4Addr {
        self.target
    }
}

/// ARP request to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// MAC address of the sender.
    pub sender_mac: Mac,
    /// IPv4 address of the sender.
    pub sender: Ipv4Addr,
    /// MAC address of the target: zeros in a question.
    pub target_mac: Mac,
    /// IPv4 address that is asked for; the sender's own if it announces itself (RFC 5227 section 3).
    pub target: Ipv4Addr,
}

impl Request {
    /// Appends the packet.
    pub fn emit(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&ETHERNET_IPV4);
        out.extend_from_slice(&REQUEST.to_be_bytes());
        out.extend_from_slice(&self.sender_mac);
        out.extend_from_slice(&self.sender.octets());
        out.extend_from_slice(&self.target_mac);
        out.extend_from_slice(&self.target.octets());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOLDEN: [u8; LEN] = [
        0, 1, 8, 0, 6, 4, 0, 1, // Ethernet, IPv4, request
        2, 0, 0, 0, 0, 0x0a, 192, 0, 2, 2, // sender
        0, 0, 0, 0, 0, 0, 192, 0, 2, 99, // target
    ];

    #[test]
    fn a_request_has_these_bytes() {
        let request = Request {
            sender_mac: [2, 0, 0, 0, 0, 0x0a],
            sender: Ipv4Addr::new(192, 0, 2, 2),
            target_mac: [0; 6],
            target: Ipv4Addr::new(192, 0, 2, 99),
        };
        let mut packet = Vec::new();
        request.emit(&mut packet);
        assert_eq!(packet, GOLDEN);
        let packet = Packet::new_checked(&packet).unwrap();
        assert_eq!(packet.sender(), request.sender);
        assert_eq!(packet.sender_mac(), request.sender_mac);
        assert_eq!(packet.target(), request.target);
        assert!(!packet.is_reply());
    }

    #[test]
    fn every_fault_has_its_reason() {
        for length in 0..LEN {
            let cut = Packet::new_checked(&GOLDEN[..length]).err();
            assert_eq!(cut, Some(Error::Truncated), "{length}");
        }
        for at in 0..ETHERNET_IPV4.len() {
            let mut other = GOLDEN;
            other[at] ^= 0x10;
            assert_eq!(
                Packet::new_checked(&other).err(),
                Some(Error::Malformed),
                "{at}"
            );
        }
    }
}
