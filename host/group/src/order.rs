//! Steps by which a group becomes active, resigns and is withdrawn.

use spared_message::notice::{Kind, Notice};
use spared_message::worker::{Cause, Role};
use spared_pair::CauseKind;

use super::switchover::Offer;
use super::{Action, Groups, Phase, Ticket};

impl Groups {
    pub(super) fn become_active(&mut self, now_ns: u64, name: &str, cause: Cause) {
        self.epoch += 1;
        let epoch = self.epoch;
        let succeeded = self.complete_succession(name);
        let mut waiting = self.settlers(name);
        let settle_ns = self.settle_ns;
        let Some(group) = self.groups.get_mut(name) else {
            return;
        };
        if group.role == Role::Active
            && matches!(group.phase, Phase::Settling { .. } | Phase::Installed)
        {
            group.cause = cause;
            return;
        }
        // Followers on a successor have settled already, and those of a group that is carried are still active.
        let carried = matches!(group.phase, Phase::Carrying { .. });
        if succeeded.is_some() || carried {
            waiting.clear();
        }
        group.succeeded = succeeded;
        let taken_back = group.offer.take();
        let given = group.given.take();
        let from = group.role;
        group.take_role(Role::Active, cause.clone());
        let lease_ms = group.claims.lease_ns / 1_000_000;
        let until_ns = now_ns.saturating_add(settle_ns);
        group.phase = Phase::Settling {
            epoch,
            waiting: waiting.clone(),
            until_ns,
        };
        self.take_back(name, given, taken_back);
        self.note_change(name, from, Role::Active, cause);
        if self.fenced {
            self.tell(
                Notice::new(Kind::Fence, format!("fence passing, {lease_ms} ms")).of_group(name),
            );
        }
        if !carried {
            self.end_missed_roles(now_ns, name);
        }
        for plugin in waiting {
            self.actions.push_back(Action::Settle {
                plugin,
                group: name.to_owned(),
                epoch,
                deadline_ns: until_ns,
            });
        }
        self.end_settling(now_ns, name);
    }

    pub(super) fn end_settling(&mut self, now_ns: u64, name: &str) {
        let Some(group) = self.groups.get_mut(name) else {
            return;
        };
        let Phase::Settling {
            waiting, until_ns, ..
        } = &group.phase
        else {
            return;
        };
        if !waiting.is_empty() && now_ns < *until_ns {
            return;
        }
        let late: Vec<String> = waiting.iter().cloned().collect();
        group.phase = Phase::Installed;
        group.installed = true;
        if !late.is_empty() {
            let text = format!("continued without {}: not settled in time", late.join(", "));
            self.tell(
                Notice::warn(Kind::Plugin, text)
                    .of_group(name)
                    .because("late"),
            );
        }
        self.actions.push_back(Action::Install {
            group: name.to_owned(),
        });
    }

    pub(super) fn resign(
        &mut self,
        now_ns: u64,
        ticket: Option<Ticket>,
        name: &str,
        role: Role,
        cause: Cause,
    ) {
        let settle_ns = self.settle_ns;
        let Some(group) = self.groups.get_mut(name) else {
            return;
        };
        let from = group.role;
        let open = matches!(group.phase, Phase::Settling { .. } | Phase::Installed);
        let released = group.offer.as_ref().and_then(Offer::carries_until_ns);
        group.succeeded = None;
        if let (true, Some(until_ns)) = (open, released) {
            self.actions.push_back(Action::CarryLease {
                group: name.to_owned(),
            });
            group.phase = Phase::Carrying { until_ns };
        } else if open {
            self.actions.push_back(Action::RevokeLease {
                group: name.to_owned(),
            });
            // Addresses that were not installed need not be removed.
            group.phase = if group.installed {
                Phase::Leaving {
                    until_ns: now_ns.saturating_add(settle_ns),
                }
            } else {
                Phase::Idle
            };
        }
        group.resign = None;
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
            self.actions.push_back(Action::Remove {
                group: name.to_owned(),
            });
        }
    }

    pub(super) fn withdraw(&mut self, name: &str, ticket: Option<Ticket>) {
        self.cancel(name, "it is no longer configured");
        self.drop_succession(name, Some("it is no longer configured there"));
        let group = self.groups.remove(name);
        if group
            .as_ref()
            .is_some_and(|group| group.phase != Phase::Idle)
        {
            self.actions.push_back(Action::RevokeLease {
                group: name.to_owned(),
            });
        }
        if let Some(ticket) = ticket {
            self.answer(ticket, 0);
        }
        let Some(mut group) = group else {
            return;
        };
        let from = group.role;
        let cause = Cause::new(CauseKind::Withdrawn, "");
        if from == Role::Active {
            self.note_change(name, from, Role::Backup, cause.clone());
        }
        self.actions.push_back(Action::Release {
            group: name.to_owned(),
        });
        group.take_role(Role::Backup, cause);
        self.dismiss(name, &group);
    }
}
