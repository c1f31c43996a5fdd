//! Records to send: own changes, merged while they are pending, and sent records without a verdict.

use std::collections::{HashMap, HashSet, VecDeque};

use crate::store::Store;

/// Sent record that is counted and has no verdict yet.
#[derive(Clone, Debug)]
pub(crate) enum InFlight<K> {
    Record { table: usize, key: K, since_ns: u64 },
    End { table: usize, number: u32 },
    Commit { table: usize },
}

/// Reason to send a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SendReason {
    /// The record was put here.
    Put,
    /// The record was deleted here.
    Deleted,
    /// The peer has requested the record.
    Answer,
    /// The peer changed a record that only this node may change.
    Correction,
}

/// Key of this node that the peer has not acknowledged.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pending {
    pub why: SendReason,
    /// True if the change is still to be sent.
    pub dirty: bool,
    /// Ordinal of the last record sent for the key, 0 before the first.
    pub ordinal: u64,
    /// Times when the change began to wait and was last changed.
    pub since_ns: u64,
    pub changed_ns: u64,
}

impl Pending {
    pub fn is_put(&self) -> bool {
        self.why == SendReason::Put
    }
}

/// Keys of one table to send, in the order of their first change.
#[derive(Debug)]
pub(crate) struct Changes<K> {
    pub pending: HashMap<K, Pending>,
    pub queue: VecDeque<K>,
}

impl<K: crate::Key> Changes<K> {
    pub fn new() -> Self {
        Self {
            pending: HashMap::new(),
            queue: VecDeque::new(),
        }
    }

    pub fn clear(&mut self) {
        self.pending = HashMap::new();
        self.queue = VecDeque::new();
    }

    pub fn remove(&mut self, key: &K) {
        if !self.pending.is_empty() {
            self.pending.remove(key);
        }
    }

    pub fn is_put(&self, key: &K) -> bool {
        self.pending.get(key).is_some_and(Pending::is_put)
    }

    /// Notes that a record expired: it need not be sent, but a sent change still counts.
    pub fn expire(&mut self, key: &K) {
        match self.pending.get_mut(key) {
            Some(it) if it.is_put() && it.ordinal > 0 => it.dirty = false,
            Some(it) if it.is_put() => self.remove(key),
            _ => {}
        }
    }

    /// Drops an own change that a change of the peer replaces; an answer that is still due stays.
    pub fn supersede(&mut self, key: &K) {
        let is_owed = |it: &Pending| it.why == SendReason::Answer && it.dirty;
        if !self.pending.is_empty() && !self.pending.get(key).is_some_and(is_owed) {
            self.pending.remove(key);
        }
    }

    pub fn note(&mut self, now_ns: u64, key: &K, why: SendReason) {
        if let Some(known) = self.pending.get_mut(key) {
            known.changed_ns = now_ns;
            // a pending change of this node includes the answer
            if why != SendReason::Answer || !known.dirty {
                known.why = why;
            }
            if !known.dirty {
                (known.dirty, known.since_ns) = (true, now_ns);
                self.queue.push_back(key.clone());
            }
            return;
        }
        let pending = Pending {
            why,
            dirty: true,
            ordinal: 0,
            since_ns: now_ns,
            changed_ns: now_ns,
        };
        self.pending.insert(key.clone(), pending);
        self.queue.push_back(key.clone());
    }

    /// True if the peer has not handled a change of this node to that key.
    pub fn is_own(&self, key: &K, applied: u64) -> bool {
        !self.pending.is_empty()
            && self.pending.get(key).is_some_and(|it| {
                it.why != SendReason::Answer && (it.dirty || it.ordinal > applied)
            })
    }

    /// Begins a new pair: own changes without a verdict are sent again. An answer or a correction belongs to the pair of
    /// its question: the new one compares all records, by the authority that holds then. A correction that stayed would
    /// keep the new owner's record away.
    pub fn rewind(&mut self) {
        self.pending
            .retain(|_, it| matches!(it.why, SendReason::Put | SendReason::Deleted));
        let mut keys: Vec<(u64, K)> = Vec::new();
        for (key, pending) in &mut self.pending {
            (pending.dirty, pending.ordinal) = (true, 0);
            keys.push((pending.since_ns, key.clone()));
        }
        keys.sort_by_key(|(since_ns, _)| *since_ns);
        self.queue = keys.into_iter().map(|(_, key)| key).collect();
    }

    /// Time when the oldest pending change began to wait.
    pub fn oldest_ns(&self) -> Option<u64> {
        let waiting = self.queue.iter().filter_map(|key| self.pending.get(key));
        let mut waiting = waiting.filter(|it| it.dirty);
        waiting.next().map(|it| it.since_ns)
    }
}

/// Keys whose newest value alone is sent.
#[derive(Debug)]
pub(crate) struct Latest<K> {
    pub keys: HashSet<K>,
    pub queue: VecDeque<K>,
}

impl<K: crate::Key> Latest<K> {
    pub fn new() -> Self {
        Self {
            keys: HashSet::new(),
            queue: VecDeque::new(),
        }
    }

    pub fn note(&mut self, key: K) {
        if self.keys.insert(key.clone()) {
            self.queue.push_back(key);
        }
    }

    pub fn pop(&mut self) -> Option<K> {
        let key = self.queue.pop_front()?;
        self.keys.remove(&key);
        Some(key)
    }

    pub fn clear(&mut self) {
        self.keys.clear();
        self.queue.clear();
    }
}

/// Ordinals of the records sent in this pair.
#[derive(Debug)]
pub(crate) struct Outbox<K> {
    /// Records without a verdict; the first one has the ordinal after `acked`.
    pub in_flight: VecDeque<InFlight<K>>,
    pub acked: u64,
}

impl<K> Outbox<K> {
    pub fn new() -> Self {
        Self {
            in_flight: VecDeque::new(),
            acked: 0,
        }
    }

    /// Ordinal of the next counted record.
    pub fn next(&self) -> u64 {
        self.acked + self.in_flight.len() as u64 + 1
    }

    pub fn has_room(&self, window: usize) -> bool {
        self.in_flight.len() + crate::wire::RECORDS_MAX <= window
    }
}

/// Key type of a store.
pub(crate) type KeyOf<S> = <S as Store>::Key;
