//! Checks of free disk space, on an active node and on a backup that has something to write.

use crate::SECOND;

/// Interval between checks.
const INTERVAL_NS: u64 = SECOND;

#[derive(Debug, Default)]
pub struct Disk {
    /// Reason why leases cannot be written.
    fault: Option<String>,
    checked_ns: Option<u64>,
}

impl Disk {
    pub fn handle_begun(&mut self, now_ns: u64) {
        self.checked_ns = Some(now_ns);
    }

    /// Handles the result of a check; returns true if there is room again.
    pub fn handle_checked(&mut self, result: Result<(), String>) -> bool {
        let before = std::mem::replace(&mut self.fault, result.err());
        before.is_some() && self.fault.is_none()
    }

    /// Handles that free space does not matter at present.
    pub fn handle_unneeded(&mut self) {
        self.fault = None;
    }

    pub fn fault(&self) -> Option<&String> {
        self.fault.as_ref()
    }

    /// Time of the next check.
    pub fn due_ns(&self) -> u64 {
        let checked_ns = self.checked_ns;
        checked_ns.map_or(0, |it| it.saturating_add(INTERVAL_NS))
    }
}
