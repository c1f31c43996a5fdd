//! Whether a process still listens: it is pinged, and has to answer.

use std::time::Duration;

/// Time between two pings.
pub(crate) const PING_EVERY: Duration = Duration::from_secs(1);
/// Pings that may stay unanswered.
pub(crate) const MISSED_MAX: u32 = 3;

/// The pings of one process.
#[derive(Debug, Default)]
pub(crate) struct Pings {
    number: u64,
    missed: u32,
}

impl Pings {
    /// The number of the next ping; None where too many were not answered.
    pub(crate) fn next(&mut self) -> Option<u64> {
        if self.missed >= MISSED_MAX {
            return None;
        }
        self.missed += 1;
        self.number += 1;
        Some(self.number)
    }

    /// An answer; one to an older ping is none.
    pub(crate) fn handle_pong(&mut self, number: u64) {
        if number == self.number {
            self.missed = 0;
        }
    }

    /// Pings that are not answered.
    pub(crate) fn missed(&self) -> u32 {
        self.missed
    }
}
