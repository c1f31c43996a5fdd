//! State of one group: its role, the ticket that waits for it, and its hooks.

use std::collections::VecDeque;
use std::time::Duration;

use spared_sdk::{CauseKind, Role, RoleEvent};

/// Role as the daemon reports it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoleChange {
    pub group: String,
    pub role: Role,
    pub why: String,
    pub maintenance: bool,
    /// True if the role is unchanged, but a conflict that this node won has ended: its hooks run again.
    pub is_conflict_won: bool,
    /// True if the group is no longer configured.
    pub is_withdrawn: bool,
}

impl From<&RoleEvent> for RoleChange {
    fn from(event: &RoleEvent) -> Self {
        Self {
            group: event.group.clone(),
            role: event.role,
            why: event.why.clone(),
            maintenance: event.maintenance,
            is_conflict_won: event.cause.kind == CauseKind::Conflict
                && event.before == Some(event.role),
            is_withdrawn: event.cause.kind == CauseKind::Withdrawn,
        }
    }
}

/// Word in the record of hooks some of which have not run.
const INCOMPLETE: &str = "cut";

#[derive(Debug)]
pub(super) struct Group {
    pub(super) role: Role,
    pub(super) why: String,
    /// True if the group is no longer configured. Its last role, backup, stays that of the items that it had.
    pub(super) is_withdrawn: bool,
    /// Ticket of the role: the daemon waits for its end.
    pub(super) ticket: Option<u64>,
    pub(super) since_ns: u64,
    /// True if the result of the role has not been reported yet.
    pub(super) is_outcome_due: bool,
    pub(super) hooks: Hooks,
}

/// Hooks of one group: those of the newest role, one after the other.
#[derive(Debug, Default)]
pub(super) struct Hooks {
    /// True if the role is new, and its hooks have not begun.
    pub(super) is_due: bool,
    /// True if the folder is being read.
    pub(super) is_reading: bool,
    pub(super) queue: VecDeque<String>,
    pub(super) run: Option<HookRun>,
    /// Role whose hooks ran last, partly or completely.
    pub(super) last_role: Option<Role>,
    /// True if only a part of them ran: the role changed, or the worker ended, before the last one.
    pub(super) is_incomplete: bool,
    /// True if they run again because a worker ended before they were complete. They then count as run from the first
    /// one on, because one of them may be what ends each worker.
    pub(super) is_repetition: bool,
    /// True if they run again because a conflict has ended that this node won.
    pub(super) is_conflict_won: bool,
    pub(super) previous: Option<Role>,
    pub(super) failures: u64,
    pub(super) last_fault: Option<String>,
    pub(super) ended: EndedHooks,
}

/// Hooks that have ended since the worker was started.
#[derive(Debug, Default)]
pub(super) struct EndedHooks {
    pub(super) runs: u64,
    /// Sum of their durations.
    pub(super) time: Duration,
}

#[derive(Debug)]
pub(super) struct HookRun {
    pub(super) number: u64,
    pub(super) path: String,
    pub(super) began_ns: u64,
    pub(super) until_ns: u64,
}

impl Group {
    /// Creates a group. `recorded` is the record of its hooks by an earlier worker.
    pub(super) fn new(now_ns: u64, change: &RoleChange, recorded: &str) -> Self {
        Self {
            role: change.role,
            why: change.why.clone(),
            is_withdrawn: change.is_withdrawn,
            ticket: None,
            since_ns: now_ns,
            is_outcome_due: true,
            hooks: Hooks::from_record(recorded),
        }
    }

    pub(super) fn handle_role(&mut self, now_ns: u64, change: &RoleChange) {
        self.why.clone_from(&change.why);
        self.is_withdrawn = change.is_withdrawn;
        if self.role == change.role {
            // if they are running, they run again from the first one on
            self.hooks.is_due |= change.is_conflict_won;
            self.hooks.is_conflict_won |= change.is_conflict_won;
            return;
        }
        self.hooks.is_conflict_won = false;
        (self.role, self.since_ns, self.is_outcome_due) = (change.role, now_ns, true);
        self.hooks.is_incomplete |= self.hooks.is_reading || !self.hooks.queue.is_empty();
        self.hooks.is_due = true;
        self.hooks.queue.clear();
    }
}

impl Hooks {
    fn from_record(text: &str) -> Self {
        let mut words = text.split(' ');
        let last_role = words.next().and_then(role_named);
        let is_incomplete = words.next() == Some(INCOMPLETE);
        Self {
            is_due: true,
            last_role,
            is_incomplete,
            is_repetition: is_incomplete,
            previous: words.next().and_then(role_named),
            ..Self::default()
        }
    }

    /// Text for the next worker: the role whose hooks ran last, and whether all of them ran.
    pub(super) fn to_record(&self) -> Option<String> {
        let last_role = self.last_role?;
        let left = self.is_reading || !self.queue.is_empty() || self.run.is_some();
        if self.is_repetition || !(left || self.is_incomplete) {
            return Some(last_role.to_string());
        }
        let previous = self.previous.map(|role| format!(" {role}"));
        Some(format!(
            "{last_role} {INCOMPLETE}{}",
            previous.unwrap_or_default()
        ))
    }

    pub(super) fn are_over(&self) -> bool {
        !self.is_due && !self.is_reading && self.queue.is_empty() && self.run.is_none()
    }
}

pub(super) fn role_named(word: &str) -> Option<Role> {
    let roles = [Role::Active, Role::Backup, Role::Fault];
    roles.into_iter().find(|role| role.to_string() == word)
}
