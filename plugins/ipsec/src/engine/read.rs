//! Readings, which compare the store with the kernel, and the work that waits for them.

use std::collections::BTreeSet;

use super::{Action, Engine};
use crate::sa::{PolicyId, SaId};
use crate::{MS, SECOND};

/// Longest delay until a missed change is found.
const COMPARE_NS: u64 = 30 * SECOND;
/// Pause after an incomplete reading.
const RETRY_NS: u64 = 100 * MS;

#[derive(Debug, Default)]
pub struct Reads {
    due_ns: u64,
    running: bool,
    /// Number of the reading that runs, or ran last.
    generation: u32,
    /// Another reading is needed after this one.
    again: bool,
    /// SAs that were deleted since the reading began: it may still list them.
    deleted: BTreeSet<SaId>,
}

impl Reads {
    pub fn new(now_ns: u64) -> Self {
        Self {
            due_ns: now_ns,
            ..Self::default()
        }
    }

    pub fn is_running(&self) -> bool {
        self.running
    }

    pub fn generation(&self) -> u32 {
        self.generation
    }

    pub fn is_due(&self, now_ns: u64) -> bool {
        !self.running && self.due_ns <= now_ns
    }

    pub fn next_ns(&self) -> u64 {
        if self.running { u64::MAX } else { self.due_ns }
    }

    /// Requests another reading, after the one that runs, if any.
    pub fn read_again(&mut self) {
        self.again = true;
    }

    pub fn note_deleted(&mut self, id: SaId) {
        if self.running {
            self.deleted.insert(id);
        }
    }

    pub fn was_deleted(&self, id: &SaId) -> bool {
        self.running && self.deleted.contains(id)
    }
}

impl Engine {
    /// Requests a reading; returns the generation of the reading that begins after this call.
    pub(super) fn read_fresh(&mut self) -> u32 {
        let reads = &mut self.reads;
        reads.again |= reads.running;
        let generation = reads.generation + 1;
        if !reads.running {
            self.begin_reading();
        }
        generation
    }

    pub(super) fn begin_reading(&mut self) {
        let reads = &mut self.reads;
        (reads.running, reads.again) = (true, false);
        reads.generation += 1;
        reads.deleted.clear();
        self.push_action(Action::Read);
    }

    /// Handles lost notifications of the kernel.
    pub(super) fn handle_overrun(&mut self) {
        self.counters.overruns += 1;
        if self.is_replicating() {
            self.store.lane.begin_unsure();
        }
        self.read_fresh();
        self.mark_dirty();
    }

    /// Handles the end of a reading of [`Action::Read`]; `complete`: it saw everything.
    pub fn handle_read(&mut self, now_ns: u64, complete: bool) {
        let reads = &mut self.reads;
        if !std::mem::take(&mut reads.running) {
            return;
        }
        reads.due_ns = now_ns + COMPARE_NS;
        if !complete {
            reads.again = false;
            reads.due_ns = now_ns + RETRY_NS;
            return;
        }
        let again = reads.again;
        if self.store.run.note_read() {
            // these are of an earlier run, and this one does not know what that reported to the peer
            let (sas, policies) = (&self.store.sas, &self.store.policies);
            let ended = &mut self.store.ended;
            ended.note_unconfirmed(sas.keys().copied(), policies.keys().copied());
        }
        self.forget_unseen(now_ns);
        if !again {
            self.ike.presence.forget_flush();
            self.store.lane.end_unsure();
        }
        self.drain_numbers(now_ns);
        self.complete_policies(now_ns);
        self.complete_blocks();
        self.take_found_copies(now_ns);
        self.read_back(now_ns);
        self.retry_refused(now_ns);
        self.want_unadopted(now_ns);
        self.merge_windows();
        self.take_earlier_sas();
        self.change_reqids();
        self.finish_read_retiring(now_ns);
        self.set_routes();
        if again && !self.reads.running {
            self.begin_reading();
        }
        self.mark_dirty();
    }

    /// Forgets what the reading did not find.
    fn forget_unseen(&mut self, now_ns: u64) {
        let generation = self.reads.generation;
        let sas = self
            .store
            .sas
            .iter()
            .filter(|(_, it)| it.reading != generation);
        let sas: Vec<SaId> = sas.map(|(id, _)| *id).collect();
        let policies = self.store.policies.iter();
        let policies = policies.filter(|(_, it)| it.reading != generation);
        let policies: Vec<PolicyId> = policies.map(|(id, _)| *id).collect();
        for id in &sas {
            if !self.restore_unseen_sa(now_ns, id) {
                self.remove_sa(now_ns, id);
            }
        }
        for id in &policies {
            if !self.restore_unseen_policy(now_ns, id) {
                self.remove_policy(now_ns, id);
            }
        }
    }
}
