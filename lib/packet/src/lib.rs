//! Headers of Ethernet, ARP, IPv4, IPv6, UDP, ICMP and neighbour discovery: the one place that
//! reads and writes them, for the host and its plugins.
//!
//! One module for each protocol, always in the same order: numbers of the protocol, `Packet` (a view
//! of received bytes), `mod field` (where its fields lie), `Repr` (what a header to send says), tests.
//!
//! Reading: `Packet::new_checked` checks all lengths and the checksum that the header has over
//! itself; afterwards no getter fails. Writing: `Repr::emit` appends to a buffer and allocates
//! nothing if the buffer has the room, so that the caller can keep it on a path that must not
//! allocate.
//!
//! Nothing here panics, whatever the bytes are: the fuzz target `packet` and the tests below try it.
//! Own code and no crate, because these bytes come from anybody on the network into processes that
//! decide who is active: it has no `unsafe`, where etherparse has some, and smoltcp needs a newer Rust.
//! etherparse is the second opinion in the tests.

#![forbid(unsafe_code)]
#![deny(missing_docs)]

pub mod arp;
pub mod checksum;
pub mod ethernet;
pub mod icmp;
pub mod ipv4;
pub mod ipv6;
pub mod ndisc;
pub mod udp;

use std::fmt;

pub use ethernet::Mac;

/// Why received bytes are not a packet. All of these are the sender's fault, or the wire's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Error {
    /// Fewer bytes than the header, or than its length fields say.
    Truncated,
    /// Fields that contradict each other, or another version of the protocol.
    Malformed,
    /// The checksum does not fit.
    Checksum,
    /// A piece of a packet, whose payload cannot be read alone.
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

/// N bytes at an offset; None where there are fewer.
pub fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at.checked_add(N)?)?.try_into().ok()
}

/// Two bytes at an offset as a number, in network order.
fn number(bytes: &[u8], at: usize) -> Option<u16> {
    array(bytes, at).map(u16::from_be_bytes)
}

/// A length that a 16-bit field can say; what is longer is never sent, as no interface carries it.
fn length_field(length: usize) -> [u8; 2] {
    u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes()
}
