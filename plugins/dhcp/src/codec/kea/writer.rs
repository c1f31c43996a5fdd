//! Writes leases as rows.

use std::io::Write as _;

use spared_sdk::hex;

use super::{Column, Family, escape, is_text_of};
use crate::codec::fits;
use crate::lease::{Clock, Kind, Lease, Set, State};

/// Writes the header of `before`, if it has one, since that file's Kea will read this one; then the
/// rows.
pub fn write(family: Family, set: &Set, before: &[u8], clock: Clock) -> Vec<u8> {
    let first = before
        .split(|byte| *byte == b'\n')
        .next()
        .unwrap_or_default();
    let first = first.strip_suffix(b"\r").unwrap_or(first);
    let kept = Column::parse_header(family, first).filter(|_| first.starts_with(b"address,"));
    let header = match kept {
        Some(_) => first,
        None => family.header().as_bytes(),
    };
    let columns = kept.or_else(|| Column::parse_header(family, header));
    let columns = columns.unwrap_or_default();
    let mut out = Vec::with_capacity(set.leases.len().saturating_mul(160).saturating_add(256));
    out.extend_from_slice(header);
    out.push(b'\n');
    let format = family.format();
    for lease in set
        .leases
        .values()
        .filter(|lease| fits(format, lease).is_ok())
    {
        for (index, column) in columns.iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            field(&mut out, column, lease, clock);
        }
        out.push(b'\n');
    }
    out
}

fn field(out: &mut Vec<u8>, column: &Column, lease: &Lease, clock: Clock) {
    let client = &lease.client;
    match column {
        Column::Address => push(out, lease.key.address),
        Column::Hardware => hex::write(out, &client.hardware),
        Column::HardwareType if client.hardware.is_empty() => {}
        Column::HardwareType => push(out, client.hardware_type),
        Column::Id => hex::write(out, &client.id),
        // 0 would delete the lease
        Column::Valid => push(out, lease.valid_s.max(1)),
        Column::Preferred => push(out, lease.preferred_s),
        Column::Expire => push(out, expire_s(lease, clock)),
        Column::LeaseType => push(out, lease_type(lease.key.kind)),
        Column::Iaid => push(out, client.iaid),
        Column::PrefixLen => push(out, lease.key.prefix),
        Column::Hostname if !escape::is_writable(&lease.hostname) => {}
        Column::Hostname => escape::push(out, &lease.hostname),
        Column::State => out.extend_from_slice(state(lease)),
        Column::Extra(name) => extra(out, name, lease),
    }
}

fn push(out: &mut Vec<u8>, value: impl std::fmt::Display) {
    // writing to a vector cannot fail
    let _ = write!(out, "{value}");
}

fn expire_s(lease: &Lease, clock: Clock) -> i64 {
    let expire_s = match lease.expires_ns {
        Some(expires_ns) => clock.unix_s(expires_ns),
        None => {
            let committed_s = clock.unix_s(lease.committed_ns);
            committed_s.saturating_add(i64::from(lease.valid_s))
        }
    };
    expire_s.max(0)
}

fn lease_type(kind: Kind) -> u8 {
    match kind {
        Kind::V4 | Kind::Na => 0,
        Kind::Ta => 1,
        Kind::Pd => 2,
    }
}

fn state(lease: &Lease) -> &[u8] {
    match (lease.extra.get("state").map(String::as_str), lease.state) {
        (Some("3"), State::Free) => b"3",
        (Some("4"), State::Leased) => b"4",
        (_, State::Leased) => b"0",
        (_, State::Declined) => b"1",
        (_, State::Free) => b"2",
    }
}

fn extra(out: &mut Vec<u8>, column: &str, lease: &Lease) {
    let text = lease
        .extra
        .get(column)
        .filter(|text| is_text_of(column, text));
    match (text, column) {
        (Some(text), _) => escape::push(out, text.as_bytes()),
        (None, "fqdn_fwd" | "fqdn_rev" | "pool_id" | "subnet_id") => out.push(b'0'),
        (None, _) => {}
    }
}
