//! Roles of this node's groups, as the host has reported them.

use std::collections::BTreeSet;

use crate::SECOND;

/// Time after a group has left in which addresses that disappear belong to it.
const LEAVING_NS: u64 = 15 * SECOND;

#[derive(Debug, Default)]
pub struct Roles {
    active: BTreeSet<String>,
    /// The host has reported a role.
    are_reported: bool,
    /// Time when a group last left this node, with its addresses.
    left_ns: Option<u64>,
    /// In this role this node had all of the peer's records once; they are kept although the peer may be gone.
    had_peer_records: bool,
}

impl Roles {
    /// Stores a group's role; returns true if it has changed.
    pub fn handle_role(&mut self, now_ns: u64, group: &str, active: bool) -> bool {
        self.are_reported = true;
        let was_active = self.is_active();
        let is_other = if active {
            self.active.insert(group.to_owned())
        } else {
            self.active.remove(group)
        };
        if was_active != self.is_active() {
            self.had_peer_records = false;
        }
        if is_other && !active {
            self.left_ns = Some(now_ns);
        }
        is_other
    }

    /// Notes that this node has all records of the active peer.
    pub fn note_peer_records(&mut self) {
        self.had_peer_records = true;
    }

    pub fn is_active(&self) -> bool {
        !self.active.is_empty()
    }

    pub fn active(&self) -> &BTreeSet<String> {
        &self.active
    }

    pub fn are_reported(&self) -> bool {
        self.are_reported
    }

    /// True if addresses that disappear now belong to a group that left.
    pub fn are_leaving(&self, now_ns: u64) -> bool {
        let left_ns = self.left_ns;
        left_ns.is_some_and(|it| now_ns.saturating_sub(it) < LEAVING_NS)
    }

    pub fn had_peer_records(&self) -> bool {
        self.had_peer_records
    }
}
