//! A lease of any server.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

const SECOND: i64 = signed(crate::SECOND);
/// Valid lifetime of an infinite lease.
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
    /// Prefix length; 32 or 128 except for delegated prefixes.
    pub prefix: u8,
}

/// Displays "192.0.2.5", "2001:db8:1::/56".
impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            Kind::Pd => write!(f, "{}/{}", self.address, self.prefix),
            _ => write!(f, "{}", self.address),
        }
    }
}

/// Client of a lease.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Client {
    /// Hardware type of ARP; 1 is Ethernet.
    pub hardware_type: u16,
    /// Hardware address; empty if the server does not know it.
    pub hardware: Vec<u8>,
    /// Client identifier (DHCPv4) or DUID (DHCPv6); empty if there is none.
    pub id: Vec<u8>,
    /// Identity association of DHCPv6; 0 for DHCPv4.
    pub iaid: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Leased,
    /// Declined: the client found the address in use; no client gets it until the lease expires.
    Declined,
    /// Expired or released, and kept for the client's return.
    Free,
}

/// A lease. Times are of this node's monotonic clock in ns, so that the nodes' clocks may differ and jump; they may lie
/// before its zero.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    pub key: Key,
    pub client: Client,
    /// Host name as in the server's file, without its escapes; empty without a name.
    pub hostname: Vec<u8>,
    pub state: State,
    /// Lifetime as granted; [`INFINITE_S`]; 0 if the server's file lacks it.
    pub valid_s: u32,
    /// Preferred lifetime, DHCPv6 only.
    pub preferred_s: u32,
    /// Time of expiry; None for never.
    pub expires_ns: Option<i64>,
    pub committed_ns: i64,
    /// Fields of this format only: name and text ("subnet_id", "1").
    pub extra: BTreeMap<String, String>,
}

/// One commit of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    Put(Lease),
    /// Released, or deleted by an administrator.
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
    /// DUID of the server, to which DHCPv6 clients address their renewals.
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

/// Converts a time or duration of the host's clock to that of leases.
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
    /// Converts a server's time in seconds since 1970 to monotonic time, no later than the year 2262.
    pub fn monotonic(self, unix_s: i64) -> i64 {
        let unix_ns = unix_s.saturating_mul(SECOND);
        unix_ns
            .saturating_sub(self.unix_ns)
            .saturating_add(self.monotonic_ns)
    }

    /// Converts monotonic time to seconds since 1970, rounded to the nearest second.
    pub fn unix_s(self, monotonic_ns: i64) -> i64 {
        let unix_ns = monotonic_ns
            .saturating_sub(self.monotonic_ns)
            .saturating_add(self.unix_ns);
        unix_ns.saturating_add(SECOND / 2).div_euclid(SECOND)
    }
}
