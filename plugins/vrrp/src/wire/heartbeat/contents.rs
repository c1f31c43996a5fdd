//! Contents of heartbeats, and the ids of groups and networks.

use super::{NS_PER_US, PORTS_MAX};
use crate::wire::Family;

/// One node's report about one group: a record in its heartbeats.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Heartbeat {
    /// Id of the group, the [`group_id`] of its name.
    pub group: u64,
    pub role: HeartbeatRole,
    /// Class (E0): forced active 3, normal 2, joining 1, forced backup or maintenance 0.
    pub class: u8,
    /// Quality, 0-100.
    pub quality: u8,
    /// Priority of its adverts. It decides between nodes that elect by priority, and distinguishes its adverts from
    /// others.
    pub priority: u8,
    pub preferred: bool,
    /// A failover to this node would lose nothing.
    pub ready: bool,
    /// The node elects by priority, so the receiver must, too.
    pub by_priority: bool,
    /// The node cannot be active: barred, or without a usable interface.
    pub unable: bool,
    /// The flag `go`: the sender has blocked its fence for the receiver, which is prepared (E6).
    pub is_release: bool,
    /// The node receives the receiver's heartbeats: only then each node knows what the other knows.
    pub hears: bool,
    /// Advert interval, a multiple of 1 µs.
    pub advert_interval_ns: u64,
    /// Number of the term, which rises when the role moves to another node, as far as the sender knows (E7).
    pub term: u32,
    /// Number of hurt interfaces (E2, E3), those without adverts included; 255 for more.
    pub hurt: u8,
    /// Interfaces, in the order of the sender's routers.
    pub ports: Vec<HeartbeatPort>,
}

impl Heartbeat {
    /// Returns an empty report with room for as many ports as a part can have.
    pub fn with_room() -> Heartbeat {
        Heartbeat {
            advert_interval_ns: NS_PER_US,
            ports: Vec::with_capacity(PORTS_MAX),
            ..Heartbeat::default()
        }
    }
}

/// A node's report about one of its interfaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeartbeatPort {
    /// Id of the network, its [`network_path`].
    pub network: u32,
    /// The node can send there.
    pub usable: bool,
    /// The node hears the other node there.
    pub hears: bool,
    pub rating: Rating,
    /// The node sends heartbeats there, too.
    pub sends: bool,
    /// State of a virtual identity (E15): a backup reports what it hears there of the active receiver's; an active node
    /// how stations answer its own.
    pub identity: Identity,
}

/// Acknowledgement: the newest heartbeat of the receiver that the sender has received.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ack {
    pub run: u64,
    /// Highest received number; 0 for none.
    pub number: u64,
    /// Another run of the receiver's node is in use there, and is heard.
    pub is_second: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HeartbeatRole {
    #[default]
    Fault,
    Backup,
    Active,
}

/// Rating of an interface on which the peer is unheard (E3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rating {
    /// There is no station to ask, or none has answered yet.
    Unknown,
    Good,
    Bad,
}

/// State of the active node's virtual identity on a network on which its heartbeats arrive, as a backup hears it, or as
/// the active node detects it itself (E15).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Identity {
    /// The state is not determined, or not yet.
    #[default]
    Unknown,
    /// Adverts of every virtual router arrive; or stations answer each of its virtual MAC addresses.
    Heard,
    /// No adverts arrive; the virtual MAC address shows no fault.
    NoAdverts(Families),
    /// Nothing arrives from the virtual MAC address; or stations answer the node's own address, but not that one.
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

    /// Decodes its number of three bits.
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

    /// Returns the worse of two, with the families of both if they are equally bad.
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
        if self == other { self } else { Families::Both }
    }
}

/// Returns the FNV-1a hash of a group's name.
pub fn group_id(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// Returns the id of a network, which is also its path: the folded FNV-1a hash of the names that its interface has on
/// the nodes, in the order of the nodes' names. It never equals a link's position.
pub fn network_path(names: &[&str]) -> u32 {
    let hash = group_id(&names.join("/"));
    0x8000_0000 | (hash ^ (hash >> 32)) as u32
}
