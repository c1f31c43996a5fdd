//! Checks about items that are not as configured, and their weight for the election.

use std::time::Duration;

use spared_sdk::Role;
use spared_sdk::config::format_duration;

use super::goal::Goal;
use super::item::{Item, STEADY_NS};
use super::{Action, Engine};
use crate::config::without_service_suffix;
use crate::job::Status;

/// Time in ns for which a failure while active counts after the node has become backup.
const FAILURE_COUNTS_NS: u64 = 300_000_000_000;
/// Maximum length of a check's name in bytes.
const NAME_MAX: usize = 64;

/// Check of one item, with the failure of its last term as active.
#[derive(Debug, Default)]
pub(super) struct ItemCheck {
    /// Weight, state and reason of the last report.
    last: Option<(u32, Option<u8>, String)>,
    /// Time in ns until which a check that failed while active counts as failed.
    failure_counts_until_ns: Option<u64>,
}

impl ItemCheck {
    fn handle_timeout(&mut self, now_ns: u64) {
        self.failure_counts_until_ns
            .take_if(|until_ns| now_ns >= *until_ns);
    }

    /// Handles a change of the role: a failure while active is remembered.
    fn handle_role(&mut self, now_ns: u64, has_failed_while_active: bool, is_active: bool) {
        if is_active {
            self.failure_counts_until_ns = None;
        } else if has_failed_while_active {
            self.failure_counts_until_ns = Some(now_ns.saturating_add(FAILURE_COUNTS_NS));
        }
    }

    /// Handles that somebody declares it repaired; returns true if a failure was remembered.
    pub(super) fn forget_failure(&mut self) -> bool {
        self.failure_counts_until_ns.take().is_some()
    }

    pub(super) fn timeout(&self) -> Option<u64> {
        self.failure_counts_until_ns
    }

    pub(super) fn is_failure_remembered(&self) -> bool {
        self.failure_counts_until_ns.is_some()
    }

    /// True if the check was ever reported.
    pub(super) fn was_reported(&self) -> bool {
        self.last.is_some()
    }
}

impl Engine {
    pub(super) fn report_checks(&mut self, now_ns: u64) {
        for item in &mut self.items {
            item.check.handle_timeout(now_ns);
            self.actions.extend(item.poll_report());
        }
    }
}

impl Item {
    /// Notes a failure while active when the role changes.
    pub(super) fn note_active_failure(&mut self, now_ns: u64, role: Option<Role>) {
        let is_active = role == Some(Role::Active);
        let has_failed = self.membership.is_active() && self.has_failed();
        self.check.handle_role(now_ns, has_failed, is_active);
    }

    /// True if the item is known to have failed. The check may be failed without that: a service that runs would not start
    /// again, or nobody can tell whether it runs.
    fn has_failed(&self) -> bool {
        let is_missing = matches!(self.observation.status(), Some(Status::Missing(_)));
        is_missing || self.pursuit.fault().is_some()
    }

    fn poll_report(&mut self) -> Option<Action> {
        let report = self.check_result();
        if self.check.last.as_ref() == Some(&report) {
            return None;
        }
        let (weight, state, why) = report.clone();
        self.check.last = Some(report);
        Some(Action::Report {
            name: self.check_name(),
            weight,
            state,
            why,
        })
    }

    pub(super) fn check_name(&self) -> String {
        check_name_of(self.name())
    }

    /// Fault of a service that runs again, with the time until which it counts.
    fn with_recovery_time(&self, fault: &str) -> String {
        match (self.pursuit.goal(), self.observation.status()) {
            (Goal::Running, Some(Status::Running)) if self.pursuit.is_unsteady() => {
                let time = format_duration(Duration::from_nanos(STEADY_NS));
                format!(
                    "{fault}; runs again, and counts as running after {time} without another end, or after `sparectl service retry`"
                )
            }
            _ => fault.to_owned(),
        }
    }

    /// Weight for the election, state (None: not known yet), and reason.
    fn check_result(&self) -> (u32, Option<u8>, String) {
        let needed = self.spec.needed.unwrap_or(0);
        let active = self.membership.is_active();
        if let Some(Status::Missing(why)) = self.observation.status() {
            return (needed, Some(0), why.clone());
        }
        if let Some(fault) = self.pursuit.fault() {
            // a backup's fault does not reduce its quality: the active node needs the service, this one does not
            let weight = if active { needed } else { 0 };
            return (weight, Some(0), self.with_recovery_time(fault));
        }
        if let Some(why) = self.foreseen_fault() {
            // a service that runs is not worse for it
            let weight = if active { 0 } else { needed };
            return (weight, Some(0), why);
        }
        if let Some(why) = self.observation.unanswered() {
            // its state is unknown; as far as is known, it is as the role wants it
            return (
                0,
                Some(0),
                format!("nobody can tell whether it runs: {why}"),
            );
        }
        if needed > 0 && self.check.is_failure_remembered() {
            let last = self.history.last_fault().unwrap_or_default();
            let time = format_duration(Duration::from_nanos(FAILURE_COUNTS_NS));
            let why = format!(
                "failed here while active: {last}; counts as failed for {time} after it was active, or until `sparectl service retry`"
            );
            return (needed, Some(0), why);
        }
        if let Some(why) = self.role_doubt() {
            return (needed, None, why);
        }
        if self.membership.role().is_none() {
            return (needed, None, "no role is known".to_owned());
        }
        let is_reached = self.is_reached() && !self.is_first_try();
        let why = match (self.pursuit.goal(), is_reached) {
            (Goal::Running, true) => "running",
            (Goal::Running, false) => "is being started",
            (Goal::Stopped, true) => "stopped",
            (Goal::Stopped, false) => "is being stopped",
            (_, true) => "as it should be",
            (_, false) => "is being changed",
        };
        (needed, is_reached.then_some(100), why.to_owned())
    }
}

/// Name of the check of an item: names of checks are short, those of units may be long.
pub(super) fn check_name_of(item: &str) -> String {
    let name = format!("service.{}", without_service_suffix(item));
    let ends = (0..=NAME_MAX.min(name.len())).rev();
    let cut = ends.filter_map(|end| name.get(..end)).next();
    cut.unwrap_or_default().to_owned()
}
