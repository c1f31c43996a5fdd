//! Parses lines into leases.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::str;

use spared_sdk::hex;

use super::{NONE, TEMPORARY};
use crate::codec::Found;
use crate::lease::{Change, Client, Clock, INFINITE_S, Key, Kind, Lease, State};

const ETHERNET: u16 = 1;

pub fn line(number: u64, line: &[u8], clock: Clock, found: &mut Found) {
    let words = line.split(u8::is_ascii_whitespace);
    let words: Vec<_> = words.filter(|word| !word.is_empty()).take(6).collect();
    match words.as_slice() {
        [] => {}
        [b"duid", duid] => match hex::parse(duid) {
            Some(duid) => found.identity = Some(duid),
            None => found.skip(number, "the server's DUID is invalid"),
        },
        // written by dnsmasq 2.92 about the lease above, and only used for lease queries
        [b"vendorclass" | b"agent-info", ..] => {}
        &[expires, who, address, hostname, id] => {
            match lease([expires, who, address, hostname, id], clock) {
                Ok(lease) => found.changes.push(Change::Put(lease)),
                Err(why) => found.skip(number, why),
            }
        }
        _ => found.skip(number, "it is not a lease"),
    }
}

fn lease(words: [&[u8]; 5], clock: Clock) -> Result<Lease, &'static str> {
    let [expires, who, address, hostname, id] = words;
    let expires: i64 = number(expires)
        .filter(|expires| *expires >= 0)
        .ok_or("its end is invalid")?;
    let address = str::from_utf8(address)
        .ok()
        .and_then(|address| address.parse().ok());
    let address: IpAddr = address.ok_or("its address is invalid")?;
    let id = match id {
        NONE => Some(Vec::new()),
        id => hex::parse(id),
    };
    let id = id.ok_or("its client's identifier is invalid")?;
    let (kind, client) = match address {
        IpAddr::V4(_) => (
            Kind::V4,
            hardware(who).map(|client| Client { id, ..client }),
        ),
        IpAddr::V6(_) => {
            let (kind, iaid) = match who.strip_prefix(TEMPORARY) {
                Some(iaid) => (Kind::Ta, iaid),
                None => (Kind::Na, who),
            };
            let client = number(iaid).map(|iaid| Client {
                id,
                iaid,
                ..Client::default()
            });
            (kind, client)
        }
    };
    Ok(Lease {
        key: Key {
            kind,
            address,
            prefix: if kind == Kind::V4 { 32 } else { 128 },
        },
        client: client.ok_or("its hardware address or identity association is invalid")?,
        hostname: if hostname == NONE {
            Vec::new()
        } else {
            hostname.to_vec()
        },
        state: State::Leased,
        valid_s: if expires == 0 { INFINITE_S } else { 0 },
        preferred_s: 0,
        expires_ns: (expires != 0).then(|| clock.monotonic(expires)),
        committed_ns: clock.monotonic_ns,
        extra: BTreeMap::new(),
    })
}

/// Parses `02:00:00:00:00:01` (Ethernet), or `06-01:02` for other types or without an address.
fn hardware(text: &[u8]) -> Option<Client> {
    let mut halves = text.splitn(2, |byte| *byte == b'-');
    let (hardware_type, address) = match (halves.next()?, halves.next()) {
        (digits, Some(address)) => (u16::from(hex::byte(digits)?), address),
        (address, None) => (ETHERNET, address),
    };
    Some(Client {
        hardware_type,
        hardware: hex::parse(address)?,
        ..Client::default()
    })
}

fn number<T: std::str::FromStr>(text: &[u8]) -> Option<T> {
    str::from_utf8(text).ok()?.parse().ok()
}
