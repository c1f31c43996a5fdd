//! Performs the actions of the groups, in order.

use std::time::Instant;

use spared_group::Action;
use spared_kernel::{Installed, KernelError};
use spared_message::notice::{Kind, Notice};
use spared_process::clock;
use spared_worker::message::ToWorker;

use super::r#loop::Loop;

impl Loop {
    pub(super) fn perform(&mut self, action: Action) {
        let now = Instant::now();
        if !matches!(
            action,
            Action::Answer { .. } | Action::Announce { .. } | Action::Directive { .. }
        ) {
            self.pair.touch();
        }
        match action {
            Action::Answer { ticket, status } => self.supervisor.answer_call(now, &ticket, status),
            Action::CheckClaim { .. }
            | Action::Claim { .. }
            | Action::GrantLease { .. }
            | Action::RevokeLease { .. }
            | Action::CarryLease { .. }
            | Action::EndCarry { .. }
            | Action::Install { .. }
            | Action::Prepare { .. }
            | Action::Remove { .. }
            | Action::Announce { .. } => {
                let actions = self.groups.poll_alike(action);
                self.perform_together(actions);
            }
            Action::Release { group } => self.network.kernel_mut().release(&group),
            Action::Settle {
                plugin,
                group,
                epoch,
                deadline_ns,
            } => {
                self.supervisor
                    .settle(now, &plugin, group, epoch, deadline_ns);
            }
            Action::Role { plugin, order } => {
                let why = self.view().sentence(order.published, &order.cause);
                self.supervisor.role(now, &plugin, order, why);
            }
            Action::Directive { plugin, directive } => {
                self.supervisor
                    .send(now, &plugin, &ToWorker::Directive(directive), &[]);
            }
            Action::Drain {
                plugin,
                group,
                epoch,
                deadline_ns,
            } => {
                self.supervisor
                    .drain(now, &plugin, group, epoch, deadline_ns);
            }
            Action::Mark { id, channels } => {
                self.link.mark(now, id, channels.into_iter().collect());
            }
            Action::Unprepare { group } => self.unprepare(&group),
            Action::Say(word) => {
                self.link.say(now, word);
            }
            Action::SwitchedOver { wish, result } => self.handle_wish_ended(now, wish, result),
            Action::Changed {
                group,
                from,
                to,
                cause,
            } => {
                let (own, peer) = (self.view().fitness(), self.view().peer_fitness());
                let change = (from, to);
                self.notices.record_change(group, change, cause, own, peer);
            }
            Action::Tell(news) => self.notices.record(news),
        }
    }

    /// Performs actions of one kind, of several groups, in one step.
    fn perform_together(&mut self, actions: Vec<Action>) {
        let (mut checks, mut claims, mut grants) = (Vec::new(), Vec::new(), Vec::new());
        let (mut revoked, mut announced) = (Vec::new(), Vec::new());
        let (mut carried, mut ended) = (Vec::new(), Vec::new());
        let (mut prepared, mut installed, mut removed) = (Vec::new(), Vec::new(), Vec::new());
        for action in actions {
            match action {
                Action::CheckClaim {
                    ticket,
                    group,
                    claims,
                } => checks.push((ticket, group, claims)),
                Action::Claim { group, claims: all } => {
                    let all = self.network.with_additions(&group, all);
                    claims.push((group, all));
                }
                Action::GrantLease {
                    ticket,
                    group,
                    publication,
                } => grants.push((ticket, group, publication)),
                Action::RevokeLease { group } => revoked.push(group),
                Action::Announce { group } => announced.push(group),
                Action::CarryLease { group } => carried.push(group),
                Action::EndCarry { group } => ended.push(group),
                Action::Prepare { group } => prepared.push(group),
                Action::Install { group } => installed.push(group),
                Action::Remove { group } => removed.push(group),
                _ => {}
            }
        }
        if !checks.is_empty() {
            let wanted = checks
                .iter()
                .map(|(_, name, claims)| (name.as_str(), claims));
            let wanted: Vec<_> = wanted.collect();
            let results = self.network.kernel().check_claims(&wanted);
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
            let results = self.network.kernel_mut().claim_all(claims);
            let now_ns = clock::monotonic_ns();
            for (name, result) in results {
                self.groups.handle_claimed(now_ns, &name, result);
            }
        }
        if !grants.is_empty() {
            let wanted = grants.iter();
            let wanted = wanted.map(|(_, name, it)| (name.as_str(), it.reopens));
            let results = self
                .network
                .kernel_mut()
                .grant_leases(&wanted.collect::<Vec<_>>());
            // Read after the call: this process may have been stopped before or during it.
            let now_ns = clock::monotonic_ns();
            let granted = grants.into_iter().zip(results);
            let granted = granted.map(|((ticket, name, it), result)| (ticket, name, it, result));
            self.groups.handle_leases(now_ns, granted.collect());
        }
        self.revoke_leases(&revoked);
        self.carry_leases(&carried);
        self.end_carries(&ended);
        self.prepare(&prepared);
        self.install(&installed);
        self.remove(&removed);
        if !announced.is_empty() {
            let groups = announced.iter().map(String::as_str);
            self.network.kernel_mut().announce_all(groups);
        }
    }

    /// Revokes leases. Those that cannot be revoked expire by themselves; the addresses are removed
    /// at once instead.
    fn revoke_leases(&mut self, groups: &[String]) {
        let Err(error) = self.network.kernel_mut().revoke_leases(&refs(groups)) else {
            return;
        };
        for group in groups {
            let text = format!("the fence cannot block, so the addresses go at once: {error}");
            let notice = Notice::warn(Kind::Fence, text).of_group(group);
            self.notices.record(notice.because("kernel"));
        }
        self.remove(groups);
    }

    fn prepare(&mut self, groups: &[String]) {
        if groups.is_empty() {
            return;
        }
        let results = self.network.kernel_mut().prepare_all(&refs(groups));
        let results = results
            .into_iter()
            .map(|it| it.map_err(|error| error.to_string()));
        let results = groups.iter().cloned().zip(results);
        self.groups
            .handle_all_prepared(clock::monotonic_ns(), results.collect());
    }

    fn unprepare(&mut self, group: &str) {
        for failure in self.network.kernel_mut().unprepare(group) {
            log::warn!("{group}: {failure}");
        }
    }

    // Leases that cannot be carried are revoked: packets are lost for a moment, but this node no longer
    // answers for the addresses.
    fn carry_leases(&mut self, groups: &[String]) {
        let Err(error) = self.network.kernel_mut().carry_leases(&refs(groups)) else {
            return;
        };
        for group in groups {
            let text =
                format!("packets that arrive here during the switchover are dropped: {error}");
            self.notices.record(
                Notice::warn(Kind::Fence, text)
                    .of_group(group)
                    .because("kernel"),
            );
        }
        self.revoke_leases(groups);
    }

    fn end_carries(&mut self, groups: &[String]) {
        if let Err(error) = self.network.kernel_mut().end_carries(&refs(groups)) {
            let groups = groups.join(", ");
            log::warn!("{groups}: {error}; what is carried ends by itself");
        }
    }

    fn install(&mut self, groups: &[String]) {
        if groups.is_empty() {
            return;
        }
        let results = self.network.kernel_mut().install_all(&refs(groups));
        let results = groups.iter().cloned().zip(results.into_iter().map(said));
        self.groups
            .handle_all_installed(clock::monotonic_ns(), results.collect());
    }

    fn remove(&mut self, groups: &[String]) {
        for failure in self.network.kernel_mut().remove_all(&refs(groups)) {
            log::warn!("{failure}");
        }
    }
}

fn refs(groups: &[String]) -> Vec<&str> {
    groups.iter().map(String::as_str).collect()
}

// A failure only if the kernel refused all addresses; otherwise the others are kept.
fn said(result: Result<Installed, KernelError>) -> Result<String, String> {
    let installed = result.map_err(|error| error.to_string())?;
    for failure in &installed.failures {
        log::error!("{failure}");
    }
    if installed.addresses.is_empty() {
        return Ok("no addresses".to_owned());
    }
    let failed = installed.failures.first().map(ToString::to_string);
    match failed {
        Some(failed) if installed.failures.len() >= installed.addresses.len() => Err(failed),
        _ => Ok(format!("{}, announced", installed.addresses.join(", "))),
    }
}
