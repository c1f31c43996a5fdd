//! Changes on their way to the kernel, and what it says of them.

use std::collections::{BTreeMap, VecDeque};

use super::{Change, Engine};

/// One request each, in one go: a few milliseconds, as others have their turn between.
pub(super) const BATCH_MAX: usize = 100;
const ENOENT: i32 = 2;
const ESRCH: i32 = 3;

#[derive(Debug, Default)]
pub struct Work {
    pending: VecDeque<Change>,
    /// Batches whose end was not heard of.
    in_flight: usize,
}

impl Work {
    pub fn push(&mut self, change: Change) {
        self.pending.push_back(change);
    }

    pub fn is_done(&self) -> bool {
        self.pending.is_empty() && self.in_flight == 0
    }

    /// Less than a batch waits.
    pub fn is_short(&self) -> bool {
        self.pending.len() < BATCH_MAX
    }

    /// Changes that were not started.
    pub fn cancel_additions(&mut self) {
        let adds = |change: &Change| {
            matches!(
                change,
                Change::AddSa(..) | Change::SetReplay(..) | Change::SetThreshold(..)
            )
        };
        self.pending.retain(|change| !adds(change));
    }

    pub fn next_batch(&mut self) -> Option<Vec<Change>> {
        let mut count = self.pending.len().min(BATCH_MAX);
        if let (Some(Change::DeleteSa(gone)), Some(Change::AddSa(anew, _))) = (
            count.checked_sub(1).and_then(|it| self.pending.get(it)),
            self.pending.get(count),
        ) {
            // an SA that is made anew is away for as short as can be
            count -= usize::from(*gone == anew.id);
        }
        let batch: Vec<Change> = self.pending.drain(..count).collect();
        self.in_flight += usize::from(!batch.is_empty());
        (!batch.is_empty()).then_some(batch)
    }
}

impl Engine {
    /// An [`Action::Apply`](super::Action::Apply) is done, but for these: positions and errnos.
    pub fn handle_applied(&mut self, now_ns: u64, changes: Vec<Change>, refused: &[(usize, i32)]) {
        let refused: BTreeMap<usize, i32> = refused.iter().copied().collect();
        for (position, change) in changes.into_iter().enumerate() {
            match refused.get(&position) {
                None => self.applied(now_ns, change),
                Some(errno) => self.refused(now_ns, change, *errno),
            }
        }
        self.work.in_flight = self.work.in_flight.saturating_sub(1);
        self.tell_refused();
        self.dirty = true;
    }

    fn applied(&mut self, now_ns: u64, change: Change) {
        match change {
            Change::AddSa(sa, threshold) => self.handle_added_sa(now_ns, sa, threshold),
            Change::DeleteSa(id) => self.drop_sa(now_ns, &id),
            Change::AddPolicy(policy) | Change::PutPolicy(policy) => {
                self.handle_put_policy(now_ns, &policy);
            }
            Change::DeletePolicy(id) => self.drop_policy(now_ns, &id),
            Change::SetReplay(id, replay) => self.see_counters(now_ns, &id, replay, None),
            Change::SetThreshold(..) => {}
            Change::Probe(sa) => self.handle_proof(now_ns, &sa, None),
        }
    }

    fn refused(&mut self, now_ns: u64, change: Change, errno: i32) {
        match change {
            Change::AddSa(sa, threshold) => self.handle_refused_sa(now_ns, (sa, threshold), errno),
            Change::AddPolicy(policy) | Change::PutPolicy(policy) => {
                self.handle_refused_policy(now_ns, &policy, errno);
            }
            // it is not there
            Change::DeleteSa(id) if errno == ESRCH => self.drop_sa(now_ns, &id),
            Change::DeletePolicy(id) if errno == ENOENT => self.drop_policy(now_ns, &id),
            Change::Probe(sa) => self.handle_proof(now_ns, &sa, Some(errno)),
            Change::SetThreshold(id, _) => {
                if let Some(known) = self.store.sas.get_mut(&id) {
                    // tried again
                    known.threshold = 0;
                }
            }
            Change::DeleteSa(_) | Change::DeletePolicy(_) | Change::SetReplay(..) => {
                self.counters.refused += 1;
            }
        }
    }
}
