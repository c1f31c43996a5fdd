//! Received records, and the verdicts due to the peer.

use std::collections::VecDeque;

/// A counted record of the peer.
#[derive(Clone, Debug)]
pub(crate) enum Slot<K> {
    Done,
    Refused,
    /// The verdict comes later.
    Pending {
        table: usize,
        key: K,
    },
    /// The verdict comes later, in a table that accepts whole states: the end of the state may never arrive.
    Staged {
        table: usize,
        key: K,
    },
    /// A whole state, until it is in force.
    Commit {
        table: usize,
    },
    /// The end of a snapshot, until the records that it did not name are deleted.
    End {
        table: usize,
    },
}

impl<K> Slot<K> {
    /// True if a verdict is due that does not depend on further messages of the peer.
    fn waits(&self) -> bool {
        matches!(
            self,
            Self::Pending { .. } | Self::Commit { .. } | Self::End { .. }
        )
    }
}

/// Verdicts of the present pair.
#[derive(Debug)]
pub(crate) struct Inbox<K> {
    /// Number of records handled.
    pub processed: u64,
    /// Number of records with a verdict, without a gap from the first.
    pub settled: u64,
    /// Slots from the first record without a verdict on.
    slots: VecDeque<Slot<K>>,
    /// Number of slots without a verdict, except those that wait for the end of a whole state.
    waiting: usize,
    /// Ordinals of refused records to report.
    pub refused: Vec<u64>,
    pub ack_due: bool,
    /// Number of the peer's drain, and the ordinal that must have its verdict before the answer.
    pub drain: Option<(u32, u64)>,
}

impl<K> Inbox<K> {
    pub fn new() -> Self {
        Self {
            processed: 0,
            settled: 0,
            slots: VecDeque::new(),
            waiting: 0,
            refused: Vec::new(),
            ack_due: false,
            drain: None,
        }
    }

    /// Ordinal of the next record.
    pub fn next(&self) -> u64 {
        self.processed + 1
    }

    pub fn push(&mut self, slot: Slot<K>) {
        self.processed += 1;
        self.ack_due = true;
        match slot {
            Slot::Done if self.slots.is_empty() => self.settled = self.processed,
            slot => {
                self.waiting += usize::from(slot.waits());
                self.slots.push_back(slot);
                self.settle();
            }
        }
    }

    pub fn get(&self, ordinal: u64) -> Option<&Slot<K>> {
        let index = ordinal.checked_sub(self.settled + 1)?;
        self.slots.get(usize::try_from(index).ok()?)
    }

    /// Gives a slot its verdict; [`settle`](Self::settle) is still due.
    pub fn resolve(&mut self, ordinal: u64, verdict: Slot<K>) {
        let index = ordinal.checked_sub(self.settled + 1);
        let index = index.and_then(|it| usize::try_from(it).ok());
        if let Some(slot) = index.and_then(|it| self.slots.get_mut(it)) {
            self.waiting -= usize::from(slot.waits());
            *slot = verdict;
        }
    }

    pub fn settle(&mut self) {
        loop {
            match self.slots.front() {
                Some(Slot::Done) => {}
                Some(Slot::Refused) => self.refused.push(self.settled + 1),
                _ => return,
            }
            self.slots.pop_front();
            self.settled += 1;
            self.ack_due = true;
        }
    }

    /// Table whose snapshot has ended, once every record before the end has its verdict.
    pub fn ended_snapshot(&self) -> Option<usize> {
        match self.slots.front() {
            Some(Slot::End { table }) => Some(*table),
            _ => None,
        }
    }

    /// Gives the first slot, the end of a snapshot, its verdict.
    pub fn settle_end(&mut self) {
        if let Some(slot @ Slot::End { .. }) = self.slots.front_mut() {
            *slot = Slot::Done;
            self.waiting -= 1;
            self.settle();
        }
    }

    /// Gives the last end of a table's snapshot its verdict, although slots before it may have none.
    pub fn settle_end_of(&mut self, wanted: usize) {
        let ends = |slot: &&mut Slot<K>| matches!(slot, Slot::End { table } if *table == wanted);
        if let Some(slot) = self.slots.iter_mut().rev().find(ends) {
            *slot = Slot::Done;
            self.waiting -= 1;
            self.settle();
        }
    }

    /// Returns the records whose verdicts are pending: ordinal, table and key.
    pub fn into_pending(self) -> impl Iterator<Item = (u64, usize, K)> {
        let first = self.settled + 1;
        let slots = self.slots.into_iter().enumerate();
        slots.filter_map(move |(index, slot)| match slot {
            Slot::Pending { table, key } | Slot::Staged { table, key } => {
                Some((first + index as u64, table, key))
            }
            _ => None,
        })
    }

    /// True if every record has its verdict.
    pub fn is_settled(&self) -> bool {
        self.slots.is_empty()
    }

    /// True if every record has its verdict, except those that wait for the end of a whole state.
    pub fn is_settled_except_staged(&self) -> bool {
        self.waiting == 0
    }

    pub fn is_full(&self, window: usize) -> bool {
        self.slots.len() >= window
    }
}
