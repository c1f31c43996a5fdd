//! Policies of the peer that are installed in the kernel here.

use std::collections::{BTreeMap, BTreeSet};

use spared_replica::Token;

use crate::SECOND;
use crate::sa::{Policy, PolicyId};

/// Shortest time between two restorations of a policy that others delete.
const PUT_BACK_NS: u64 = SECOND;

/// Policies in the kernel that this plugin installed.
#[derive(Debug, Default)]
pub struct Put {
    pub there: BTreeSet<PolicyId>,
    /// Time of each installation.
    pub put_ns: BTreeMap<PolicyId, u64>,
    /// Policies that others deleted or replaced, and the time to restore each.
    pub missing: BTreeMap<PolicyId, u64>,
    /// Policies that the kernel refused, with the errno.
    pub refused: BTreeMap<PolicyId, i32>,
    /// Tokens of the peer's records that wait for the kernel's answer.
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

    /// Makes a failover install the policy as it is held.
    pub fn want(&mut self, id: PolicyId) {
        self.missing.insert(id, u64::MAX);
    }

    /// Forgets missing policies that are not held: a failover needs no others.
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
