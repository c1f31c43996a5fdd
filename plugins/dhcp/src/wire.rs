//! Encodes messages between the nodes: keys and values of the replica's records, the question behind
//! `sparectl dhcp diff`, and servers that cannot be replicated.
//!
//! Numbers are in network byte order. Times are milliseconds left and ago, as clocks differ. Any bytes parse without a
//! panic; [`fits`](crate::codec::fits) checks that a lease fits its server.
//!
//! ```text
//! key       kind 8 = 0                               the server's identity (its DUID)
//!           kind 8 = 1 IPv4, 2 IA_NA, 3 IA_TA, 4 IA_PD, prefix 8, address 32 or 128
//!
//! value of a lease
//! +-------+-------+-----------+-------------+-----------+----------+---------+---------+
//! | flags | state | valid s   | preferred s | left ms   | age ms   | type    | iaid    |
//! +-------+-------+-----------+-------------+-----------+----------+---------+---------+
//!     8       8        32           32        64, signed    64          16        32
//! +------------------+------------+---------------+----------------------------------------+
//! | n 8 hardware ... | n 8 id ... | n 8 name ...  | (n 8 field ..., n 16 text ...) ...     |
//! +------------------+------------+---------------+----------------------------------------+
//!   flags: 1 ENDLESS (nothing is left, as it has no end), 2 GIVEN (by a server of the sender's node)
//!   state: 0 leased, 1 declined, 2 free
//!
//! messages beside the replica's
//!   128 ASK      id 32                                          tell all that you have
//!   129 LISTED   id 32, n 8 server ..., (n 8 key ..., n 16 value ...) ...
//!   130 END      id 32                                          that was all
//!   131 NOT_REPLICABLE  n 8 server ..., n 8 why ...             leases of it may be unknown here; "": no
//!   132 POOLS    n 8 server ..., digest 64, n 16 pools ...      its pools, a line each; from version 2
//! ```

mod message;

use std::collections::BTreeMap;
use std::fmt;
use std::hash::Hasher;
use std::net::IpAddr;

use siphasher::sip::SipHasher13;
use spared_replica::{Key as ReplicaKey, Malformed, Reader, ValueWriter};

use crate::lease::{Client, Key, Kind, Lease, State, signed};

pub use message::{Listed, Message, digest_of_pools};

/// Longest id or name in bytes, by its length byte.
const ID_MAX: usize = 255;
/// Limit of all fields of a lease that only its format has, in bytes.
const EXTRA_MAX: usize = 5_000;
const MS: i64 = signed(crate::MS);
/// Longest time in ms. An infinite lease has no remaining time; all others are shorter.
const TIME_MAX_MS: i64 = u32::MAX as i64 * 1_000;

const ENDLESS: u8 = 1;
const GIVEN: u8 = 2;

/// Key of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RecordKey {
    /// The server's identity, one for each table.
    Identity,
    /// A lease of the server.
    Lease(Key),
}

impl fmt::Display for RecordKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Identity => f.write_str("identity"),
            Self::Lease(key) => write!(f, "{key}"),
        }
    }
}

impl RecordKey {
    fn bytes(&self) -> Vec<u8> {
        let Self::Lease(key) = self else {
            return vec![0];
        };
        let kind = match key.kind {
            Kind::V4 => 1,
            Kind::Na => 2,
            Kind::Ta => 3,
            Kind::Pd => 4,
        };
        let mut bytes = vec![kind, key.prefix];
        match key.address {
            IpAddr::V4(address) => bytes.extend(address.octets()),
            IpAddr::V6(address) => bytes.extend(address.octets()),
        }
        bytes
    }
}

impl ReplicaKey for RecordKey {
    fn write(&self, out: &mut ValueWriter<'_>) {
        out.put(&self.bytes());
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let kind = match reader.u8()? {
            0 => return Ok(Self::Identity),
            1 => Kind::V4,
            2 => Kind::Na,
            3 => Kind::Ta,
            4 => Kind::Pd,
            _ => return Err(Malformed::Field("kind of lease")),
        };
        let prefix = reader.u8()?;
        let address = match kind {
            Kind::V4 => IpAddr::from(reader.u32()?.to_be_bytes()),
            Kind::Na | Kind::Ta | Kind::Pd => {
                let (high, low) = (reader.u64()?, reader.u64()?);
                IpAddr::from((u128::from(high) << 64 | u128::from(low)).to_be_bytes())
            }
        };
        Ok(Self::Lease(Key {
            kind,
            address,
            prefix,
        }))
    }
}

/// Returns a lease's value. `given` is true if a server of this node granted it.
pub fn write_lease(now_ns: u64, lease: &Lease, given: bool) -> Vec<u8> {
    let now_ms = ms(signed(now_ns));
    let left_ms = lease.expires_ns.map(|it| clamp(ms(it) - now_ms));
    let age_ms = now_ms - ms(lease.committed_ns);
    write(lease, left_ms, age_ms.clamp(0, TIME_MAX_MS), given)
}

/// Returns a digest that is equal on both nodes if the leases differ at most in their times. Different times belong to
/// different commits, and the record's flags show whether a value was acknowledged since.
pub fn digest(lease: &Lease) -> u64 {
    let left_ms = lease.expires_ns.map(|_| 0);
    let mut hasher = SipHasher13::new();
    hasher.write(&write(lease, left_ms, 0, false));
    hasher.finish()
}

/// Returns the digest of an identity.
pub fn digest_of_identity(identity: &[u8]) -> u64 {
    let mut hasher = SipHasher13::new();
    hasher.write(identity);
    hasher.finish()
}

fn write(lease: &Lease, left_ms: Option<i64>, age_ms: i64, given: bool) -> Vec<u8> {
    let client = &lease.client;
    let endless = if left_ms.is_none() { ENDLESS } else { 0 };
    let state = match lease.state {
        State::Leased => 0,
        State::Declined => 1,
        State::Free => 2,
    };
    let mut bytes = vec![endless | if given { GIVEN } else { 0 }, state];
    bytes.extend(lease.valid_s.to_be_bytes());
    bytes.extend(lease.preferred_s.to_be_bytes());
    bytes.extend(left_ms.unwrap_or(0).to_be_bytes());
    bytes.extend(age_ms.to_be_bytes());
    bytes.extend(client.hardware_type.to_be_bytes());
    bytes.extend(client.iaid.to_be_bytes());
    for field in [&client.hardware, &client.id, &lease.hostname] {
        put_short(&mut bytes, field);
    }
    for (name, text) in &lease.extra {
        put_short(&mut bytes, name.as_bytes());
        put_long(&mut bytes, text.as_bytes());
    }
    bytes
}

/// Parses the value of a key; also returns whether a server of the sender's node granted the lease.
///
/// # Errors
/// The bytes are no such value.
pub fn read_lease(now_ns: u64, key: Key, value: &[u8]) -> Result<(Lease, bool), Malformed> {
    let mut reader = Reader(value);
    let flags = reader.u8()?;
    if flags & !(ENDLESS | GIVEN) != 0 {
        return Err(Malformed::Field("flag of a lease"));
    }
    let state = match reader.u8()? {
        0 => State::Leased,
        1 => State::Declined,
        2 => State::Free,
        _ => return Err(Malformed::Field("state of a lease")),
    };
    let (valid_s, preferred_s) = (reader.u32()?, reader.u32()?);
    let left_ms = clamp(read_signed(&mut reader)?);
    let age_ms = read_signed(&mut reader)?.clamp(0, TIME_MAX_MS);
    let (hardware_type, iaid) = (reader.u16()?, reader.u32()?);
    let now_ms = ms(signed(now_ns));
    let mut field = || reader.short().map(<[u8]>::to_vec);
    let (hardware, id, hostname) = (field()?, field()?, field()?);
    let lease = Lease {
        key,
        client: Client {
            hardware_type,
            hardware,
            id,
            iaid,
        },
        hostname,
        state,
        valid_s,
        preferred_s,
        expires_ns: (flags & ENDLESS == 0).then(|| ns(now_ms + left_ms)),
        committed_ns: ns(now_ms - age_ms),
        extra: read_extra(reader)?,
    };
    Ok((lease, flags & GIVEN != 0))
}

fn read_extra(mut reader: Reader<'_>) -> Result<BTreeMap<String, String>, Malformed> {
    let text = |bytes: &[u8]| {
        let text = std::str::from_utf8(bytes);
        text.map(str::to_owned)
            .map_err(|_| Malformed::Field("text of a lease"))
    };
    let mut extra = BTreeMap::new();
    while !reader.0.is_empty() {
        let name = text(reader.short()?)?;
        let length = reader.u16()?;
        extra.insert(name, text(reader.take(length.into())?)?);
    }
    Ok(extra)
}

/// Returns true if a record can hold the lease.
pub fn is_short(lease: &Lease) -> bool {
    let client = &lease.client;
    let ids = [&client.hardware, &client.id, &lease.hostname];
    let extra = lease.extra.iter();
    let sum: usize = extra.map(|(name, text)| name.len() + text.len() + 3).sum();
    let names = lease.extra.keys().all(|name| name.len() <= ID_MAX);
    names && ids.iter().all(|id| id.len() <= ID_MAX) && sum <= EXTRA_MAX
}

/// Returns a time in whole ms, so that a commit that is sent back does not appear later.
fn ms(ns: i64) -> i64 {
    ns.div_euclid(MS)
}

fn ns(ms: i64) -> i64 {
    ms.saturating_mul(MS)
}

fn clamp(ms: i64) -> i64 {
    ms.clamp(-TIME_MAX_MS, TIME_MAX_MS)
}

fn put_short(bytes: &mut Vec<u8>, field: &[u8]) {
    let field = field.get(..ID_MAX).unwrap_or(field);
    bytes.push(field.len() as u8);
    bytes.extend(field);
}

fn put_long(bytes: &mut Vec<u8>, field: &[u8]) {
    let field = field.get(..usize::from(u16::MAX)).unwrap_or(field);
    bytes.extend((field.len() as u16).to_be_bytes());
    bytes.extend(field);
}

/// Reads a 64-bit number in two's complement.
fn read_signed(reader: &mut Reader<'_>) -> Result<i64, Malformed> {
    let bytes = reader.u64()?.to_be_bytes();
    Ok(i64::from_be_bytes(bytes))
}

#[cfg(test)]
mod tests;
