//! A group's view of one interface: whether it can send there, and the routers that it hears.

use super::deaf::FaultThere;
use super::identity_memory::IdentityMemory;
use super::one_way::OneWayLoss;
use super::unheard::{Rating, UnheardInterface};
use super::virtual_identity::OwnIdentity;
use crate::limit::Limit;
use crate::wire::Mac;
use crate::wire::heartbeat::Identity;

#[cfg_attr(test, derive(Clone))]
pub(super) struct Port {
    /// Index into the engine's interfaces.
    pub interface: usize,
    /// Its id in heartbeats.
    pub heartbeat_id: u32,
    /// The host has reported the interface: before that, nothing is held against it.
    pub is_known: bool,
    /// Each of the routers there can.
    pub speaks: bool,
    /// Its MTU is too small for heartbeats: it counts as hurt, and the peer need not be heard there.
    pub is_narrow: bool,
    /// The lease of one of them has ended while active, as of the last heartbeat.
    pub lapsed: bool,
    pub usable_since_ns: Option<u64>,
    pub heard_ns: Option<u64>,
    /// E12: the peer's run whose heartbeats are heard there: its adverts prove nothing.
    pub proof: Option<u64>,
    /// The nodes can hear each other there at all.
    pub hears_peer: bool,
    /// Time since which adverts but no heartbeats of the peer are heard there; and whether that was
    /// reported.
    pub filtered_since_ns: Option<u64>,
    pub is_filtered: bool,
    pub peer_mac: Option<Mac>,
    /// E3: gave the group up to a claim; may not claim until an advert is heard here.
    pub gave_way: bool,
    /// E3: claimed the group; the same holds.
    pub claimed: bool,
    pub unheard: Option<UnheardInterface>,
    /// Limit of events that it is.
    pub unheard_limit: Limit,
    /// E3, while active: time since which one of both has not heard the other here.
    pub unheard_since_ns: Option<u64>,
    /// E12, while active: time since which the peer's heartbeats should be heard here.
    pub expected_since_ns: Option<u64>,
    /// They are not, until one is: also where that moves nothing any more.
    pub is_deaf: bool,
    /// What the peer says of its side, and since when.
    pub fault_there: Option<(FaultThere, u64)>,
    /// E3: the group has moved because this interface is, or may be, unheard.
    pub moved: bool,
    pub one_way_loss: Option<OneWayLoss>,
    /// E12: last advert of the peer while none of its heartbeats is heard on any path: time and priority.
    pub advert_alone: Option<(u64, u8)>,
    /// E15: whether heartbeats prove it for the active peer, and what is heard of that one's virtual identity.
    pub own: OwnIdentity,
    pub identity: Identity,
    /// E15: what was seen of the virtual identities of this node and of the peer, each while active.
    pub virtual_here: IdentityMemory,
    pub virtual_there: IdentityMemory,
}

impl Port {
    pub fn new(interface: usize, heartbeat_id: u32) -> Port {
        Port {
            interface,
            heartbeat_id,
            is_known: false,
            speaks: false,
            is_narrow: false,
            lapsed: false,
            usable_since_ns: None,
            heard_ns: None,
            proof: None,
            hears_peer: true,
            filtered_since_ns: None,
            is_filtered: false,
            peer_mac: None,
            gave_way: false,
            claimed: false,
            unheard: None,
            unheard_limit: Limit::default(),
            unheard_since_ns: None,
            expected_since_ns: None,
            is_deaf: false,
            fault_there: None,
            moved: false,
            one_way_loss: None,
            advert_alone: None,
            own: OwnIdentity::default(),
            identity: Identity::Unknown,
            virtual_here: IdentityMemory::default(),
            virtual_there: IdentityMemory::default(),
        }
    }

    /// Neither node sends heartbeats there any more: the adverts that it hears count again.
    pub fn end_heartbeats(&mut self) {
        self.proof = None;
        (self.filtered_since_ns, self.is_filtered) = (None, false);
    }

    /// E15: the virtual identities are others, or somebody says that they pass now.
    pub fn forget_identities(&mut self) {
        self.virtual_here = IdentityMemory::default();
        self.virtual_there = IdentityMemory::default();
    }

    /// Whether answers of stations are waited for there.
    pub fn listens(&self) -> bool {
        self.unheard.is_some_and(|unheard| unheard.is_asking())
            || self.one_way_loss.is_some_and(OneWayLoss::is_asking)
    }

    /// Frames are known not to pass there in both directions, and have not done so since.
    pub fn is_one_way(&self) -> bool {
        self.is_deaf || self.one_way_loss.is_some()
    }

    /// It does not carry the group's traffic here.
    pub fn is_hurt(&self) -> bool {
        self.is_known && !self.speaks || self.is_narrow || self.is_rated_bad()
    }

    pub fn is_rated_bad(&self) -> bool {
        self.unheard
            .is_some_and(|unheard| unheard.rating == Rating::Bad)
    }
}
