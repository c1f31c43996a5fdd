//! ICMP and ICMPv6 echo, and the errors that answer one: RFC 792, RFC 4443.
//!
//! ```text
//!      0                   1                   2                   3
//!     |     type      |     code      |           checksum            |
//!     |           identifier          |            sequence           |
//!     |  token, 8 bytes, then zeros up to the wanted size
//! ```
//!
//! Nothing here panics, whatever the bytes are.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const HEADER: usize = 8;
const TOKEN: usize = 8;
const IPV6_HEADER: usize = 40;
const PROTOCOL_ICMP: u8 = 1;
const PROTOCOL_ICMPV6: u8 = 58;

mod kind {
    pub const V4_REPLY: u8 = 0;
    pub const V4_UNREACHABLE: u8 = 3;
    pub const V4_REQUEST: u8 = 8;
    pub const V6_UNREACHABLE: u8 = 1;
    pub const V6_REQUEST: u8 = 128;
    pub const V6_REPLY: u8 = 129;
}

/// One echo, as it was sent: what tells its answer from anybody else's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Echo {
    pub identifier: u16,
    pub sequence: u16,
    pub token: [u8; TOKEN],
}

/// What came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    Reply {
        from: IpAddr,
        echo: Echo,
    },
    /// A router, or this node itself, says that an echo cannot be delivered.
    Unreachable {
        target: IpAddr,
        by: IpAddr,
        identifier: u16,
        sequence: u16,
        code: u8,
    },
}

/// The request to `to` with `size` bytes of payload, at least the token's. The kernel computes
/// ICMPv6's checksum, which covers addresses that only it knows.
pub fn request(to: IpAddr, echo: Echo, size: usize) -> Vec<u8> {
    let kind = match to {
        IpAddr::V4(_) => kind::V4_REQUEST,
        IpAddr::V6(_) => kind::V6_REQUEST,
    };
    let mut bytes = Vec::with_capacity(HEADER + size.max(TOKEN));
    bytes.extend([kind, 0, 0, 0]);
    bytes.extend(echo.identifier.to_be_bytes());
    bytes.extend(echo.sequence.to_be_bytes());
    bytes.extend(echo.token);
    bytes.resize(HEADER + size.max(TOKEN), 0);
    if to.is_ipv4() {
        let sum = checksum(&bytes).to_be_bytes();
        if let Some(field) = bytes.get_mut(2..4) {
            field.copy_from_slice(&sum);
        }
    }
    bytes
}

/// What a raw ICMP socket received: a whole IPv4 packet.
pub fn parse_ipv4(packet: &[u8]) -> Option<Heard> {
    let (from, _, icmp) = ipv4(packet)?;
    if checksum(icmp) != 0 {
        return None;
    }
    match *icmp.first()? {
        kind::V4_REPLY => reply(IpAddr::V4(from), icmp),
        kind::V4_UNREACHABLE => {
            let (_, target, inner) = ipv4(icmp.get(HEADER..)?)?;
            refused(
                kind::V4_REQUEST,
                IpAddr::V4(from),
                IpAddr::V4(target),
                icmp,
                inner,
            )
        }
        _ => None,
    }
}

/// What a raw ICMPv6 socket received: the message without its header, whose checksum the kernel
/// has verified.
pub fn parse_ipv6(from: Ipv6Addr, icmp: &[u8]) -> Option<Heard> {
    match *icmp.first()? {
        kind::V6_REPLY => reply(IpAddr::V6(from), icmp),
        kind::V6_UNREACHABLE => {
            let packet = icmp.get(HEADER..)?;
            if *packet.get(6)? != PROTOCOL_ICMPV6 {
                return None;
            }
            let target: [u8; 16] = packet.get(24..IPV6_HEADER)?.try_into().ok()?;
            let inner = packet.get(IPV6_HEADER..)?;
            refused(
                kind::V6_REQUEST,
                IpAddr::V6(from),
                IpAddr::from(target),
                icmp,
                inner,
            )
        }
        _ => None,
    }
}

/// Source, destination, and what follows the header; None where it is not ICMP.
fn ipv4(packet: &[u8]) -> Option<(Ipv4Addr, Ipv4Addr, &[u8])> {
    let first = *packet.first()?;
    let header = usize::from(first & 0x0f) * 4;
    if first >> 4 != 4 || header < 20 || *packet.get(9)? != PROTOCOL_ICMP {
        return None;
    }
    let address = |at: usize| -> Option<Ipv4Addr> {
        let octets: [u8; 4] = packet.get(at..at + 4)?.try_into().ok()?;
        Some(Ipv4Addr::from(octets))
    };
    Some((address(12)?, address(16)?, packet.get(header..)?))
}

fn reply(from: IpAddr, icmp: &[u8]) -> Option<Heard> {
    let token = icmp.get(HEADER..HEADER + TOKEN)?.try_into().ok()?;
    let echo = Echo {
        identifier: number(icmp, 4)?,
        sequence: number(icmp, 6)?,
        token,
    };
    Some(Heard::Reply { from, echo })
}

/// RFC 792 promises only eight bytes of what was refused: too few for the token.
fn refused(request: u8, by: IpAddr, target: IpAddr, icmp: &[u8], inner: &[u8]) -> Option<Heard> {
    if *inner.first()? != request {
        return None;
    }
    Some(Heard::Unreachable {
        target,
        by,
        identifier: number(inner, 4)?,
        sequence: number(inner, 6)?,
        code: *icmp.get(1)?,
    })
}

fn number(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

/// RFC 1071; zero over a message that holds its own.
fn checksum(bytes: &[u8]) -> u16 {
    let mut sum = 0u32;
    for pair in bytes.chunks(2) {
        let high = pair.first().copied().unwrap_or(0);
        let low = pair.get(1).copied().unwrap_or(0);
        sum += u32::from(u16::from_be_bytes([high, low]));
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ECHO: Echo = Echo {
        identifier: 0x1234,
        sequence: 1,
        token: *b"abcdefgh",
    };
    const TARGET: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

    /// An IPv4 header without options, and its payload.
    fn packet(from: [u8; 4], to: [u8; 4], payload: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0x45, 0, 0, 0, 0, 0, 0, 0, 64, 1, 0, 0];
        bytes.extend(from);
        bytes.extend(to);
        bytes.extend(payload);
        bytes
    }

    fn summed(mut icmp: Vec<u8>) -> Vec<u8> {
        icmp[2..4].fill(0);
        let sum = checksum(&icmp).to_be_bytes();
        icmp[2..4].copy_from_slice(&sum);
        icmp
    }

    #[test]
    fn a_request_is_what_rfc_792_draws() {
        let golden = [
            0x08, 0x00, 0x54, 0x35, // echo request, checksum
            0x12, 0x34, 0x00, 0x01, // identifier, sequence
            b'a', b'b', b'c', b'd', b'e', b'f', b'g', b'h',
        ];
        assert_eq!(request(TARGET, ECHO, 0), golden);
        assert_eq!(request(TARGET, ECHO, 56).len(), 64);
        assert_eq!(
            checksum(&request(TARGET, ECHO, 57)),
            0,
            "an odd length, too"
        );
    }

    #[test]
    fn a_reply_is_heard_with_its_token() {
        let mut icmp = request(TARGET, ECHO, 56);
        icmp[0] = 0;
        let heard = parse_ipv4(&packet(
            [192, 0, 2, 1],
            [192, 0, 2, 9],
            &summed(icmp.clone()),
        ));
        assert_eq!(
            heard,
            Some(Heard::Reply {
                from: TARGET,
                echo: ECHO
            })
        );

        let mut broken = summed(icmp);
        broken[20] ^= 1;
        assert_eq!(
            parse_ipv4(&packet([192, 0, 2, 1], [192, 0, 2, 9], &broken)),
            None
        );
    }

    #[test]
    fn an_unreachable_names_what_it_answers() {
        let inner = packet(
            [192, 0, 2, 9],
            [192, 0, 2, 1],
            &request(TARGET, ECHO, 0)[..8],
        );
        let mut icmp = vec![3, 1, 0, 0, 0, 0, 0, 0];
        icmp.extend(inner);
        let heard = parse_ipv4(&packet([192, 0, 2, 254], [192, 0, 2, 9], &summed(icmp)));
        let wanted = Heard::Unreachable {
            target: TARGET,
            by: IpAddr::from([192, 0, 2, 254]),
            identifier: 0x1234,
            sequence: 1,
            code: 1,
        };
        assert_eq!(heard, Some(wanted));
    }

    #[test]
    fn ipv6_is_heard_without_a_header() {
        let target = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
        let mut icmp = request(IpAddr::V6(target), ECHO, 16);
        assert_eq!(icmp[0], 128);
        icmp[0] = 129;
        let from = IpAddr::V6(target);
        assert_eq!(
            parse_ipv6(target, &icmp),
            Some(Heard::Reply { from, echo: ECHO })
        );

        let mut error = vec![1, 3, 0, 0, 0, 0, 0, 0];
        error.extend([0x60, 0, 0, 0, 0, 8, 58, 64]);
        error.extend([0; 16]);
        error.extend(target.octets());
        error.extend(&request(IpAddr::V6(target), ECHO, 16)[..8]);
        let router = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 2);
        let Some(Heard::Unreachable {
            target: named,
            code,
            ..
        }) = parse_ipv6(router, &error)
        else {
            panic!("not heard");
        };
        assert_eq!((named, code), (from, 3));
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..120)) {
            let _ = parse_ipv4(&bytes);
            let _ = parse_ipv6(Ipv6Addr::LOCALHOST, &bytes);
        }

        #[test]
        fn a_header_that_lies_is_survived(
            mut bytes in proptest::collection::vec(any::<u8>(), 28..120), kind in 0u8..4
        ) {
            bytes[0] = 0x40 | (bytes[0] & 0x0f);
            bytes[9] = 1;
            bytes[20] = kind;
            let _ = parse_ipv4(&bytes);
        }
    }
}
