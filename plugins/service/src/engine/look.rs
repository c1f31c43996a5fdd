//! Looks at services, and the rule which answers count: a look that began before a job ended is outdated.

use super::item::LOOK_NS;
use super::{Action, Engine};
use crate::job::{Service, Status};

impl Engine {
    /// Handles observed states.
    pub fn handle_observed(&mut self, now_ns: u64, seen: Vec<(Service, Status)>) {
        for (service, status) in seen {
            let mut items = self.items.iter_mut();
            let same = |item: &&mut super::Item| item.service.as_ref() == Some(&service);
            let Some(item) = items.find(same) else {
                self.see_left(&service, &status);
                continue;
            };
            let Some(asked_ns) = item.look.asked_ns.take() else {
                continue;
            };
            if item.job.is_some() || asked_ns < item.look.valid_from_ns {
                item.look.wanted = true;
                continue;
            }
            item.see(now_ns, status);
        }
        self.step(now_ns);
    }

    pub(super) fn look_at_all(&mut self) {
        for item in &mut self.items {
            item.look.wanted = item.service.is_some();
        }
    }

    /// Requests all states that are wanted and not being requested.
    pub(super) fn look(&mut self, now_ns: u64) {
        let mut services = self.looks_at_left(now_ns);
        for item in &mut self.items {
            let free = item.job.is_none() && item.look.asked_ns.is_none();
            if item.look.wanted && free {
                item.look.wanted = false;
                item.look.asked_ns = Some(now_ns);
                services.extend(item.service.clone());
            }
        }
        if !services.is_empty() {
            self.actions.push_back(Action::Observe { services });
        }
    }

    pub(super) fn end_late_looks(&mut self, now_ns: u64) {
        for item in &mut self.items {
            let asked_ns = item.look.asked_ns;
            if asked_ns.is_some_and(|at_ns| now_ns >= at_ns.saturating_add(LOOK_NS)) {
                item.see_nothing(now_ns);
            }
        }
    }
}
