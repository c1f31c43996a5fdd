//! A lease, whatever server gave it.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

const SECOND: i64 = signed(crate::SECOND);
/// A valid lifetime without end.
pub const INFINITE_S: u32 = u32::MAX;

/// The leased object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// An IPv4 address.
    V4,
    /// An IPv6 address (IA_NA).
    Na,
    /// A temporary IPv6 address (IA_TA).
    Ta,
    /// A delegated IPv6 prefix (IA_PD).
    Pd,
}

/// Key of a lease: an object that a server leases to one client at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    pub kind: Kind,
    pub address: IpAddr,
    /// 32 and 128 but for delegated prefixes.
    pub prefix: u8,
}

/// "192.0.2.5", "2001:db8:1::/56".
impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            Kind::Pd => write!(f, "{}/{}", self.address, self.prefix),
            _ => write!(f, "{}", self.address),
        }
    }
}

/// Its client.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Client {
    /// Hardware type of ARP; 1 is Ethernet.
    pub hardware_type: u16,
    /// Empty where the server does not know it.
    pub hardware: Vec<u8>,
    /// DHCPv4's client identifier, DHCPv6's DUID; empty where there is none.
    pub id: Vec<u8>,
    /// DHCPv6's identity association; 0 in DHCPv4.
    pub iaid: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Leased,
    /// A client found somebody else there; nobody gets it until it ends.
    Declined,
    /// Ended or given back, and remembered for the client's return.
    Free,
}

/// Times are of this node's monotonic clock in ns, so that clocks may differ between nodes, and
/// jump; they may lie before its zero.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    pub key: Key,
    pub client: Client,
    /// As in the server's file, without the file's escapes; empty without a name.
    pub hostname: Vec<u8>,
    pub state: State,
    /// As granted; [`INFINITE_S`]; 0 if it is not in the server's file.
    pub valid_s: u32,
    /// DHCPv6 only.
    pub preferred_s: u32,
    /// None: never.
    pub expires_ns: Option<i64>,
    pub committed_ns: i64,
    /// Fields specific to this format: name and text ("subnet_id", "1").
    pub extra: BTreeMap<String, String>,
}

/// One commit of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    Put(Lease),
    /// Released, or deleted by hand.
    Gone {
        key: Key,
        committed_ns: i64,
    },
}

impl Change {
    pub fn key(&self) -> Key {
        match self {
            Self::Put(lease) => lease.key,
            Self::Gone { key, .. } => *key,
        }
    }
}

/// All leases of a server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Set {
    pub leases: BTreeMap<Key, Lease>,
    /// The server's DUID, to which clients of DHCPv6 address their renewals.
    pub identity: Option<Vec<u8>>,
}

impl Set {
    pub fn apply(&mut self, change: Change) {
        match change {
            Change::Put(lease) => drop(self.leases.insert(lease.key, lease)),
            Change::Gone { key, .. } => drop(self.leases.remove(&key)),
        }
    }
}

/// A time or a span of the host's clock among times of leases.
pub const fn signed(ns: u64) -> i64 {
    if ns > i64::MAX.unsigned_abs() {
        return i64::MAX;
    }
    ns as i64
}

/// Both clocks of this node at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clock {
    pub monotonic_ns: i64,
    pub unix_ns: i64,
}

impl Clock {
    /// The monotonic time of a server's time in seconds since 1970; none is later than the year 2262.
    pub fn monotonic(self, unix_s: i64) -> i64 {
        let unix_ns = unix_s.saturating_mul(SECOND);
        unix_ns
            .saturating_sub(self.unix_ns)
            .saturating_add(self.monotonic_ns)
    }

    /// The reverse, rounded to the nearest second.
    pub fn unix_s(self, monotonic_ns: i64) -> i64 {
        let unix_ns = monotonic_ns
            .saturating_sub(self.monotonic_ns)
            .saturating_add(self.unix_ns);
        unix_ns.saturating_add(SECOND / 2).div_euclid(SECOND)
    }
}
