//! Decisions by which a node lost its value.

use std::fmt::Display;

/// Maximum number of conflicts kept with their keys.
const NAMED: usize = 64;

/// A decision by which a node lost its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// Key as people read it.
    pub key: String,
    /// True if the peer's value, or its deletion, won.
    pub peer_won: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Conflicts {
    count: u64,
    named: Vec<Conflict>,
    /// Number of conflicts that were reported to the owner.
    reported: u64,
}

impl Conflicts {
    pub fn note(&mut self, key: &impl Display, peer_won: bool) {
        self.count += 1;
        if self.named.len() < NAMED {
            let key = key.to_string();
            self.named.push(Conflict { key, peer_won });
        }
    }

    /// Counts a conflict without keeping its key.
    pub fn count(&mut self) {
        self.count += 1;
    }

    /// Number of conflicts, if there are more than were reported.
    pub fn take_unreported(&mut self) -> Option<u64> {
        let reported = std::mem::replace(&mut self.reported, self.count);
        (self.count > reported).then_some(self.count)
    }

    pub fn total(&self) -> u64 {
        self.count
    }

    pub fn named(&self) -> &[Conflict] {
        &self.named
    }
}
