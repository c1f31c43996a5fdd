//! E7: counts terms, which tell which of two active nodes took over later.
//!
//! A term begins when the role moves to another node. A node that is active again begins none if no other node was
//! active meanwhile. So a node that was cut off may give up and come back often: a node that took over meanwhile has
//! the later term.

use std::collections::VecDeque;

use crate::wire::heartbeat::{Heartbeat, HeartbeatRole};

/// E9: time for which a role change counts.
const CHANGES_WINDOW_NS: u64 = 300_000_000_000;
/// Number of role changes that are remembered.
const CHANGES_MAX: usize = 8;

/// Term, and times when this node became active or gave the role up.
#[derive(Clone, Debug)]
pub(super) struct RoleHistory {
    term: Term,
    changes: VecDeque<u64>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Term {
    number: u32,
    /// This node is, or was, active in this term.
    is_own: bool,
}

impl RoleHistory {
    pub fn new() -> RoleHistory {
        RoleHistory {
            term: Term::default(),
            changes: VecDeque::with_capacity(CHANGES_MAX),
        }
    }

    /// This node became active.
    pub fn handle_active(&mut self, now_ns: u64) {
        self.term.begin();
        self.note_change(now_ns);
    }

    /// This node gave the role up.
    pub fn handle_backup(&mut self, now_ns: u64) {
        self.note_change(now_ns);
    }

    /// Handles a heartbeat of the peer while this node is active; returns true if the peer was active meanwhile, and
    /// has given way.
    pub fn handle_rival(&mut self, before: Option<u32>, heartbeat: &Heartbeat) -> bool {
        self.term.was_overtaken(before, heartbeat)
    }

    /// Takes a later term from the peer's heartbeat, while this node is not active.
    pub fn handle_peer(&mut self, heartbeat: &Heartbeat) {
        self.term.take_later_term(heartbeat);
    }

    pub fn term(&self) -> u32 {
        self.term.number
    }

    /// Number of role changes in the last five minutes.
    pub fn changes(&mut self, now_ns: u64) -> u32 {
        self.changes
            .retain(|at_ns| now_ns.saturating_sub(*at_ns) < CHANGES_WINDOW_NS);
        u32::try_from(self.changes.len()).unwrap_or(u32::MAX)
    }

    fn note_change(&mut self, now_ns: u64) {
        if self.changes.len() >= CHANGES_MAX {
            self.changes.pop_front();
        }
        self.changes.push_back(now_ns);
    }
}

impl Term {
    /// This node became active.
    fn begin(&mut self) {
        if !self.is_own {
            self.number = self.number.saturating_add(1);
            self.is_own = true;
        }
    }

    /// Returns true if the peer began a term since it said `before`: it was active as well, and has given way before
    /// this node heard of it. Called for a heartbeat while this node is active.
    fn was_overtaken(&mut self, before: Option<u32>, heartbeat: &Heartbeat) -> bool {
        let is_new = before.is_some_and(|before| before <= self.number);
        let has_given_way =
            is_new && heartbeat.role != HeartbeatRole::Active && heartbeat.term > self.number;
        if has_given_way {
            self.number = heartbeat.term;
        }
        has_given_way
    }

    /// Takes a later term from the peer's heartbeat, while this node is not active.
    fn take_later_term(&mut self, heartbeat: &Heartbeat) {
        let serves = heartbeat.role == HeartbeatRole::Active && heartbeat.term == self.number;
        if heartbeat.term > self.number || serves {
            self.number = heartbeat.term;
            self.is_own = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heartbeat_of(role: HeartbeatRole, term: u32) -> Heartbeat {
        Heartbeat {
            role,
            term,
            ..Heartbeat::with_room()
        }
    }

    #[test]
    fn a_term_begins_where_the_role_moves_and_only_there() {
        let mut term = Term::default();
        term.begin();
        assert_eq!(term.number, 1);
        // given up and taken back, with a backup that knows of it
        term.take_later_term(&heartbeat_of(HeartbeatRole::Backup, 1));
        term.begin();
        assert_eq!(term.number, 1);
        term.take_later_term(&heartbeat_of(HeartbeatRole::Active, 2));
        assert_eq!(term.number, 2);
        term.begin();
        assert_eq!(term.number, 3);
    }

    #[test]
    fn a_term_that_the_peer_began_and_gave_up_is_told_once_by_the_active_node() {
        let mut term = Term::default();
        term.begin();
        assert!(!term.was_overtaken(None, &heartbeat_of(HeartbeatRole::Backup, 7)));
        assert!(!term.was_overtaken(Some(1), &heartbeat_of(HeartbeatRole::Backup, 1)));
        // E7 judges a peer that is still active
        assert!(!term.was_overtaken(Some(1), &heartbeat_of(HeartbeatRole::Active, 2)));
        assert!(term.was_overtaken(Some(1), &heartbeat_of(HeartbeatRole::Backup, 2)));
        assert!(!term.was_overtaken(Some(2), &heartbeat_of(HeartbeatRole::Backup, 2)));
        assert_eq!(term.number, 2);
    }

    #[test]
    fn whoever_starts_anew_goes_on_from_what_the_peer_knows() {
        let mut term = Term::default();
        term.take_later_term(&heartbeat_of(HeartbeatRole::Backup, 7));
        term.begin();
        assert_eq!(term.number, 8);
        // both began a term of this number, and the other stayed
        term.take_later_term(&heartbeat_of(HeartbeatRole::Active, 8));
        term.begin();
        assert_eq!(term.number, 9);
    }
}
