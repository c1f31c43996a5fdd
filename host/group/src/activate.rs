//! Performs the steps by which a group becomes active: its followers settle, then its addresses are installed.

use spared_contract::{Cause, Role};
use spared_message::notice::{Kind, Notice};

use super::{Action, Groups, KernelStep, Phase};

impl Groups {
    pub(super) fn become_active(&mut self, now_ns: u64, name: &str, cause: Cause) {
        self.epoch += 1;
        let epoch = self.epoch;
        let succeeded = self.complete_succession(name);
        let mut waiting = self.settlers(name);
        let until_ns = self.settle_until(now_ns);
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
        group.ended.set_succeeded(succeeded);
        let taken_back = group.offer.take();
        // If the peer switched the group over to this node, it had taken the group before.
        let released = group.ended.take_unconfirmed();
        let released = released.filter(|released| released.is_open(now_ns) && succeeded.is_none());
        let from = group.role;
        group.take_role(Role::Active, cause.clone());
        let lease_ms = group.claims.lease_ns / 1_000_000;
        group.phase = Phase::Settling {
            epoch,
            waiting: waiting.clone(),
            until_ns,
        };
        self.take_back(name, released, taken_back);
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
            let text = format!(
                "continued without {}: received records were not applied in time",
                late.join(", ")
            );
            self.warn(Kind::Plugin, name, "late", text);
        }
        self.kernel_step(name, KernelStep::Install);
    }
}
