//! What was counted on one link.

use crate::error::BeatDiscard;

/// Of one link.
#[derive(Clone, Debug, Default)]
pub struct Counters {
    pub sent: u64,
    /// The system did not take a beat: no cable, no neighbour, no room.
    pub send_errors: u64,
    /// Authentic and new on this link.
    pub received: u64,
    /// Of those, what another link had brought before.
    pub copies: u64,
    dropped: [u64; BeatDiscard::ALL.len()],
    /// When the newest authentic one came.
    pub heard_ns: Option<u64>,
}

impl Counters {
    pub fn count_sent(&mut self, done: bool) {
        if done {
            self.sent += 1;
        } else {
            self.send_errors += 1;
        }
    }

    pub fn count_received(&mut self, now_ns: u64, is_copy: bool) {
        self.received += 1;
        self.copies += u64::from(is_copy);
        self.heard_ns = Some(now_ns);
    }

    pub fn count_dropped(&mut self, reason: BeatDiscard) {
        if let Some(count) = self.dropped.get_mut(reason as usize) {
            *count += 1;
        }
    }

    pub fn dropped(&self, reason: BeatDiscard) -> u64 {
        self.dropped.get(reason as usize).copied().unwrap_or(0)
    }

    /// How long ago the newest one came.
    pub fn age_ns(&self, now_ns: u64) -> Option<u64> {
        self.heard_ns.map(|at_ns| now_ns.saturating_sub(at_ns))
    }
}
