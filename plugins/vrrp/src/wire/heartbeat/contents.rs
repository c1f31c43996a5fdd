//! What heartbeats say, and the numbers by which they call groups, paths and interfaces.

use super::{NS_PER_US, PORTS_MAX};
use crate::wire::Family;

/// What one node says of one group: a record in its heartbeats.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heartbeat {
    /// [`group_id`] of the group's name.
    pub group: u64,
    pub role: Speaks,
    /// E0: forced active 3, normal 2, joining 1, forced backup or maintenance 0.
    pub class: u8,
    /// 0-100.
    pub quality: u8,
    /// Of its adverts: what decides between nodes that elect by priority, and tells its adverts
    /// from those of others.
    pub priority: u8,
    pub preferred: bool,
    /// A failover by this node would lose nothing.
    pub ready: bool,
    /// It elects by priority: so must the receiver.
    pub by_priority: bool,
    /// It cannot be active: barred, or without any usable interface.
    pub unable: bool,
    /// E6: the sender has blocked its fence for the receiver, who is prepared.
    pub go: bool,
    /// It hears the receiver's heartbeats: only then both know what the other knows.
    pub hears: bool,
    /// Whole microseconds.
    pub advert_interval_ns: u64,
    /// E7: how often another node became active, as far as the sender knows.
    pub term: u32,
    /// In the order of the sender's routers.
    pub ports: Vec<HeartbeatPort>,
}

impl Heartbeat {
    /// The least that can be said, with room for as many ports as a part brings.
    pub fn with_room() -> Heartbeat {
        Heartbeat {
            group: 0,
            role: Speaks::Fault,
            class: 0,
            quality: 0,
            priority: 0,
            preferred: false,
            ready: false,
            by_priority: false,
            unable: false,
            go: false,
            hears: false,
            advert_interval_ns: NS_PER_US,
            term: 0,
            ports: Vec::with_capacity(PORTS_MAX),
        }
    }
}

/// What a node says of one of its interfaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeartbeatPort {
    /// [`port_id`] of the interface's name.
    pub port: u32,
    /// It can speak there.
    pub usable: bool,
    /// It hears the other node there.
    pub hears: bool,
    pub rating: Rating,
    /// It sends heartbeats there, too.
    pub sends: bool,
    /// E15: what a backup hears there of the active receiver's virtual identity; what stations answer to that of an active
    /// sender.
    pub identity: Identity,
}

/// What the sender of a heartbeat has heard of the receiver.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Echo {
    pub run: u64,
    /// 0 for none.
    pub number: u64,
    /// Another run of the receiver's node is the one that counts there, and is heard.
    pub is_second: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speaks {
    Fault,
    Backup,
    Active,
}

/// E3: how an interface on which the peer is unheard is rated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rating {
    /// Nobody to ask, or not yet answered.
    Unknown,
    Good,
    Bad,
}

/// E15: what a backup hears on a network of the virtual identity of the active node, whose heartbeats arrive there, or
/// what the active node finds out itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Identity {
    /// Not judged, or not yet.
    #[default]
    Unknown,
    /// Adverts of every virtual router; or stations answer each of its virtual MAC addresses.
    Heard,
    /// No adverts; nothing speaks against the virtual MAC address.
    NoAdverts(Families),
    /// Nothing from the virtual MAC address; or stations answer the node's own address, and not that one.
    NoMac(Families),
}

/// Families of virtual routers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Families {
    V4,
    V6,
    Both,
}

impl Identity {
    const ALL: [Identity; 8] = [
        Identity::Unknown,
        Identity::Heard,
        Identity::NoAdverts(Families::V4),
        Identity::NoAdverts(Families::V6),
        Identity::NoAdverts(Families::Both),
        Identity::NoMac(Families::V4),
        Identity::NoMac(Families::V6),
        Identity::NoMac(Families::Both),
    ];

    /// By its number of three bits.
    pub(super) fn of(code: u8) -> Identity {
        let identity = Identity::ALL.get(usize::from(code));
        identity.copied().unwrap_or_default()
    }

    pub(super) fn code(self) -> u8 {
        let mut codes = (0..).zip(Identity::ALL);
        codes
            .find(|(_, it)| *it == self)
            .map_or(0, |(code, _)| code)
    }

    /// The worse of two, with the families of both if they are equally bad.
    pub fn and(self, other: Identity) -> Identity {
        use Identity::{Heard, NoAdverts, NoMac, Unknown};
        match (self, other) {
            (NoMac(one), NoMac(two)) => NoMac(one.and(two)),
            (NoMac(of), _) | (_, NoMac(of)) => NoMac(of),
            (NoAdverts(one), NoAdverts(two)) => NoAdverts(one.and(two)),
            (NoAdverts(of), _) | (_, NoAdverts(of)) => NoAdverts(of),
            (Unknown, _) | (_, Unknown) => Unknown,
            (Heard, Heard) => Heard,
        }
    }
}

impl Families {
    pub fn of(family: Family) -> Families {
        match family {
            Family::V4 => Families::V4,
            Family::V6 => Families::V6,
        }
    }

    pub fn has(self, family: Family) -> bool {
        self == Families::Both || self == Families::of(family)
    }

    fn and(self, other: Families) -> Families {
        match self == other {
            true => self,
            false => Families::Both,
        }
    }
}

/// FNV-1a of a group's name.
pub fn group_id(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// The path of a network, by the names that its interface has on the nodes, in the order of the nodes'
/// own names; never a link's place.
pub fn network_path(names: &[&str]) -> u32 {
    0x8000_0000 | port_id(&names.join("/"))
}

/// The same of an interface's name, folded.
pub fn port_id(name: &str) -> u32 {
    let hash = group_id(name);
    (hash ^ (hash >> 32)) as u32
}
