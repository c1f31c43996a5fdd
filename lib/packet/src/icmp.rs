//! ICMP and ICMPv6, for the parts that both share: RFC 792, RFC 4443 section 2.1.
//!
//! ```text
//! +---------------+---------------+-------------------------------+
//! |     type      |     code      |           checksum            |
//! +---------------+---------------+-------------------------------+
//! |  identifier, in an echo       |  sequence, in an echo         |
//! +-------------------------------+-------------------------------+
//! |  payload of an echo; in an error, the packet that it is about |
//! ```

use crate::checksum::checksum;
use crate::{Error, array, number};

/// The IP protocol number of ICMP.
pub const PROTOCOL_V4: u8 = 1;
/// The IP protocol number of ICMPv6.
pub const PROTOCOL_V6: u8 = 58;
/// Length of a header in bytes.
pub const HEADER_LEN: usize = 8;

/// ICMP: answer to an echo.
pub const V4_ECHO_REPLY: u8 = 0;
/// ICMP: destination unreachable.
pub const V4_UNREACHABLE: u8 = 3;
/// ICMP: echo request.
pub const V4_ECHO_REQUEST: u8 = 8;
/// ICMPv6: destination unreachable.
pub const V6_UNREACHABLE: u8 = 1;
/// ICMPv6: echo request.
pub const V6_ECHO_REQUEST: u8 = 128;
/// ICMPv6: answer to an echo.
pub const V6_ECHO_REPLY: u8 = 129;

mod field {
    use std::ops::Range;

    pub const TYPE: usize = 0;
    pub const CODE: usize = 1;
    pub const CHECKSUM: Range<usize> = 2..4;
    pub const IDENTIFIER: usize = 4;
    pub const SEQUENCE: usize = 6;
}

/// Received message.
#[derive(Clone, Copy, Debug)]
pub struct Packet<'a> {
    header: [u8; HEADER_LEN],
    payload: &'a [u8],
}

impl<'a> Packet<'a> {
    /// Reads a whole ICMP message.
    ///
    /// # Errors
    /// `Truncated`, `Checksum`.
    pub fn new_checked(bytes: &'a [u8]) -> Result<Self, Error> {
        let packet = Self::new_verified(bytes)?;
        match checksum(bytes) {
            0 => Ok(packet),
            _ => Err(Error::Checksum),
        }
    }

    /// Reads a message whose checksum was verified before, as the kernel does for ICMPv6, or a quoted message, whose
    /// checksum may cover more bytes than are present.
    ///
    /// # Errors
    /// `Truncated`.
    pub fn new_verified(bytes: &'a [u8]) -> Result<Self, Error> {
        Ok(Self {
            header: array(bytes, 0).ok_or(Error::Truncated)?,
            payload: bytes.get(HEADER_LEN..).ok_or(Error::Truncated)?,
        })
    }

    /// Type of the message.
    pub fn kind(&self) -> u8 {
        self.header[field::TYPE]
    }

    /// Code within the type.
    pub fn code(&self) -> u8 {
        self.header[field::CODE]
    }

    /// Identifier of an echo.
    pub fn identifier(&self) -> u16 {
        number(&self.header, field::IDENTIFIER).unwrap_or_default()
    }

    /// Sequence number of an echo.
    pub fn sequence(&self) -> u16 {
        number(&self.header, field::SEQUENCE).unwrap_or_default()
    }

    /// Bytes after the header.
    pub fn payload(&self) -> &'a [u8] {
        self.payload
    }
}

/// Echo to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Echo<'a> {
    /// Type of the message.
    pub kind: u8,
    /// Identifier of the echo.
    pub identifier: u16,
    /// Sequence number of the echo.
    pub sequence: u16,
    /// Payload, which the answer repeats.
    pub payload: &'a [u8],
}

impl Echo<'_> {
    /// Appends the message with a checksum of zero: the kernel computes that of ICMPv6, which covers addresses that
    /// only the kernel knows.
    pub fn emit_unsummed(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&[self.kind, 0, 0, 0]);
        out.extend_from_slice(&self.identifier.to_be_bytes());
        out.extend_from_slice(&self.sequence.to_be_bytes());
        out.extend_from_slice(self.payload);
    }

    /// Appends an ICMP message with its checksum.
    pub fn emit(&self, out: &mut Vec<u8>) {
        let start = out.len();
        self.emit_unsummed(out);
        let message = out.get_mut(start..).unwrap_or_default();
        let sum = checksum(message).to_be_bytes();
        if let Some(bytes) = message.get_mut(field::CHECKSUM) {
            bytes.copy_from_slice(&sum);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOLDEN: [u8; 16] = [
        0x08, 0x00, 0x54, 0x35, // echo request, checksum
        0x12, 0x34, 0x00, 0x01, // identifier, sequence
        b'a', b'b', b'c', b'd', b'e', b'f', b'g', b'h',
    ];

    #[test]
    fn an_echo_has_these_bytes() {
        let echo = Echo {
            kind: V4_ECHO_REQUEST,
            identifier: 0x1234,
            sequence: 1,
            payload: b"abcdefgh",
        };
        let mut message = Vec::new();
        echo.emit(&mut message);
        assert_eq!(message, GOLDEN);
        let packet = Packet::new_checked(&message).unwrap();
        assert_eq!((packet.kind(), packet.code()), (V4_ECHO_REQUEST, 0));
        assert_eq!((packet.identifier(), packet.sequence()), (0x1234, 1));
        assert_eq!(packet.payload(), b"abcdefgh");
    }

    #[test]
    fn every_fault_has_its_reason() {
        for length in 0..HEADER_LEN {
            let cut = Packet::new_checked(&GOLDEN[..length]).err();
            assert_eq!(cut, Some(Error::Truncated), "{length}");
        }
        let mut wrong = GOLDEN;
        wrong[12] ^= 1;
        assert_eq!(Packet::new_checked(&wrong).err(), Some(Error::Checksum));
        assert!(Packet::new_verified(&wrong).is_ok());
    }
}
