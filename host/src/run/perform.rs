//! Performs the actions of the groups in order: passes each to its owner.

use std::time::Instant;

use spared_contract::ToPlugin;
use spared_group::{Action, KernelStep, ROLE_DEADLINE_NS};

use super::r#loop::Loop;

impl Loop {
    pub(super) fn perform(&mut self, action: Action) {
        let now = Instant::now();
        if !matches!(
            action,
            Action::Answer { .. }
                | Action::Kernel(_, KernelStep::Announce)
                | Action::Directive { .. }
        ) {
            self.pair.touch();
        }
        match action {
            Action::Answer { ticket, status } => self.supervisor.answer_call(now, &ticket, status),
            Action::Kernel(group, step) => {
                let notices = self.network.perform(&mut self.groups, group, step);
                self.record(notices);
            }
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
            Action::Late {
                plugin,
                group,
                role,
            } => {
                let role = role.word();
                let after_s = ROLE_DEADLINE_NS / 1_000_000_000;
                let why = format!("it had not finished \"{role}\" after {after_s} s");
                self.pair.handle_role(plugin, group, Err(why));
            }
            Action::Directive { plugin, directive } => {
                self.supervisor
                    .send(now, &plugin, &ToPlugin::Directive(directive), &[]);
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
            Action::Say(word) => {
                self.link.say(now, word);
            }
            Action::SwitchedOver {
                client_request,
                result,
            } => self.handle_switched_over(now, client_request, result),
            Action::Changed {
                group,
                from,
                to,
                cause,
            } => {
                let (own, peer) = (self.view().fitness(), self.view().peer_fitness());
                let change = (from, to);
                self.pair.handle_change(&group, change);
                self.notices.record_change(group, change, cause, own, peer);
            }
            Action::Tell(news) => self.notices.record(news),
        }
    }
}
