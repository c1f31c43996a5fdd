//! Looks at services, and the rule which answers count: a look that began before a job ended is outdated.

use super::{Action, Engine};
use crate::job::{Service, Status};

impl Engine {
    /// Handles observed states.
    pub fn handle_observed(&mut self, now_ns: u64, seen: Vec<(Service, Status)>) {
        for (service, status) in seen {
            let mut items = self.items.iter_mut();
            let same = |item: &&mut super::Item| item.service.as_ref() == Some(&service);
            let Some(item) = items.find(same) else {
                self.observe_removed(&service, &status);
                continue;
            };
            if item.observation.end_look(item.work.is_busy()) {
                item.observe_status(now_ns, status);
            }
        }
        self.step(now_ns);
    }

    pub(super) fn look_at_all(&mut self) {
        for item in &mut self.items {
            item.observation.set_look_wanted(item.service.is_some());
        }
    }

    /// Requests all states that are wanted and not being requested.
    pub(super) fn look(&mut self, now_ns: u64) {
        let mut services = self.begin_removed_looks(now_ns);
        for item in &mut self.items {
            if !item.work.is_busy() && item.observation.begin_look(now_ns) {
                services.extend(item.service.clone());
            }
        }
        if !services.is_empty() {
            self.actions.push_back(Action::Observe(services));
        }
    }

    pub(super) fn end_late_looks(&mut self, now_ns: u64) {
        for item in &mut self.items {
            if item.observation.is_look_late(now_ns) {
                item.handle_no_answer(now_ns);
            }
        }
    }
}
