//! Time since which the two nodes may differ. Jumps of sequence numbers grow with it, so both nodes count it in the
//! same way: a run of the plugin that starts during a separation counts from the same moment as the one before it.

use super::{Action, Engine};
use crate::SECOND;

/// Delay until the time is written to a file: a failover mostly begins at that moment, and must not wait for a disk.
const SAVE_AFTER_NS: u64 = SECOND;

#[derive(Debug)]
pub struct Separation {
    since_ns: Option<u64>,
    /// Time that was saved for the next run.
    saved_ns: Option<u64>,
}

impl Separation {
    /// A run that starts has nothing of the peer yet.
    pub fn new(now_ns: u64) -> Self {
        Self {
            since_ns: Some(now_ns),
            saved_ns: None,
        }
    }

    pub fn since_ns(&self) -> Option<u64> {
        self.since_ns
    }

    pub fn begin(&mut self, now_ns: u64) {
        self.since_ns.get_or_insert(now_ns);
    }

    pub fn end(&mut self) {
        self.since_ns = None;
    }

    pub fn next_ns(&self) -> u64 {
        match (self.since_ns, self.saved_ns) {
            (Some(since_ns), kept) if kept != Some(since_ns) => {
                since_ns.saturating_add(SAVE_AFTER_NS)
            }
            (None, Some(_)) => 0,
            _ => u64::MAX,
        }
    }
}

impl Engine {
    /// Handles the bytes of [`Action::SaveSeparation`] of the previous run.
    pub fn handle_saved_separation(&mut self, now_ns: u64, bytes: &[u8]) {
        let Ok(bytes) = bytes.try_into() else {
            return;
        };
        let since_ns = u64::from_be_bytes(bytes).min(now_ns);
        self.separation = Separation {
            since_ns: Some(since_ns),
            saved_ns: Some(since_ns),
        };
    }

    pub(super) fn handle_separation_timeout(&mut self, now_ns: u64) {
        if self.separation.next_ns() <= now_ns {
            self.separation.saved_ns = self.separation.since_ns;
            let bytes = self.separation.since_ns.map(u64::to_be_bytes);
            let bytes = bytes.iter().flatten().copied().collect();
            self.push_action(Action::SaveSeparation(bytes));
        }
    }
}
