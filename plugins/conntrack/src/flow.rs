//! A connection, as the kernel tracks it and as a record describes it.

use std::fmt;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use siphasher::sip::SipHasher13;
use spared_netlink::attributes;
use spared_netlink::constants::IP_CT_TCP_FLAG_BE_LIBERAL;

pub use spared_packet::protocol::{
    DCCP, ESP, GRE, ICMP, ICMPV6, PROTOCOLS, SCTP, TCP, UDP, UDPLITE,
};

use crate::codec::parse::attribute;

#[cfg(test)]
pub mod samples;

/// Number of TCP's state CLOSE.
pub const CLOSE: u8 = 8;

pub fn protocol_name(protocol: u8) -> Option<&'static str> {
    let known = PROTOCOLS.iter().find(|(_, number)| *number == protocol);
    known.map(|(name, _)| *name)
}

/// One direction of a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Tuple {
    pub is_ipv6: bool,
    pub protocol: u8,
    /// Address in network byte order; an IPv4 address is in the first four bytes.
    pub source: [u8; 16],
    pub destination: [u8; 16],
    /// Ports of source and destination; for ICMP type, code and id; zero for other protocols.
    pub ports: [u8; 4],
}

impl Tuple {
    /// Size of an address in bytes.
    pub fn width(&self) -> usize {
        if self.is_ipv6 { 16 } else { 4 }
    }

    pub fn is_icmp(&self) -> bool {
        matches!(self.protocol, ICMP | ICMPV6)
    }

    pub fn has_ports(&self) -> bool {
        matches!(self.protocol, TCP | UDP | DCCP | GRE | SCTP | UDPLITE)
    }

    pub fn ports(&self) -> (u16, u16) {
        let [a, b, c, d] = self.ports;
        (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]))
    }

    pub fn source(&self) -> IpAddr {
        address(self.is_ipv6, &self.source)
    }

    pub fn destination(&self) -> IpAddr {
        address(self.is_ipv6, &self.destination)
    }

    /// Returns the tuple of the other direction, if the connection is not translated.
    pub fn inverse(&self) -> Self {
        let [a, b, c, d] = self.ports;
        let ports = match self.protocol {
            ICMP => [icmp_reply(a), b, c, d],
            ICMPV6 => [icmpv6_reply(a), b, c, d],
            _ => [c, d, a, b],
        };
        Self {
            source: self.destination,
            destination: self.source,
            ports,
            ..*self
        }
    }
}

pub fn address(is_ipv6: bool, bytes: &[u8; 16]) -> IpAddr {
    let [a, b, c, d, ..] = *bytes;
    if is_ipv6 {
        Ipv6Addr::from(*bytes).into()
    } else {
        Ipv4Addr::new(a, b, c, d).into()
    }
}

/// Returns the ICMP type that answers a type (the kernel's `invmap`).
fn icmp_reply(kind: u8) -> u8 {
    match kind {
        0 => 8,
        8 => 0,
        13 => 14,
        14 => 13,
        15 => 16,
        16 => 15,
        17 => 18,
        18 => 17,
        other => other,
    }
}

fn icmpv6_reply(kind: u8) -> u8 {
    match kind {
        128 => 129,
        129 => 128,
        139 => 140,
        140 => 139,
        other => other,
    }
}

impl fmt::Display for Tuple {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match protocol_name(self.protocol) {
            Some(name) => f.write_str(name)?,
            None => write!(f, "protocol {}", self.protocol)?,
        }
        if self.has_ports() {
            let (source, destination) = self.ports();
            let from = SocketAddr::new(self.source(), source);
            let to = SocketAddr::new(self.destination(), destination);
            return write!(f, " {from} > {to}");
        }
        write!(f, " {} > {}", self.source(), self.destination())?;
        if self.is_icmp() {
            let [kind, code, ..] = self.ports;
            write!(f, " type {kind} code {code} id {}", self.ports().1)?;
        }
        Ok(())
    }
}

/// Zone of a connection. It often applies to both directions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Zone {
    pub id: u16,
    pub of: Direction,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Direction {
    #[default]
    Both,
    Original,
    Reply,
}

/// State of TCP tracking; only the part that can be set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tcp {
    pub state: u8,
    /// Window scales of both directions, 0-14.
    pub scales: [u8; 2],
    /// `IP_CT_TCP_FLAG_*` of both directions.
    pub flags: [u8; 2],
}

impl Tcp {
    pub fn is_liberal(&self) -> bool {
        let liberal = |flags: &u8| flags & IP_CT_TCP_FLAG_BE_LIBERAL != 0;
        self.flags.iter().all(liberal)
    }
}

/// Bits of [`Flow::status`], with the kernel's values.
pub mod status {
    use spared_netlink::constants as c;

    pub const EXPECTED: u32 = c::IPS_EXPECTED;
    pub const SEEN_REPLY: u32 = c::IPS_SEEN_REPLY;
    pub const ASSURED: u32 = c::IPS_ASSURED;
    pub const DYING: u32 = c::IPS_DYING;
    pub const FIXED_TIMEOUT: u32 = c::IPS_FIXED_TIMEOUT;
    pub const OFFLOAD: u32 = c::IPS_OFFLOAD;
    /// Bits that are sent to the peer.
    pub const SHARED: u32 = EXPECTED | SEEN_REPLY | ASSURED | FIXED_TIMEOUT;
}

/// Number of incarnations of a tuple that can be distinguished; the count wraps to 0.
pub const INCARNATIONS: u8 = 8;

/// A connection. An event of the kernel may leave out unchanged attributes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Flow {
    pub original: Tuple,
    pub reply: Tuple,
    pub zone: Zone,
    pub status: u32,
    /// Remaining time; None if the kernel has none (an offloaded flow).
    pub timeout_s: Option<u32>,
    pub mark: u32,
    /// TCP state; a whole TCP flow always has it.
    pub tcp: Option<Tcp>,
    /// State of SCTP or DCCP.
    pub state: Option<u8>,
    /// Timeout in s that a packet gives the flow by a policy (`ct timeout`); 0 if it is the protocol's. The kernel does
    /// not report it.
    pub policy_timeout_s: u32,
    /// Incarnation of the tuple, below [`INCARNATIONS`]. The kernel does not know it.
    pub incarnation: u8,
    /// Further attributes in the kernel's encoding: labels, sequence adjustment, helper, master, and the tracking of
    /// SCTP and DCCP.
    pub extra: Vec<u8>,
}

impl Flow {
    /// Returns the flow's hash. Both nodes share the key and get the same number; an outsider cannot cause collisions.
    pub fn hash(&self, key: Key) -> u64 {
        hash(&self.original, self.zone, key)
    }

    pub fn is_source_translated(&self) -> bool {
        let plain = self.original.inverse();
        plain.destination != self.reply.destination || self.translated_end(1)
    }

    pub fn is_destination_translated(&self) -> bool {
        let plain = self.original.inverse();
        plain.source != self.reply.source || self.translated_end(0)
    }

    pub fn is_plain(&self) -> bool {
        self.reply == self.original.inverse()
    }

    /// Returns true if a port was translated. `place` is its place in the reply; ICMP's id counts as the source's port.
    fn translated_end(&self, place: usize) -> bool {
        let plain = self.original.inverse();
        let end =
            |tuple: &Tuple, place: usize| [tuple.ports[2 * place], tuple.ports[2 * place + 1]];
        if plain.is_icmp() {
            place == 1 && end(&plain, 1) != end(&self.reply, 1)
        } else {
            end(&plain, place) != end(&self.reply, place)
        }
    }

    /// Takes an event of the flow: what it leaves out stays.
    pub fn apply_event(&mut self, event: &Flow) {
        self.status = event.status;
        self.mark = event.mark;
        self.timeout_s = event.timeout_s.or(self.timeout_s);
        self.tcp = event.tcp.or(self.tcp);
        self.state = event.state.or(self.state);
        if event.extra.is_empty() {
            return;
        }
        let mut extra = event.extra.clone();
        for (kind, value) in attributes(&self.extra) {
            if attributes(&event.extra).all(|(newer, _)| newer != kind) {
                attribute(kind, value, &mut extra);
            }
        }
        self.extra = extra;
    }

    /// Removes the attributes whose kind is unwanted.
    pub fn drop_attributes(&mut self, unwanted: impl Fn(u16) -> bool) {
        let mut kept = Vec::new();
        for (kind, value) in attributes(&self.extra).filter(|(kind, _)| !unwanted(*kind)) {
            attribute(kind, value, &mut kept);
        }
        self.extra = kept;
    }

    /// Returns the state of TCP, SCTP or DCCP; 0 for other protocols.
    pub fn state(&self) -> Option<u8> {
        match self.original.protocol {
            TCP => self.tcp.map(|tcp| tcp.state),
            SCTP | DCCP => self.state,
            _ => Some(0),
        }
    }
}

/// Hash key that both nodes share.
pub type Key = [u64; 2];

/// Returns a random key, so that outsiders cannot create flows with colliding hashes.
pub fn random_key() -> Key {
    let random = || RandomState::new().build_hasher().finish();
    [random(), random()]
}

pub fn hash(original: &Tuple, zone: Zone, key: Key) -> u64 {
    let mut hasher = SipHasher13::new_with_keys(key[0], key[1]);
    let mut bytes = [0u8; 40];
    let width = original.width();
    bytes[..width].copy_from_slice(&original.source[..width]);
    bytes[width..2 * width].copy_from_slice(&original.destination[..width]);
    let at = 2 * width;
    bytes[at..at + 4].copy_from_slice(&original.ports);
    bytes[at + 4] = original.protocol;
    // including the zone of the reply alone is not needed to distinguish flows, but does no harm
    bytes[at + 5..at + 7].copy_from_slice(&zone.id.to_be_bytes());
    bytes[at + 7] = zone.of as u8;
    hasher.write(&bytes[..at + 8]);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_replaces_only_what_it_says() {
        let mut known = Flow {
            timeout_s: Some(30),
            ..Flow::default()
        };
        attribute(22, &[1; 16], &mut known.extra);
        attribute(15, &[2; 4], &mut known.extra);
        let mut event = Flow {
            mark: 7,
            ..Flow::default()
        };
        attribute(22, &[3; 16], &mut event.extra);
        known.apply_event(&event);
        assert_eq!((known.mark, known.timeout_s), (7, Some(30)));
        let kinds: Vec<(u16, u8)> = attributes(&known.extra)
            .map(|(kind, it)| (kind, it[0]))
            .collect();
        assert_eq!(kinds, [(22, 3), (15, 2)]);
    }
}
