//! Before a switchover: the exact numbers, by a reading of the kernel, and the peer's word that it has
//! them.

use super::Engine;

/// The way to the exact numbers.
#[derive(Debug, Default, PartialEq, Eq)]
pub enum Drain {
    #[default]
    None,
    /// This reading finds them.
    Reading { wanted: u32, deadline_ms: u64 },
    /// They were sent.
    Telling { deadline_ms: u64 },
}

impl Drain {
    pub fn deadline_ms(&self) -> u64 {
        match self {
            Self::None => u64::MAX,
            Self::Reading { deadline_ms, .. } | Self::Telling { deadline_ms } => *deadline_ms,
        }
    }

    /// The switchover goes on without the exact numbers.
    pub fn give_up(&mut self, now_ms: u64) {
        if self.deadline_ms() <= now_ms {
            *self = Self::None;
        }
    }
}

impl Engine {
    /// Before a switchover: says the exact numbers.
    pub fn handle_drain(&mut self, now_ms: u64, deadline_ms: u64) {
        self.silence_roaming(now_ms);
        if self.is_followed {
            let wanted = self.read_fresh();
            self.drain = Drain::Reading {
                wanted,
                deadline_ms,
            };
        }
    }

    /// A reading is done: what it found is exact.
    pub(super) fn drain_numbers(&mut self, now_ms: u64) {
        let Drain::Reading {
            wanted,
            deadline_ms,
        } = self.drain
        else {
            return;
        };
        if wanted > self.reads.generation() {
            return;
        }
        self.drain = Drain::Telling { deadline_ms };
        let store = &mut self.store;
        let carried = store.index.sas.records().filter(|(_, it)| it.is_local);
        store.lane.due = carried.map(|(id, _)| *id).collect();
        store.lane.all.exact = true;
        store.lane.all_due = true;
        self.leave(now_ms);
        self.replica.start_drain();
    }

    pub fn is_drained(&self) -> bool {
        match self.drain {
            Drain::None => true,
            Drain::Reading { .. } => false,
            Drain::Telling { .. } => self.replica.drained() != spared_replica::Drain::Pending,
        }
    }
}
