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
    missing: Missing<K>,
    /// Missing records since the present snapshot began: the next one still needs them.
    recent: Missing<K>,
}

/// Records whose absence is no deletion.
#[derive(Debug)]
struct Missing<K> {
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
            missing: Missing::new(),
            recent: Missing::new(),
        }
    }

    /// Handles the begin of a snapshot.
    pub fn begin_snapshot(&mut self) {
        self.recent = Missing::new();
    }

    /// Forgets what both nodes have agreed on by a snapshot that ended: all but the records missing since its begin,
    /// because it may have named them before.
    pub fn end_snapshot(&mut self) {
        let recent = std::mem::replace(&mut self.recent, Missing::new());
        *self = Self {
            missing: recent,
            ..Self::new()
        };
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
        self.recent.note_expired(key.clone());
        self.missing.note_expired(key);
    }

    pub fn forget_expired(&mut self, key: &K) {
        for missing in [&mut self.missing, &mut self.recent] {
            if !missing.expired.is_empty() {
                missing.expired.remove(key);
            }
        }
    }

    /// Notes that a backup deleted something.
    pub fn note_stray(&mut self) {
        (self.missing.has_strays, self.recent.has_strays) = (true, true);
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
        let missing = &self.missing;
        !missing.has_strays && !missing.is_incomplete && !missing.expired.contains(key)
    }
}

impl<K: Key> Missing<K> {
    fn new() -> Self {
        Self {
            expired: HashSet::new(),
            is_incomplete: false,
            has_strays: false,
        }
    }

    fn note_expired(&mut self, key: K) {
        if self.expired.len() < REMEMBERED {
            self.expired.insert(key);
        } else {
            self.is_incomplete = true
        }
    }
}
