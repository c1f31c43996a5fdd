//! Has charon forget sessions whose address has left, where charon runs on: the peer's charon goes on with them, and this
//! one gets them as they are then when they come back. It tells no far end.
//!
//! charon deletes the SAs of their children from the kernel, so it is told when this plugin has read their last numbers.

use super::super::Engine;
use super::feed::Feed;
use crate::sa::Body;
use crate::sessions::{IkeSpis, SessionId, message};

impl Feed {
    /// Notes sessions that have left, each with the message that ends it, and those that have come; returns true if charon
    /// still has one of these from before.
    fn note_sorted(&mut self, gone: Vec<(IkeSpis, Body)>, come: &[SessionId]) -> bool {
        for (ike, end) in gone {
            self.charon.note_left(ike, end);
        }
        let is_back = |id: &SessionId| matches!(id, SessionId::Ike(it) if self.charon.is_left(it));
        come.iter().any(is_back)
    }

    fn take_ends(&mut self) -> Vec<Body> {
        self.charon.take_ends()
    }
}

impl Engine {
    /// Notes sessions that have left, which are held now. Those that have come back before charon was told are ended as
    /// well: they may have changed.
    pub(super) fn note_sorted(&mut self, gone: &[SessionId], come: &[SessionId]) {
        let held = &self.store.sessions.held.ikes;
        let ends = gone.iter().filter_map(|id| {
            let SessionId::Ike(spis) = *id else {
                return None;
            };
            let ike = held.get(&spis)?;
            let end = message::end_of_ike(ike.version, spis, ike.is_initiator);
            Some((spis, Body::new(end)))
        });
        let ends = ends.collect();
        let are_back = self.ike.feed.note_sorted(ends, come);
        if are_back {
            self.tell_ends();
        } else {
            self.end_left_sessions();
        }
    }

    /// True for an IKE SA whose address has left since the plan was made. One that has ended is in neither table.
    pub(super) fn has_left(&self, ike: &IkeSpis) -> bool {
        let sessions = &self.store.sessions;
        sessions.held.ikes.contains_key(ike) && !sessions.own.ikes.contains_key(ike)
    }

    /// Ends sessions that have left, once nothing is received with their SAs any more.
    pub(in crate::engine) fn end_left_sessions(&mut self) {
        if !self.switchover.last_received.is_pending() {
            self.tell_ends();
        }
    }

    fn tell_ends(&mut self) {
        let ends = self.ike.feed.take_ends();
        if !ends.is_empty() {
            self.tell(ends);
            self.tell_next();
        }
    }
}
