//! A group's view of one interface: whether it can send there, and what it hears.

use super::dropped_mac_memory::IdentityMemory;
use super::interface::Interface;
use super::one_way::OneWayLoss;
use super::peer_silence::PeerSilence;
use super::reception::PeerReception;
use super::unheard_port::{Rating, Unheard};
use super::virtual_identity::HeardIdentity;

#[cfg_attr(test, derive(Clone))]
#[derive(Default)]
pub(super) struct Port {
    /// Index into the engine's interfaces.
    pub interface: usize,
    /// Index into the group's ports.
    pub place: usize,
    /// Id of the network in heartbeats, the same on both nodes.
    pub heartbeat_id: u32,
    /// The host has reported the interface; until then, its state is no fault.
    is_known: bool,
    /// True if each of the routers there can send.
    can_send: bool,
    /// The MTU is too small for heartbeats: the interface counts as hurt, and the peer need not be heard there.
    has_small_mtu: bool,
    /// The lease of a router there has ended while active, as of the last heartbeat.
    is_lapsed: bool,
    usable_since_ns: Option<u64>,
    pub reception: PeerReception,
    /// Silence of the peer there (E3).
    pub unheard: Unheard,
    pub peer_silence: PeerSilence,
    pub one_way_loss: Option<OneWayLoss>,
    /// Identities of the active peer, as this node hears them (E15).
    pub identity: HeardIdentity,
    /// Last observations of this node's virtual identity while it was active; `virtual_there`: of the peer's (E15).
    pub virtual_here: IdentityMemory,
    pub virtual_there: IdentityMemory,
}

impl Port {
    pub fn new(interface: usize) -> Port {
        Port {
            interface,
            reception: PeerReception::new(),
            ..Self::default()
        }
    }

    /// Takes the state of the interface. For each router that cannot send, [`Self::handle_mute_router`] follows.
    pub fn handle_interface(&mut self, interface: Option<&Interface>) {
        self.is_known = interface.is_some_and(|it| it.known);
        self.has_small_mtu = interface.is_some_and(|it| it.mtu_fault().is_some());
        self.can_send = true;
    }

    /// Notes that a router there cannot send.
    pub fn handle_mute_router(&mut self) {
        self.can_send = false;
    }

    /// Notes whether the interface can be used, and since when.
    pub fn handle_usable(&mut self, now_ns: u64, is_usable: bool) {
        self.usable_since_ns = is_usable.then(|| self.usable_since_ns.unwrap_or(now_ns));
    }

    pub fn handle_lapse(&mut self, is_lapsed: bool) {
        self.is_lapsed = is_lapsed;
    }

    /// Forgets what was seen of the virtual identities (E15): they are others now, or an administrator says that they
    /// pass.
    pub fn forget_identities(&mut self) {
        self.virtual_here = IdentityMemory::default();
        self.virtual_there = IdentityMemory::default();
    }

    /// True if each of the routers there can send.
    pub fn can_send(&self) -> bool {
        self.can_send
    }

    pub fn has_small_mtu(&self) -> bool {
        self.has_small_mtu
    }

    /// True if the port carries heartbeats and what clients send, as far as this node knows.
    pub fn is_usable(&self) -> bool {
        self.can_send && !self.has_small_mtu && !self.is_lapsed
    }

    pub fn usable_since_ns(&self) -> Option<u64> {
        self.usable_since_ns
    }

    /// True if the port does not carry the group's traffic here.
    pub fn is_hurt(&self) -> bool {
        self.is_known && !self.can_send || self.has_small_mtu || self.is_rated_bad()
    }

    /// True if silence of the peer there proves something: its heartbeats were heard, and this node can send.
    pub fn counts_silence(&self) -> bool {
        self.can_send && self.reception.is_expected() && self.reception.has_heartbeats()
    }

    /// True if the group waits for answers of stations there.
    pub fn listens(&self) -> bool {
        self.unheard.is_asking() || self.one_way_loss.is_some_and(OneWayLoss::is_asking)
    }

    /// True if frames are known not to pass there in one direction, and have not passed since.
    pub fn is_one_way(&self) -> bool {
        self.peer_silence.is_silent() || self.one_way_loss.is_some()
    }

    pub fn is_rated_bad(&self) -> bool {
        self.unheard.rating() == Some(Rating::Bad)
    }
}
