//! Writes leases as declarations.

use std::collections::BTreeMap;
use std::io::Write as _;

use super::date::{self, Date};
use super::{
    BINDING, ByteOrder, FLAGS, FREE_BINDINGS, Family, HARDWARE, LONGEST_TEXT, RELAY_OPTIONS, SET,
    escape, is_variable, unescape,
};
use crate::codec::{Format, Reader, fits};
use crate::lease::{Clock, Kind, Lease, Set, State};

pub fn write(family: Family, set: &Set, before: &[u8], clock: Clock) -> Vec<u8> {
    let order = byte_order(before);
    let mut out = Vec::with_capacity(set.leases.len().saturating_mul(360).saturating_add(256));
    out.extend_from_slice(b"# This lease file was written by spared\n");
    line(
        &mut out,
        format_args!("authoring-byte-order {};\n", order.name()),
    );
    match family {
        Family::V4 => {
            let leases = set.leases.values();
            for lease in leases.filter(|lease| fits(Format::Dhcpd4, lease).is_ok()) {
                lease4(&mut out, lease, clock);
            }
        }
        Family::V6 => {
            let identity = set.identity.clone().or_else(|| identity(before));
            if let Some(identity) = identity.filter(|identity| !identity.is_empty()) {
                quoted(&mut out, "server-duid", &identity);
                out.push(b'\n');
            }
            for (association, leases) in associations(set) {
                association6(&mut out, order, association, &leases, clock);
            }
        }
    }
    out
}

fn lease4(out: &mut Vec<u8>, lease: &Lease, clock: Clock) {
    let committed_s = clock.unix_s(lease.committed_ns);
    let ends_s = lease.expires_ns.map(|expires_ns| clock.unix_s(expires_ns));
    let starts_s = ends_s.map_or(committed_s, |ends| {
        ends.saturating_sub(i64::from(lease.valid_s))
    });
    line(out, format_args!("lease {} {{", lease.key.address));
    dated(out, "  starts ", Date::At(starts_s));
    dated(out, "  ends ", ends_s.map_or(Date::Never, Date::At));
    dated(out, "  cltt ", Date::At(committed_s));
    line(out, format_args!("  binding state {};", binding(lease)));
    if lease.state != State::Free {
        out.extend_from_slice(b"  next binding state free;\n  rewind binding state free;\n");
    }
    for flag in FLAGS.iter().filter(|flag| lease.extra.contains_key(**flag)) {
        line(out, format_args!("  {flag};"));
    }
    hardware(out, lease);
    if !lease.client.id.is_empty() {
        quoted(out, "  uid", &lease.client.id);
    }
    extras(out, lease);
    if !lease.hostname.is_empty()
        && lease
            .hostname
            .iter()
            .all(|byte| (b' '..=b'~').contains(byte))
    {
        quoted(out, "  client-hostname", &lease.hostname);
    }
    out.extend_from_slice(b"}\n");
}

type Association<'a> = (Kind, u32, &'a [u8]);

/// Groups leases by association, since a later declaration of an association replaces the earlier
/// one.
fn associations(set: &Set) -> BTreeMap<Association<'_>, Vec<&Lease>> {
    let mut associations: BTreeMap<Association, Vec<&Lease>> = BTreeMap::new();
    let leases = set.leases.values();
    for lease in leases.filter(|lease| fits(Format::Dhcpd6, lease).is_ok()) {
        let client = &lease.client;
        let association = (lease.key.kind, client.iaid, client.id.as_slice());
        associations.entry(association).or_default().push(lease);
    }
    associations
}

fn association6(
    out: &mut Vec<u8>,
    order: ByteOrder,
    (kind, iaid, duid): Association,
    leases: &[&Lease],
    clock: Clock,
) {
    let (word, place) = match kind {
        Kind::V4 | Kind::Na => ("ia-na", "iaaddr"),
        Kind::Ta => ("ia-ta", "iaaddr"),
        Kind::Pd => ("ia-pd", "iaprefix"),
    };
    line_begin(out, word);
    escape(out, &order.bytes(iaid));
    escape(out, duid);
    out.extend_from_slice(b"\" {\n");
    let committed_ns = leases.iter().map(|lease| lease.committed_ns).max();
    dated(
        out,
        "  cltt ",
        Date::At(clock.unix_s(committed_ns.unwrap_or(clock.monotonic_ns))),
    );
    for lease in leases {
        match kind {
            Kind::Pd => line(
                out,
                format_args!("  {place} {}/{} {{", lease.key.address, lease.key.prefix),
            ),
            Kind::V4 | Kind::Na | Kind::Ta => {
                line(out, format_args!("  {place} {} {{", lease.key.address))
            }
        }
        line(out, format_args!("  binding state {};", binding(lease)));
        line(out, format_args!("  preferred-life {};", lease.preferred_s));
        line(out, format_args!("  max-life {};", lease.valid_s));
        let ends = lease
            .expires_ns
            .map(|expires_ns| Date::At(clock.unix_s(expires_ns)));
        dated(out, "  ends ", ends.unwrap_or(Date::Never));
        extras(out, lease);
        out.extend_from_slice(b"  }\n");
    }
    out.extend_from_slice(b"}\n\n");
}

fn binding(lease: &Lease) -> &'static str {
    let kept = lease.extra.get(BINDING);
    let kept = FREE_BINDINGS
        .iter()
        .find(|binding| kept.is_some_and(|kept| kept == *binding));
    match (lease.state, kept) {
        (State::Leased, _) => "active",
        (State::Declined, _) => "abandoned",
        (State::Free, Some(binding)) => binding,
        (State::Free, None) => "free",
    }
}

fn hardware(out: &mut Vec<u8>, lease: &Lease) {
    let client = &lease.client;
    if client.hardware_type == 0 && client.hardware.is_empty() {
        return;
    }
    out.extend_from_slice(b"  hardware ");
    match HARDWARE
        .iter()
        .find(|(number, _)| *number == client.hardware_type)
    {
        Some((_, name)) => out.extend_from_slice(name.as_bytes()),
        // writing to a vector cannot fail
        None => drop(write!(out, "unknown-{}", client.hardware_type)),
    }
    out.push(b' ');
    spared_sdk::hex::write(out, &client.hardware);
    out.extend_from_slice(b";\n");
}

/// Writes variables and relay options, and nothing that dhcpd would execute.
fn extras(out: &mut Vec<u8>, lease: &Lease) {
    for (name, escaped) in &lease.extra {
        let (text, rest) = unescape(escaped.as_bytes());
        if text.is_empty() || text.len() > LONGEST_TEXT || !rest.is_empty() {
            continue;
        }
        let variable = name.strip_prefix(SET).filter(|name| is_variable(name));
        if variable.is_some() {
            quoted(out, &format!("  {name} ="), &text);
        } else if RELAY_OPTIONS.contains(&name.as_str()) {
            quoted(out, &format!("  {name}"), &text);
        }
    }
}

fn quoted(out: &mut Vec<u8>, name: &str, text: &[u8]) {
    line_begin(out, name);
    escape(out, text);
    out.extend_from_slice(b"\";\n");
}

fn line_begin(out: &mut Vec<u8>, name: &str) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b" \"");
}

fn dated(out: &mut Vec<u8>, name: &str, date: Date) {
    out.extend_from_slice(name.as_bytes());
    date::write(out, date);
    out.extend_from_slice(b";\n");
}

fn line(out: &mut Vec<u8>, line: std::fmt::Arguments) {
    // writing to a vector cannot fail
    let _ = out.write_fmt(line);
    out.push(b'\n');
}

fn byte_order(before: &[u8]) -> ByteOrder {
    let mut lines = before.split(|byte| *byte == b'\n');
    let order = lines.find_map(|line| {
        let word = line.strip_prefix(b"authoring-byte-order ")?.trim_ascii();
        ByteOrder::parse(word.strip_suffix(b";")?.trim_ascii())
    });
    order.unwrap_or(ByteOrder::NATIVE)
}

fn identity(before: &[u8]) -> Option<Vec<u8>> {
    let mut lines = before.split_inclusive(|byte| *byte == b'\n');
    let line = lines.rfind(|line| line.starts_with(b"server-duid "))?;
    let clock = Clock {
        monotonic_ns: 0,
        unix_ns: 0,
    };
    Reader::new(Format::Dhcpd6).feed(line, clock).identity
}
