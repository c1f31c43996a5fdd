//! Presence of a set in the kernel: its shape, and since when it is missing.

use crate::element::Shape;

#[derive(Debug, Default)]
pub(super) struct Presence {
    shape: Option<Shape>,
    /// Time since which the kernel does not have the set.
    away_since_ns: Option<u64>,
    /// True if its elements count as deleted, until the set was read again.
    is_gone: bool,
}

impl Presence {
    /// Handles that the kernel has the set.
    pub fn handle_found(&mut self, shape: Shape) {
        (self.shape, self.away_since_ns) = (Some(shape), None);
    }

    /// Handles that the kernel does not have the set; returns for how long in ns.
    pub fn handle_missing(&mut self, now_ns: u64) -> u64 {
        let since_ns = *self.away_since_ns.get_or_insert(now_ns);
        now_ns.saturating_sub(since_ns)
    }

    /// Handles that the set will not come back soon, or cannot be replicated.
    pub fn handle_gone(&mut self) {
        self.is_gone = true;
    }

    /// Handles a complete reading; `is_known` is false if another one has to follow.
    pub fn handle_read(&mut self, is_known: bool) {
        self.is_gone = !is_known;
    }

    pub fn shape(&self) -> Option<Shape> {
        self.shape
    }

    pub fn is_away(&self) -> bool {
        self.away_since_ns.is_some()
    }

    pub fn is_gone(&self) -> bool {
        self.is_gone
    }
}
