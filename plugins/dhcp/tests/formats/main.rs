//! Tests lease files: as servers wrote them, with arbitrary bytes, and read back by the servers.

use std::fmt::Write as _;

use spared_dhcp::codec::{Format, Found, Reader};
use spared_dhcp::lease::{Change, Clock, Lease, Set};
use spared_sdk::hex;

mod broken;
mod discover;
mod properties;
mod samples;
mod servers;

const FORMATS: [Format; 5] = [
    Format::Kea4,
    Format::Kea6,
    Format::Dnsmasq,
    Format::Dhcpd4,
    Format::Dhcpd6,
];

/// Clocks of a node that has been up for an hour at 2026-11-20 18:00:00.
const CLOCK: Clock = Clock {
    monotonic_ns: 3_600_000_000_000,
    unix_ns: 1_795_197_600_000_000_000,
};

/// Reads the files one after the other.
fn read_all(format: Format, files: &[&[u8]]) -> (Found, usize) {
    let mut reader = Reader::new(format);
    let mut all = Found::default();
    for bytes in files {
        let found = reader.feed(bytes, CLOCK);
        all.changes.extend(found.changes);
        all.identity = found.identity.or(all.identity);
        all.skipped += found.skipped;
        all.why = all.why.or(found.why);
    }
    (all, reader.unread())
}

fn read(format: Format, bytes: &[u8]) -> Found {
    read_all(format, &[bytes]).0
}

fn set_of(found: &Found) -> Set {
    let mut set = Set {
        identity: found.identity.clone(),
        ..Set::default()
    };
    for change in &found.changes {
        set.apply(change.clone());
    }
    set
}

fn leases(found: &Found) -> Vec<Lease> {
    let leases = found.changes.iter().filter_map(|change| match change {
        Change::Put(lease) => Some(lease.clone()),
        Change::Gone { .. } => None,
    });
    leases.collect()
}

/// Prints one line for each change, with times in seconds since 1970.
fn render(found: &Found) -> String {
    let mut text = String::new();
    let unix_s = |ns| CLOCK.unix_s(ns);
    for change in &found.changes {
        let key = change.key();
        let _ = write!(text, "{:?} {}/{}", key.kind, key.address, key.prefix);
        match change {
            Change::Put(lease) => {
                let client = &lease.client;
                let _ = writeln!(
                    text,
                    " hw={}:{} id={} iaid={} name=\"{}\" {:?} valid={} preferred={} expires={:?} committed={} {:?}",
                    client.hardware_type,
                    hex::text(&client.hardware, ""),
                    hex::text(&client.id, ""),
                    client.iaid,
                    lease.hostname.escape_ascii(),
                    lease.state,
                    lease.valid_s,
                    lease.preferred_s,
                    lease.expires_ns.map(unix_s),
                    unix_s(lease.committed_ns),
                    lease.extra,
                );
            }
            Change::Gone { committed_ns, .. } => {
                let _ = writeln!(text, " gone committed={}", unix_s(*committed_ns));
            }
        }
    }
    let identity = found.identity.as_deref().map(|id| hex::text(id, ""));
    let _ = writeln!(text, "identity {identity:?}");
    let _ = writeln!(text, "skipped {} {:?}", found.skipped, found.why);
    text
}
