//! Tracks the roles of this node's groups, and decides from them when the peer is informed.

use std::collections::BTreeMap;

use super::SECOND_NS;

/// Time for which a node still sends changes after it has stepped down.
pub(super) const LINGER_NS: u64 = 2 * SECOND_NS;

/// Change of the set of active groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Move {
    /// The first group became active.
    First,
    /// A further group became active.
    More,
    /// One group was given up; others stay.
    Fewer,
    /// The last group was given up.
    Last,
}

/// Knowledge of the peer about the time in which this node was active without it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum TimeAlone {
    /// There was no such time, or the peer has answered the report about it.
    #[default]
    Known,
    /// No resync has reported it.
    Unreported,
    /// A resync has reported it, and may still be in transit.
    Reported,
}

#[derive(Debug, Default)]
pub(super) struct Roles {
    /// Role of each group; true if it is active here.
    groups: BTreeMap<String, bool>,
    is_active: bool,
    time_alone: TimeAlone,
    linger_until_ns: u64,
    /// Something was sent while no group was active here.
    has_sent_as_backup: bool,
    /// Times were restored, and the peer has not been active since.
    is_restore_requested: bool,
}

impl Roles {
    /// Sets a group's role. Returns whether it changed, and the change of the set of active groups.
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

    /// Returns true if groups may be active on different nodes.
    pub(super) fn are_several(&self) -> bool {
        self.groups.len() > 1
    }

    /// Returns true if a group is active here.
    pub(super) fn is_active(&self) -> bool {
        self.is_active
    }

    /// Returns true if every group is active here, and there is one, whatever the peer reported last.
    pub(super) fn has_all(&self) -> bool {
        self.is_active && self.groups.values().all(|active| *active)
    }

    // ---- when the peer is informed

    /// Returns true if a peer that is connected is informed of changes here.
    pub(super) fn has_to_report(&self, now_ns: u64) -> bool {
        let is_unreported = self.time_alone == TimeAlone::Unreported;
        self.is_active || is_unreported || self.is_lingering(now_ns)
    }

    /// Takes note that the peer may lack what this node did or sent: it is not connected, or has missed messages.
    pub(super) fn note_peer_may_lack(&mut self) {
        if self.is_active || self.time_alone == TimeAlone::Reported {
            self.time_alone = TimeAlone::Unreported;
        }
    }

    /// Takes note that a resync has reported everything.
    pub(super) fn note_reported(&mut self) {
        if self.time_alone == TimeAlone::Unreported {
            self.time_alone = TimeAlone::Reported;
        }
    }

    /// Takes note that the peer has received everything that was reported.
    pub(super) fn note_peer_has_all(&mut self) {
        if self.time_alone == TimeAlone::Reported {
            self.time_alone = TimeAlone::Known;
        }
    }

    pub(super) fn begin_lingering(&mut self, now_ns: u64) {
        self.linger_until_ns = now_ns + LINGER_NS;
    }

    pub(super) fn is_lingering(&self, now_ns: u64) -> bool {
        now_ns < self.linger_until_ns
    }

    /// Returns the time until which a node that has stepped down still sends changes.
    pub(super) fn linger_end_ns(&self) -> Option<u64> {
        (!self.is_active).then_some(self.linger_until_ns)
    }

    pub(super) fn note_change_told(&mut self) {
        self.has_sent_as_backup |= !self.is_active;
    }

    /// Returns true once, when everything was sent that waited after stepping down.
    pub(super) fn end_lingering(&mut self, now_ns: u64) -> bool {
        !self.has_to_report(now_ns) && std::mem::take(&mut self.has_sent_as_backup)
    }

    /// Forgets what was sent after stepping down, for a new peer.
    pub(super) fn forget_lingering(&mut self) {
        (self.linger_until_ns, self.has_sent_as_backup) = (0, false);
    }

    // ---- restored times

    pub(super) fn set_restore_requested(&mut self, is_restore_requested: bool) -> bool {
        std::mem::replace(&mut self.is_restore_requested, is_restore_requested)
    }
}
