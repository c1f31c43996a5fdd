//! Deletions by an IKE daemon of its own SAs and policies, until it is known whether they count: it answers a question
//! that is asked afterwards, or it ends.
//!
//! Most answers come within milliseconds. A missing answer is an event: until it comes, it is unknown whether these
//! tunnels are to exist.

use std::collections::BTreeSet;

use super::status::counted;
use super::{Action, Change, Engine};
use crate::SECOND;
use crate::codec::body::policy_with_own_reqids;
use crate::sa::{ChildName, PolicyId, SaId};

/// Time after which a missing answer is reported; a living daemon answers sooner, even with thousands of SAs to list.
const ANSWER_NS: u64 = 2 * SECOND;

#[derive(Debug, Default)]
pub struct PendingDeletions {
    /// Deletions before the question under way; `next`: deletions since.
    asked: Deleted,
    next: Deleted,
    /// A question is under way. Its answer is not about later deletions, even if all deletions that it was about are no
    /// longer pending.
    is_asked: bool,
    /// Time of the first deletion, or of the last answer.
    since_ns: u64,
    /// The missing answer was reported.
    is_reported: bool,
}

#[derive(Debug, Default)]
struct Deleted {
    sas: BTreeSet<SaId>,
    policies: BTreeSet<PolicyId>,
}

impl Deleted {
    fn is_empty(&self) -> bool {
        self.sas.is_empty() && self.policies.is_empty()
    }
}

impl PendingDeletions {
    pub fn add_sa(&mut self, now_ns: u64, id: SaId) {
        self.begin(now_ns);
        self.next.sas.insert(id);
    }

    pub fn add_policy(&mut self, now_ns: u64, id: PolicyId) {
        self.begin(now_ns);
        self.next.policies.insert(id);
    }

    fn begin(&mut self, now_ns: u64) {
        if self.is_empty() {
            (self.since_ns, self.is_reported) = (now_ns, false);
        }
    }

    /// Forgets the deletion of an SA that was added again: no answer to an earlier question is about it.
    fn cancel_sa(&mut self, id: &SaId) {
        self.asked.sas.remove(id);
        self.next.sas.remove(id);
    }

    /// Forgets the deletion of a policy that was added again; returns true if it was pending.
    pub fn cancel_policy(&mut self, id: &PolicyId) -> bool {
        let was_asked = self.asked.policies.remove(id);
        self.next.policies.remove(id) || was_asked
    }

    pub fn contains_sa(&self, id: &SaId) -> bool {
        self.asked.sas.contains(id) || self.next.sas.contains(id)
    }

    /// Time at which a missing answer is reported.
    pub fn next_ns(&self) -> u64 {
        if self.is_empty() || self.is_reported {
            u64::MAX
        } else {
            self.since_ns.saturating_add(ANSWER_NS)
        }
    }

    fn is_empty(&self) -> bool {
        self.asked.is_empty() && self.next.is_empty()
    }

    /// Begins a question if there are new deletions and no question is under way; returns true if it did.
    fn ask(&mut self) -> bool {
        let asks = !self.is_asked && !self.next.is_empty();
        if asks {
            self.asked = std::mem::take(&mut self.next);
            self.is_asked = true;
        }
        asks
    }

    fn handle_answer(&mut self, now_ns: u64) -> Deleted {
        (self.since_ns, self.is_asked) = (now_ns, false);
        std::mem::take(&mut self.asked)
    }

    fn take_all(&mut self) -> Deleted {
        self.is_asked = false;
        let Self { asked, next, .. } = self;
        asked.sas.append(&mut next.sas);
        asked.policies.append(&mut next.policies);
        std::mem::take(asked)
    }

    fn sas(&self) -> impl Iterator<Item = &SaId> {
        self.asked.sas.iter().chain(&self.next.sas)
    }

    pub(super) fn policies(&self) -> impl Iterator<Item = &PolicyId> {
        self.asked.policies.iter().chain(&self.next.policies)
    }
}

impl Engine {
    /// Forgets the pending deletion of an SA that was added again.
    pub(super) fn cancel_pending_sa(&mut self, id: &SaId) {
        self.ike.pending_deletions.cancel_sa(id);
    }

    /// True if the deletion of an SA waits for an answer of the daemon.
    pub(super) fn is_deletion_pending(&self, id: &SaId) -> bool {
        self.ike.pending_deletions.contains_sa(id)
    }

    pub(super) fn ask_daemon(&mut self) {
        if self.ike.is_running() && self.ike.pending_deletions.ask() {
            self.push_action(Action::Ping);
        }
    }

    /// Has the pending deletions count: the daemon lives, and meant them.
    pub(super) fn confirm_deletions(&mut self, now_ns: u64) {
        let Deleted { sas, policies } = self.ike.pending_deletions.handle_answer(now_ns);
        for id in sas {
            self.installed.remove(&id);
            self.remove_sa(now_ns, &id);
        }
        for id in policies {
            self.store.installed_policies.forget(&id);
            self.push_change(Change::DeletePolicy(id));
        }
        self.ask_daemon();
    }

    /// Undoes the pending deletions: the daemon ended while it deleted, and the tunnels go on.
    pub(super) fn undo_deletions(&mut self, now_ns: u64) {
        let Deleted { sas, policies } = self.ike.pending_deletions.take_all();
        self.reinstall_all(now_ns, &sas);
        for id in policies {
            if let Some(known) = self.store.policies.get(&id) {
                let policy = policy_with_own_reqids(&known.policy);
                self.put_policy(now_ns, Change::PutPolicy(policy));
            }
        }
    }

    pub(super) fn handle_pending_deletions_timeout(&mut self, now_ns: u64) {
        if self.ike.pending_deletions.next_ns() <= now_ns {
            self.ike.pending_deletions.is_reported = true;
            let (what, silent_s) = (self.deletions_text(), ANSWER_NS / SECOND);
            self.event(format!(
                "the IKE daemon deleted {what}, and has not answered for {silent_s} s: the deletion counts if the IKE daemon answers, \
                 and is undone if it ends; if it hangs, restart it"
            ));
        }
    }

    /// Text about the number of pending deletions, and the first of them.
    fn deletions_text(&self) -> String {
        let pending_deletions = &self.ike.pending_deletions;
        let (sas, policies) = (
            pending_deletions.sas().count(),
            pending_deletions.policies().count(),
        );
        let policies = match policies {
            0 => None,
            1 => Some("1 policy".to_owned()),
            count => Some(format!("{count} policies")),
        };
        let sas = (sas > 0).then(|| counted(sas, "SA"));
        let what: Vec<String> = sas.into_iter().chain(policies).collect();
        what.join(" and ") + &self.first_deletion_text().unwrap_or_default()
    }

    fn first_deletion_text(&self) -> Option<String> {
        let pending_deletions = &self.ike.pending_deletions;
        if let Some(id) = pending_deletions.sas().min() {
            let name = self.store.sas.get(id).and_then(|it| it.name.as_ref());
            let of = name.map(|ChildName { ike, child }| format!(" of {ike}/{child}"));
            return Some(format!(", first {:08x}{}", id.spi, of.unwrap_or_default()));
        }
        let known = self
            .store
            .policies
            .get(pending_deletions.policies().min()?)?;
        Some(format!(", first of {}", known.policy.end?))
    }
}
