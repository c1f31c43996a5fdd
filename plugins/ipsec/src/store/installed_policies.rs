//! Policies of the peer that are installed in the kernel here.

use std::collections::{BTreeMap, BTreeSet};

use spared_replica::Token;

use super::blocks::Blocks;
use crate::SECOND;
use crate::sa::{Policy, PolicyId};

/// Shortest time between two restorations of a policy that others delete.
const RESTORE_NS: u64 = SECOND;

/// Policies in the kernel that this plugin installed.
#[derive(Debug, Default)]
pub struct InstalledPolicies {
    installed: BTreeSet<PolicyId>,
    /// Time of each installation.
    installed_ns: BTreeMap<PolicyId, u64>,
    /// Policies that others deleted or replaced, and the time to restore each.
    missing: BTreeMap<PolicyId, u64>,
    /// Policies that the kernel refused, with the errno.
    refused: BTreeMap<PolicyId, i32>,
    /// Tokens of the peer's records that wait for the kernel's answer.
    tokens: BTreeMap<PolicyId, Vec<Token>>,
    pub blocks: Blocks,
}

impl InstalledPolicies {
    pub fn has(&self, id: &PolicyId) -> bool {
        self.installed.contains(id)
    }

    pub fn next_ns(&self) -> u64 {
        self.missing.values().copied().min().unwrap_or(u64::MAX)
    }

    /// A policy is on its way to the kernel.
    pub fn begin(&mut self, now_ns: u64, id: PolicyId) {
        self.installed.insert(id);
        self.installed_ns.insert(id, now_ns);
        self.missing.remove(&id);
    }

    /// The kernel has taken a policy.
    pub fn handle_installed(&mut self, id: &PolicyId) {
        self.refused.remove(id);
    }

    pub fn handle_refused(&mut self, id: PolicyId, errno: i32) {
        self.installed.remove(&id);
        self.refused.insert(id, errno);
    }

    pub fn is_refused(&self, id: &PolicyId) -> bool {
        self.refused.contains_key(id)
    }

    /// How many the kernel refused, and the errno of the first.
    pub fn refused(&self) -> Option<(usize, i32)> {
        let (_, errno) = self.refused.first_key_value()?;
        Some((self.refused.len(), *errno))
    }

    /// The peer waits for the kernel's answer.
    pub fn wait(&mut self, id: PolicyId, token: Token) {
        self.tokens.entry(id).or_default().push(token);
    }

    /// The kernel has answered; what the peer waits for.
    pub fn take_tokens(&mut self, id: &PolicyId) -> Option<Vec<Token>> {
        self.tokens.remove(id)
    }

    pub fn claim(&mut self, id: PolicyId) {
        self.installed.insert(id);
    }

    pub fn note_missing(&mut self, now_ns: u64, id: PolicyId) {
        let installed_ns = self.installed_ns.get(&id).copied().unwrap_or(0);
        let due_ns = now_ns.max(installed_ns + RESTORE_NS);
        self.missing.insert(id, due_ns);
    }

    /// Notes that the policy is installed as it is held.
    pub fn note_installed(&mut self, id: &PolicyId) {
        self.missing.remove(id);
    }

    /// Takes the policies that are to be restored until then.
    pub fn take_missing(&mut self, due_until_ns: u64) -> Vec<PolicyId> {
        let due = self.missing.iter();
        let due = due.filter(|(_, due_ns)| **due_ns <= due_until_ns);
        let due: Vec<PolicyId> = due.map(|(id, _)| *id).collect();
        self.missing.retain(|_, due_ns| *due_ns > due_until_ns);
        due
    }

    /// Makes a failover install the policy as it is held.
    pub fn restore_at_failover(&mut self, id: PolicyId) {
        self.missing.insert(id, u64::MAX);
    }

    /// Forgets missing policies that are not held: a failover needs no others.
    pub fn keep_missing(&mut self, held: &BTreeMap<PolicyId, Policy>) {
        if held.is_empty() {
            self.missing.clear();
            self.installed_ns.clear();
            self.refused.clear();
            return;
        }
        self.missing.retain(|id, _| held.contains_key(id));
        self.installed_ns.retain(|id, _| held.contains_key(id));
        self.refused.retain(|id, _| held.contains_key(id));
    }

    pub fn forget(&mut self, id: &PolicyId) -> bool {
        self.installed_ns.remove(id);
        self.missing.remove(id);
        self.refused.remove(id);
        self.installed.remove(id)
    }
}
