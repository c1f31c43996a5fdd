//! Performs actions as host, kernel and link would.

use spared_message::word::Word;
use spared_verdict::Sentence as _;

use super::pair::*;
use super::*;

impl Pair {
    pub fn perform_all(&mut self, node: usize) {
        while let Some(action) = self.nodes[node].groups.poll_action() {
            self.perform(node, action);
        }
    }

    pub(super) fn perform(&mut self, node: usize, action: Action) {
        let now_ns = self.now_ns();
        self.steps.extend(step_of(node, &action));
        match action {
            Action::Answer { ticket, status } => self.answered(node, ticket.number, status),
            Action::Kernel(group, KernelStep::CheckClaim { ticket, claims }) => {
                let groups = &mut self.nodes[node].groups;
                groups.handle_checked(ticket, &group, claims, Ok(()));
            }
            Action::Kernel(group, KernelStep::Claim(_)) => {
                self.nodes[node]
                    .groups
                    .handle_claimed(now_ns, &group, Ok(()));
            }
            Action::Kernel(
                group,
                KernelStep::GrantLease {
                    ticket,
                    publication,
                },
            ) => {
                let kernel = self.kernel(node, &group);
                (kernel.lease_until, kernel.carry_until) = (now_ns + LEASE, 0);
                let groups = &mut self.nodes[node].groups;
                groups.handle_lease(now_ns, ticket, &group, publication, Ok(()));
            }
            Action::Kernel(group, KernelStep::RevokeLease) => {
                let kernel = self.kernel(node, &group);
                (kernel.lease_until, kernel.carry_until) = (0, 0);
            }
            Action::Kernel(group, KernelStep::CarryLease) => {
                let kernel = self.kernel(node, &group);
                let lives = now_ns < kernel.lease_until;
                kernel.carry_until = if lives { now_ns + CARRY } else { 0 };
                kernel.lease_until = 0;
            }
            Action::Kernel(group, KernelStep::EndCarry) => {
                self.kernel(node, &group).carry_until = 0
            }
            Action::Kernel(group, KernelStep::Install) => {
                let kernel = self.kernel(node, &group);
                (kernel.installed, kernel.prepared) = (true, false);
                let groups = &mut self.nodes[node].groups;
                groups.handle_installed(now_ns, &group, Ok(String::new()));
            }
            Action::Kernel(group, KernelStep::Remove)
            | Action::Kernel(group, KernelStep::Release) => {
                let kernel = self.kernel(node, &group);
                (kernel.installed, kernel.prepared) = (false, false);
            }
            Action::Kernel(group, KernelStep::Prepare) => {
                self.kernel(node, &group).prepared = true;
                self.nodes[node]
                    .groups
                    .handle_prepared(now_ns, &group, Ok(()));
            }
            Action::Kernel(group, KernelStep::Unprepare) => {
                self.kernel(node, &group).prepared = false
            }
            Action::Kernel(_, KernelStep::Announce) => {}
            Action::Drain {
                plugin,
                group,
                epoch,
                ..
            } => {
                let drained = Happening::Drained(plugin, group, epoch, 0);
                self.plan(self.delays.drain, node, drained);
            }
            Action::Settle {
                plugin,
                group,
                epoch,
                ..
            } => {
                let settled = Happening::Settled(plugin, group, epoch);
                self.plan(self.delays.settle, node, settled);
            }
            Action::Role { plugin, order } => {
                if plugin == "ct" {
                    self.nodes[node]
                        .roles
                        .push((order.group.clone(), order.role));
                }
                let done = Happening::RoleDone(plugin, order.group, order.epoch);
                self.plan(self.delays.role, node, done);
            }
            Action::Mark { id, channels } => {
                let linked = self.link;
                for channel in channels.into_iter().filter(|_| linked) {
                    let mark = Happening::Mark(id, channel);
                    self.plan(self.delays.link, 1 - node, mark);
                }
            }
            Action::Say(word) if self.link => {
                self.plan(self.delays.link, 1 - node, Happening::Word(word));
            }
            Action::Say(_) => {}
            Action::Directive { directive, .. } => self.directive(node, &directive),
            Action::SwitchedOver {
                client_request,
                result,
            } => self.nodes[node].ended.push((client_request, result)),
            Action::Changed {
                from, to, cause, ..
            } => {
                let text = format!("{} -> {}: {}", name_of(from), name_of(to), cause.clause(to));
                self.nodes[node].told.push(text);
            }
            Action::Late { .. } => {}
            Action::Tell(news) => self.nodes[node].told.push(news.text),
        }
    }
}

fn step_of(node: usize, action: &Action) -> Option<String> {
    let what = match action {
        Action::Say(Word::Offer { .. }) => "offers".to_owned(),
        Action::Say(Word::Prepared { .. }) => "is prepared".to_owned(),
        Action::Say(Word::Took { .. }) => "took".to_owned(),
        Action::Drain { plugin, .. } => format!("drain {plugin}"),
        Action::Mark { channels, .. } => format!("mark {channels:?}"),
        Action::Settle { plugin, .. } => format!("settle {plugin}"),
        Action::Kernel(_, KernelStep::Prepare) => "prepare".to_owned(),
        Action::Kernel(_, KernelStep::CarryLease) => "carry".to_owned(),
        Action::Kernel(_, KernelStep::GrantLease { .. }) => "grant".to_owned(),
        Action::Kernel(_, KernelStep::Install) => "install".to_owned(),
        Action::Kernel(_, KernelStep::EndCarry) => "end carry".to_owned(),
        Action::Role { plugin, order } => format!("role {plugin} {}", name_of(order.role)),
        Action::Kernel(_, KernelStep::Remove) => "remove".to_owned(),
        _ => return None,
    };
    Some(format!("{node}: {what}"))
}
