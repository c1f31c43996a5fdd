// SPDX-License-Identifier: MIT OR Apache-2.0
//! ctnetlink for tests: a socket, constants, and writers of attributes.

use std::io;
use std::os::fd::AsFd;

use rustix::net::{RecvFlags, SendFlags, recv, send, sockopt};
use spared_netlink::Requests;

use crate::Result;
use crate::lab::Namespace;

pub const NEW: u16 = 0x100;
pub const GET: u16 = 0x101;
pub const DELETE: u16 = 0x102;
pub const EXPECT_NEW: u16 = 0x200;
pub const EXPECT_GET: u16 = 0x201;

pub const ACK: u16 = 0x4;
pub const DUMP: u16 = 0x300;
pub const EXCL: u16 = 0x200;
pub const CREATE: u16 = 0x400;
const REQUEST: u16 = 1;

pub const ERROR: u16 = 2;
pub const DONE: u16 = 3;

pub const TUPLE_ORIG: u16 = 1;
pub const TUPLE_REPLY: u16 = 2;
pub const STATUS: u16 = 3;
pub const PROTOINFO: u16 = 4;
pub const HELP: u16 = 5;
pub const NAT_SRC: u16 = 6;
pub const TIMEOUT: u16 = 7;
pub const MARK: u16 = 8;
pub const TUPLE_MASTER: u16 = 14;
pub const SEQ_ADJ_ORIG: u16 = 15;
pub const SEQ_ADJ_REPLY: u16 = 16;
pub const ZONE: u16 = 18;
pub const LABELS: u16 = 22;

pub const TUPLE_IP: u16 = 1;
pub const TUPLE_PROTO: u16 = 2;
pub const TUPLE_ZONE: u16 = 3;

const RECEIVE_BYTES: usize = 32 << 20;

/// A socket in a namespace, which waits for late answers.
pub struct Socket(Requests);

impl Socket {
    pub fn open(ns: &Namespace) -> Result<Self> {
        let requests = ns.run(|| Ok(Requests::open_netfilter()?))?;
        // Without the right to force the size, the default is used.
        let _ = sockopt::set_socket_recv_buffer_size_force(requests.as_fd(), RECEIVE_BYTES);
        Ok(Self(requests))
    }

    pub fn send(&self, requests: &[u8]) -> io::Result<()> {
        send(self.0.as_fd(), requests, SendFlags::empty())?;
        Ok(())
    }

    pub fn receive<'b>(&self, buffer: &'b mut [u8]) -> io::Result<&'b [u8]> {
        let (length, _) = recv(self.0.as_fd(), &mut *buffer, RecvFlags::empty())?;
        Ok(buffer.get(..length).unwrap_or_default())
    }
}

/// Appends one request.
pub fn message(
    out: &mut Vec<u8>,
    (kind, flags): (u16, u16),
    sequence: u32,
    ipv6: bool,
    attributes: impl FnOnce(&mut Vec<u8>),
) {
    let family = if ipv6 { libc::AF_INET6 } else { libc::AF_INET };
    message_of(out, (kind, flags), sequence, family as u8, attributes);
}

/// Appends one request for any family; 0 is all families.
pub fn message_of(
    out: &mut Vec<u8>,
    (kind, flags): (u16, u16),
    sequence: u32,
    family: u8,
    attributes: impl FnOnce(&mut Vec<u8>),
) {
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&kind.to_ne_bytes());
    out.extend_from_slice(&(flags | REQUEST).to_ne_bytes());
    out.extend_from_slice(&sequence.to_ne_bytes());
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&[family, 0, 0, 0]);
    attributes(out);
    let length = (out.len() - start) as u32;
    out[start..start + 4].copy_from_slice(&length.to_ne_bytes());
}

pub fn put(out: &mut Vec<u8>, kind: u16, payload: &[u8]) {
    let length = (4 + payload.len()) as u16;
    out.extend_from_slice(&length.to_ne_bytes());
    out.extend_from_slice(&kind.to_ne_bytes());
    out.extend_from_slice(payload);
    out.resize(out.len().next_multiple_of(4), 0);
}

pub fn put_u32(out: &mut Vec<u8>, kind: u16, value: u32) {
    put(out, kind, &value.to_be_bytes());
}

pub fn nest(out: &mut Vec<u8>, kind: u16, inner: impl FnOnce(&mut Vec<u8>)) {
    const NESTED: u16 = 0x8000;
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    inner(out);
    let length = (out.len() - start) as u16;
    out[start..start + 2].copy_from_slice(&length.to_ne_bytes());
    out[start + 2..start + 4].copy_from_slice(&(kind | NESTED).to_ne_bytes());
}
