//! Roles of this node's groups, as the host has told them.

use std::collections::BTreeSet;

use crate::SECOND;

/// Addresses that go so soon after a group go with it.
const LEAVING_NS: u64 = 15 * SECOND;

#[derive(Debug, Default)]
pub struct Roles {
    active: BTreeSet<String>,
    /// The host has told a role.
    are_told: bool,
    /// Time when a group last left this node, with its addresses.
    left_ns: Option<u64>,
    /// In this role everything was taken from the peer once, and is kept although the peer may be gone.
    is_shared: bool,
}

impl Roles {
    /// A group's role; whether that is news.
    pub fn handle_role(&mut self, now_ns: u64, group: &str, active: bool) -> bool {
        self.are_told = true;
        let was_active = self.is_active();
        let is_other = match active {
            true => self.active.insert(group.to_owned()),
            false => self.active.remove(group),
        };
        if was_active != self.is_active() {
            self.is_shared = false;
        }
        if is_other && !active {
            self.left_ns = Some(now_ns);
        }
        is_other
    }

    /// Everything that the active peer has is here.
    pub fn note_shared(&mut self) {
        self.is_shared = true;
    }

    pub fn is_active(&self) -> bool {
        !self.active.is_empty()
    }

    pub fn active(&self) -> &BTreeSet<String> {
        &self.active
    }

    pub fn are_told(&self) -> bool {
        self.are_told
    }

    /// Whether addresses that go now go with a group.
    pub fn are_leaving(&self, now_ns: u64) -> bool {
        let left_ns = self.left_ns;
        left_ns.is_some_and(|it| now_ns.saturating_sub(it) < LEAVING_NS)
    }

    pub fn is_shared(&self) -> bool {
        self.is_shared
    }
}
