//! A group's view of one interface: whether it can send there, and what it hears.

use super::deaf::Deafness;
use super::hearing::PeerHearing;
use super::identity_memory::IdentityMemory;
use super::interface::Interface;
use super::one_way::OneWayLoss;
use super::unheard_port::{Rating, Unheard};
use super::virtual_identity::HeardIdentity;

#[cfg_attr(test, derive(Clone))]
pub(super) struct Port {
    /// Index into the engine's interfaces.
    pub interface: usize,
    /// Id of the network in heartbeats.
    pub heartbeat_id: u32,
    /// The host has reported the interface: before that, nothing is held against it.
    is_known: bool,
    /// Each of the routers there can send.
    speaks: bool,
    /// The MTU is too small for heartbeats: it counts as hurt, and the peer need not be heard there.
    is_narrow: bool,
    /// The lease of one of them has ended while active, as of the last heartbeat.
    is_lapsed: bool,
    usable_since_ns: Option<u64>,
    pub hearing: PeerHearing,
    /// E3.
    pub unheard: Unheard,
    pub deafness: Deafness,
    pub one_way_loss: Option<OneWayLoss>,
    /// E15: what is heard of the virtual identity of the active peer.
    pub identity: HeardIdentity,
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
            is_lapsed: false,
            usable_since_ns: None,
            hearing: PeerHearing::new(),
            unheard: Unheard::default(),
            deafness: Deafness::default(),
            one_way_loss: None,
            identity: HeardIdentity::default(),
            virtual_here: IdentityMemory::default(),
            virtual_there: IdentityMemory::default(),
        }
    }

    /// Looks at the interface; the routers on it follow, each of which can send or not.
    pub fn handle_interface(&mut self, interface: Option<&Interface>) {
        self.is_known = interface.is_some_and(|it| it.known);
        self.is_narrow = interface.is_some_and(|it| it.narrowness().is_some());
        self.speaks = true;
    }

    /// A router there cannot send.
    pub fn handle_speechless(&mut self) {
        self.speaks = false;
    }

    /// The interface can be used since now, or since before; or it cannot.
    pub fn handle_usable(&mut self, now_ns: u64, is_usable: bool) {
        self.usable_since_ns = is_usable.then(|| self.usable_since_ns.unwrap_or(now_ns));
    }

    pub fn handle_lapse(&mut self, is_lapsed: bool) {
        self.is_lapsed = is_lapsed;
    }

    /// E15: the virtual identities are others, or somebody says that they pass now.
    pub fn forget_identities(&mut self) {
        self.virtual_here = IdentityMemory::default();
        self.virtual_there = IdentityMemory::default();
    }

    /// Each of the routers there can send.
    pub fn speaks(&self) -> bool {
        self.speaks
    }

    pub fn is_narrow(&self) -> bool {
        self.is_narrow
    }

    /// Whether the port carries heartbeats and what clients send, as far as this node knows.
    pub fn is_usable(&self) -> bool {
        self.speaks && !self.is_narrow && !self.is_lapsed
    }

    pub fn usable_since_ns(&self) -> Option<u64> {
        self.usable_since_ns
    }

    /// Whether the port does not carry the group's traffic here.
    pub fn is_hurt(&self) -> bool {
        self.is_known && !self.speaks || self.is_narrow || self.is_rated_bad()
    }

    /// Silence of the peer there tells something: its heartbeats were heard, and this node can send.
    pub fn counts_silence(&self) -> bool {
        self.speaks && self.hearing.is_expected() && self.hearing.is_proven()
    }

    /// Whether answers of stations are waited for there.
    pub fn listens(&self) -> bool {
        self.unheard.is_asking() || self.one_way_loss.is_some_and(OneWayLoss::is_asking)
    }

    /// Frames are known not to pass there in both directions, and have not done so since.
    pub fn is_one_way(&self) -> bool {
        self.deafness.is_deaf() || self.one_way_loss.is_some()
    }

    pub fn is_rated_bad(&self) -> bool {
        self.unheard.rating() == Some(Rating::Bad)
    }
}
