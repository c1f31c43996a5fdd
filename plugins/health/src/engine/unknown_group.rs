//! Checks of groups whose role nobody reports, most likely because of a wrong name in the file, or because the group was
//! taken out of the configuration. They never run, and are reported.

use super::{Action, Engine};
use crate::config::Check;

/// Time in ns that the daemon needs at most to report the roles of all groups after a start.
const ALL_ROLES_NS: u64 = 15_000_000_000;

impl Check {
    /// Group whose role decides if the check runs.
    pub(super) fn group(&self) -> Option<&str> {
        self.only.as_ref()?.group.as_deref()
    }
}

impl Engine {
    /// Plans the search for checks of unknown groups, for the time when all roles must have been reported.
    pub(super) fn plan_unknown_groups(&mut self, now_ns: u64) {
        let roles = &self.roles;
        for item in &mut self.items {
            let group = item.check.group();
            item.is_group_unknown &= group.is_some_and(|group| !roles.contains_key(group));
        }
        let is_any = self.items.iter().any(|item| self.has_no_role(&item.check));
        self.unknown_group_due_ns = is_any.then(|| now_ns.saturating_add(ALL_ROLES_NS));
    }

    /// Handles that a group is no longer configured: as if its role had never been reported.
    pub fn handle_group_gone(&mut self, now_ns: u64, group: &str) {
        self.roles.remove(group);
        self.plan_unknown_groups(now_ns);
        self.pause_and_resume(now_ns);
        self.report(now_ns);
    }

    pub(super) fn find_unknown_groups(&mut self, now_ns: u64) {
        if self
            .unknown_group_due_ns
            .take_if(|at_ns| now_ns >= *at_ns)
            .is_none()
        {
            return;
        }
        let mut items = std::mem::take(&mut self.items);
        for item in &mut items {
            if self.has_no_role(&item.check) && !item.is_group_unknown {
                item.is_group_unknown = true;
                // the known results belong to another group, or to one that is gone
                let names = item.forget().into_iter();
                self.actions.extend(names.map(Action::Forget));
            }
        }
        self.items = items;
    }

    fn has_no_role(&self, check: &Check) -> bool {
        let group = check.group();
        group.is_some_and(|group| !self.roles.contains_key(group))
    }
}
