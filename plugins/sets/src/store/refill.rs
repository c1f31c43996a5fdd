//! Passes through the elements that a set created again lacks. Refused elements stay known and are tried again: there
//! may be no peer that has them.

use super::entry::Entry;
use super::table::{Cursor, Table};
use crate::SECOND;
use crate::element::Key;

/// Maximum number of keys in a batch for a set that was created again.
const BATCH: usize = 1_000;
/// Number of entries that are examined for such a batch.
const LOOKS: usize = 10;
/// Pause in ns before refused elements are written again; doubled each time.
const PAUSE_NS: u64 = SECOND;
const PAUSE_MAX_NS: u64 = 60 * SECOND;

#[derive(Debug)]
pub(super) struct Refill {
    cursor: Cursor,
    due_ns: u64,
    pause_ns: u64,
    /// Numbers of elements refused in this pass, and in the one before.
    refused: u32,
    before: u32,
}

impl Default for Refill {
    fn default() -> Self {
        Self {
            cursor: Cursor::default(),
            due_ns: 0,
            pause_ns: PAUSE_NS,
            refused: 0,
            before: 0,
        }
    }
}

impl Refill {
    /// Keys of the next elements that the kernel's set lacks.
    pub fn poll_keys(&mut self, now_ns: u64, table: &mut Table) -> Vec<Key> {
        let number = table.number;
        let lacks = |it: &mut Entry| it.written != number && !it.waits && !it.is_over(now_ns);
        let mut keys = Vec::new();
        for _ in 0..LOOKS {
            keys = table.scan(&mut self.cursor, BATCH, lacks);
            if !keys.is_empty() || self.cursor.done {
                break;
            }
        }
        keys
    }

    /// Handles the kernel's refusal of an element.
    pub fn handle_refused(&mut self) {
        self.refused = self.refused.saturating_add(1);
    }

    /// Returns the refill, with another pass if elements have to be tried again; None if it is complete.
    pub fn go_on(mut self, now_ns: u64) -> Option<Self> {
        if !self.cursor.done {
            return Some(self);
        }
        let again = Self {
            cursor: Cursor::default(),
            due_ns: now_ns.saturating_add(self.pause_ns),
            pause_ns: (self.pause_ns * 2).min(PAUSE_MAX_NS),
            refused: 0,
            before: std::mem::take(&mut self.refused),
        };
        (again.before > 0).then_some(again)
    }

    pub fn due_ns(&self) -> u64 {
        self.due_ns
    }

    /// Number of known elements that the kernel refused.
    pub fn refused(&self) -> u32 {
        self.refused.max(self.before)
    }
}
