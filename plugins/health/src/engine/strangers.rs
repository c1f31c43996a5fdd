//! Checks of groups whose role nobody tells: a wrong name in the file, most likely. They never run, and
//! say so.

use super::{Action, Engine};
use crate::config::Check;

/// Longer than the host needs to tell the roles of all groups, after a start.
const TOLD_NS: u64 = 15_000_000_000;

impl Check {
    /// The group whose role decides whether it runs.
    pub(super) fn group(&self) -> Option<&str> {
        self.only.as_ref()?.group.as_deref()
    }
}

impl Engine {
    /// Looks for checks of groups that nobody knows, when all roles must have been told.
    pub(super) fn expect_strangers(&mut self, now_ns: u64) {
        let roles = &self.roles;
        for item in &mut self.items {
            let group = item.check.group();
            item.is_stranger &= group.is_some_and(|group| !roles.contains_key(group));
        }
        let is_any = self.items.iter().any(|item| self.is_untold(&item.check));
        self.strangers_ns = is_any.then(|| now_ns.saturating_add(TOLD_NS));
    }

    pub(super) fn find_strangers(&mut self, now_ns: u64) {
        if self
            .strangers_ns
            .take_if(|at_ns| now_ns >= *at_ns)
            .is_none()
        {
            return;
        }
        let mut items = std::mem::take(&mut self.items);
        for item in &mut items {
            if self.is_untold(&item.check) && !item.is_stranger {
                item.is_stranger = true;
                // what is known is of another group
                let names = item.forget().into_iter();
                self.actions
                    .extend(names.map(|name| Action::Forget { name }));
            }
        }
        self.items = items;
    }

    fn is_untold(&self, check: &Check) -> bool {
        let group = check.group();
        group.is_some_and(|group| !self.roles.contains_key(group))
    }
}
