//! Readings: when everything is compared with what the kernel has, and what waits for that.

use std::collections::BTreeSet;

use super::{Action, Engine};
use crate::sa::{PolicyId, SaId};
use crate::{MS, SECOND};

/// Longest delay until a missed change is found.
const COMPARE_NS: u64 = 30 * SECOND;
/// After a reading that did not see all.
const AGAIN_NS: u64 = 100 * MS;

#[derive(Debug)]
pub struct Reads {
    due_ns: u64,
    running: bool,
    /// Of the reading that runs, or ran last.
    generation: u32,
    /// Something needs another one after this one.
    again: bool,
    /// Deleted since it began: it may list them all the same.
    deleted: BTreeSet<SaId>,
}

impl Reads {
    pub fn new(now_ns: u64) -> Self {
        Self {
            due_ns: now_ns,
            running: false,
            generation: 0,
            again: false,
            deleted: BTreeSet::new(),
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
        match self.running {
            true => u64::MAX,
            false => self.due_ns,
        }
    }

    /// After the one that runs, if one does.
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
    /// Has everything read; the generation of the reading that begins after this.
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
        self.act(Action::Read);
    }

    /// The kernel's words are missing some.
    pub(super) fn doubt(&mut self, _now_ns: u64) {
        self.counters.overruns += 1;
        if self.is_followed() {
            self.store.lane.doubt();
        }
        self.read_fresh();
        self.mark_dirty();
    }

    /// The end of a reading that [`Action::Read`] asked for, and whether it saw all.
    pub fn handle_read(&mut self, now_ns: u64, complete: bool) {
        let reads = &mut self.reads;
        if !std::mem::take(&mut reads.running) {
            return;
        }
        reads.due_ns = now_ns + COMPARE_NS;
        if !complete {
            reads.again = false;
            reads.due_ns = now_ns + AGAIN_NS;
            return;
        }
        let again = reads.again;
        if self.store.run.note_read() {
            // of an earlier run, which told the peer what nobody knows here
            let (sas, policies) = (&self.store.sas, &self.store.policies);
            let ended = &mut self.store.ended;
            ended.leave_unconfirmed(sas.keys().copied(), policies.keys().copied());
        }
        self.forget_unseen(now_ns);
        if !again {
            self.ike.presence.forget_flush();
            self.store.lane.end_doubt();
        }
        self.drain_numbers(now_ns);
        self.complete_policies(now_ns);
        self.complete_blocks();
        self.read_back(now_ns);
        self.want_left(now_ns);
        self.unite_windows();
        self.inherit();
        self.change_reqids();
        self.finish_read_retiring(now_ns);
        self.route();
        if again && !self.reads.running {
            self.begin_reading();
        }
        self.mark_dirty();
    }

    /// What the reading did not find is not there.
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
                self.drop_sa(now_ns, id);
            }
        }
        for id in &policies {
            if !self.restore_unseen_policy(now_ns, id) {
                self.drop_policy(now_ns, id);
            }
        }
    }
}
