//! Changes of keys while the nodes were apart, until both have the same.

use std::collections::{HashMap, HashSet};

use crate::Key;

/// Limit of remembered keys of each kind, beyond which nothing is known of a key.
const REMEMBERED: usize = 65_536;

#[derive(Debug)]
pub(crate) struct OfflineChanges<K> {
    /// Times of changes made while the nodes were apart, by key.
    changed_ns: HashMap<K, u64>,
    /// Keys that this node deleted.
    deleted: HashSet<K>,
    /// Keys whose records expired: their absence is no deletion.
    expired: HashSet<K>,
    /// True if more records expired than can be remembered.
    is_incomplete: bool,
    /// True if a backup deleted something, which does not count.
    has_strays: bool,
}

impl<K: Key> OfflineChanges<K> {
    pub fn new() -> Self {
        Self {
            changed_ns: HashMap::new(),
            deleted: HashSet::new(),
            expired: HashSet::new(),
            is_incomplete: false,
            has_strays: false,
        }
    }

    pub fn note_change(&mut self, now_ns: u64, key: &K) {
        if self.changed_ns.len() < REMEMBERED || self.changed_ns.contains_key(key) {
            self.changed_ns.insert(key.clone(), now_ns);
        }
    }

    pub fn forget_change(&mut self, key: &K) {
        if !self.changed_ns.is_empty() {
            self.changed_ns.remove(key);
        }
    }

    pub fn note_deletion(&mut self, key: &K) {
        if self.deleted.len() < REMEMBERED {
            self.deleted.insert(key.clone());
        }
    }

    /// Forgets the deletion of a record that exists again.
    pub fn forget_deletion(&mut self, key: &K) {
        if !self.deleted.is_empty() {
            self.deleted.remove(key);
        }
    }

    pub fn note_expired(&mut self, key: K) {
        if self.expired.len() < REMEMBERED {
            self.expired.insert(key);
        } else {
            self.is_incomplete = true
        }
    }

    pub fn forget_expired(&mut self, key: &K) {
        if !self.expired.is_empty() {
            self.expired.remove(key);
        }
    }

    /// Notes that a backup deleted something.
    pub fn note_stray(&mut self) {
        self.has_strays = true;
    }

    /// Time of the last change of a key.
    pub fn changed_ns(&self, key: &K) -> Option<u64> {
        self.changed_ns.get(key).copied()
    }

    pub fn changes(&self) -> impl Iterator<Item = (&K, &u64)> {
        self.changed_ns.iter()
    }

    pub fn has_deleted(&self, key: &K) -> bool {
        self.deleted.contains(key)
    }

    pub fn deleted(&self) -> impl Iterator<Item = &K> {
        self.deleted.iter()
    }

    /// True if the absence of this key means that it was deleted.
    pub fn is_deletion(&self, key: &K) -> bool {
        !self.has_strays && !self.is_incomplete && !self.expired.contains(key)
    }
}
