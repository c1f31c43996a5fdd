// SPDX-License-Identifier: MIT OR Apache-2.0
//! Writes a flow of any protocol into a kernel, as a table lists it.

use std::net::IpAddr;

use spared_netlink::messages;

use super::Entry;
use super::ctnetlink::{self as ct, Socket, nest, put, put_u32};
use super::table::{ICMP, ICMPV6, Tuple};
use crate::Result;
use crate::lab::Namespace;

const CONFIRMED: u32 = 8;
const TCP: u8 = 6;
const SCTP: u8 = 132;

/// Creates a flow without translation, which must not exist yet.
pub fn create(ns: &Namespace, entry: &Entry) -> Result<()> {
    let socket = Socket::open(ns)?;
    let (mut out, mut answer) = (Vec::new(), [0; 4096]);
    let kind = (ct::NEW, ct::CREATE | ct::EXCL | ct::ACK);
    ct::message(&mut out, kind, 1, entry.original.source.is_ipv6(), |out| {
        put_tuple(out, ct::TUPLE_ORIG, &entry.original);
        put_tuple(out, ct::TUPLE_REPLY, &entry.reply);
        put_u32(out, ct::STATUS, entry.status | CONFIRMED);
        put_u32(out, ct::TIMEOUT, entry.timeout_s);
        put_u32(out, ct::MARK, entry.mark);
        if entry.zone != 0 {
            put(out, ct::ZONE, &entry.zone.to_be_bytes());
        }
        if entry.labels != [0; 16] {
            put(out, ct::LABELS, &entry.labels);
        }
        put_state(out, entry);
    });
    socket.send(&out)?;
    for (_, payload) in messages(socket.receive(&mut answer)?) {
        match payload.first_chunk().map(|code| i32::from_ne_bytes(*code)) {
            Some(0) => {}
            code => return Err(format!("{entry}: refused: {code:?}").into()),
        }
    }
    Ok(())
}

pub fn put_tuple(out: &mut Vec<u8>, kind: u16, tuple: &Tuple) {
    nest(out, kind, |out| {
        nest(out, ct::TUPLE_IP, |out| {
            match (tuple.source, tuple.destination) {
                (IpAddr::V4(source), IpAddr::V4(destination)) => {
                    put(out, 1, &source.octets());
                    put(out, 2, &destination.octets());
                }
                (IpAddr::V6(source), IpAddr::V6(destination)) => {
                    put(out, 3, &source.octets());
                    put(out, 4, &destination.octets());
                }
                _ => {}
            }
        });
        nest(out, ct::TUPLE_PROTO, |out| {
            let [kind, code] = tuple.destination_port.to_be_bytes();
            put(out, 1, &[tuple.protocol]);
            match tuple.protocol {
                ICMP | ICMPV6 => {
                    let first = if tuple.protocol == ICMP { 4 } else { 7 };
                    put(out, first, &tuple.source_port.to_be_bytes());
                    put(out, first + 1, &[kind]);
                    put(out, first + 2, &[code]);
                }
                _ => {
                    put(out, 2, &tuple.source_port.to_be_bytes());
                    put(out, 3, &tuple.destination_port.to_be_bytes());
                }
            }
        });
        if tuple.zone != 0 {
            put(out, ct::TUPLE_ZONE, &tuple.zone.to_be_bytes());
        }
    });
}

fn put_state(out: &mut Vec<u8>, entry: &Entry) {
    match entry.original.protocol {
        TCP => put_tcp(out, entry.state),
        // with the verification tags of both directions
        SCTP => nest(out, ct::PROTOINFO, |out| {
            nest(out, 3, |out| {
                put(out, 1, &[entry.state]);
                put_u32(out, 2, 0x1111_2222);
                put_u32(out, 3, 0x3333_4444);
            });
        }),
        _ => {}
    }
}

pub fn put_tcp(out: &mut Vec<u8>, state: u8) {
    const SCALED_WITH_SACK: [u8; 2] = [3, 3];
    nest(out, ct::PROTOINFO, |out| {
        nest(out, 1, |out| {
            put(out, 1, &[state]);
            put(out, 2, &[7]);
            put(out, 3, &[7]);
            put(out, 4, &SCALED_WITH_SACK);
            put(out, 5, &SCALED_WITH_SACK);
        });
    });
}
