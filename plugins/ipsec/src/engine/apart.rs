//! Time since which the two nodes may differ. Jumps of sequence numbers grow with it, so both nodes count it in the
//! same way: a run of the plugin that starts during a separation counts from the same moment as the one before it.

use super::{Action, Engine};
use crate::SECOND;

/// Delay until the time is written to a file: a failover mostly begins at that moment, and must not wait for a disk.
const KEEP_NS: u64 = SECOND;

#[derive(Debug)]
pub struct Apart {
    since_ns: Option<u64>,
    /// Time that is kept for the next run.
    kept_ns: Option<u64>,
}

impl Apart {
    /// A run that starts has nothing of the peer yet.
    pub fn new(now_ns: u64) -> Self {
        Self {
            since_ns: Some(now_ns),
            kept_ns: None,
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
        match (self.since_ns, self.kept_ns) {
            (Some(since_ns), kept) if kept != Some(since_ns) => since_ns.saturating_add(KEEP_NS),
            (None, Some(_)) => 0,
            _ => u64::MAX,
        }
    }
}

impl Engine {
    /// Handles the bytes of [`Action::Part`] of the previous run.
    pub fn handle_parted(&mut self, now_ns: u64, bytes: &[u8]) {
        let Ok(bytes) = bytes.try_into() else {
            return;
        };
        let since_ns = u64::from_be_bytes(bytes).min(now_ns);
        self.apart = Apart {
            since_ns: Some(since_ns),
            kept_ns: Some(since_ns),
        };
    }

    pub(super) fn time_apart(&mut self, now_ns: u64) {
        if self.apart.next_ns() <= now_ns {
            self.apart.kept_ns = self.apart.since_ns;
            let bytes = self.apart.since_ns.map(u64::to_be_bytes);
            let bytes = bytes.iter().flatten().copied().collect();
            self.act(Action::Part(bytes));
        }
    }
}
