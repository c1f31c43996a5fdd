//! Has charon forget sessions whose address has left, where charon runs on: the peer's charon goes on with them, and this
//! one gets them as they are then when they come back. It tells no far end.
//!
//! charon deletes the SAs of their children from the kernel, so it is told when this plugin has read their last numbers.
//! Sessions that do not follow are ended as well, such as those of IKEv1: no message of their far ends comes here any
//! more. Those of this node's other addresses stay.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::super::Engine;
use crate::sessions::{IkeSpis, RunningIke};

impl Engine {
    /// Ends sessions of charon whose address has left. Those that have come back before charon was told are ended at
    /// once: they may have changed, and charon gets them again.
    pub(in crate::engine) fn note_left_sessions(&mut self) {
        let ikes = self.ike.feed.charon().ikes();
        let left = ikes.filter(|(spis, it)| self.is_away(spis, it));
        let left: BTreeSet<IkeSpis> = left.map(|(spis, _)| *spis).collect();
        self.ike.feed.charon_mut().note_left(&left);
        let mut left = self.ike.feed.charon().left();
        let is_one_back = left.any(|(spis, it)| !self.is_away(spis, it));
        drop(left);
        if is_one_back {
            self.tell_ends();
        } else {
            self.end_left_sessions();
        }
    }

    /// True for an IKE SA whose address was here, or is the peer's, and is not on this node now. Before the host has
    /// reported a role all that was here is.
    fn is_away(&self, spis: &IkeSpis, ike: &RunningIke) -> bool {
        let sessions = &self.store.sessions;
        let known = sessions.own.ikes.get(spis);
        let known = known.or_else(|| sessions.held.ikes.get(spis));
        let end = known.and_then(|it| it.end).or(ike.end);
        end.is_some_and(|it| self.roles.are_reported() && self.has_end_left(&it))
    }

    fn has_end_left(&self, end: &IpAddr) -> bool {
        let (ends, held) = (&self.store.ends, &self.store.held.ends);
        let is_here = ends.is_here(end) || self.is_active() && ends.owns(end);
        let is_own = self.ike.connections.has_own(end) && !ends.is_fixed(end);
        let moves = ends.was_here(end) || ends.is_fixed(end) || held.contains(end);
        moves && !is_here && !is_own
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
        let version = self.feed_version();
        let ends = self.ike.feed.charon_mut().take_ends(version);
        if ends.is_empty() {
            return;
        }
        let count = ends.len();
        self.event(format!(
            "charon is told to forget IKE sessions whose addresses have left: {count}"
        ));
        self.tell(ends);
        self.tell_next();
    }
}
