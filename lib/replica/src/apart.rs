//! Changes of keys while the nodes were apart, until both have the same.

use std::collections::{HashMap, HashSet};

use crate::Key;

/// Limit of remembered keys of each kind, beyond which nothing is known of a key.
const REMEMBERED: usize = 65_536;

#[derive(Debug)]
pub(crate) struct Apart<K> {
    /// Times of changes made while the nodes were apart, by key.
    ages: HashMap<K, u64>,
    /// Keys that this node deleted.
    deleted: HashSet<K>,
    /// Keys whose records are absent although nobody deleted them.
    ended: HashSet<K>,
    /// True if more records ended than can be remembered.
    is_full: bool,
    /// True if a backup deleted something, which does not count.
    has_strays: bool,
}

impl<K: Key> Apart<K> {
    pub fn new() -> Self {
        Self {
            ages: HashMap::new(),
            deleted: HashSet::new(),
            ended: HashSet::new(),
            is_full: false,
            has_strays: false,
        }
    }

    pub fn note_age(&mut self, now_ns: u64, key: &K) {
        if self.ages.len() < REMEMBERED || self.ages.contains_key(key) {
            self.ages.insert(key.clone(), now_ns);
        }
    }

    pub fn forget_age(&mut self, key: &K) {
        if !self.ages.is_empty() {
            self.ages.remove(key);
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

    pub fn note_ended(&mut self, key: K) {
        if self.ended.len() < REMEMBERED {
            self.ended.insert(key);
        } else {
            self.is_full = true
        }
    }

    pub fn forget_end(&mut self, key: &K) {
        if !self.ended.is_empty() {
            self.ended.remove(key);
        }
    }

    /// Notes that a backup deleted something.
    pub fn note_stray(&mut self) {
        self.has_strays = true;
    }

    /// Time of the last change of a key.
    pub fn age(&self, key: &K) -> Option<u64> {
        self.ages.get(key).copied()
    }

    pub fn ages(&self) -> impl Iterator<Item = (&K, &u64)> {
        self.ages.iter()
    }

    pub fn has_deleted(&self, key: &K) -> bool {
        self.deleted.contains(key)
    }

    pub fn deleted(&self) -> impl Iterator<Item = &K> {
        self.deleted.iter()
    }

    /// True if the absence of this key means that it was deleted.
    pub fn is_deletion(&self, key: &K) -> bool {
        !self.has_strays && !self.is_full && !self.ended.contains(key)
    }
}
