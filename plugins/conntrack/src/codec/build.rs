//! Encodes [`Flow`]s as requests. Each function appends the payload of one request.

use spared_netlink::{attributes, constants as c};

use super::{AF_INET, AF_INET6, only_at_creation};
use crate::flow::{
    DCCP, Direction, Flow, GRE, ICMP, ICMPV6, SCTP, TCP, Tcp, Tuple, UDP, UDPLITE, Zone, status,
};

const NESTED: u16 = 0x8000;

/// Request for a new entry. Its reply is the plain inverse of the original tuple, and the
/// translation is an attribute of its own: the kernel would accept a translated reply and show it,
/// but translate nothing.
pub fn create(out: &mut Vec<u8>, flow: &Flow, timeout_s: u32) {
    header(out, &flow.original);
    let plain = flow.original.inverse();
    tuple(
        out,
        c::CTA_TUPLE_ORIG,
        &flow.original,
        zone_of(flow.zone, Direction::Original),
    );
    tuple(
        out,
        c::CTA_TUPLE_REPLY,
        &plain,
        zone_of(flow.zone, Direction::Reply),
    );
    zone(out, flow.zone);
    let settable = status::SEEN_REPLY | status::ASSURED | status::FIXED_TIMEOUT;
    be32(
        out,
        c::CTA_STATUS,
        c::IPS_CONFIRMED | flow.status & settable,
    );
    be32(out, c::CTA_TIMEOUT, timeout_s);
    if flow.mark != 0 {
        be32(out, c::CTA_MARK, flow.mark);
    }
    tcp(out, flow.tcp);
    if flow.is_source_translated() {
        translation(out, c::CTA_NAT_SRC, &flow.reply, flow.reply.destination, 1);
    }
    if flow.is_destination_translated() {
        translation(out, c::CTA_NAT_DST, &flow.reply, flow.reply.source, 0);
    }
    out.extend_from_slice(&flow.extra);
}

/// Request that changes an existing entry, with the attributes that can be changed.
pub fn update(out: &mut Vec<u8>, flow: &Flow, timeout_s: Option<u32>, with_status: bool) {
    name(out, flow);
    if with_status {
        be32(
            out,
            c::CTA_STATUS,
            c::IPS_CONFIRMED | flow.status & status::SHARED,
        );
    }
    // the kernel refuses a change of a fixed time
    if let Some(timeout_s) = timeout_s.filter(|_| flow.status & status::FIXED_TIMEOUT == 0) {
        be32(out, c::CTA_TIMEOUT, timeout_s);
    }
    be32(out, c::CTA_MARK, flow.mark);
    tcp(out, flow.tcp);
    for (kind, value) in attributes(&flow.extra) {
        if !only_at_creation(kind) {
            super::parse::attribute(kind, value, out);
        }
    }
}

/// Request that changes only the time of an entry.
pub fn refresh(out: &mut Vec<u8>, flow: &Flow, timeout_s: u32) {
    name(out, flow);
    be32(out, c::CTA_TIMEOUT, timeout_s);
}

/// Request that makes TCP tracking liberal: the kernel no longer checks windows.
pub fn loosen(out: &mut Vec<u8>, flow: &Flow) {
    name(out, flow);
    let liberal = [c::IP_CT_TCP_FLAG_BE_LIBERAL; 2];
    nest(out, c::CTA_PROTOINFO, |out| {
        nest(out, c::CTA_PROTOINFO_TCP, |out| {
            put(out, c::CTA_PROTOINFO_TCP_FLAGS_ORIGINAL, &liberal);
            put(out, c::CTA_PROTOINFO_TCP_FLAGS_REPLY, &liberal);
        });
    });
}

/// Request that changes nothing. Its echo shows if the kernel sends events for this flow.
pub fn touch(out: &mut Vec<u8>, flow: &Flow) {
    name(out, flow);
    be32(out, c::CTA_MARK, 0);
    be32(out, c::CTA_MARK_MASK, 0);
}

/// Appends the key of an entry: its original tuple.
pub fn name(out: &mut Vec<u8>, flow: &Flow) {
    header(out, &flow.original);
    tuple(
        out,
        c::CTA_TUPLE_ORIG,
        &flow.original,
        zone_of(flow.zone, Direction::Original),
    );
    zone(out, flow.zone);
}

/// Appends the key of an entry by its reply tuple.
pub fn name_by_reply(out: &mut Vec<u8>, flow: &Flow) {
    header(out, &flow.original);
    tuple(
        out,
        c::CTA_TUPLE_REPLY,
        &flow.reply,
        zone_of(flow.zone, Direction::Reply),
    );
    zone(out, flow.zone);
}

fn header(out: &mut Vec<u8>, tuple: &Tuple) {
    let family = if tuple.is_ipv6 { AF_INET6 } else { AF_INET };
    out.extend_from_slice(&[family, 0, 0, 0]);
}

fn zone(out: &mut Vec<u8>, zone: Zone) {
    if zone.id != 0 && zone.of == Direction::Both {
        be16(out, c::CTA_ZONE, zone.id);
    }
}

fn zone_of(zone: Zone, direction: Direction) -> Option<u16> {
    (zone.of == direction).then_some(zone.id)
}

fn tuple(out: &mut Vec<u8>, kind: u16, tuple: &Tuple, zone: Option<u16>) {
    nest(out, kind, |out| {
        nest(out, c::CTA_TUPLE_IP, |out| addresses(out, tuple));
        nest(out, c::CTA_TUPLE_PROTO, |out| ports(out, tuple));
        if let Some(zone) = zone {
            be16(out, c::CTA_TUPLE_ZONE, zone);
        }
    });
}

fn addresses(out: &mut Vec<u8>, tuple: &Tuple) {
    let (source, destination) = if tuple.is_ipv6 {
        (c::CTA_IP_V6_SRC, c::CTA_IP_V6_DST)
    } else {
        (c::CTA_IP_V4_SRC, c::CTA_IP_V4_DST)
    };
    put(out, source, &tuple.source[..tuple.width()]);
    put(out, destination, &tuple.destination[..tuple.width()]);
}

fn ports(out: &mut Vec<u8>, tuple: &Tuple) {
    put(out, c::CTA_PROTO_NUM, &[tuple.protocol]);
    let [a, b, x, y] = tuple.ports;
    match tuple.protocol {
        TCP | UDP | UDPLITE | SCTP | DCCP | GRE => {
            put(out, c::CTA_PROTO_SRC_PORT, &[a, b]);
            put(out, c::CTA_PROTO_DST_PORT, &[x, y]);
        }
        ICMP => {
            put(out, c::CTA_PROTO_ICMP_ID, &[x, y]);
            put(out, c::CTA_PROTO_ICMP_TYPE, &[a]);
            put(out, c::CTA_PROTO_ICMP_CODE, &[b]);
        }
        ICMPV6 => {
            put(out, c::CTA_PROTO_ICMPV6_ID, &[x, y]);
            put(out, c::CTA_PROTO_ICMPV6_TYPE, &[a]);
            put(out, c::CTA_PROTO_ICMPV6_CODE, &[b]);
        }
        _ => {}
    }
}

fn tcp(out: &mut Vec<u8>, tcp: Option<Tcp>) {
    const COPIED: u8 =
        c::IP_CT_TCP_FLAG_WINDOW_SCALE | c::IP_CT_TCP_FLAG_SACK_PERM | c::IP_CT_TCP_FLAG_CLOSE_INIT;
    let Some(tcp) = tcp else { return };
    // windows cannot be set: without being liberal, translated flows break
    let flags = |flags: u8| {
        let set = flags & COPIED | c::IP_CT_TCP_FLAG_BE_LIBERAL;
        [set, COPIED | c::IP_CT_TCP_FLAG_BE_LIBERAL]
    };
    nest(out, c::CTA_PROTOINFO, |out| {
        nest(out, c::CTA_PROTOINFO_TCP, |out| {
            put(out, c::CTA_PROTOINFO_TCP_STATE, &[tcp.state]);
            put(out, c::CTA_PROTOINFO_TCP_WSCALE_ORIGINAL, &[tcp.scales[0]]);
            put(out, c::CTA_PROTOINFO_TCP_WSCALE_REPLY, &[tcp.scales[1]]);
            put(
                out,
                c::CTA_PROTOINFO_TCP_FLAGS_ORIGINAL,
                &flags(tcp.flags[0]),
            );
            put(out, c::CTA_PROTOINFO_TCP_FLAGS_REPLY, &flags(tcp.flags[1]));
        });
    });
}

/// Appends a translation. `place` says where the reply has the translated port: 1 is its source, 0
/// its destination.
fn translation(out: &mut Vec<u8>, kind: u16, reply: &Tuple, address: [u8; 16], place: usize) {
    let place = if reply.is_icmp() { 1 } else { place };
    let port = [reply.ports[2 * place], reply.ports[2 * place + 1]];
    let (least, most) = if reply.is_ipv6 {
        (c::CTA_NAT_V6_MINIP, c::CTA_NAT_V6_MAXIP)
    } else {
        (c::CTA_NAT_V4_MINIP, c::CTA_NAT_V4_MAXIP)
    };
    nest(out, kind, |out| {
        put(out, least, &address[..reply.width()]);
        put(out, most, &address[..reply.width()]);
        if reply.has_ports() || reply.is_icmp() {
            nest(out, c::CTA_NAT_PROTO, |out| {
                put(out, c::CTA_PROTONAT_PORT_MIN, &port);
                put(out, c::CTA_PROTONAT_PORT_MAX, &port);
            });
        }
    });
}

fn nest(out: &mut Vec<u8>, kind: u16, fill: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    fill(out);
    let length = (out.len() - start) as u16;
    out[start..start + 2].copy_from_slice(&length.to_ne_bytes());
    out[start + 2..start + 4].copy_from_slice(&(kind | NESTED).to_ne_bytes());
}

fn put(out: &mut Vec<u8>, kind: u16, value: &[u8]) {
    super::parse::attribute(kind, value, out);
}

fn be32(out: &mut Vec<u8>, kind: u16, value: u32) {
    put(out, kind, &value.to_be_bytes());
}

fn be16(out: &mut Vec<u8>, kind: u16, value: u16) {
    put(out, kind, &value.to_be_bytes());
}
