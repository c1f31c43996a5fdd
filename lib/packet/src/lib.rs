//! Headers of Ethernet, ARP, IPv4, IPv6, UDP, ICMP and neighbour discovery: the only code that reads and writes them,
//! for the daemon and its plugins.
//!
//! One module for each protocol, always in the same order: numbers of the protocol, `Packet` (a view of received
//! bytes), `mod field` (offsets of its fields), `Repr` (values of a header to send), tests.
//!
//! Reading: `Packet::new_checked` checks all lengths and the header's checksum over itself; afterwards no getter fails.
//! Writing: `Repr::emit` appends to a buffer. It allocates nothing if the buffer has room, so that the caller can use
//! it on a path that must not allocate.
//!
//! No function panics on any bytes: the fuzz target `packet` and the tests below check it. This is own code and not a
//! crate, because anybody on the network can send these bytes to processes that decide which node is active: it has no
//! `unsafe`, while etherparse has some, and smoltcp needs a newer Rust. The tests compare it with etherparse.

#![forbid(unsafe_code)]
#![deny(missing_docs)]

pub mod arp;
pub mod checksum;
pub mod ethernet;
pub mod icmp;
pub mod ipv4;
pub mod ipv6;
pub mod ndisc;
pub mod protocol;
pub mod udp;

use std::fmt;

pub use ethernet::Mac;

/// Reason why received bytes are not a packet. All are the fault of the sender or the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Error {
    /// The bytes end before the header does, or before its length fields say.
    Truncated,
    /// Fields contradict each other, or have another version of the protocol.
    Malformed,
    /// The checksum is wrong.
    Checksum,
    /// The packet is a fragment, whose payload cannot be read alone.
    Fragment,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Truncated => "fewer bytes than its lengths say",
            Self::Malformed => "a header that contradicts itself",
            Self::Checksum => "a wrong checksum",
            Self::Fragment => "a fragment",
        })
    }
}

impl std::error::Error for Error {}

/// N bytes at an offset; None if there are fewer.
pub fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at.checked_add(N)?)?.try_into().ok()
}

/// Number from two bytes at an offset, in network byte order.
fn number(bytes: &[u8], at: usize) -> Option<u16> {
    array(bytes, at).map(u16::from_be_bytes)
}

/// Bytes of a 16-bit length field; a longer length is never sent, because no interface carries it.
fn length_field(length: usize) -> [u8; 2] {
    u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes()
}
