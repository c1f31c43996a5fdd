//! The IPv4 header: RFC 791 section 3.1.
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +-------+-------+---------------+-------------------------------+
//! |Version|Length |   DS field    |         Total length          |
//! +-------+-------+---------------+-----+-------------------------+
//! |        Identification         |0 D M|     Fragment offset     |
//! +---------------+---------------+-----+-------------------------+
//! |  Time to live |   Protocol    |        Header checksum        |
//! +---------------+---------------+-------------------------------+
//! |                        Source address                         |
//! +---------------------------------------------------------------+
//! |                      Destination address                      |
//! +---------------------------------------------------------------+
//! |          Options, up to 40 bytes, then the payload            |
//! ```

use std::net::Ipv4Addr;

use crate::checksum::checksum;
use crate::{Error, array, length_field};

/// Length of a header without options, in bytes.
pub const HEADER_LEN: usize = 20;

const DO_NOT_FRAGMENT: [u8; 2] = [0x40, 0];
const MORE_FRAGMENTS_AND_OFFSET: u16 = 0x3fff;

mod field {
    use std::ops::Range;

    pub const VERSION_LENGTH: usize = 0;
    pub const TOTAL_LENGTH: usize = 2;
    pub const FRAGMENT: usize = 6;
    pub const HOP_LIMIT: usize = 8;
    pub const PROTOCOL: usize = 9;
    pub const CHECKSUM: Range<usize> = 10..12;
    pub const SOURCE: usize = 12;
    pub const DESTINATION: usize = 16;
}

/// Received packet.
#[derive(Clone, Copy, Debug)]
pub struct Packet<'a> {
    fixed: [u8; HEADER_LEN],
    payload: &'a [u8],
}

impl<'a> Packet<'a> {
    /// Reads a whole packet. Bytes after its total length are padding and are cut off.
    ///
    /// # Errors
    /// Any variant of [`Error`]; `Fragment` only if everything else is right.
    pub fn new_checked(bytes: &'a [u8]) -> Result<Self, Error> {
        let (fixed, header_len) = fixed_part(bytes)?;
        let total_len = usize::from(number(&fixed, field::TOTAL_LENGTH));
        if total_len < header_len {
            return Err(Error::Malformed);
        }
        let header = bytes.get(..header_len).ok_or(Error::Truncated)?;
        let payload = bytes.get(header_len..total_len).ok_or(Error::Truncated)?;
        if checksum(header) != 0 {
            return Err(Error::Checksum);
        }
        if number(&fixed, field::FRAGMENT) & MORE_FRAGMENTS_AND_OFFSET != 0 {
            return Err(Error::Fragment);
        }
        Ok(Self { fixed, payload })
    }

    /// Reads the beginning of a packet, as an ICMP error quotes it (RFC 792: the header and at least eight
    /// bytes). Its total length and its checksum are not checked.
    ///
    /// # Errors
    /// `Truncated`, `Malformed`.
    pub fn new_quoted(bytes: &'a [u8]) -> Result<Self, Error> {
        let (fixed, header_len) = fixed_part(bytes)?;
        let payload = bytes.get(header_len..).ok_or(Error::Truncated)?;
        Ok(Self { fixed, payload })
    }

    /// Protocol of the payload.
    pub fn protocol(&self) -> u8 {
        self.fixed[field::PROTOCOL]
    }

    /// Time to live.
    pub fn hop_limit(&self) -> u8 {
        self.fixed[field::HOP_LIMIT]
    }

    /// Address of the sender.
    pub fn source(&self) -> Ipv4Addr {
        address(&self.fixed, field::SOURCE)
    }

    /// Address of the receiver.
    pub fn destination(&self) -> Ipv4Addr {
        address(&self.fixed, field::DESTINATION)
    }

    /// True if the source can be a station's own address: RFC 1122 section 3.2.1.3.
    pub fn is_from_a_host(&self) -> bool {
        let source = self.source();
        !source.is_unspecified()
            && !source.is_loopback()
            && !source.is_multicast()
            && !source.is_broadcast()
    }

    /// Payload of the packet.
    pub fn payload(&self) -> &'a [u8] {
        self.payload
    }
}

fn fixed_part(bytes: &[u8]) -> Result<([u8; HEADER_LEN], usize), Error> {
    let fixed: [u8; HEADER_LEN] = array(bytes, 0).ok_or(Error::Truncated)?;
    let [version, header_len] = [
        fixed[field::VERSION_LENGTH] >> 4,
        (fixed[field::VERSION_LENGTH] & 0x0f) * 4,
    ];
    if version != 4 || usize::from(header_len) < HEADER_LEN {
        return Err(Error::Malformed);
    }
    Ok((fixed, header_len.into()))
}

fn number(fixed: &[u8; HEADER_LEN], at: usize) -> u16 {
    crate::number(fixed, at).unwrap_or_default()
}

fn address(fixed: &[u8; HEADER_LEN], at: usize) -> Ipv4Addr {
    array::<4>(fixed, at).unwrap_or_default().into()
}

/// Header to send: without options, not to be fragmented.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Repr {
    /// Address of the sender.
    pub source: Ipv4Addr,
    /// Address of the receiver.
    pub destination: Ipv4Addr,
    /// Protocol of the payload.
    pub protocol: u8,
    /// Differentiated services and congestion bits.
    pub traffic_class: u8,
    /// Time to live.
    pub hop_limit: u8,
    /// Length in bytes of the payload, which the caller appends.
    pub payload_len: usize,
}

impl Repr {
    /// Appends the header.
    pub fn emit(&self, out: &mut Vec<u8>) {
        let total_len = length_field(HEADER_LEN.saturating_add(self.payload_len));
        let mut header = [0; HEADER_LEN];
        header[..4].copy_from_slice(&[0x45, self.traffic_class, total_len[0], total_len[1]]);
        header[field::FRAGMENT..field::HOP_LIMIT].copy_from_slice(&DO_NOT_FRAGMENT);
        header[field::HOP_LIMIT] = self.hop_limit;
        header[field::PROTOCOL] = self.protocol;
        header[field::SOURCE..field::DESTINATION].copy_from_slice(&self.source.octets());
        header[field::DESTINATION..].copy_from_slice(&self.destination.octets());
        let sum = checksum(&header).to_be_bytes();
        header[field::CHECKSUM].copy_from_slice(&sum);
        out.extend_from_slice(&header);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Header that keepalived sends with an advert, and five bytes of payload.
    const GOLDEN: [u8; 25] = [
        0x45, 0xc0, 0, 25, 0, 0, 0x40, 0, 0xff, 0x70, 0xd8, 0x9f, 192, 0, 2, 2, 224, 0, 0, 18,
        b'h', b'e', b'l', b'l', b'o',
    ];

    fn repr() -> Repr {
        Repr {
            source: Ipv4Addr::new(192, 0, 2, 2),
            destination: Ipv4Addr::new(224, 0, 0, 18),
            protocol: 112,
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
        padded.resize(46, 0xaa);
        let packet = Packet::new_checked(&padded).unwrap();
        let repr = repr();
        assert_eq!(packet.payload(), b"hello");
        assert_eq!(
            (packet.source(), packet.destination()),
            (repr.source, repr.destination)
        );
        assert_eq!((packet.protocol(), packet.hop_limit()), (112, 255));
        assert!(packet.is_from_a_host());
    }

    #[test]
    fn every_fault_has_its_reason() {
        let changed = |at: usize, value: u8| {
            let mut packet = GOLDEN;
            packet[at] = value;
            packet[10..12].fill(0);
            let header_len = usize::from(packet[0] & 0x0f) * 4;
            let sum = checksum(&packet[..header_len.min(25)]).to_be_bytes();
            packet[10..12].copy_from_slice(&sum);
            Packet::new_checked(&packet).err()
        };
        for length in 0..GOLDEN.len() {
            let cut = Packet::new_checked(&GOLDEN[..length]).err();
            assert_eq!(cut, Some(Error::Truncated), "{length}");
        }
        assert_eq!(changed(0, 0x55), Some(Error::Malformed), "version 5");
        assert_eq!(
            changed(0, 0x44),
            Some(Error::Malformed),
            "16 bytes of header"
        );
        assert_eq!(
            changed(0, 0x4f),
            Some(Error::Malformed),
            "a header beyond the packet"
        );
        assert_eq!(
            changed(3, 19),
            Some(Error::Malformed),
            "a total below the header"
        );
        assert_eq!(
            changed(3, 26),
            Some(Error::Truncated),
            "a total beyond the bytes"
        );
        assert_eq!(changed(6, 0x20), Some(Error::Fragment), "more fragments");
        assert_eq!(changed(7, 1), Some(Error::Fragment), "a later fragment");
        assert_eq!(changed(8, 64), None);
        let mut wrong = GOLDEN;
        wrong[8] = 64;
        assert_eq!(Packet::new_checked(&wrong).err(), Some(Error::Checksum));
    }

    #[test]
    fn options_are_passed_over() {
        let mut packet = GOLDEN.to_vec();
        packet[0] = 0x46;
        packet[3] += 4;
        packet.splice(20..20, [0x94, 0x04, 0, 0]);
        packet[10..12].fill(0);
        let sum = checksum(&packet[..24]).to_be_bytes();
        packet[10..12].copy_from_slice(&sum);
        assert_eq!(Packet::new_checked(&packet).unwrap().payload(), b"hello");
    }

    #[test]
    fn a_quotation_needs_neither_length_nor_checksum() {
        let mut quoted = GOLDEN;
        quoted[2..4].fill(0xff);
        quoted[10] ^= 0xff;
        assert_eq!(Packet::new_quoted(&quoted).unwrap().payload(), b"hello");
        assert_eq!(
            Packet::new_quoted(&quoted[..19]).err(),
            Some(Error::Truncated)
        );
    }
}
