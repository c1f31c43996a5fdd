//! E3 where heartbeats go on the networks (E12): an active node that hears nothing of its peer on one.
//!
//! Its own adverts and heartbeats arrive, so that the peer finds nothing unheard. Either this node is
//! deaf there or the peer is dumb: other stations tell.

use super::group::Group;
use crate::wire::heartbeat::HeartbeatPort;

impl Group {
    /// Since when nothing of the peer is heard on a port where it says that it sends heartbeats, if that
    /// lasts for Active_Down; while active.
    pub(super) fn deaf_since_ns(&mut self, now_ns: u64, index: usize) -> Option<u64> {
        let idle_ns = self.mutual_peer(now_ns).map(|peer| peer.idle_since_ns);
        let speaks = |theirs: &HeartbeatPort| theirs.usable && theirs.sends;
        let expected = idle_ns.is_some() && self.theirs(index).is_some_and(speaks);
        let patience_ns = self.active_down_ns();
        let port = self.ports.get_mut(index)?;
        // where the group has moved for the port already, that was its once
        let judged = port.speaks && port.hears_peer && port.proof.is_some() && !port.moved;
        if !(expected && judged) {
            port.expected_since_ns = None;
            return None;
        }
        let expected_ns = *port.expected_since_ns.get_or_insert(now_ns);
        let quiet_ns = port.heard_ns.max(idle_ns)?.max(expected_ns);
        (now_ns >= quiet_ns.saturating_add(patience_ns)).then_some(quiet_ns)
    }

    /// Whether the peer, if both live, says that it hears this node on a port; None where it cannot.
    pub(super) fn peer_hears(&self, index: usize) -> Option<bool> {
        self.peer.as_ref().filter(|peer| peer.heartbeat.hears)?;
        let theirs = self.theirs(index)?;
        (theirs.usable || theirs.hears).then_some(theirs.hears)
    }

    /// The group comes from a living peer: also for a port where that hears nothing, and is heard.
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
