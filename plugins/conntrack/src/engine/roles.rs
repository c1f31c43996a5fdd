//! Roles of this node's groups, and what follows from them for what the peer is told.

use std::collections::BTreeMap;

use super::SECOND_NS;

/// After it has given up a role, a node goes on telling what it carries for so long.
pub(super) const OFFERING_NS: u64 = 2 * SECOND_NS;

/// Change of what this node carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Move {
    /// The first group became active.
    First,
    /// One more group.
    More,
    /// One group fewer; others stay.
    Fewer,
    /// The last group was given up.
    Last,
}

#[derive(Debug, Default)]
pub(super) struct Roles {
    /// Whether each group is active here.
    groups: BTreeMap<String, bool>,
    is_active: bool,
    /// It was active without a peer, and the peer has not been told of that by a resync.
    owes: bool,
    offering_until_ns: u64,
    /// Something was told while no group was active here.
    has_offered: bool,
    /// Times were restored since the peer carried anything.
    is_restored: bool,
}

impl Roles {
    /// Whether the group's role changed, and what that changes.
    pub(super) fn set(&mut self, group: &str, active: bool) -> (bool, Option<Move>) {
        let before = self.groups.insert(group.to_owned(), active);
        let is_changed = before.unwrap_or(false) != active;
        let is_any = self.groups.values().any(|active| *active);
        let change = match (std::mem::replace(&mut self.is_active, is_any), is_any) {
            (false, true) => Some(Move::First),
            (true, false) => Some(Move::Last),
            (true, true) if is_changed && active => Some(Move::More),
            (true, true) if is_changed => Some(Move::Fewer),
            _ => None,
        };
        (is_changed, change)
    }

    pub(super) fn remove(&mut self, group: &str) {
        self.groups.remove(group);
    }

    /// Whether some group is active here.
    pub(super) fn is_active(&self) -> bool {
        self.is_active
    }

    /// Whether every group is active here, whatever the peer said last.
    pub(super) fn has_all(&self) -> bool {
        self.groups.values().all(|active| *active)
    }

    // ---- what the peer is told

    /// Whether the peer is told what happens here.
    pub(super) fn speaks(&self, now_ns: u64) -> bool {
        self.is_active || self.owes || self.is_offering(now_ns)
    }

    /// No peer hears what an active node does.
    pub(super) fn note_alone(&mut self) {
        self.owes |= self.is_active;
    }

    /// A resync has told the peer of everything.
    pub(super) fn note_told(&mut self) {
        self.owes = false;
    }

    pub(super) fn begin_offering(&mut self, now_ns: u64) {
        self.offering_until_ns = now_ns + OFFERING_NS;
    }

    pub(super) fn is_offering(&self, now_ns: u64) -> bool {
        now_ns < self.offering_until_ns
    }

    /// Time at which a node that carries nothing has told all that it did.
    pub(super) fn offering_end_ns(&self) -> Option<u64> {
        (!self.is_active).then_some(self.offering_until_ns)
    }

    pub(super) fn note_change_told(&mut self) {
        self.has_offered |= !self.is_active;
    }

    /// True once, when all that was told without an active group was told.
    pub(super) fn end_offering(&mut self, now_ns: u64) -> bool {
        !self.speaks(now_ns) && std::mem::take(&mut self.has_offered)
    }

    /// A peer that has just come was offered nothing.
    pub(super) fn forget_offering(&mut self) {
        (self.offering_until_ns, self.has_offered) = (0, false);
    }

    // ---- restored times

    pub(super) fn set_restored(&mut self, is_restored: bool) -> bool {
        std::mem::replace(&mut self.is_restored, is_restored)
    }
}
