//! Waits until charon has connections: service managers load them after charon has started.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// Interval of looks, and the time after which those that are missing are missing for good.
const LOOK: Duration = Duration::from_millis(50);
const LIMIT: Duration = Duration::from_secs(10);

/// Connections that charon is to have.
pub struct AwaitedConnections {
    names: BTreeSet<String>,
    look_at: Instant,
    until: Instant,
}

impl AwaitedConnections {
    pub fn new(now: Instant, names: BTreeSet<String>) -> Self {
        Self {
            names,
            look_at: now,
            until: now + LIMIT,
        }
    }

    pub fn look_at(&self) -> Instant {
        self.look_at
    }

    /// Handles the names of those that it has; returns those that are missing once the wait is over.
    pub fn handle_list<'n>(
        &mut self,
        now: Instant,
        there: impl Iterator<Item = &'n String>,
    ) -> Option<BTreeSet<String>> {
        self.look_at = now + LOOK;
        let there: BTreeSet<&String> = there.collect();
        let missing = self.names.iter().filter(|it| !there.contains(*it));
        let missing: BTreeSet<String> = missing.cloned().collect();
        (missing.is_empty() || now >= self.until).then_some(missing)
    }
}
