//! Neighbour discovery: RFC 4861 sections 4.3, 4.4 and 4.6.1.
//!
//! ```text
//! solicitation                                advertisement
//! +--------+--------+-----------------+       +--------+--------+-----------------+
//! |  135   |   0    |    checksum     |       |  136   |   0    |    checksum     |
//! +--------+--------+-----------------+       +-+-+-+--+--------+-----------------+
//! |             reserved              |       |R|S|O|          reserved           |
//! +-----------------------------------+       +-+-+-+-----------------------------+
//! |        target address, 16         |       |        target address, 16         |
//! +--------+--------+-----------------+       +--------+--------+-----------------+
//! |   1    |   1    | sender's MAC, 6 |       |   2    |   1    | target's MAC, 6 |
//! +--------+--------+-----------------+       +--------+--------+-----------------+
//! ```

use std::net::Ipv6Addr;

use crate::checksum::Sum;
use crate::icmp::PROTOCOL_V6;
use crate::{Mac, array, ethernet, ipv6};

/// ICMPv6 type of a solicitation.
pub const SOLICITATION: u8 = 135;
/// ICMPv6 type of an advertisement.
pub const ADVERTISEMENT: u8 = 136;
/// Length in bytes of a message with one option.
pub const LEN: usize = 32;
/// Hop limit of every message: proves that no router forwarded it.
pub const HOP_LIMIT: u8 = 255;

const SOURCE_LINK_LAYER_ADDRESS: u8 = 1;
const TARGET_LINK_LAYER_ADDRESS: u8 = 2;
/// Flags Router and Override, without Solicited.
const ROUTER_AND_OVERRIDE: u8 = 0xa0;
/// Flag Solicited.
const SOLICITED: u8 = 0x40;
/// Flag Override.
const OVERRIDE: u8 = 0x20;
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);

mod field {
    use std::ops::Range;

    pub const CHECKSUM: Range<usize> = 2..4;
    pub const FLAGS: usize = 4;
    pub const TARGET: usize = 8;
    pub const OPTIONS: usize = 24;
}

/// True if a packet is a solicitation or an advertisement; nothing else is checked.
pub fn is_discovery(packet: &ipv6::Packet<'_>) -> bool {
    let kind = packet.payload().first();
    packet.next_header() == PROTOCOL_V6 && matches!(kind, Some(&(SOLICITATION | ADVERTISEMENT)))
}

/// Address that the sender of a message claims, and the MAC address that it gives for it, if any: the target of an
/// advertisement with Override, or the source of a solicitation. An advertisement without Override may be a proxy's.
pub fn claim(packet: &ipv6::Packet<'_>) -> Option<(Ipv6Addr, Option<Mac>)> {
    if !is_discovery(packet) || packet.hop_limit() != HOP_LIMIT {
        return None;
    }
    let message = packet.payload();
    let (address, option) = match *message.first()? {
        ADVERTISEMENT => {
            let overrides = message.get(field::FLAGS)? & OVERRIDE != 0;
            let target: [u8; 16] = array(message, field::TARGET)?;
            let target = Some(target.into()).filter(|_| overrides);
            (target, TARGET_LINK_LAYER_ADDRESS)
        }
        // duplicate address detection: nobody has the address yet
        _ => {
            let source = Some(packet.source()).filter(|it| !it.is_unspecified());
            (source, SOURCE_LINK_LAYER_ADDRESS)
        }
    };
    Some((address?, mac_of(message, option)))
}

/// Address in an answer to a solicitation, whichever node the address belongs to.
pub fn answer(packet: &ipv6::Packet<'_>) -> Option<Ipv6Addr> {
    let message = packet.payload();
    let is_solicited = message.get(field::FLAGS)? & SOLICITED != 0;
    let is_answer = is_discovery(packet)
        && packet.hop_limit() == HOP_LIMIT
        && message.first() == Some(&ADVERTISEMENT)
        && is_solicited;
    let target: [u8; 16] = array(message, field::TARGET)?;
    is_answer.then_some(target.into())
}

/// MAC address in an option of a message. An option of length 0 ends the options (RFC 4861 section 4.6).
fn mac_of(message: &[u8], kind: u8) -> Option<Mac> {
    let mut options = message.get(field::OPTIONS..)?;
    loop {
        let length = usize::from(*options.get(1)?) * 8;
        if options.first() == Some(&kind) && length == 8 {
            return array(options, 2);
        }
        options = options.get(length..).filter(|_| length > 0)?;
    }
}

/// Message to send to a multicast group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repr {
    /// Question which node has `target`.
    Solicitation {
        /// Address of the sender.
        own: Ipv6Addr,
        /// Address that is asked for.
        target: Ipv6Addr,
    },
    /// Announcement that the sender, a router, has `target` now, whichever node had it before.
    Advertisement {
        /// Address that is announced, and the message's source.
        target: Ipv6Addr,
    },
}

impl Repr {
    /// Appends a whole frame from `mac`.
    pub fn emit_frame(&self, mac: Mac, out: &mut Vec<u8>) {
        let (source, group) = (self.source(), self.group());
        ethernet::Repr {
            destination: ethernet::multicast_v6(group),
            source: mac,
            ethertype: ethernet::IPV6,
        }
        .emit(out);
        ipv6::Repr {
            source,
            destination: group,
            next_header: PROTOCOL_V6,
            traffic_class: 0,
            hop_limit: HOP_LIMIT,
            payload_len: LEN,
        }
        .emit(out);
        let start = out.len();
        self.emit(mac, out);
        let message = out.get_mut(start..).unwrap_or_default();
        let pseudo = Sum::of_pseudo_header(source.into(), group.into(), PROTOCOL_V6, LEN);
        let sum = pseudo.plus(message).finish().to_be_bytes();
        if let Some(bytes) = message.get_mut(field::CHECKSUM) {
            bytes.copy_from_slice(&sum);
        }
    }

    fn source(&self) -> Ipv6Addr {
        match *self {
            Self::Solicitation { own, .. } => own,
            Self::Advertisement { target } => target,
        }
    }

    /// Destination: for a solicitation the solicited-node group of RFC 4291 section 2.7.1, for an unsolicited
    /// advertisement all nodes.
    fn group(&self) -> Ipv6Addr {
        match self {
            Self::Solicitation { target, .. } => {
                let [.., a, b, c] = target.octets();
                Ipv6Addr::from([0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, a, b, c])
            }
            Self::Advertisement { .. } => ALL_NODES,
        }
    }

    fn emit(&self, mac: Mac, out: &mut Vec<u8>) {
        let (kind, flags, option, target) = match self {
            Self::Solicitation { target, .. } => {
                (SOLICITATION, 0, SOURCE_LINK_LAYER_ADDRESS, target)
            }
            Self::Advertisement { target } => (
                ADVERTISEMENT,
                ROUTER_AND_OVERRIDE,
                TARGET_LINK_LAYER_ADDRESS,
                target,
            ),
        };
        out.extend_from_slice(&[kind, 0, 0, 0, flags, 0, 0, 0]);
        out.extend_from_slice(&target.octets());
        out.extend_from_slice(&[option, 1]);
        out.extend_from_slice(&mac);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_solicitation_has_these_bytes() {
        let repr = Repr::Solicitation {
            own: "fe80::a".parse().unwrap(),
            target: "fe80::12:3456".parse().unwrap(),
        };
        let mut frame = Vec::new();
        repr.emit_frame([2, 0, 0, 0, 0, 0x0a], &mut frame);
        let golden = [
            &[
                0x33, 0x33, 0xff, 0x12, 0x34, 0x56, 2, 0, 0, 0, 0, 0x0a, 0x86, 0xdd,
            ][..],
            &[0x60, 0, 0, 0, 0, 32, 58, 255],
            &[0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x0a],
            &[
                0xff, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, 0x12, 0x34, 0x56,
            ],
            &[0x87, 0, 0x11, 0xb9, 0, 0, 0, 0],
            &[
                0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x12, 0x34, 0x56,
            ],
            &[1, 1, 2, 0, 0, 0, 0, 0x0a],
        ];
        assert_eq!(frame, golden.concat());
    }

    #[test]
    fn an_advertisement_has_these_bytes() {
        let repr = Repr::Advertisement {
            target: "fe80::1".parse().unwrap(),
        };
        let mut frame = Vec::new();
        repr.emit_frame([0, 0, 0x5e, 0, 1, 50], &mut frame);
        let golden = [
            &[0x33, 0x33, 0, 0, 0, 1, 0, 0, 0x5e, 0, 1, 50, 0x86, 0xdd][..],
            &[0x60, 0, 0, 0, 0, 32, 58, 255],
            &[0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1],
            &[0xff, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1],
            &[0x88, 0, 0x7a, 0x69, 0xa0, 0, 0, 0],
            &[0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1],
            &[2, 1, 0, 0, 0x5e, 0, 1, 50],
        ];
        assert_eq!(frame, golden.concat());
    }
}
