//! Handles calls of the elector, which waits for each answer, and the kernel's results for them.

use spared_contract::{Cause, Claims, Publication, Role};
use spared_message::notice::{Kind, Notice};
use spared_verdict::{CauseKind, UNARMED};

use super::{
    EBUSY, ECANCELED, EIO, ENOENT, ETIMEDOUT, Group, Groups, KernelStep, Phase, Ticket, is_late,
};

// Maximum number of groups. Lease keys and the lists in the facts are made for no more.
pub(super) const GROUPS_MAX: usize = spared_abi::GROUPS_MAX as usize;

impl Groups {
    /// Handles a claim, by which the elector declares, replaces or withdraws a group.
    pub fn handle_claim(&mut self, ticket: Ticket, name: String, claims: Option<Claims>) {
        let owner = self.groups.get(&name).map(|group| group.owner.as_str());
        if owner.is_some_and(|owner| owner != ticket.plugin) {
            let owner = owner.unwrap_or_default();
            let text = format!("claim by {} refused: it belongs to {owner}", ticket.plugin);
            self.tell(Notice::warn(Kind::Plugin, text).of_group(&name));
            return self.answer(ticket, EBUSY);
        }
        match claims {
            Some(claims) => self.kernel_step(&name, KernelStep::CheckClaim { ticket, claims }),
            None => self.withdraw(&name, Some(ticket)),
        }
    }

    /// Handles the check of a claim. The elector is answered before the claim is sent to the kernel, which may wait for
    /// locks. Adverts must not wait for that.
    pub fn handle_checked(
        &mut self,
        ticket: Ticket,
        name: &str,
        claims: Claims,
        result: Result<(), String>,
    ) {
        if let Err(why) = result {
            let text = format!("its claim is refused: {why}");
            self.tell(Notice::warn(Kind::Plugin, text).of_group(name));
            return self.answer(ticket, -libc::EINVAL);
        }
        let is_full = self.groups.len() >= GROUPS_MAX;
        match self.groups.get_mut(name) {
            Some(group) => {
                group.claims = claims.clone();
                group.stale = false;
            }
            None if is_full => {
                let text = format!("its claim is refused: a node has at most {GROUPS_MAX} groups");
                self.tell(Notice::warn(Kind::Plugin, text).of_group(name));
                return self.answer(ticket, -libc::EINVAL);
            }
            None => {
                let group = Group::new(ticket.plugin.clone(), claims.clone(), self.clock);
                self.groups.insert(name.to_owned(), group);
            }
        }
        self.answer(ticket, 0);
        self.kernel_step(name, KernelStep::Claim(claims));
    }

    /// Handles the kernel's result of a claim. If it failed, the fence cannot pass for the group.
    pub fn handle_claimed(&mut self, now_ns: u64, name: &str, result: Result<(), String>) {
        if let Err(why) = result {
            let text = format!("its claim is not in the kernel: {why}");
            self.tell(Notice::warn(Kind::Plugin, text).of_group(name));
        }
        if self.inherited.take(now_ns, name) {
            self.note_was_active(now_ns, name);
        }
        self.send_directive(name);
        self.deliver_role(now_ns, name);
    }

    /// Handles a role that the elector publishes. `now_ns` is the time at which the call was read, not earlier: this
    /// process may have been suspended in between.
    pub fn handle_publish(
        &mut self,
        now_ns: u64,
        ticket: Ticket,
        name: &str,
        publication: Publication,
    ) {
        let Publication {
            role,
            ref cause,
            sent_ns,
            ..
        } = publication;
        let closing = self.is_closing();
        let Some(group) = self.groups.get_mut(name) else {
            return self.answer(ticket, ENOENT);
        };
        if group.owner != ticket.plugin {
            return self.answer(ticket, EBUSY);
        }
        if role != Role::Active {
            if role == Role::Backup && !is_late(now_ns, sent_ns) {
                group.handle_released(now_ns);
            }
            return self.resign(now_ns, Some(ticket), name, role, publication.cause);
        }
        if self.condition.unarmed {
            let cause = Cause::new(CauseKind::Barred, UNARMED);
            self.resign(now_ns, None, name, Role::Backup, cause);
            return self.answer(ticket, ECANCELED);
        }
        if is_late(now_ns, sent_ns) || closing {
            return self.refuse_active(now_ns, ticket, name);
        }
        if group.is_stale(now_ns, cause) {
            self.drop_after_suspension(now_ns, name);
            return self.refuse_active(now_ns, ticket, name);
        }
        if group.role != Role::Active {
            group.decided_ns = sent_ns;
        }
        let step = KernelStep::GrantLease {
            ticket,
            publication,
        };
        self.kernel_step(name, step);
    }

    /// Handles a more exact cause for the role that the elector published.
    pub fn handle_explain(
        &mut self,
        now_ns: u64,
        ticket: Ticket,
        name: &str,
        role: Role,
        cause: Cause,
    ) {
        let Some(group) = self.groups.get_mut(name) else {
            return self.answer(ticket, ENOENT);
        };
        if group.owner != ticket.plugin {
            return self.answer(ticket, EBUSY);
        }
        let (has_it, kind) = (group.role == role, cause.kind);
        if has_it {
            group.cause = cause;
        }
        self.answer(ticket, 0);
        if has_it && role == Role::Active && kind == CauseKind::Conflict {
            self.repeat_role(now_ns, name);
        }
    }

    // Refuses a request to become active. The elector's call is too late, or depends on a switchover that was taken
    // back.
    fn refuse_active(&mut self, now_ns: u64, ticket: Ticket, name: &str) {
        let status = if self.is_closing() {
            ECANCELED
        } else {
            ETIMEDOUT
        };
        if !self.is_closing() {
            let text = "its request to become active came too late and is refused";
            self.warn(Kind::Fence, name, "late", text);
        }
        let cause = Cause::new(
            CauseKind::Late,
            "the decision to become active came too late",
        );
        self.resign(now_ns, None, name, Role::Backup, cause);
        self.answer(ticket, status);
    }

    /// Handles the result of granting a lease. `now_ns` is read after the grant: this process may be suspended at any
    /// time, and no addresses may be installed after a late grant.
    pub fn handle_lease(
        &mut self,
        now_ns: u64,
        ticket: Ticket,
        name: &str,
        publication: Publication,
        result: Result<(), String>,
    ) {
        if let Err(error) = result {
            let text = format!("the fence cannot pass: {error}");
            let cause = Cause::new(CauseKind::Kernel, text.clone());
            self.warn(Kind::Fence, name, "kernel", text);
            self.drop_succession(name, Some("its fence cannot pass"));
            self.resign(now_ns, None, name, Role::Backup, cause);
            return self.answer(ticket, EIO);
        }
        if is_late(now_ns, publication.sent_ns) {
            self.kernel_step(name, KernelStep::RevokeLease);
            let text = "the fence passed too late and is blocking again";
            self.warn(Kind::Fence, name, "late", text);
            let cause = Cause::new(CauseKind::Late, "the fence passed too late");
            self.drop_succession(name, Some("its fence passed too late"));
            self.resign(now_ns, None, name, Role::Backup, cause);
            return self.answer(ticket, ETIMEDOUT);
        }
        self.answer(ticket, 0);
        self.become_active(now_ns, name, publication.cause);
    }

    /// Makes the event that a plugin reports. The text "GROUP: text" from the group's elector is an event of that
    /// group. Only the elector can report conflicts.
    pub fn event_of(&self, plugin: &str, is_conflict: bool, text: &str) -> Notice {
        let about = text.split_once(": ").filter(|(group, _)| {
            let group = self.groups.get(*group);
            group.is_some_and(|group| group.owner == plugin)
        });
        match about {
            Some((group, words)) if is_conflict => {
                Notice::warn(Kind::Conflict, words).of_group(group)
            }
            Some((group, words)) => Notice::new(Kind::Report, words).of_group(group),
            None => Notice::new(Kind::Report, format!("{plugin}: {text}")),
        }
    }

    /// Handles the result of installing addresses and routes.
    pub fn handle_installed(&mut self, now_ns: u64, name: &str, result: Result<String, String>) {
        let Some(group) = self.groups.get_mut(name) else {
            return;
        };
        match result {
            Ok(text) => {
                group.eligibility.handle_installed();
                let took_ms = now_ns.saturating_sub(group.decided_ns) / 1_000_000;
                let succeeded = group.ended.take_succeeded();
                let news = Notice::new(Kind::Addresses, text).of_group(name);
                self.tell(news);
                let text = format!("active, {took_ms} ms after the decision");
                self.tell(
                    Notice::new(Kind::Role, text)
                        .of_group(name)
                        .because("installed"),
                );
                self.say_took(succeeded);
                self.end_request_served(now_ns, name);
            }
            Err(why) => {
                group.ended.set_succeeded(None);
                let text = format!("addresses are not installed: {why}");
                self.tell(Notice::warn(Kind::Addresses, text.clone()).of_group(name));
                self.ask_to_resign(now_ns, name, text);
            }
        }
        self.deliver_role(now_ns, name);
    }

    /// Handles the elector's request to announce the addresses again.
    pub fn handle_announce(&mut self, ticket: Ticket, name: &str) {
        let Some(group) = self.groups.get(name) else {
            return self.answer(ticket, ENOENT);
        };
        if group.owner != ticket.plugin {
            return self.answer(ticket, EBUSY);
        }
        let installed = group.phase == Phase::Installed;
        self.answer(ticket, 0);
        if installed {
            self.kernel_step(name, KernelStep::Announce);
        }
    }
}
