//! Puts the peer's policies into the kernel of a backup, so that nothing leaves in clear text after a failover.

use super::{Change, Deleter, Engine};
use crate::codec::body::blocked_id;
use crate::sa::{Policy, PolicyId};

const EEXIST: i32 = 17;

impl Engine {
    /// Puts a policy of the peer into the kernel.
    pub(super) fn hold_policy(&mut self, now_ns: u64, id: PolicyId) {
        let Some(policy) = self.store.held.policies.get(&id).cloned() else {
            return self.answer_policy(now_ns, &id, true);
        };
        let there = self.store.policies.get(&id).map(|it| &it.policy);
        if !self.store.installed_policies.has(&id) {
            self.put_policy(now_ns, Change::AddPolicy(policy));
        } else if there != Some(&policy) {
            self.put_policy(now_ns, Change::PutPolicy(policy));
        } else {
            self.answer_policy(now_ns, &id, true);
        }
    }

    /// Answers the peer, which waits for the kernel's answer.
    fn answer_policy(&mut self, now_ns: u64, id: &PolicyId, is_applied: bool) {
        if let Some(tokens) = self.store.installed_policies.take_tokens(id) {
            self.give_verdicts(now_ns, tokens, is_applied);
        }
        self.mark_dirty();
    }

    pub(super) fn put_policy(&mut self, now_ns: u64, change: Change) {
        if let Change::AddPolicy(policy) | Change::PutPolicy(policy) = &change {
            let id = policy.id;
            self.block_below(policy);
            self.store.installed_policies.begin(now_ns, id);
            self.push_change(change);
        }
    }

    pub(super) fn release_policy(&mut self, now_ns: u64, id: &PolicyId) {
        self.answer_policy(now_ns, id, true);
        if self.store.installed_policies.forget(id) {
            self.push_change(Change::DeletePolicy(*id));
        }
    }

    pub(super) fn handle_policy_gone(&mut self, now_ns: u64, id: &PolicyId, by: Deleter) {
        if let Some(below) = blocked_id(id) {
            return self.handle_block_gone(&below);
        }
        if self.restore_policy(now_ns, id, by) {
            return;
        }
        self.remove_policy(now_ns, id);
        if !self.store.installed_policies.has(id) {
            return;
        }
        if self.store.held.policies.contains_key(id) {
            self.store.installed_policies.note_missing(now_ns, *id);
        } else if self.is_active() {
            self.store.installed_policies.forget(id);
        }
    }

    /// Checks a policy of the kernel in the place of one of the peer's. If it leads elsewhere, a failover's SAs would
    /// not serve it.
    pub(super) fn handle_replaced(&mut self, now_ns: u64, policy: &Policy) {
        let id = policy.id;
        if !self.store.installed_policies.has(&id) {
            return;
        }
        let Some(held) = self.store.held.policies.get(&id) else {
            return;
        };
        if held.templates == policy.templates {
            self.store.installed_policies.note_installed(&id);
        } else {
            self.store.installed_policies.note_missing(now_ns, id);
        }
    }

    pub(super) fn restore_policies(&mut self, now_ns: u64) {
        if self.store.installed_policies.next_ns() <= now_ns {
            self.restore_missing(now_ns, now_ns);
        }
    }

    /// Puts all missing policies back at once: the SAs of a failover serve them.
    pub(super) fn restore_all_policies(&mut self, now_ns: u64) {
        self.restore_missing(now_ns, u64::MAX);
    }

    fn restore_missing(&mut self, now_ns: u64, due_until_ns: u64) {
        for id in self.store.installed_policies.take_missing(due_until_ns) {
            let held = self.store.held.policies.get(&id);
            if let Some(policy) = held.cloned() {
                // it may be there: the report of its end may be older than its replacement
                self.put_policy(now_ns, Change::PutPolicy(policy));
            }
        }
    }

    /// Puts back, after a reading, policies that are missing or that another one displaced.
    pub(super) fn complete_policies(&mut self, now_ns: u64) {
        let mut changes = Vec::new();
        for (id, held) in &self.store.held.policies {
            let there = self.store.policies.get(id);
            let policy = || held.clone();
            match there {
                None => changes.push(Change::AddPolicy(policy())),
                Some(there) if self.store.installed_policies.has(id) => {
                    if there.policy.templates != held.templates {
                        changes.push(Change::PutPolicy(policy()));
                    }
                }
                Some(there) if is_of_same_end(&there.policy, held) => {
                    changes.push(Change::PutPolicy(policy()));
                }
                Some(_) => {}
            }
        }
        for change in changes {
            self.put_policy(now_ns, change);
        }
    }

    pub(super) fn handle_refused_policy(&mut self, now_ns: u64, policy: &Policy, errno: i32) {
        let id = policy.id;
        if let Some(below) = blocked_id(&id) {
            self.counters.refused += 1;
            return self.handle_refused_block(&below);
        }
        if errno != EEXIST {
            self.store.installed_policies.handle_refused(id, errno);
            return self.answer_policy(now_ns, &id, false);
        }
        let there = self.store.policies.get(&id);
        if there.is_some_and(|it| is_of_same_end(&it.policy, policy)) {
            self.put_policy(now_ns, Change::PutPolicy(policy.clone()));
        } else {
            // the policy belongs to another program: a reading may show more
            self.store.installed_policies.forget(&id);
            self.answer_policy(now_ns, &id, true);
        }
    }

    pub(super) fn handle_installed_policy(&mut self, now_ns: u64, policy: &Policy) {
        self.store.installed_policies.handle_installed(&policy.id);
        if self.store.installed_policies.has(&policy.id) {
            self.handle_policy(now_ns, policy.clone());
        }
        self.answer_policy(now_ns, &policy.id, true);
    }
}

fn is_of_same_end(here: &Policy, there: &Policy) -> bool {
    let end = here.end;
    end.is_some() && end == there.end
}
