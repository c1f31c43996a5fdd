//! Blocking policies: below each outbound policy of a moving end lies one that drops the same packets, so that nothing
//! leaves in clear text between a daemon's deletion and its undoing.
//!
//! The kernel keeps one policy for each selector. A selector's user does not take part in matching packets. So a policy
//! with the same selector and a user of this plugin is another one to the kernel, and matches the same packets. It has
//! the last priority: it takes effect only while the policy above it is missing. It is deleted with that policy, when
//! that deletion counts. A blocking policy of an earlier run is deleted when the peer has no policy with that selector
//! either.
//!
//! While charon starts, some of them are copies of the policies above them: `sessions/copies.rs`.

use super::{Change, Engine};
use crate::codec::body::{blocking_id, blocking_policy};
use crate::sa::{Policy, PolicyId};

impl Engine {
    /// Puts a blocking policy below one that is in the kernel or on its way there.
    pub(super) fn block_below(&mut self, policy: &Policy) {
        let end = policy.end.filter(|_| policy.id.is_outbound());
        let is_held = self.store.held.policies.contains_key(&policy.id);
        let moves = end.is_some_and(|end| is_held || self.store.ends.owns(&end));
        if !moves || self.store.installed_policies.blocks.has(&policy.id) {
            return;
        }
        let copy = self.present_copy(&policy.id);
        if let Some(block) = copy.or_else(|| blocking_policy(policy)) {
            let reading = self.reads.generation();
            self.store.installed_policies.blocks.put(policy.id, reading);
            self.push_change(Change::PutPolicy(block));
        }
    }

    /// Deletes the blocking policy below a policy whose deletion counts.
    pub(super) fn unblock(&mut self, id: &PolicyId) {
        let is_held = self.store.held.policies.contains_key(id);
        if !is_held && self.store.installed_policies.blocks.remove(id) {
            self.forget_copy(id);
            if let Some(block) = blocking_id(id) {
                self.push_change(Change::DeletePolicy(block));
            }
        }
    }

    /// Notes that the kernel has a blocking policy below this one, or a copy.
    pub(super) fn note_block(&mut self, below: PolicyId, there: &Policy) {
        self.note_found_copy(below, there);
        let reading = self.reads.generation();
        self.store.installed_policies.blocks.put(below, reading);
    }

    /// Forgets a blocking policy that the kernel refused: the next reading tries again.
    pub(super) fn handle_refused_block(&mut self, below: &PolicyId) {
        self.forget_copy(below);
        self.store.installed_policies.blocks.remove(below);
    }

    /// Puts a blocking policy back that another program deleted.
    pub(super) fn handle_block_gone(&mut self, below: &PolicyId) {
        self.store.installed_policies.blocks.remove(below);
        self.block_again(below);
    }

    /// Puts back missing blocking policies after a reading, and deletes those that have no policy above them on either
    /// node.
    pub(super) fn complete_blocks(&mut self) {
        let reading = self.reads.generation();
        self.store.installed_policies.blocks.keep_read(reading);
        let policies = self.store.policies.keys();
        for id in policies.copied().collect::<Vec<_>>() {
            self.block_again(&id);
        }
        if !self.is_complete() {
            return;
        }
        for id in self.blocks_below_nothing().collect::<Vec<_>>() {
            self.unblock(&id);
        }
    }

    /// Policies that are gone while the blocking one below them is still there.
    pub(super) fn blocks_below_nothing(&self) -> impl Iterator<Item = PolicyId> + '_ {
        let below = self.store.installed_policies.blocks.below().copied();
        below.filter(|id| !self.store.policies.contains_key(id))
    }

    pub(super) fn block_again(&mut self, id: &PolicyId) {
        if self.store.installed_policies.blocks.has(id) || !id.is_outbound() {
            return;
        }
        if let Some(known) = self.store.policies.get(id) {
            let policy = known.policy.clone();
            self.block_below(&policy);
        }
    }
}
