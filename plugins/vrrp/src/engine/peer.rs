//! E0: the peer plugin, as known from its heartbeats.

use std::net::IpAddr;

use super::contact::Contact;
use super::group::Group;
use super::senders::Sender;
use crate::election::Rank;
use crate::wire::frame::Advert;
use crate::wire::heartbeat::{Heartbeat, HeartbeatPort, HeartbeatRole};

/// Last heartbeat of the peer, and times of its statements.
#[cfg_attr(test, derive(Clone))]
pub(super) struct Peer {
    pub heartbeat: Heartbeat,
    pub heard_ns: u64,
    /// Time since which the peer has not been active, by its heartbeats.
    pub idle_since_ns: u64,
    /// Time since which the peer has been active.
    pub active_since_ns: u64,
}

impl Peer {
    pub fn new(now_ns: u64) -> Peer {
        Peer {
            heartbeat: Heartbeat::with_room(),
            heard_ns: now_ns,
            idle_since_ns: now_ns,
            active_since_ns: now_ns,
        }
    }

    pub fn is_active(&self) -> bool {
        self.heartbeat.role == HeartbeatRole::Active
    }

    /// True if the peer has an interface to serve on, though it may not be active at the moment.
    pub fn has_interface(&self) -> bool {
        !self.heartbeat.unable || self.heartbeat.ports.iter().any(|port| port.usable)
    }

    /// True if the peer is not in the election, though it has an interface: it leaves, or its host bars it.
    pub fn is_barred(&self) -> bool {
        self.heartbeat.role == HeartbeatRole::Fault && self.has_interface()
    }

    pub fn role(&self) -> &'static str {
        match self.heartbeat.role {
            HeartbeatRole::Fault => "fault",
            HeartbeatRole::Backup => "backup",
            HeartbeatRole::Active => "active",
        }
    }

    /// The peer's report on a network. It is at the same place as here, unless the configurations differ.
    pub fn port(&self, network: u32, place: usize) -> Option<&HeartbeatPort> {
        let ports = &self.heartbeat.ports;
        let here = ports.get(place).filter(|port| port.network == network);
        here.or_else(|| ports.iter().find(|port| port.network == network))
    }

    pub fn rank(&self) -> Rank {
        let heartbeat = &self.heartbeat;
        Rank {
            able: !heartbeat.unable,
            class: heartbeat.class,
            quality: heartbeat.quality,
            priority: heartbeat.priority,
            preferred: heartbeat.preferred,
            ready: heartbeat.ready,
            hurt: heartbeat.hurt,
            term: heartbeat.term,
        }
    }

    /// Stores a heartbeat, without allocation once there was room for as many ports.
    pub fn update(&mut self, now_ns: u64, heartbeat: &Heartbeat) {
        let was_active = self.is_active();
        let mut ports = std::mem::take(&mut self.heartbeat.ports);
        ports.clear();
        ports.extend_from_slice(&heartbeat.ports);
        self.heartbeat = Heartbeat {
            ports,
            ..*heartbeat
        };
        self.heard_ns = now_ns;
        match (was_active, self.is_active()) {
            (true, false) => self.idle_since_ns = now_ns,
            (false, true) => self.active_since_ns = now_ns,
            _ => {}
        }
    }
}

impl Group {
    // ---- senders of adverts (E11) --------------------------------------------------------

    /// Learns the source address of the peer's adverts: the source of adverts heard while its heartbeats say that it is
    /// active, with the same priority.
    pub(super) fn learn_source(
        &mut self,
        now_ns: u64,
        index: usize,
        advert: &Advert<'_>,
    ) -> Sender {
        let is_alive = self.living_peer(now_ns).is_some();
        let peer = self.peer.last().filter(|_| is_alive);
        match (peer, self.networks.router_mut(index)) {
            (Some(peer), Some(router)) => {
                let loss = self.config.advert_loss;
                router.senders.learn(now_ns, advert, peer, loss)
            }
            (None, Some(router)) => router.senders.sender(advert.source),
            (Some(_), None) => Sender::Stranger,
            (None, None) => Sender::Peer,
        }
    }

    /// True if an address is certainly not the peer's.
    pub(super) fn is_stranger_address(&self, index: usize, source: IpAddr) -> bool {
        let router = self.networks.router(index);
        router.is_some_and(|router| router.senders.is_stranger(source))
    }

    /// True if the peer is active by its heartbeats, so that adverts do not decide which of both is.
    pub(super) fn peer_decides(&self, now_ns: u64, index: usize, source: IpAddr) -> bool {
        let stranger = self.config.any_router && self.is_stranger_address(index, source);
        let peer = self.mutual_peer(now_ns);
        !stranger && peer.is_some_and(|peer| peer.is_active())
    }

    /// True if heartbeats determine the roles of the pair, whatever adverts in the peer's name say.
    pub(super) fn heartbeats_decide(&self, now_ns: u64, index: usize, source: IpAddr) -> bool {
        let stranger = self.config.any_router && self.is_stranger_address(index, source);
        !stranger && self.mutual_peer(now_ns).is_some()
    }

    // ---- the peer as it is known ---------------------------------------------------------

    /// The peer, if it was heard within the failover time.
    pub(super) fn living_peer(&self, now_ns: u64) -> Option<&Peer> {
        let peer = self.peer.last()?;
        (now_ns < self.peer_silent_at_ns(peer)).then_some(peer)
    }

    pub(super) fn peer_silent_at_ns(&self, peer: &Peer) -> u64 {
        let loss = u64::from(self.config.advert_loss);
        let patience_ns = peer.heartbeat.advert_interval_ns.saturating_mul(loss);
        peer.heard_ns.saturating_add(patience_ns)
    }

    /// The peer, if each hears the other.
    pub(super) fn mutual_peer(&self, now_ns: u64) -> Option<&Peer> {
        self.living_peer(now_ns).filter(|peer| peer.heartbeat.hears)
    }

    pub(super) fn contact(&self, now_ns: u64) -> Contact {
        match self.living_peer(now_ns) {
            None => Contact::None,
            Some(peer) if peer.heartbeat.hears => Contact::Mutual,
            Some(_) => Contact::OneWay,
        }
    }

    /// Stores a heartbeat; returns true if the peer has just released the group.
    pub(super) fn note_heartbeat(&mut self, now_ns: u64, heartbeat: &Heartbeat) -> bool {
        let alive = self.living_peer(now_ns).is_some();
        let releases = self.peer.handle_heartbeat(now_ns, heartbeat, alive);
        if !self.is_active() {
            self.history.handle_peer(heartbeat);
        }
        releases
    }
}
