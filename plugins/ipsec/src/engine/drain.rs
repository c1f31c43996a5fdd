//! Drains numbers before a switchover: reads the exact ones from the kernel, and waits until the peer has them.

use super::Engine;

/// Progress of the drain.
#[derive(Debug, Default, PartialEq, Eq)]
pub enum Drain {
    #[default]
    None,
    /// charon is to be quiet first, so that nothing changes after the numbers were read.
    Quieting { deadline_ns: u64 },
    /// A reading finds the exact numbers.
    Reading { wanted: u32, deadline_ns: u64 },
    /// The exact numbers were sent.
    Reported { deadline_ns: u64 },
}

impl Drain {
    fn begin(&mut self, wanted: u32, deadline_ns: u64) {
        *self = Self::Reading {
            wanted,
            deadline_ns,
        };
    }

    /// Notes a finished reading; returns true if it found the exact numbers.
    fn handle_read(&mut self, generation: u32) -> bool {
        match *self {
            Self::Reading {
                wanted,
                deadline_ns,
            } if wanted <= generation => {
                *self = Self::Reported { deadline_ns };
                true
            }
            _ => false,
        }
    }

    /// Ends the drain at its deadline; returns true if it did. The switchover goes on without exact numbers, or has not
    /// come.
    fn expire(&mut self, now_ns: u64) -> bool {
        let is_over = self.deadline_ns() <= now_ns;
        if is_over {
            self.cancel();
        }
        is_over
    }

    pub fn cancel(&mut self) {
        *self = Self::None;
    }

    /// True if this node has begun a switchover and has sent exact numbers.
    pub fn has_reported(&self) -> bool {
        matches!(self, Self::Reported { .. })
    }

    pub fn deadline_ns(&self) -> u64 {
        match self {
            Self::None => u64::MAX,
            Self::Quieting { deadline_ns }
            | Self::Reading { deadline_ns, .. }
            | Self::Reported { deadline_ns } => *deadline_ns,
        }
    }
}

impl Engine {
    /// Begins a drain before a switchover.
    pub fn handle_drain(&mut self, now_ns: u64, deadline_ns: u64) {
        self.silence_roaming(now_ns);
        if self.is_replicating() {
            self.begin_quiet(now_ns);
            self.switchover.drain = Drain::Quieting { deadline_ns };
            self.continue_drain();
        }
    }

    /// Begins the reading once charon is quiet.
    pub(super) fn continue_drain(&mut self) {
        if let Drain::Quieting { deadline_ns } = self.switchover.drain {
            if !self.ike.feed.is_quieting() {
                let wanted = self.read_fresh();
                self.switchover.drain.begin(wanted, deadline_ns);
            }
        }
    }

    /// Sends the exact numbers that a finished reading has found.
    pub(super) fn drain_numbers(&mut self, now_ns: u64) {
        let generation = self.reads.generation();
        if !self.switchover.drain.handle_read(generation) {
            return;
        }
        let store = &mut self.store;
        let carried = store.index.sas.records().filter(|(_, it)| it.is_local);
        store.lane.put_exact(carried.map(|(id, _)| *id).collect());
        self.handle_effects(now_ns);
        self.replica.start_drain();
    }

    /// Ends a drain at its deadline: the reported numbers are no longer exact.
    pub(super) fn end_drain(&mut self, now_ns: u64) {
        if !self.switchover.drain.expire(now_ns) {
            return;
        }
        self.update_quiet(now_ns);
        self.store.lane.end_exact();
        self.mark_dirty();
    }

    pub fn is_drained(&self) -> bool {
        match self.switchover.drain {
            Drain::None => true,
            Drain::Quieting { .. } | Drain::Reading { .. } => false,
            Drain::Reported { .. } => {
                // an undone deletion would come back on the other node
                let is_pending = self.ike.pending_deletions.next_ns() < u64::MAX;
                !is_pending && self.replica.drain_state() != spared_replica::Drain::Pending
            }
        }
    }
}
