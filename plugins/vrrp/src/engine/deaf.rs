//! E3 where heartbeats go on the networks (E12): an active node that hears nothing of its peer on one.
//!
//! Its own adverts and heartbeats arrive, so that the peer finds nothing unheard. Either this node
//! cannot receive there or the peer cannot send: other stations show which.

use super::group::Group;
use crate::wire::heartbeat::HeartbeatPort;

impl Group {
    /// Time since which nothing from the peer is heard on a port on which it sends heartbeats,
    /// after Active_Down; while active. None where that has moved the group already, or may have: it moves only once.
    pub(super) fn deaf_since_ns(&mut self, now_ns: u64, index: usize) -> Option<u64> {
        let idle_ns = self.mutual_peer(now_ns).map(|peer| peer.idle_since_ns);
        let speaks = |theirs: &HeartbeatPort| theirs.usable && theirs.sends;
        let expected = idle_ns.is_some() && self.theirs(index).is_some_and(speaks);
        let patience_ns = self.active_down_ns();
        let port = self.ports.get_mut(index)?;
        let judged = port.speaks && port.hears_peer && port.proof.is_some();
        if !(expected && judged) {
            port.expected_since_ns = None;
            // what is known stays so while nothing can be heard
            port.is_deaf &= judged;
            return None;
        }
        let expected_ns = *port.expected_since_ns.get_or_insert(now_ns);
        let since_ns = idle_ns?.max(expected_ns);
        let is_late = |at_ns: u64| now_ns >= at_ns.saturating_add(patience_ns);
        let quiet_ns = port.heard_ns.unwrap_or(0);
        port.is_deaf = is_late(quiet_ns) && (port.is_deaf || is_late(since_ns));
        (port.is_deaf && !port.moved).then_some(quiet_ns.max(since_ns))
    }

    /// Whether the peer reports that it hears this node on a port, if both live; None if it cannot.
    pub(super) fn peer_hears(&self, index: usize) -> Option<bool> {
        self.peer.as_ref().filter(|peer| peer.heartbeat.hears)?;
        let theirs = self.theirs(index)?;
        (theirs.usable || theirs.hears).then_some(theirs.hears)
    }

    /// Heartbeats prove a network in both directions: the peer's arrive there, and they say that it hears this node there.
    pub(super) fn is_heard_both_ways(&self, now_ns: u64, index: usize) -> bool {
        let horizon_ns = now_ns.saturating_sub(self.active_down_ns());
        let port = self.ports.get(index).filter(|port| port.proof.is_some());
        let heard_ns = port.and_then(|port| port.heard_ns);
        let is_heard = heard_ns.is_some_and(|at_ns| at_ns > horizon_ns);
        is_heard && self.mutual_peer(now_ns).is_some() && self.peer_hears(index) == Some(true)
    }

    /// The group comes from a living peer: also because of a port on which the peer hears nothing
    /// but is heard.
    pub(super) fn mark_deaf(&mut self, now_ns: u64) {
        if self.mutual_peer(now_ns).is_none() {
            return;
        }
        for index in 0..self.ports.len() {
            let unheard = self.peer_hears(index) == Some(false);
            if let Some(port) = self.ports.get_mut(index) {
                port.moved |= unheard && port.speaks && port.hears_peer && port.proof.is_some();
            }
        }
    }
}
