//! Deletes routes and policy rules, and those again that the kernel refused to delete: left on a backup, they would lead
//! its packets away.

use std::time::Instant;

use spared_netlink::{Route, Rule};

use super::{Kernel, KernelError, routes, rules};

/// Routes and rules whose deletion failed, in the order in which they are deleted again.
#[derive(Default)]
pub(super) struct Undeleted {
    routes: Vec<Route>,
    rules: Vec<Rule>,
}

impl Undeleted {
    fn is_empty(&self) -> bool {
        self.routes.is_empty() && self.rules.is_empty()
    }

    fn note_routes(&mut self, routes: Vec<Route>) {
        let new = routes.into_iter();
        let new: Vec<Route> = new.filter(|it| !self.routes.contains(it)).collect();
        self.routes.extend(new);
    }

    fn note_rules(&mut self, rules: Vec<Rule>) {
        let new = rules.into_iter();
        let new: Vec<Rule> = new.filter(|it| !self.rules.contains(it)).collect();
        self.rules.extend(new);
    }
}

impl Kernel {
    /// Deletes routes, in reverse order. Those that the kernel refuses to delete are deleted at the next retry.
    pub(super) fn delete_routes(&mut self, list: &[Route]) -> Vec<KernelError> {
        let refused = routes::delete(&mut self.requests, list);
        if !refused.objects.is_empty() {
            let left = refused.objects.into_iter().rev();
            self.retries.undeleted().note_routes(left.collect());
            self.retries.retry(Instant::now());
        }
        refused.failures
    }

    /// Deletes policy rules. Those that the kernel refuses to delete are deleted at the next retry.
    pub(super) fn delete_rules(&mut self, list: &[Rule]) -> Vec<KernelError> {
        let refused = rules::delete(&mut self.requests, list);
        if !refused.objects.is_empty() {
            self.retries.undeleted().note_rules(refused.objects);
            self.retries.retry(Instant::now());
        }
        refused.failures
    }

    /// Deletes again what could not be deleted, except what a group has again by now.
    pub(super) fn delete_again(&mut self) {
        if self.retries.undeleted().is_empty() {
            return;
        }
        let mut left = std::mem::take(self.retries.undeleted());
        for group in self.groups.values() {
            left.routes.retain(|route| !group.routes.contains(route));
            left.rules.retain(|rule| !group.rules.contains(rule));
        }
        let mut failures = self.delete_rules(&left.rules);
        failures.extend(self.delete_routes(&left.routes));
        self.warn(failures);
    }
}
