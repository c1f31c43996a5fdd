//! Leases and identities that are refused because they are invalid, or exceed the limit.

use std::collections::BTreeSet;

use super::book::LEASES_MAX;
use crate::lease::Key;

#[derive(Debug, Default)]
pub struct Refusals {
    /// Leases that the server here granted.
    granted: BTreeSet<Key>,
    /// The last refusal, of a lease or identity of either node, with the reason.
    last: Option<String>,
}

impl Refusals {
    pub fn note(&mut self, why: String) {
        self.last = Some(why);
    }

    /// Notes a lease that the server here granted.
    pub fn note_granted(&mut self, key: Key) {
        if self.granted.len() < LEASES_MAX {
            self.granted.insert(key);
        }
    }

    /// Handles that the server's lease is valid, or gone.
    pub fn end(&mut self, key: &Key) {
        self.granted.remove(key);
    }

    /// Forgets the server's leases.
    pub fn clear_granted(&mut self) {
        self.granted.clear();
    }

    /// Number of leases that the server here granted and that are refused.
    pub fn granted(&self) -> usize {
        self.granted.len()
    }

    pub fn last(&self) -> Option<&String> {
        self.last.as_ref()
    }
}
