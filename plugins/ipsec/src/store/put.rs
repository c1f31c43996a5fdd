//! Policies that are put into the kernel here on the peer's word.

use std::collections::{BTreeMap, BTreeSet};

use spared_replica::Token;

use crate::SECOND;
use crate::sa::{Policy, PolicyId};

/// Limit of restoring policies that others delete.
const PUT_BACK_NS: u64 = SECOND;

/// Policies in the kernel that are of this plugin's making.
#[derive(Debug, Default)]
pub struct Put {
    pub there: BTreeSet<PolicyId>,
    /// When it was put.
    pub put_ns: BTreeMap<PolicyId, u64>,
    /// Deleted or replaced by somebody else, and when to put it back.
    pub missing: BTreeMap<PolicyId, u64>,
    /// By the kernel, with an errno.
    pub refused: BTreeMap<PolicyId, i32>,
    /// What the peer waits for, until the kernel has answered.
    pub tokens: BTreeMap<PolicyId, Vec<Token>>,
}

impl Put {
    pub fn has(&self, id: &PolicyId) -> bool {
        self.there.contains(id)
    }

    pub fn next_ns(&self) -> u64 {
        self.missing.values().copied().min().unwrap_or(u64::MAX)
    }

    pub fn claim(&mut self, id: PolicyId) {
        self.there.insert(id);
    }

    pub fn miss(&mut self, now_ns: u64, id: PolicyId) {
        let put_ns = self.put_ns.get(&id).copied().unwrap_or(0);
        let due_ns = now_ns.max(put_ns + PUT_BACK_NS);
        self.missing.insert(id, due_ns);
    }

    /// At a failover it is to be as it is held.
    pub fn want(&mut self, id: PolicyId) {
        self.missing.insert(id, u64::MAX);
    }

    /// A failover needs no others any more.
    pub fn keep_missing(&mut self, held: &BTreeMap<PolicyId, Policy>) {
        if held.is_empty() {
            self.missing.clear();
            self.put_ns.clear();
            self.refused.clear();
            return;
        }
        self.missing.retain(|id, _| held.contains_key(id));
        self.put_ns.retain(|id, _| held.contains_key(id));
        self.refused.retain(|id, _| held.contains_key(id));
    }

    pub fn forget(&mut self, id: &PolicyId) -> bool {
        self.put_ns.remove(id);
        self.missing.remove(id);
        self.refused.remove(id);
        self.there.remove(id)
    }
}
