//! Performs the actions of the groups, in order.

use std::time::Instant;

use spared_group::Action;
use spared_kernel::{Installed, KernelError};
use spared_process::clock;
use spared_worker::message::ToWorker;

use super::core::Core;
use crate::events::{Kind, Notice};

impl Core {
    pub(super) fn perform(&mut self, action: Action) {
        let now = Instant::now();
        self.kernel_touched = true;
        self.pair.touched |= !matches!(
            action,
            Action::Answer { .. } | Action::Announce { .. } | Action::Directive { .. }
        );
        match action {
            Action::Answer { ticket, status } => self.answer_call(now, &ticket, status),
            Action::CheckClaim {
                ticket,
                group,
                claims,
            } => {
                let result = self.kernel.check_claim(&group, &claims);
                let result = result.map_err(|error| error.to_string());
                self.groups.handle_checked(ticket, &group, claims, result);
            }
            Action::Claim { group, claims } => {
                let result = self.kernel.claim(&group, claims);
                let result = result.map_err(|error| error.to_string());
                let now_ns = clock::monotonic_ns();
                self.groups.handle_claimed(now_ns, &group, result);
            }
            Action::Release { group } => self.kernel.release(&group),
            Action::GrantLease {
                ticket,
                group,
                publication,
            } => {
                let result = match publication.reopens {
                    true => self.kernel.reopen_lease(&group),
                    false => self.kernel.grant_lease(&group),
                };
                let result = result.map_err(|error| error.to_string());
                // Read after the call: this process may have been stopped before or during it.
                let now_ns = clock::monotonic_ns();
                self.groups
                    .handle_lease(now_ns, ticket, &group, publication, result);
            }
            Action::RevokeLease { group } => self.revoke_lease(&group),
            Action::Install { group } => {
                let result = said(self.kernel.install(&group));
                self.groups
                    .handle_installed(clock::monotonic_ns(), &group, result);
            }
            Action::Remove { group } => self.remove(&group),
            Action::Announce { group } => self.kernel.announce(&group),
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
                let why = self.sentence(order.published, &order.cause);
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
                self.mark(id, channels.into_iter().collect());
            }
            Action::CarryLease { group } => self.carry_lease(&group),
            Action::EndCarry { group } => self.end_carry(&group),
            Action::Prepare { group } => self.prepare(&group),
            Action::Unprepare { group } => self.unprepare(&group),
            Action::Say(word) => {
                self.say(word);
            }
            Action::SwitchedOver { wish, result } => self.handle_wish_ended(now, wish, result),
            Action::Changed {
                group,
                from,
                to,
                cause,
            } => self.record_change(group, from, to, cause),
            Action::Tell(news) => self.events.record(news),
        }
    }

    // A lease that cannot be revoked expires by itself; the addresses are removed at once instead.
    pub(super) fn revoke_lease(&mut self, group: &str) {
        if let Err(error) = self.kernel.revoke_lease(group) {
            let text = format!("the fence cannot block, so the addresses go at once: {error}");
            self.events.record(
                Notice::warn(Kind::Fence, text)
                    .of_group(group)
                    .because("kernel"),
            );
            self.remove(group);
        }
    }

    fn remove(&mut self, group: &str) {
        for failure in self.kernel.remove(group) {
            log::warn!("{group}: {failure}");
        }
    }
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
