//! E3 on networks with heartbeats (E12): an active node that hears nothing of its peer on one of them.
//!
//! The active node's own adverts and heartbeats arrive, so that the peer finds nothing unheard. Either this node cannot
//! receive there or the peer cannot send: other stations show which. This node's heartbeats say for each network
//! whether it hears the peer there, so that the peer can report the fault as well, with or without a link.

use super::group::Group;
use super::port::Port;
use super::unheard_port::Rating;
use crate::wire::heartbeat::HeartbeatPort;

/// Fault of a living peer's side of a network, as its heartbeats on any path say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PeerNetworkFault {
    /// The peer cannot use its interface.
    Unusable,
    /// The peer does not hear this node, which hears the peer there.
    OneWay,
}

/// Silence of the peer on a port, and the fault that the peer reports for its side.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct PeerSilence {
    /// Time since which the peer's heartbeats should be heard here (E12), while this node is active.
    expected_since_ns: Option<u64>,
    /// The peer's heartbeats are not heard although they should be. True until one is heard, also if it no longer moves
    /// the group.
    is_silent: bool,
    /// Fault of the peer's side by its heartbeats, and the time since which it lasts.
    fault_there: Option<(PeerNetworkFault, u64)>,
}

impl PeerSilence {
    /// This node becomes active.
    pub fn begin_term(&mut self) {
        self.expected_since_ns = None;
    }

    /// Forgets the silence: the role is taken, given up or not wanted.
    pub fn end(&mut self) {
        self.is_silent = false;
    }

    pub fn is_silent(self) -> bool {
        self.is_silent
    }

    /// Judges the silence of a peer whose heartbeats are expected: since `idle_ns` at the latest, and nothing is heard
    /// since `quiet_ns`. Returns the time since which the peer is unheard, once that is `patience_ns` ago.
    fn handle_expected(
        &mut self,
        now_ns: u64,
        idle_ns: u64,
        quiet_ns: u64,
        patience_ns: u64,
    ) -> Option<u64> {
        let expected_ns = *self.expected_since_ns.get_or_insert(now_ns);
        let since_ns = idle_ns.max(expected_ns);
        let is_late = |at_ns: u64| now_ns >= at_ns.saturating_add(patience_ns);
        self.is_silent = is_late(quiet_ns) && (self.is_silent || is_late(since_ns));
        self.is_silent.then_some(quiet_ns.max(since_ns))
    }

    /// No heartbeats are expected. `is_judged`: they could be heard; otherwise the last verdict stays.
    fn handle_unexpected(&mut self, is_judged: bool) {
        self.expected_since_ns = None;
        self.is_silent &= is_judged;
    }

    fn handle_fault_there(&mut self, now_ns: u64, fault: Option<PeerNetworkFault>) {
        let known = self.fault_there.filter(|(known, _)| Some(*known) == fault);
        self.fault_there = known.or(fault.map(|fault| (fault, now_ns)));
    }
}

impl Group {
    /// Time since which nothing from the peer is heard on a port on which it sends heartbeats, after Active_Down; while
    /// active. None if that has moved the group already or may have: the group moves only once.
    pub(super) fn peer_silent_since_ns(&mut self, now_ns: u64, index: usize) -> Option<u64> {
        let idle_ns = self.mutual_peer(now_ns).map(|peer| peer.idle_since_ns);
        let can_send = |theirs: &HeartbeatPort| theirs.usable && theirs.sends;
        let theirs = self.peer_port(self.networks.port(index)?);
        let expected = idle_ns.is_some() && theirs.is_some_and(can_send);
        let patience_ns = self.active_down_ns();
        let port = self.networks.port_mut(index)?;
        let is_judged = port.counts_silence();
        let Some(idle_ns) = idle_ns.filter(|_| expected && is_judged) else {
            port.peer_silence.handle_unexpected(is_judged);
            return None;
        };
        let quiet_ns = port.reception.heard_ns().unwrap_or(0);
        let peer_silence = &mut port.peer_silence;
        let since_ns = peer_silence.handle_expected(now_ns, idle_ns, quiet_ns, patience_ns);
        since_ns.filter(|_| !port.unheard.has_moved())
    }

    /// True if the peer reports that it hears this node on a port. None if it hears this node nowhere, or can neither
    /// use nor hear there.
    pub(super) fn peer_hears(&self, port: &Port) -> Option<bool> {
        self.peer.last().filter(|peer| peer.heartbeat.hears)?;
        let theirs = self.peer_port(port)?;
        (theirs.usable || theirs.hears).then_some(theirs.hears)
    }

    /// True if heartbeats prove a network in both directions: the peer's arrive there, and they say that it hears this
    /// node there.
    pub(super) fn is_heard_both_ways(&self, now_ns: u64, port: &Port) -> bool {
        let is_heard = self.is_heard_here(now_ns, port);
        is_heard && self.mutual_peer(now_ns).is_some() && self.peer_hears(port) == Some(true)
    }

    /// True if the peer's heartbeats arrive on a port.
    fn is_heard_here(&self, now_ns: u64, port: &Port) -> bool {
        let horizon_ns = now_ns.saturating_sub(self.active_down_ns());
        port.reception.has_heartbeats() && port.reception.is_heard_since(horizon_ns)
    }

    /// Marks the ports on which the peer does not hear this node but is heard: the group comes from a living peer, and
    /// may come because of them.
    pub(super) fn mark_one_way_ports(&mut self, now_ns: u64) {
        if self.mutual_peer(now_ns).is_none() {
            return;
        }
        self.review_ports(Group::peer_hears, |port, hears| {
            if hears == Some(false) && port.counts_silence() {
                port.unheard.begin_move();
            }
        });
    }

    /// Updates the faults of the peer's side, after each of its heartbeats.
    pub(super) fn review_faults_there(&mut self, now_ns: u64) {
        let fault = |group: &Group, port: &Port| group.fault_there(now_ns, port);
        self.review_ports(fault, |port, fault| {
            port.peer_silence.handle_fault_there(now_ns, fault);
        });
    }

    /// Fault of the peer's side of a network now. None if this node has a fault there, which may be the reason.
    fn fault_there(&self, now_ns: u64, port: &Port) -> Option<PeerNetworkFault> {
        self.mutual_peer(now_ns)?;
        let theirs = self.peer_port(port)?;
        let sends = self.networks.sends_heartbeats_on(port.interface);
        match theirs.usable {
            _ if !port.can_send() || port.has_small_mtu() => None,
            false => Some(PeerNetworkFault::Unusable),
            true if theirs.hears || !sends || !self.is_heard_here(now_ns, port) => None,
            true => Some(PeerNetworkFault::OneWay),
        }
    }

    /// E3, E15: text about a fault of a network, known to this node or from the peer's heartbeats: the rating ("good",
    /// "unknown" or "bad") if the peer is not heard; "one way, good" if the peer does not hear this node, with the
    /// rating of the active node; or "unusable".
    pub(super) fn unheard_text(&self, now_ns: u64, port: &Port) -> Option<String> {
        let lives = self.living_peer(now_ns).is_some();
        let is_one_way = lives && port.is_one_way();
        let rating = port.unheard.rating();
        let rating = rating.or(is_one_way.then_some(Rating::Unknown));
        // an interface with a small MTU is the known cause: see `checks`
        let rating = rating.filter(|_| !port.has_small_mtu());
        let theirs = || self.peer_port(port).filter(|_| !self.is_active());
        match (rating, self.lasting_fault_there(now_ns, port)) {
            (Some(rating), Some(PeerNetworkFault::OneWay)) => {
                Some(format!("one way, {}", rating.name()))
            }
            (Some(rating), _) => Some(rating.name().to_owned()),
            (None, Some(PeerNetworkFault::OneWay)) => {
                let rating = theirs().map_or(Rating::Unknown, |theirs| theirs.rating.into());
                Some(format!("one way, {}", rating.name()))
            }
            (None, Some(PeerNetworkFault::Unusable)) => Some("unusable".to_owned()),
            (None, None) => None,
        }
    }

    /// Fault of the peer's side that has lasted for one failover time: a node that has just started, or was plugged in,
    /// is heard a moment later.
    fn lasting_fault_there(&self, now_ns: u64, port: &Port) -> Option<PeerNetworkFault> {
        self.mutual_peer(now_ns)?;
        let (fault, since_ns) = port.peer_silence.fault_there?;
        let is_lasting = now_ns >= since_ns.saturating_add(self.active_down_ns());
        is_lasting.then_some(fault)
    }
}
