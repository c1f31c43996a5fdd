//! Writes leases as lines of a file, which `server/server_files.rs` puts in place.

use std::io::Write as _;

use spared_sdk::hex;

use super::{NONE, TEMPORARY};
use crate::codec::{Format, fits};
use crate::lease::{Clock, Kind, Lease, Set};

/// Size of dnsmasq's field for a name, in bytes.
const LONGEST_NAME: usize = 255;
const ETHERNET: u16 = 1;

pub fn write(set: &Set, before: &[u8], clock: Clock) -> Vec<u8> {
    let mut out = Vec::with_capacity(set.leases.len().saturating_mul(80).saturating_add(128));
    let lines = |out: &mut Vec<u8>, v4: bool| {
        let leases = set
            .leases
            .values()
            .filter(|lease| (lease.key.kind == Kind::V4) == v4);
        for lease in leases.filter(|lease| fits(Format::Dnsmasq, lease).is_ok()) {
            line(out, lease, clock);
        }
    };
    lines(&mut out, true);
    let identity = set.identity.clone().or_else(|| identity(before));
    if let Some(identity) = identity.filter(|identity| !identity.is_empty()) {
        out.extend_from_slice(b"duid ");
        hex::write(&mut out, &identity);
        out.push(b'\n');
    }
    lines(&mut out, false);
    out
}

fn line(out: &mut Vec<u8>, lease: &Lease, clock: Clock) {
    // 0 would stand for an infinite lease
    let expires_s = lease
        .expires_ns
        .map_or(0, |expires_ns| clock.unix_s(expires_ns).max(1));
    push(out, expires_s);
    out.push(b' ');
    let client = &lease.client;
    match lease.key.kind {
        Kind::V4 => {
            if client.hardware_type != ETHERNET || client.hardware.is_empty() {
                hex::push(out, u8::try_from(client.hardware_type).unwrap_or(0));
                out.push(b'-');
            }
            hex::write(out, &client.hardware);
        }
        Kind::Na | Kind::Ta | Kind::Pd => {
            if lease.key.kind == Kind::Ta {
                out.extend_from_slice(TEMPORARY);
            }
            push(out, client.iaid);
        }
    }
    out.push(b' ');
    push(out, lease.key.address);
    out.push(b' ');
    out.extend_from_slice(if is_name(&lease.hostname) {
        &lease.hostname
    } else {
        NONE
    });
    out.push(b' ');
    match client.id.as_slice() {
        [] => out.extend_from_slice(NONE),
        id => hex::write(out, id),
    }
    out.push(b'\n');
}

/// Returns true if dnsmasq accepts it as a host name.
pub fn is_name(name: &[u8]) -> bool {
    let legal = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.".contains(byte);
    (1..=LONGEST_NAME).contains(&name.len()) && name.iter().all(legal)
}

fn identity(before: &[u8]) -> Option<Vec<u8>> {
    let mut lines = before.split(|byte| *byte == b'\n');
    lines.find_map(|line| hex::parse(line.strip_prefix(b"duid ")?.trim_ascii()))
}

fn push(out: &mut Vec<u8>, value: impl std::fmt::Display) {
    // writing to a vector cannot fail
    let _ = write!(out, "{value}");
}
