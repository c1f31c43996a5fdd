//! ICMP and ICMPv6 echo, and the errors that answer one: RFC 792, RFC 4443.
//!
//! An echo's payload is a token of 8 bytes, then zeros up to the wanted size.
//!
//! No function panics on any bytes.

use std::net::{IpAddr, Ipv6Addr};

use spared_netlink::bpf::{
    ACCEPT, DROP, Instruction, JUMP_EQUAL, LOAD_BYTE, LOAD_BYTE_AT_X, LOAD_WORD, LOAD_WORD_AT_X,
    LOAD_X_HEADER_LENGTH,
};
use spared_packet::{icmp, ipv4, ipv6};

const TOKEN: usize = 8;
/// Offset of the token from the start of the ICMP header.
const TOKEN_AT: u32 = icmp::HEADER_LEN as u32;

/// First bytes of the token of every echo of this process: the kernel drops the answers to others by them.
pub type Prefix = [u8; 4];

/// Echo as it was sent: the values by which its answer is recognized.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Echo {
    pub identifier: u16,
    pub sequence: u16,
    pub token: [u8; TOKEN],
}

/// Received answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    Reply {
        from: IpAddr,
        echo: Echo,
    },
    /// A router, or this node itself, reports that an echo cannot be delivered.
    Unreachable {
        target: IpAddr,
        by: IpAddr,
        identifier: u16,
        sequence: u16,
        code: u8,
    },
}

/// Creates the request to `to` with `size` bytes of payload, at least as many as the token. The kernel computes the
/// checksum of ICMPv6, which covers addresses that only the kernel knows.
pub fn request(to: IpAddr, echo: Echo, size: usize) -> Vec<u8> {
    let mut payload = echo.token.to_vec();
    payload.resize(size.max(TOKEN), 0);
    let kind = match to {
        IpAddr::V4(_) => icmp::V4_ECHO_REQUEST,
        IpAddr::V6(_) => icmp::V6_ECHO_REQUEST,
    };
    let message = icmp::Echo {
        kind,
        identifier: echo.identifier,
        sequence: echo.sequence,
        payload: &payload,
    };
    let mut bytes = Vec::with_capacity(icmp::HEADER_LEN + payload.len());
    match to {
        IpAddr::V4(_) => message.emit(&mut bytes),
        IpAddr::V6(_) => message.emit_unsummed(&mut bytes),
    }
    bytes
}

/// Filter for a raw socket of ICMP, whose packets begin with the IP header: drops the answers to echoes of others.
pub fn filter_ipv4(prefix: Prefix) -> [Instruction; 7] {
    [
        (LOAD_X_HEADER_LENGTH, 0, 0, 0),
        (LOAD_BYTE_AT_X, 0, 0, 0),
        (JUMP_EQUAL, 0, 2, icmp::V4_ECHO_REPLY.into()),
        (LOAD_WORD_AT_X, 0, 0, TOKEN_AT),
        (JUMP_EQUAL, 0, 1, u32::from_be_bytes(prefix)),
        ACCEPT,
        DROP,
    ]
}

/// Filter for a raw socket of ICMPv6, whose packets have no IP header: drops the answers to echoes of others.
pub fn filter_ipv6(prefix: Prefix) -> [Instruction; 6] {
    [
        (LOAD_BYTE, 0, 0, 0),
        (JUMP_EQUAL, 0, 2, icmp::V6_ECHO_REPLY.into()),
        (LOAD_WORD, 0, 0, TOKEN_AT),
        (JUMP_EQUAL, 0, 1, u32::from_be_bytes(prefix)),
        ACCEPT,
        DROP,
    ]
}

/// Parses data from a raw ICMP socket: a whole IPv4 packet.
pub fn parse_ipv4(packet: &[u8]) -> Option<Heard> {
    let packet = ipv4::Packet::new_checked(packet).ok()?;
    if packet.protocol() != icmp::PROTOCOL_V4 {
        return None;
    }
    let by = IpAddr::V4(packet.source());
    let message = icmp::Packet::new_checked(packet.payload()).ok()?;
    match message.kind() {
        icmp::V4_ECHO_REPLY => reply(by, &message),
        icmp::V4_UNREACHABLE => {
            let quoted = ipv4::Packet::new_quoted(message.payload()).ok()?;
            let echo = quoted_echo(quoted.payload(), icmp::V4_ECHO_REQUEST)?;
            let target = IpAddr::V4(quoted.destination());
            let is_icmp = quoted.protocol() == icmp::PROTOCOL_V4;
            is_icmp.then(|| unreachable(by, target, &message, &echo))
        }
        _ => None,
    }
}

/// Parses data from a raw ICMPv6 socket: the message without its IP header. The kernel has verified the checksum.
pub fn parse_ipv6(from: Ipv6Addr, bytes: &[u8]) -> Option<Heard> {
    let by = IpAddr::V6(from);
    let message = icmp::Packet::new_verified(bytes).ok()?;
    match message.kind() {
        icmp::V6_ECHO_REPLY => reply(by, &message),
        icmp::V6_UNREACHABLE => {
            let quoted = ipv6::Packet::new_quoted(message.payload()).ok()?;
            let echo = quoted_echo(quoted.payload(), icmp::V6_ECHO_REQUEST)?;
            let target = IpAddr::V6(quoted.destination());
            let is_icmp = quoted.next_header() == icmp::PROTOCOL_V6;
            is_icmp.then(|| unreachable(by, target, &message, &echo))
        }
        _ => None,
    }
}

fn reply(from: IpAddr, message: &icmp::Packet<'_>) -> Option<Heard> {
    let echo = Echo {
        identifier: message.identifier(),
        sequence: message.sequence(),
        token: message.payload().get(..TOKEN)?.try_into().ok()?,
    };
    Some(Heard::Reply { from, echo })
}

/// Echo that an error quotes. RFC 792 guarantees only eight bytes of the refused packet: too few for the token.
fn quoted_echo(bytes: &[u8], request: u8) -> Option<icmp::Packet<'_>> {
    let echo = icmp::Packet::new_verified(bytes).ok()?;
    (echo.kind() == request).then_some(echo)
}

fn unreachable(
    by: IpAddr,
    target: IpAddr,
    message: &icmp::Packet<'_>,
    echo: &icmp::Packet<'_>,
) -> Heard {
    Heard::Unreachable {
        target,
        by,
        identifier: echo.identifier(),
        sequence: echo.sequence(),
        code: message.code(),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::net::Ipv4Addr;

    use proptest::prelude::*;
    use spared_packet::checksum::checksum;

    use super::*;

    const ECHO: Echo = Echo {
        identifier: 0x1234,
        sequence: 1,
        token: *b"abcdefgh",
    };
    const TARGET: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

    /// Packet with an IPv4 header without options.
    pub(crate) fn packet(from: [u8; 4], to: [u8; 4], payload: &[u8]) -> Vec<u8> {
        let header = ipv4::Repr {
            source: from.into(),
            destination: to.into(),
            protocol: icmp::PROTOCOL_V4,
            traffic_class: 0,
            hop_limit: 64,
            payload_len: payload.len(),
        };
        let mut bytes = Vec::new();
        header.emit(&mut bytes);
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
        fn a_message_that_lies_is_survived(
            mut message in proptest::collection::vec(any::<u8>(), 8..120), kind in 0u8..4
        ) {
            message[0] = kind;
            if let Some(version) = message.get_mut(8) {
                *version = 0x40 | (*version & 0x0f);
            }
            if let Some(protocol) = message.get_mut(17) {
                *protocol = icmp::PROTOCOL_V4;
            }
            let _ = parse_ipv4(&packet([192, 0, 2, 1], [192, 0, 2, 9], &summed(message)));
        }
    }
}
