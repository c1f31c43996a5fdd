//! Parses the kernel's messages into [`Flow`]s.

use spared_netlink::{attributes, constants as c, u32_of};

use super::{AF_INET, AF_INET6, GENERIC_HEADER, is_passed_on};
use crate::flow::{DCCP, Direction, Flow, SCTP, TCP, Tcp, Tuple, Zone, status};

/// Parses a connection of a dump or a notification; None if it is not an IP connection.
pub fn flow(payload: &[u8]) -> Option<Flow> {
    let (header, rest) = payload.split_at_checked(GENERIC_HEADER)?;
    let is_ipv6 = match *header.first()? {
        AF_INET => false,
        AF_INET6 => true,
        _ => return None,
    };
    let mut flow = Flow::default();
    let mut protoinfo = None;
    for (kind, value) in attributes(rest) {
        match kind {
            c::CTA_TUPLE_ORIG => {
                flow.original = tuple(value, is_ipv6, Direction::Original, &mut flow.zone)?
            }
            c::CTA_TUPLE_REPLY => {
                flow.reply = tuple(value, is_ipv6, Direction::Reply, &mut flow.zone)?
            }
            c::CTA_STATUS => flow.status = be32(value)?,
            c::CTA_TIMEOUT => flow.timeout_s = Some(be32(value)?),
            c::CTA_MARK => flow.mark = be32(value)?,
            c::CTA_ZONE => flow.zone.id = be16(value)?,
            c::CTA_PROTOINFO => protoinfo = Some(value),
            c::CTA_HELP => help(value, &mut flow.extra),
            // an entry that was written has one of zeros, the peer's entry has none
            c::CTA_SYNPROXY if is_zero(value) => {}
            kind if is_passed_on(kind, 0) => attribute(kind, value, &mut flow.extra),
            _ => {}
        }
    }
    if let Some(value) = protoinfo {
        self::protoinfo(value, &mut flow);
    }
    // While hardware or a flowtable carries a flow, the kernel reports neither its state nor its time. Only established
    // flows are carried so.
    if flow.status & status::OFFLOAD != 0 && flow.original.protocol == TCP {
        flow.tcp = flow.tcp.or(Some(Tcp {
            state: c::TCP_CONNTRACK_ESTABLISHED,
            ..Tcp::default()
        }));
    }
    Some(flow).filter(|flow| flow.original.protocol != 0)
}

pub(super) fn tuple(
    bytes: &[u8],
    is_ipv6: bool,
    direction: Direction,
    zone: &mut Zone,
) -> Option<Tuple> {
    let mut tuple = Tuple {
        is_ipv6,
        ..Tuple::default()
    };
    for (kind, value) in attributes(bytes) {
        match kind {
            c::CTA_TUPLE_IP => addresses(value, &mut tuple),
            c::CTA_TUPLE_PROTO => ports(value, &mut tuple),
            c::CTA_TUPLE_ZONE => {
                *zone = Zone {
                    id: be16(value)?,
                    of: direction,
                }
            }
            _ => {}
        }
    }
    Some(tuple)
}

fn addresses(bytes: &[u8], tuple: &mut Tuple) {
    for (kind, value) in attributes(bytes) {
        let address = match kind {
            c::CTA_IP_V4_SRC | c::CTA_IP_V6_SRC => &mut tuple.source,
            c::CTA_IP_V4_DST | c::CTA_IP_V6_DST => &mut tuple.destination,
            _ => continue,
        };
        if let Some(part) = address.get_mut(..value.len()) {
            part.copy_from_slice(value);
        }
    }
}

fn ports(bytes: &[u8], tuple: &mut Tuple) {
    for (kind, value) in attributes(bytes) {
        match (kind, value) {
            (c::CTA_PROTO_NUM, [number]) => tuple.protocol = *number,
            (c::CTA_PROTO_SRC_PORT, [a, b]) => tuple.ports[..2].copy_from_slice(&[*a, *b]),
            (c::CTA_PROTO_DST_PORT | c::CTA_PROTO_ICMP_ID | c::CTA_PROTO_ICMPV6_ID, [a, b]) => {
                tuple.ports[2..].copy_from_slice(&[*a, *b]);
            }
            (c::CTA_PROTO_ICMP_TYPE | c::CTA_PROTO_ICMPV6_TYPE, [kind]) => tuple.ports[0] = *kind,
            (c::CTA_PROTO_ICMP_CODE | c::CTA_PROTO_ICMPV6_CODE, [code]) => tuple.ports[1] = *code,
            _ => {}
        }
    }
}

fn protoinfo(value: &[u8], flow: &mut Flow) {
    let protocol = flow.original.protocol;
    match protocol {
        TCP => flow.tcp = first(value, c::CTA_PROTOINFO_TCP).and_then(tcp),
        SCTP | DCCP => {
            attribute(c::CTA_PROTOINFO, value, &mut flow.extra);
            flow.state = state_in(&flow.extra, protocol);
        }
        _ => {}
    }
}

/// Returns the state of SCTP or DCCP, which is in an attribute that is passed on unchanged.
pub fn state_in(extra: &[u8], protocol: u8) -> Option<u8> {
    let (kind, state) = match protocol {
        SCTP => (c::CTA_PROTOINFO_SCTP, c::CTA_PROTOINFO_SCTP_STATE),
        DCCP => (c::CTA_PROTOINFO_DCCP, c::CTA_PROTOINFO_DCCP_STATE),
        _ => return None,
    };
    let info = first(first(extra, c::CTA_PROTOINFO)?, kind)?;
    first(info, state)?.first().copied()
}

fn first(bytes: &[u8], wanted: u16) -> Option<&[u8]> {
    let mut found = attributes(bytes).filter(|(kind, _)| *kind == wanted);
    found.next().map(|(_, value)| value)
}

fn tcp(bytes: &[u8]) -> Option<Tcp> {
    let mut state = None;
    let mut tcp = Tcp::default();
    for (kind, value) in attributes(bytes) {
        match (kind, value) {
            (c::CTA_PROTOINFO_TCP_STATE, [number]) => state = Some(*number),
            (c::CTA_PROTOINFO_TCP_WSCALE_ORIGINAL, [scale]) => tcp.scales[0] = *scale,
            (c::CTA_PROTOINFO_TCP_WSCALE_REPLY, [scale]) => tcp.scales[1] = *scale,
            (c::CTA_PROTOINFO_TCP_FLAGS_ORIGINAL, [flags, _]) => tcp.flags[0] = *flags,
            (c::CTA_PROTOINFO_TCP_FLAGS_REPLY, [flags, _]) => tcp.flags[1] = *flags,
            _ => {}
        }
    }
    Some(Tcp {
        state: state?,
        ..tcp
    })
}

/// Appends the helper's name. The helper's private data cannot be set.
fn help(value: &[u8], extra: &mut Vec<u8>) {
    if let Some(name) = first(value, c::CTA_HELP_NAME) {
        let mut nested = Vec::with_capacity(name.len() + 8);
        attribute(c::CTA_HELP_NAME, name, &mut nested);
        attribute(c::CTA_HELP, &nested, extra);
    }
}

fn is_zero(nested: &[u8]) -> bool {
    let mut bytes = attributes(nested).flat_map(|(_, value)| value);
    bytes.all(|byte| *byte == 0)
}

/// Appends an attribute in the kernel's encoding.
pub fn attribute(kind: u16, value: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&((value.len() + 4) as u16).to_ne_bytes());
    out.extend_from_slice(&kind.to_ne_bytes());
    out.extend_from_slice(value);
    out.resize(out.len().next_multiple_of(4), 0);
}

fn be32(value: &[u8]) -> Option<u32> {
    u32_of(value).map(u32::from_be)
}

fn be16(value: &[u8]) -> Option<u16> {
    Some(u16::from_be_bytes(value.try_into().ok()?))
}

/// Returns the number of the kernel's entries, and its limit.
pub fn counts(payload: &[u8]) -> Option<(u32, u32)> {
    let rest = payload.get(GENERIC_HEADER..)?;
    let of = |wanted: u16| first(rest, wanted).and_then(be32);
    Some((
        of(c::CTA_STATS_GLOBAL_ENTRIES)?,
        of(c::CTA_STATS_GLOBAL_MAX_ENTRIES).unwrap_or(0),
    ))
}
