//! Counts the changes of a group's role, and keeps the local time of the latest.

use super::Clock;

#[derive(Debug)]
pub(super) struct RoleChanges {
    clock: Clock,
    latest: String,
    count: u64,
}

impl RoleChanges {
    pub(super) fn new(clock: Clock) -> Self {
        Self {
            clock,
            latest: clock(),
            count: 0,
        }
    }

    pub(super) fn note(&mut self) {
        self.latest = (self.clock)();
        self.count += 1;
    }

    pub(super) fn latest(&self) -> &str {
        &self.latest
    }

    pub(super) fn count(&self) -> u64 {
        self.count
    }
}
