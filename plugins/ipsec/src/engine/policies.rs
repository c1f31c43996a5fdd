//! Policies of the peer, in the kernel of a backup: nothing leaves in clear text after a failover.

use std::collections::{BTreeMap, BTreeSet};

use super::ends::local_end;
use super::held::HeldPolicy;
use super::receiver::TABLE_MAX;
use super::reqids::shifted_policy;
use super::{Change, Deleter, Engine};
use crate::sa::{Policy, PolicyId};

/// What somebody else deletes is put back at most so often.
const PUT_BACK_MS: u64 = 1_000;
const EEXIST: i32 = 17;

/// Policies in the kernel that are of this plugin's making.
#[derive(Debug, Default)]
pub struct Put {
    there: BTreeSet<PolicyId>,
    /// When it was put.
    put_ms: BTreeMap<PolicyId, u64>,
    /// Deleted or replaced by somebody else, and when to put it back.
    missing: BTreeMap<PolicyId, u64>,
    /// By the kernel, with an errno.
    pub refused: BTreeMap<PolicyId, i32>,
}

impl Put {
    pub fn has(&self, id: &PolicyId) -> bool {
        self.there.contains(id)
    }

    pub fn next_ms(&self) -> u64 {
        self.missing.values().copied().min().unwrap_or(u64::MAX)
    }

    pub fn claim(&mut self, id: PolicyId) {
        self.there.insert(id);
    }

    fn miss(&mut self, now_ms: u64, id: PolicyId) {
        let put_ms = self.put_ms.get(&id).copied().unwrap_or(0);
        let due_ms = now_ms.max(put_ms + PUT_BACK_MS);
        self.missing.insert(id, due_ms);
    }

    /// At a failover it is to be as it is held.
    pub fn want(&mut self, id: PolicyId) {
        self.missing.insert(id, u64::MAX);
    }

    /// No failover needs it any more.
    pub fn forget_missing(&mut self) {
        self.missing.clear();
        self.put_ms.clear();
        self.refused.clear();
    }

    pub fn forget(&mut self, id: &PolicyId) -> bool {
        self.put_ms.remove(id);
        self.missing.remove(id);
        self.refused.remove(id);
        self.there.remove(id)
    }
}

impl Engine {
    pub(super) fn hold_policy(&mut self, now_ms: u64, policy: Policy) {
        let policy = shifted_policy(&policy);
        let id = policy.id;
        let epoch = self.receiver.round;
        let known = self.held.policies.contains_key(&id);
        if !known && self.held.policies.len() >= TABLE_MAX {
            self.receiver.overflow += 1;
            return;
        }
        let same = self.held.policies.get(&id);
        let same = same.is_some_and(|it| it.policy == policy);
        let held = HeldPolicy {
            policy: policy.clone(),
            epoch,
        };
        self.held.policies.insert(id, held);
        self.dirty = true;
        if !self.put.has(&id) {
            self.put_policy(now_ms, Change::AddPolicy(policy));
        } else if !same {
            self.put_policy(now_ms, Change::PutPolicy(policy));
        }
    }

    pub(super) fn put_policy(&mut self, now_ms: u64, change: Change) {
        if let Change::AddPolicy(policy) | Change::PutPolicy(policy) = &change {
            let id = policy.id;
            self.put.there.insert(id);
            self.put.put_ms.insert(id, now_ms);
            self.put.missing.remove(&id);
            self.work.push(change);
        }
    }

    pub(super) fn release_policy(&mut self, id: &PolicyId) {
        self.held.policies.remove(id);
        if self.put.forget(id) {
            self.work.push(Change::DeletePolicy(*id));
        }
        self.dirty = true;
    }

    /// One that the plugin left here before it was restarted, for a tunnel that the peer has now.
    pub(super) fn delete_foreign_policies(&mut self) {
        let ours = |end: &_| self.held.ends.contains(end) && !self.ends.is_here(end);
        let left = self.policies.iter();
        let left = left.filter(|(id, _)| !self.held.policies.contains_key(id));
        let left = left.filter(|(_, it)| local_end(&it.policy).as_ref().is_some_and(ours));
        for id in left.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.put.forget(&id);
            self.work.push(Change::DeletePolicy(id));
        }
    }

    pub(super) fn lose_policy(&mut self, now_ms: u64, id: &PolicyId, by: Deleter) {
        if self.restore_policy(now_ms, id, by) {
            return;
        }
        self.drop_policy(id);
        if !self.put.has(id) {
            return;
        }
        if self.is_active() {
            self.put.forget(id);
        } else if self.held.policies.contains_key(id) {
            self.put.miss(now_ms, *id);
        }
    }

    /// One that leads elsewhere, where one of the peer's should be: a failover's SAs would not serve
    /// it.
    pub(super) fn handle_replaced(&mut self, now_ms: u64, policy: &Policy) {
        let id = policy.id;
        if self.is_active() || !self.put.has(&id) {
            return;
        }
        let Some(held) = self.held.policies.get(&id) else {
            return;
        };
        if held.policy.templates == policy.templates {
            self.put.missing.remove(&id);
        } else {
            self.put.miss(now_ms, id);
        }
    }

    pub(super) fn put_back(&mut self, now_ms: u64) {
        if self.put.next_ms() <= now_ms {
            self.put_missing(now_ms, now_ms);
        }
    }

    /// A failover waits for no second: its SAs serve these policies.
    pub(super) fn put_back_all(&mut self, now_ms: u64) {
        self.put_missing(now_ms, u64::MAX);
    }

    fn put_missing(&mut self, now_ms: u64, due_until_ms: u64) {
        let due = self.put.missing.iter();
        let due = due.filter(|(_, due_ms)| **due_ms <= due_until_ms);
        for id in due.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.put.missing.remove(&id);
            let held = self.held.policies.get(&id);
            if let Some(policy) = held.map(|it| it.policy.clone()) {
                // it may be there: the word of its end may be older than what it was made of
                self.put_policy(now_ms, Change::PutPolicy(policy));
            }
        }
    }

    /// After a reading: what is missing, and what was in the way.
    pub(super) fn complete_policies(&mut self, now_ms: u64) {
        let mut changes = Vec::new();
        for (id, held) in &self.held.policies {
            let there = self.policies.get(id);
            let policy = || held.policy.clone();
            match there {
                None => changes.push(Change::AddPolicy(policy())),
                Some(there) if self.put.has(id) => {
                    if there.policy.templates != held.policy.templates {
                        changes.push(Change::PutPolicy(policy()));
                    }
                }
                Some(there) if is_of_same_end(&there.policy, &held.policy) => {
                    changes.push(Change::PutPolicy(policy()));
                }
                Some(_) => {}
            }
        }
        for change in changes {
            self.put_policy(now_ms, change);
        }
    }

    pub(super) fn handle_refused_policy(&mut self, now_ms: u64, policy: &Policy, errno: i32) {
        let id = policy.id;
        if errno != EEXIST {
            self.put.there.remove(&id);
            self.put.refused.insert(id, errno);
            self.dirty = true;
            return;
        }
        let there = self.policies.get(&id);
        if there.is_some_and(|it| is_of_same_end(&it.policy, policy)) {
            self.put_policy(now_ms, Change::PutPolicy(policy.clone()));
        } else {
            // somebody else's: a reading may tell more
            self.put.forget(&id);
        }
    }

    pub(super) fn handle_put_policy(&mut self, now_ms: u64, policy: &Policy) {
        self.put.refused.remove(&policy.id);
        if self.put.has(&policy.id) {
            self.see_policy(now_ms, policy.clone());
        }
    }
}

fn is_of_same_end(here: &Policy, there: &Policy) -> bool {
    let end = local_end(here);
    end.is_some() && end == local_end(there)
}
