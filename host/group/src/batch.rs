//! Handles calls about several groups. Each group is handled by itself. Then the actions are ordered into steps that
//! can be performed for all groups at once, with the call's answer before slower work.

use std::collections::BTreeSet;
use std::mem::discriminant;

use spared_contract::{Call, Claims, Publication};

use super::calls::GROUPS_MAX;
use super::{Action, Groups, KernelStep, Ticket};

/// A claim, its group, and the result of its check.
pub type Checked = (Ticket, String, Claims, Result<(), String>);
/// A publication of ACTIVE, its group, and the result of granting its lease.
pub type Granted = (Ticket, String, Publication, Result<(), String>);

/// Returns the number of groups that a call of an elector names.
pub fn count_of(call: &Call) -> usize {
    names_of(call).len()
}

fn names_of(call: &Call) -> Vec<&str> {
    match call {
        Call::Claim { groups } => groups.iter().map(|(name, _)| name.as_str()).collect(),
        Call::Publish { groups } => groups.iter().map(|(name, _)| name.as_str()).collect(),
        Call::Announce { groups } => groups.iter().map(String::as_str).collect(),
        _ => Vec::new(),
    }
}

fn status_of(names: &[&str]) -> Option<i32> {
    let is_long = names.len() > GROUPS_MAX;
    let is_unnamed = names.iter().any(|it| it.is_empty());
    if is_long || is_unnamed || names.iter().collect::<BTreeSet<_>>().len() != names.len() {
        return Some(-libc::EINVAL);
    }
    names.is_empty().then_some(0)
}

impl Groups {
    /// Handles a call of an elector about several groups. Each group is answered by itself. A returned status is the
    /// answer for all of them: the call names too many groups, one without a name, one group twice, or none.
    pub fn handle_call(
        &mut self,
        now_ns: u64,
        plugin: &str,
        number: u64,
        call: Call,
    ) -> Option<i32> {
        if let Some(status) = status_of(&names_of(&call)) {
            return Some(status);
        }
        let tickets = (0..).map(|part| Ticket {
            plugin: plugin.to_owned(),
            number,
            part,
        });
        match call {
            Call::Claim { groups } => {
                let claims = tickets.zip(groups);
                let claims = claims.map(|(ticket, (name, claims))| (ticket, name, claims));
                self.handle_claims(claims.collect());
            }
            Call::Publish { groups } => {
                let roles = tickets.zip(groups);
                let roles = roles.map(|(ticket, (name, role))| (ticket, name, role));
                self.handle_publications(now_ns, roles.collect());
            }
            Call::Announce { groups } => self.handle_announcements(tickets.zip(groups).collect()),
            _ => {}
        }
        None
    }

    /// Handles claims of one call, as [`handle_claim`](Self::handle_claim).
    pub fn handle_claims(&mut self, claims: Vec<(Ticket, String, Option<Claims>)>) {
        self.sort_call_actions(|groups| {
            for (ticket, name, claims) in claims {
                groups.handle_claim(ticket, name, claims);
            }
        });
    }

    /// Handles checks of claims, as [`handle_checked`](Self::handle_checked).
    pub fn handle_checks(&mut self, checks: Vec<Checked>) {
        self.sort_call_actions(|groups| {
            for (ticket, name, claims, result) in checks {
                groups.handle_checked(ticket, &name, claims, result);
            }
        });
    }

    /// Handles roles of one call, as [`handle_publish`](Self::handle_publish).
    pub fn handle_publications(
        &mut self,
        now_ns: u64,
        publications: Vec<(Ticket, String, Publication)>,
    ) {
        self.sort_call_actions(|groups| {
            for (ticket, name, publication) in publications {
                groups.handle_publish(now_ns, ticket, &name, publication);
            }
        });
    }

    /// Handles leases that were granted together, as [`handle_lease`](Self::handle_lease).
    pub fn handle_leases(&mut self, now_ns: u64, granted: Vec<Granted>) {
        self.sort_call_actions(|groups| {
            for (ticket, name, publication, result) in granted {
                groups.handle_lease(now_ns, ticket, &name, publication, result);
            }
        });
    }

    /// Handles the results of installing groups together, as [`handle_installed`](Self::handle_installed).
    pub fn handle_all_installed(
        &mut self,
        now_ns: u64,
        installed: Vec<(String, Result<String, String>)>,
    ) {
        for (name, result) in installed {
            self.handle_installed(now_ns, &name, result);
        }
    }

    /// Handles the groups of one call to announce, as [`handle_announce`](Self::handle_announce).
    pub fn handle_announcements(&mut self, groups_of: Vec<(Ticket, String)>) {
        self.sort_call_actions(|groups| {
            for (ticket, name) in groups_of {
                groups.handle_announce(ticket, &name);
            }
        });
    }

    /// Returns true if the next action is slow in the kernel and may be one of many. The caller then first reads words
    /// of the peer about other groups, so that all are performed in one step.
    pub fn should_batch(&self) -> bool {
        matches!(
            self.actions.front(),
            Some(Action::Kernel(_, KernelStep::Prepare))
        )
    }

    /// Handles the results of preparing groups together, as [`handle_prepared`](Self::handle_prepared).
    pub fn handle_all_prepared(
        &mut self,
        now_ns: u64,
        prepared: Vec<(String, Result<(), String>)>,
    ) {
        for (name, result) in prepared {
            self.handle_prepared(now_ns, &name, result);
        }
    }

    /// Returns a polled step of a group, and the next ones that can be performed with it: equal steps of other groups
    /// that follow directly.
    pub fn poll_batch(&mut self, group: String, step: KernelStep) -> Vec<(String, KernelStep)> {
        let kind = discriminant(&step);
        let mut names = BTreeSet::from([group.clone()]);
        let mut alike = vec![(group, step)];
        while let Some(Action::Kernel(name, next)) = self.actions.front() {
            if discriminant(next) != kind || !names.insert(name.clone()) {
                break;
            }
            if let Some(Action::Kernel(name, next)) = self.actions.pop_front() {
                alike.push((name, next));
            }
        }
        alike
    }

    /// Orders the actions of several groups: first the actions for which their call waits, kind by kind, then the
    /// answers, then other actions in their order, then slow ones of the kernel.
    pub(super) fn sort_call_actions(&mut self, handle: impl FnOnce(&mut Self)) {
        self.sorted_by(step_of_call, handle);
    }

    /// Orders the actions of several groups at a timeout, so that the kernel can perform them in one step.
    /// Installations come before the roles, and removals after them.
    pub(super) fn sort_timeout_actions(&mut self, handle: impl FnOnce(&mut Self)) {
        self.sorted_by(step_in_time, handle);
    }

    /// Orders the actions of an elector's groups at its end: all leases are revoked before anything else.
    pub(super) fn sort_end_actions(&mut self, handle: impl FnOnce(&mut Self)) {
        self.sorted_by(step_at_end, handle);
    }

    fn sorted_by(&mut self, step: fn(&Action) -> u8, handle: impl FnOnce(&mut Self)) {
        let earlier = self.actions.len();
        handle(self);
        let mut new: Vec<Action> = self.actions.drain(earlier..).collect();
        new.sort_by_key(step);
        self.actions.extend(new);
    }
}

fn step_in_time(action: &Action) -> u8 {
    match action {
        Action::Kernel(_, KernelStep::EndCarry) => 0,
        Action::Kernel(_, KernelStep::Install) => 1,
        Action::Kernel(_, KernelStep::Remove) => 3,
        _ => 2,
    }
}

fn step_at_end(action: &Action) -> u8 {
    match action {
        Action::Kernel(_, KernelStep::RevokeLease) => 0,
        Action::Kernel(_, KernelStep::Remove) => 1,
        _ => 2,
    }
}

fn step_of_call(action: &Action) -> u8 {
    match action {
        Action::Kernel(_, KernelStep::RevokeLease) => 0,
        Action::Kernel(_, KernelStep::CarryLease) => 1,
        Action::Kernel(_, KernelStep::GrantLease { .. }) => 2,
        Action::Kernel(_, KernelStep::CheckClaim { .. }) => 3,
        Action::Answer { .. } => 4,
        Action::Kernel(_, KernelStep::Unprepare) => 5,
        Action::Kernel(_, KernelStep::Release) => 6,
        Action::Kernel(_, KernelStep::Remove) => 8,
        Action::Kernel(_, KernelStep::Install) => 9,
        _ => 7,
    }
}
