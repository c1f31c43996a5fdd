//! The UDP header: RFC 768.
//!
//! ```text
//! +------------------+------------------+
//! | source port, 2   | destination, 2   |
//! +------------------+------------------+
//! | length, 2        | checksum, 2      |
//! +------------------+------------------+
//! ```
//!
//! Reading does not check the checksum. On a virtual link it may be left to a card that does not exist, and the
//! payloads that are read here have a stronger one.

use std::net::IpAddr;

use crate::checksum::Sum;
use crate::{Error, number};

/// The IP protocol number.
pub const PROTOCOL: u8 = 17;
/// Length of a header in bytes.
pub const HEADER_LEN: usize = 8;

mod field {
    pub const LENGTH: usize = 4;
    pub const CHECKSUM: usize = 6;
}

/// Received datagram.
#[derive(Clone, Copy, Debug)]
pub struct Packet<'a> {
    payload: &'a [u8],
}

impl<'a> Packet<'a> {
    /// Reads the payload of an IP packet, which the datagram has to fill.
    ///
    /// # Errors
    /// `Truncated`; `Malformed` if its length is not that of `bytes`.
    pub fn new_checked(bytes: &'a [u8]) -> Result<Self, Error> {
        let payload = bytes.get(HEADER_LEN..).ok_or(Error::Truncated)?;
        let length = number(bytes, field::LENGTH).ok_or(Error::Truncated)?;
        if usize::from(length) != bytes.len() {
            return Err(Error::Malformed);
        }
        Ok(Self { payload })
    }

    /// Payload of the datagram.
    pub fn payload(&self) -> &'a [u8] {
        self.payload
    }
}

/// Datagram to send.
#[derive(Clone, Copy, Debug)]
pub struct Repr {
    /// Address of the sender.
    pub source: IpAddr,
    /// Address of the receiver.
    pub destination: IpAddr,
    /// Port of both ends.
    pub port: u16,
}

impl Repr {
    /// Appends the header and the payload.
    pub fn emit(&self, payload: &[u8], out: &mut Vec<u8>) {
        let start = out.len();
        let whole = HEADER_LEN + payload.len();
        let length = u16::try_from(whole).unwrap_or(u16::MAX).to_be_bytes();
        out.extend_from_slice(&self.port.to_be_bytes());
        out.extend_from_slice(&self.port.to_be_bytes());
        out.extend_from_slice(&length);
        out.extend_from_slice(&[0, 0]);
        out.extend_from_slice(payload);
        let datagram = out.get_mut(start..).unwrap_or_default();
        let sum = Sum::of_pseudo_header(self.source, self.destination, PROTOCOL, whole);
        // zero would mean that there is no checksum
        let checksum = match sum.plus(datagram).finish() {
            0 => u16::MAX,
            checksum => checksum,
        };
        if let Some(bytes) = datagram.get_mut(field::CHECKSUM..field::CHECKSUM + 2) {
            bytes.copy_from_slice(&checksum.to_be_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOLDEN: [u8; 13] = [
        0x0e, 0xc4, 0x0e, 0xc4, 0, 13, 0, 0, b'h', b'e', b'l', b'l', b'o',
    ];

    #[test]
    fn a_datagram_fills_its_packet() {
        assert_eq!(Packet::new_checked(&GOLDEN).unwrap().payload(), b"hello");
        for length in 0..HEADER_LEN {
            let cut = Packet::new_checked(&GOLDEN[..length]).err();
            assert_eq!(cut, Some(Error::Truncated), "{length}");
        }
        for wrong in [0, 12, 14] {
            let mut bytes = GOLDEN;
            bytes[5] = wrong;
            assert_eq!(Packet::new_checked(&bytes).err(), Some(Error::Malformed));
        }
    }

    #[test]
    fn what_is_written_sums_up_and_is_read() {
        for (source, destination) in [("10.0.0.1", "224.0.0.18"), ("fe80::1", "ff02::12")] {
            let [source, destination]: [IpAddr; 2] =
                [source, destination].map(|address| address.parse().unwrap());
            let repr = Repr {
                source,
                destination,
                port: 3780,
            };
            let mut out = Vec::new();
            repr.emit(b"hello", &mut out);
            assert_eq!(out[..6], GOLDEN[..6]);
            let sum = Sum::of_pseudo_header(source, destination, PROTOCOL, out.len());
            assert_eq!(sum.plus(&out).finish(), 0);
            assert_eq!(Packet::new_checked(&out).unwrap().payload(), b"hello");
        }
    }
}
