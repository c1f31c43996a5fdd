//! A group's view of one interface: whether it can speak there, and whom it hears.

use std::net::IpAddr;

use super::dispute::Dispute;
use crate::wire::Mac;

pub(super) struct Port {
    /// Index into the engine's interfaces.
    pub interface: usize,
    pub usable_since_ns: Option<u64>,
    pub heard_ns: Option<u64>,
    pub peer_mac: Option<Mac>,
    /// E3: gave the group up to a claim; may not claim until an advert is heard here.
    pub yielded: bool,
    /// E3: claimed the group; the same holds.
    pub claimed: bool,
    pub dispute: Option<Dispute>,
}

impl Port {
    pub fn new(interface: usize) -> Port {
        Port {
            interface,
            usable_since_ns: None,
            heard_ns: None,
            peer_mac: None,
            yielded: false,
            claimed: false,
            dispute: None,
        }
    }
}

/// The active router, as last heard on any interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Peer {
    pub address: IpAddr,
    pub priority: u8,
    pub interval_ns: u64,
    pub heard_ns: u64,
}

/// Who advertises for one virtual router.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Talker {
    pub address: IpAddr,
    pub interval_ns: u64,
    pub heard_ns: u64,
}
