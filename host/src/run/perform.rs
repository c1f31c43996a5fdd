//! Performs the actions of the groups, in order.

use std::time::Instant;

use spared_group::Action;
use spared_kernel::{Installed, KernelError};
use spared_process::clock;
use spared_worker::message::ToWorker;

use super::core::Core;

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
            Action::CheckClaim { .. }
            | Action::Claim { .. }
            | Action::GrantLease { .. }
            | Action::RevokeLease { .. }
            | Action::Announce { .. } => {
                let actions = self.groups.poll_alike(action);
                self.perform_together(actions);
            }
            Action::Release { group } => self.kernel.release(&group),
            Action::Install { group } => {
                let result = said(self.kernel.install(&group));
                self.groups
                    .handle_installed(clock::monotonic_ns(), &group, result);
            }
            Action::Remove { group } => self.remove(&group),
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

    pub(super) fn revoke_lease(&mut self, group: &str) {
        self.revoke_leases(&[group.to_owned()]);
    }

    pub(super) fn remove(&mut self, group: &str) {
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
