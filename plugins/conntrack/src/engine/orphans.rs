//! Retries flows and expectations of the peer whose master is not in the kernel yet.
//!
//! A dump is in no order: a resync may bring a connection before the one that it belongs to. Whatever the kernel
//! accepts or drops of a flow meanwhile is newer than the change that waits.

use std::collections::{BTreeMap, HashMap};

use spared_netlink::constants as c;

use super::{Engine, How, KernelChange};
use crate::codec::expectation;

/// Number of tries after which an expectation without a connection is dropped.
const EXPECTATION_TRIES: u8 = 3;
/// Number of changes that may wait for their master.
const WAITING_MAX: usize = 4096;

/// Changes that wait for the master of their flow.
#[derive(Debug, Default)]
pub(super) struct Orphans {
    /// Changes in the order in which they were refused, by number.
    waiting: BTreeMap<u64, KernelChange>,
    /// Number of the change that waits, by the hash of its flow.
    numbers: HashMap<u64, u64>,
    last: u64,
}

impl Orphans {
    /// Returns true if no flow waits; expectations do not count.
    pub(super) fn has_no_flow(&self) -> bool {
        self.numbers.is_empty()
    }

    fn is_full(&self) -> bool {
        self.waiting.len() >= WAITING_MAX
    }

    /// Adds a change of an expectation, or of the flow with this hash, whose earlier one it replaces.
    fn push(&mut self, hash: Option<u64>, change: KernelChange) {
        self.last += 1;
        let before = hash.and_then(|hash| self.numbers.insert(hash, self.last));
        if let Some(before) = before {
            self.waiting.remove(&before);
        }
        self.waiting.insert(self.last, change);
    }

    /// Drops the change that waits for a flow: something newer is known of it.
    pub(super) fn remove(&mut self, hash: u64) {
        if self.numbers.is_empty() {
            return;
        }
        if let Some(number) = self.numbers.remove(&hash) {
            self.waiting.remove(&number);
        }
    }

    /// Drops an expectation that waits: it has ended, by this request of its deletion.
    pub(super) fn remove_expectation(&mut self, ended: &[u8]) {
        self.waiting.retain(|_, change| {
            !matches!(&change.how, How::Expect(_, request) if expectation::is_same(request, ended))
        });
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    fn take_all(&mut self) -> Vec<KernelChange> {
        self.numbers.clear();
        std::mem::take(&mut self.waiting).into_values().collect()
    }
}

impl Engine {
    /// Keeps a flow or an expectation whose master is not there until later records bring it.
    pub(super) fn queue_orphan(&mut self, change: KernelChange) {
        let is_expectation = matches!(change.how, How::Expect(..));
        if !self.channel.orphans.is_full() {
            let hash = (!is_expectation).then(|| self.table.hash(&change.flow));
            self.channel.orphans.push(hash, change);
        } else if !is_expectation {
            self.without(change, c::CTA_TUPLE_MASTER);
        }
    }

    /// Retries what waits for its master, once no resync is under way that may still bring it.
    pub(super) fn retry_orphans(&mut self) {
        if self.peer.as_ref().is_some_and(|peer| peer.resync_begun) {
            return;
        }
        for change in self.channel.orphans.take_all() {
            let is_expectation = matches!(change.how, How::Expect(..));
            if !is_expectation && self.table.find(self.table.hash(&change.flow)).is_none() {
                continue; // a walk has dropped it
            }
            match (&change.how, change.tries) {
                // no connection is there that this expectation belongs to
                (How::Expect(..), EXPECTATION_TRIES..) => {}
                (How::Expect(..), _) | (_, 0) => {
                    let how = change.how.clone();
                    self.again(change, how);
                }
                // after a second refusal the flow is created without its master
                _ => self.without(change, c::CTA_TUPLE_MASTER),
            }
        }
    }
}
