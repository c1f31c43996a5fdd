//! Keeps charon from beginning IKE SAs of its own with far ends whose sessions it is about to get.
//!
//! A charon that starts initiates what its connections say, and what a packet at one of its trap policies asks for: it
//! does not know yet that it has a session with this far end. Its first request is dropped until it has its sessions.
//! Then charon is told to give up what it has begun, of which no far end knows. Later requests for a child use the
//! session that it got, in which the child is there already.
//!
//! strongSwan 6.0.1 gives up all that it has begun when it is told to answer, also with other far ends.
//!
//! Only these far ends are blocked, and only while charon is about to start or gets its sessions.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::super::{Action, Engine};
use crate::SECOND;

/// Time for charon to start. It does within seconds of the role; another daemon in its place is not blocked for long.
const START_NS: u64 = 30 * SECOND;
/// Longest time for charon to give up what it has begun. It usually does at once.
const GIVE_UP_NS: u64 = 15 * SECOND;

/// Blocked requests.
#[derive(Debug, Default)]
pub struct Openings {
    /// Own addresses with their far ends.
    blocked: BTreeSet<(IpAddr, IpAddr)>,
    /// The sessions that charon is to get have changed.
    is_due: bool,
    until_ns: Option<u64>,
}

impl Openings {
    pub fn next_ns(&self) -> u64 {
        self.until_ns.unwrap_or(u64::MAX)
    }
}

impl Engine {
    /// Blocks requests of a charon that is about to start.
    pub(super) fn block_openings_before_start(&mut self, now_ns: u64) {
        self.block_openings();
        self.ike.openings.until_ns = Some(now_ns + START_NS);
    }

    /// Blocks requests of a charon that gets sessions.
    pub(super) fn block_openings(&mut self) {
        let openings = &mut self.ike.openings;
        (openings.is_due, openings.until_ns) = (true, None);
    }

    /// Has charon give up what it has begun with the far ends whose sessions it has now, and then ends the block.
    pub(super) fn give_up_openings(&mut self, now_ns: u64) {
        let taken = self.taken_connections();
        let openings = &mut self.ike.openings;
        openings.is_due = false;
        if openings.blocked.is_empty() || taken.is_empty() {
            return self.end_openings();
        }
        openings.until_ns = Some(now_ns + GIVE_UP_NS);
        self.push_action(Action::GiveUp(taken));
    }

    /// Handles the end of [`Action::GiveUp`].
    pub fn handle_given_up(&mut self) {
        // a charon that gets more sessions is told again
        if self.ike.openings.until_ns.is_some() && !self.is_feeding() {
            self.end_openings();
        }
    }

    pub(super) fn end_openings(&mut self) {
        let openings = &mut self.ike.openings;
        (openings.is_due, openings.until_ns) = (false, None);
        self.set_openings(BTreeSet::new());
    }

    pub(super) fn handle_openings_timeout(&mut self, now_ns: u64) {
        if self.ike.openings.next_ns() <= now_ns {
            self.end_openings();
        }
    }

    /// Blocks what is to be blocked, when the SAs of a failover are in the kernel.
    pub(in super::super) fn block_due_openings(&mut self) {
        if !self.ike.openings.is_due || !self.is_installed() {
            return;
        }
        self.ike.openings.is_due = false;
        let ends = self
            .sessions_to_feed()
            .filter_map(|it| Some((it.end?, it.far_end?)));
        self.set_openings(ends.collect());
    }

    /// Sets the ends. A block is set again even if it is the same: others may have flushed it meanwhile.
    fn set_openings(&mut self, blocked: BTreeSet<(IpAddr, IpAddr)>) {
        if !blocked.is_empty() || !self.ike.openings.blocked.is_empty() {
            self.ike.openings.blocked.clone_from(&blocked);
            self.push_action(Action::BlockOpenings(blocked));
        }
    }
}
