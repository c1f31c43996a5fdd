//! Calls of plugins about several groups: an answer is sent when the status of each element is known.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use spared_abi::GROUPS_MAX;
use spared_group::{Action, Ticket};
use spared_process::clock;
use spared_worker::message::{Call, ToWorker};

use super::core::Core;
use crate::events::{Kind, Notice};

/// Statuses that are known, by plugin and number of the call.
#[derive(Debug, Default)]
pub struct Calls(BTreeMap<(String, u64), Vec<Option<i32>>>);

impl Calls {
    fn begin(&mut self, plugin: &str, number: u64, count: usize) {
        let call = (plugin.to_owned(), number);
        self.0.insert(call, vec![None; count]);
    }

    /// Takes the status of one element; the statuses of all of them, once the last one is known.
    fn answer(&mut self, ticket: &Ticket, status: i32) -> Option<Vec<i32>> {
        let call = (ticket.plugin.clone(), ticket.number);
        let Some(statuses) = self.0.get_mut(&call) else {
            return Some(vec![status]);
        };
        if let Some(known) = statuses.get_mut(ticket.part) {
            *known = Some(status);
        }
        let all: Option<Vec<i32>> = statuses.iter().copied().collect();
        if all.is_some() {
            self.0.remove(&call);
        }
        all
    }

    /// Forgets the calls of a worker that has ended.
    pub fn forget(&mut self, plugin: &str) {
        self.0.retain(|(of, _), _| of != plugin);
    }
}

impl Core {
    /// Handles a call of an elector about groups.
    pub(super) fn handle_group_call(
        &mut self,
        now: Instant,
        plugin: &str,
        number: u64,
        call: Call,
    ) {
        let names: Vec<String> = match &call {
            Call::Claim { groups } => groups.iter().map(|(name, _)| name.clone()).collect(),
            Call::Publish { groups } => groups.iter().map(|(name, _)| name.clone()).collect(),
            Call::Announce { groups } => groups.clone(),
            _ => return,
        };
        let ticket = |part| Ticket {
            plugin: plugin.to_owned(),
            number,
            part,
        };
        self.calls.begin(plugin, number, names.len());
        // The worker has refused what is refused here, but may be compromised.
        let is_long = names.len() > GROUPS_MAX as usize;
        let refused = match self.supervisor.provides_groups(plugin) {
            // The extension is offered to all plugins; only electors may call it.
            false => Some(-libc::EPERM),
            true if is_long || names.iter().collect::<BTreeSet<_>>().len() != names.len() => {
                Some(-libc::EINVAL)
            }
            true => None,
        };
        if let Some(status) = refused.or(names.is_empty().then_some(0)) {
            (0..names.len().max(1)).for_each(|part| self.answer_call(now, &ticket(part), status));
            return;
        }
        let tickets = (0..names.len()).map(ticket);
        match call {
            Call::Claim { groups } => {
                let claims = tickets.zip(groups);
                let claims = claims.map(|(ticket, (name, claims))| (ticket, name, claims));
                self.groups.handle_claims(claims.collect());
            }
            Call::Publish { groups } => {
                let now_ns = clock::monotonic_ns();
                let roles = tickets.zip(groups);
                let roles = roles.map(|(ticket, (name, role))| (ticket, name, role));
                self.groups.handle_publications(now_ns, roles.collect());
            }
            _ => {
                let groups = tickets.zip(names).collect();
                self.groups.handle_announcements(groups);
            }
        }
    }

    pub(super) fn answer_call(&mut self, now: Instant, ticket: &Ticket, status: i32) {
        let Some(statuses) = self.calls.answer(ticket, status) else {
            return;
        };
        let number = ticket.number;
        let message = ToWorker::Answer { number, statuses };
        self.supervisor.send(now, &ticket.plugin, &message, &[]);
    }

    /// Performs actions of one kind, of several groups, in one step.
    pub(super) fn perform_together(&mut self, actions: Vec<Action>) {
        let (mut checks, mut claims, mut grants) = (Vec::new(), Vec::new(), Vec::new());
        let (mut revoked, mut announced) = (Vec::new(), Vec::new());
        for action in actions {
            match action {
                Action::CheckClaim {
                    ticket,
                    group,
                    claims,
                } => checks.push((ticket, group, claims)),
                Action::Claim { group, claims: all } => {
                    let all = self.with_additions(&group, all);
                    claims.push((group, all));
                }
                Action::GrantLease {
                    ticket,
                    group,
                    publication,
                } => grants.push((ticket, group, publication)),
                Action::RevokeLease { group } => revoked.push(group),
                Action::Announce { group } => announced.push(group),
                _ => {}
            }
        }
        if !checks.is_empty() {
            let wanted = checks
                .iter()
                .map(|(_, name, claims)| (name.as_str(), claims));
            let wanted: Vec<_> = wanted.collect();
            let results = self.kernel.check_claims(&wanted);
            let checks = checks.into_iter().zip(results);
            let checks = checks.map(|((ticket, name, claims), result)| {
                (
                    ticket,
                    name,
                    claims,
                    result.map_err(|error| error.to_string()),
                )
            });
            self.groups.handle_checks(checks.collect());
        }
        if !claims.is_empty() {
            let results = self.kernel.claim_all(claims);
            let now_ns = clock::monotonic_ns();
            for (name, result) in results {
                self.groups.handle_claimed(now_ns, &name, result);
            }
        }
        if !grants.is_empty() {
            let wanted = grants.iter();
            let wanted = wanted.map(|(_, name, it)| (name.as_str(), it.reopens));
            let results = self.kernel.grant_leases(&wanted.collect::<Vec<_>>());
            // Read after the call: this process may have been stopped before or during it.
            let now_ns = clock::monotonic_ns();
            let granted = grants.into_iter().zip(results);
            let granted = granted.map(|((ticket, name, it), result)| (ticket, name, it, result));
            self.groups.handle_leases(now_ns, granted.collect());
        }
        self.revoke_leases(&revoked);
        if !announced.is_empty() {
            let groups = announced.iter().map(String::as_str);
            self.kernel.announce_all(groups);
        }
    }

    /// Revokes leases. Those that cannot be revoked expire by themselves; the addresses are removed
    /// at once instead.
    pub(super) fn revoke_leases(&mut self, groups: &[String]) {
        let names: Vec<&str> = groups.iter().map(String::as_str).collect();
        let Err(error) = self.kernel.revoke_leases(&names) else {
            return;
        };
        for group in names {
            let text = format!("the fence cannot block, so the addresses go at once: {error}");
            let notice = Notice::warn(Kind::Fence, text).of_group(group);
            self.events.record(notice.because("kernel"));
            self.remove(group);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_array_is_answered_when_its_last_element_is() {
        let mut calls = Calls::default();
        let ticket = |number, part| Ticket {
            plugin: "vrrp".to_owned(),
            number,
            part,
        };
        calls.begin("vrrp", 7, 3);
        assert_eq!(calls.answer(&ticket(7, 2), -5), None);
        assert_eq!(calls.answer(&ticket(7, 0), 0), None);
        assert_eq!(
            calls.answer(&ticket(8, 0), -1),
            Some(vec![-1]),
            "another call"
        );
        assert_eq!(calls.answer(&ticket(7, 99), 0), None, "no such element");
        assert_eq!(calls.answer(&ticket(7, 1), 0), Some(vec![0, 0, -5]));
        calls.begin("vrrp", 9, 2);
        calls.forget("vrrp");
        assert_eq!(calls.answer(&ticket(9, 1), 0), Some(vec![0]));
    }
}
