//! A group's view of one interface: whether it can speak there, and whom it hears.

use std::net::IpAddr;

use super::dispute::{Dispute, Rating};
use super::proof::Proof;
use crate::wire::Mac;

#[cfg_attr(test, derive(Clone))]
pub(super) struct Port {
    /// Index into the engine's interfaces.
    pub interface: usize,
    /// What beats call it.
    pub beat_id: u32,
    /// Each of the routers there can.
    pub speaks: bool,
    pub usable_since_ns: Option<u64>,
    pub heard_ns: Option<u64>,
    pub peer_mac: Option<Mac>,
    /// E3: gave the group up to a claim; may not claim until an advert is heard here.
    pub yielded: bool,
    /// E3: claimed the group; the same holds.
    pub claimed: bool,
    pub dispute: Option<Dispute>,
    /// E3, while active: since when the twin has not heard this node's adverts here.
    pub unheard_since_ns: Option<u64>,
    /// E3: the group has moved for the dispute that is, or may be, here.
    pub moved: bool,
    pub proof: Option<Proof>,
}

impl Port {
    pub fn new(interface: usize, beat_id: u32) -> Port {
        Port {
            interface,
            beat_id,
            speaks: false,
            usable_since_ns: None,
            heard_ns: None,
            peer_mac: None,
            yielded: false,
            claimed: false,
            dispute: None,
            unheard_since_ns: None,
            moved: false,
            proof: None,
        }
    }

    pub fn is_rated_bad(&self) -> bool {
        self.dispute
            .is_some_and(|dispute| dispute.rating == Rating::Bad)
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
