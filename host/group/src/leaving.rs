//! Performs the steps by which a group leaves this node: it resigns, packets that still arrive are carried, followers
//! become backup, and then the addresses are removed.

use spared_contract::{Cause, Role};
use spared_verdict::CauseKind;
use spared_verdict::Sentence as _;

use super::switchover::Offer;
use super::{Action, Groups, KernelStep, Phase, Ticket};

impl Groups {
    pub(super) fn resign(
        &mut self,
        now_ns: u64,
        ticket: Option<Ticket>,
        name: &str,
        role: Role,
        cause: Cause,
    ) {
        let settled_ns = self.settle_until(now_ns);
        let Some(group) = self.groups.get_mut(name) else {
            return;
        };
        let from = group.role;
        let open = matches!(group.phase, Phase::Settling { .. } | Phase::Installed);
        let released = group.offer.as_ref().and_then(Offer::carries_until_ns);
        group.ended.set_succeeded(None);
        if let (true, Some(until_ns)) = (open, released) {
            let step = Action::Kernel(name.to_owned(), KernelStep::CarryLease);
            self.actions.push_back(step);
            group.phase = Phase::Carrying { until_ns };
        } else if open {
            let step = Action::Kernel(name.to_owned(), KernelStep::RevokeLease);
            self.actions.push_back(step);
            // Addresses that were not installed need not be removed.
            group.phase = if group.installed {
                Phase::Leaving {
                    until_ns: settled_ns,
                }
            } else {
                Phase::Idle
            };
        }
        group.eligibility.handle_resigned();
        if from == role {
            group.cause = cause.clone();
        } else {
            group.take_role(role, cause.clone());
            self.note_change(name, from, role, cause.clone());
        }
        if let Some(ticket) = ticket {
            self.answer(ticket, 0);
        }
        let text = format!("{}: {}", super::name_of(role), cause.clause(role));
        self.cancel(name, &text);
        if role == Role::Fault {
            self.drop_succession(name, Some(&cause.clause(role)));
        }
        self.deliver_role(now_ns, name);
        self.end_leaving(now_ns, name);
        if open {
            self.send_directive(name);
        }
    }

    pub(super) fn end_leaving(&mut self, now_ns: u64, name: &str) {
        let Some(group) = self.groups.get_mut(name) else {
            return;
        };
        let Phase::Leaving { until_ns } = group.phase else {
            return;
        };
        if group.is_delivered() || now_ns >= until_ns {
            group.phase = Phase::Idle;
            group.installed = false;
            self.kernel_step(name, KernelStep::Remove);
        }
    }

    /// Stops carrying packets when the time is over. Followers then become backup, and the addresses are removed.
    pub(super) fn end_carrying(&mut self, now_ns: u64, name: &str) {
        let settled_ns = self.settle_until(now_ns);
        let Some(group) = self.groups.get_mut(name) else {
            return;
        };
        let Phase::Carrying { until_ns } = group.phase else {
            return;
        };
        if now_ns < until_ns {
            return;
        }
        group.phase = Phase::Leaving {
            until_ns: settled_ns,
        };
        self.kernel_step(name, KernelStep::EndCarry);
        self.deliver_role(now_ns, name);
        self.end_leaving(now_ns, name);
    }

    pub(super) fn withdraw(&mut self, name: &str, ticket: Option<Ticket>) {
        let from = self.close_withdrawn(name);
        if let Some(ticket) = ticket {
            self.answer(ticket, 0);
        }
        let Some(from) = from else {
            return;
        };
        if from == Role::Active {
            let cause = Cause::new(CauseKind::Withdrawn, "");
            self.note_change(name, from, Role::Backup, cause);
        }
        self.cancel(name, "it is no longer configured");
        self.end_unheard(name);
        self.drop_succession(name, Some("it is no longer configured there"));
        self.kernel_step(name, KernelStep::Release);
        if let Some(group) = self.groups.remove(name) {
            self.dismiss(name, &group);
        }
    }

    // Closes a withdrawn group. Returns its last role; None if there is no such group.
    fn close_withdrawn(&mut self, name: &str) -> Option<Role> {
        let group = self.groups.get_mut(name)?;
        let from = group.role;
        group.take_role(Role::Backup, Cause::new(CauseKind::Withdrawn, ""));
        if std::mem::replace(&mut group.phase, Phase::Idle) != Phase::Idle {
            self.kernel_step(name, KernelStep::RevokeLease);
        }
        Some(from)
    }
}
