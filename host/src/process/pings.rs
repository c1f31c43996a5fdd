//! Whether a process still listens: it is pinged, and has to answer. Time that it spent waiting for a
//! processor or a disk is not its own: a process that is starved is not taken for one that hangs.

use std::time::Duration;

use super::Usage;

/// Time between two pings.
pub(crate) const PING_EVERY: Duration = Duration::from_secs(1);
/// A process hangs that does not answer for so much time of its own; a little is lost to others
/// always.
const PATIENCE: Duration = Duration::from_millis(2_500);
/// Pings that may stay unanswered, however little time the process had.
const MISSED_MAX: u32 = 60;

/// The pings of one process.
#[derive(Debug, Default)]
pub(crate) struct Pings {
    number: u64,
    answered: u64,
    /// Time that the process had since the last answer.
    own: Duration,
    /// What it had used at the last ping.
    usage: Option<Usage>,
}

impl Pings {
    /// The number of the next ping, one second after the last; None where the process hangs. `usage`
    /// is what it has used by now, where the kernel tells.
    pub(crate) fn next(&mut self, usage: Option<Usage>) -> Option<u64> {
        let used = self.usage.zip(usage);
        let own = used.map_or(PING_EVERY, |(last, now)| now.own_since(last, PING_EVERY));
        self.usage = usage;
        if self.missed() > 0 {
            self.own += own;
            if self.own >= PATIENCE || self.missed() >= MISSED_MAX {
                return None;
            }
        }
        self.number += 1;
        Some(self.number)
    }

    /// An answer; one that was given before is none.
    pub(crate) fn handle_pong(&mut self, number: u64) {
        if number > self.answered && number <= self.number {
            self.answered = number;
            self.own = Duration::ZERO;
        }
    }

    /// Pings that are not answered.
    pub(crate) fn missed(&self) -> u32 {
        u32::try_from(self.number - self.answered).unwrap_or(u32::MAX)
    }
}
