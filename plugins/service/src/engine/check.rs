//! Checks: what this node is worth without the services that it needs.

use spared_sdk::Role;

use super::goal::Goal;
use super::item::Item;
use super::{Action, Engine};
use crate::job::Status;

/// A service that failed while active is a reason not to be active again at once.
const BLAME_NS: u64 = 300_000_000_000;

impl Engine {
    pub(super) fn report(&mut self, now_ns: u64) {
        for item in &mut self.items {
            if item
                .blamed_until_ns
                .is_some_and(|until_ns| now_ns >= until_ns)
            {
                item.blamed_until_ns = None;
            }
            self.actions.extend(item.poll_report());
        }
    }
}

impl Item {
    /// Its role changes: what failed while active is kept in mind.
    pub(super) fn blame(&mut self, now_ns: u64, role: Option<Role>) {
        let failed = self
            .reported
            .as_ref()
            .is_some_and(|(_, state, _)| *state == 0);
        if role == Some(Role::Active) {
            self.blamed_until_ns = None;
        } else if failed && self.role == Some(Role::Active) {
            self.blamed_until_ns = Some(now_ns.saturating_add(BLAME_NS));
        }
    }

    fn poll_report(&mut self) -> Option<Action> {
        let name = format!("service.{}", self.spec.name);
        let Some(weight) = self.spec.needed else {
            return self.reported.take().map(|_| Action::Forget { name });
        };
        let (state, why) = self.fitness()?;
        let report = (weight, state, why.clone());
        if self.reported.as_ref() == Some(&report) {
            return None;
        }
        self.reported = Some(report);
        Some(Action::Report {
            name,
            weight,
            state,
            why,
        })
    }

    /// None: what was said holds.
    fn fitness(&self) -> Option<(u8, String)> {
        if let Some(Status::Missing(why)) = &self.status {
            return Some((0, why.clone()));
        }
        let active = self.role == Some(Role::Active);
        match (&self.fault, &self.goal) {
            (Some(fault), _) if active => Some((0, fault.clone())),
            _ if self.blamed_until_ns.is_some() => {
                let last = self.last_fault.clone().unwrap_or_default();
                Some((0, format!("failed here while active: {last}")))
            }
            (_, Goal::Running) if active => self.is_reached().then(|| (100, "running".to_owned())),
            (_, Goal::Leave) if self.role.is_none() => None,
            (None, _) if active => (!self.open).then(|| (100, "as it should be".to_owned())),
            _ => Some((100, "not needed while not active".to_owned())),
        }
    }
}
