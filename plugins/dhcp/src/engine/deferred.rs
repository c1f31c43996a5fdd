//! Leases that a running server refused, or has with other values: they are retried after a while, or when it stops.

use std::collections::BTreeMap;

use crate::SECOND;
use crate::lease::Key;

/// Time after which they are retried.
const RETRY_NS: u64 = 60 * SECOND;

#[derive(Debug, Default)]
pub struct Deferred {
    /// Leases with the reason of the refusal; None: the server has other values.
    leases: BTreeMap<Key, Option<String>>,
    since_ns: u64,
}

impl Deferred {
    /// Handles a lease that the server has with other values.
    pub fn handle_other(&mut self, key: Key) {
        self.leases.entry(key).or_insert(None);
    }

    /// Handles leases that the server refused.
    pub fn handle_refused(&mut self, now_ns: u64, refused: impl Iterator<Item = (Key, String)>) {
        if self.leases.is_empty() {
            self.since_ns = now_ns;
        }
        self.leases
            .extend(refused.map(|(key, why)| (key, Some(why))));
    }

    /// Takes the leases to retry, if it is time.
    pub fn take_due(&mut self, now_ns: u64) -> impl Iterator<Item = Key> {
        let mut due = BTreeMap::new();
        if !self.leases.is_empty() && now_ns >= self.retry_ns() {
            self.since_ns = now_ns;
            due = std::mem::take(&mut self.leases);
        }
        due.into_keys()
    }

    /// Takes all leases: another run of the server may accept them.
    pub fn take(&mut self) -> impl Iterator<Item = Key> {
        std::mem::take(&mut self.leases).into_keys()
    }

    pub fn remove(&mut self, key: &Key) {
        self.leases.remove(key);
    }

    pub fn clear(&mut self) {
        self.leases.clear();
    }

    pub fn len(&self) -> usize {
        self.leases.len()
    }

    fn retry_ns(&self) -> u64 {
        self.since_ns.saturating_add(RETRY_NS)
    }

    /// Time of the next retry, if there is one.
    pub fn due_ns(&self) -> Option<u64> {
        (!self.leases.is_empty()).then(|| self.retry_ns())
    }

    /// Number of refused leases.
    pub fn refused(&self) -> usize {
        self.leases.values().flatten().count()
    }

    /// The first refusal, as a sentence.
    pub fn refusal(&self) -> Option<String> {
        self.leases.iter().find_map(|(key, why)| {
            let why = why.as_ref()?;
            Some(format!("{key}: {why}"))
        })
    }
}
