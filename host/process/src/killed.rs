//! Keeps processes that were killed and are not reaped yet.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::Child;

/// Maximum time that the kernel needs to end a process. After a longer time, the process waits in a system call that
/// nothing interrupts, such as one for a disk that hangs.
const LINGERING: Duration = Duration::from_secs(2);

/// Killed processes, by the serial number under which their exit is watched.
#[derive(Debug, Default)]
pub struct Killed {
    children: BTreeMap<u64, (Child, Instant)>,
}

impl Killed {
    /// Kills a process and keeps it until it has ended.
    pub fn add(&mut self, now: Instant, serial: u64, mut child: Child) {
        child.kill();
        if !child.has_ended() {
            self.children.insert(serial, (child, now));
        }
    }

    /// Handles the exit of a process. Returns false if the process is not in this list.
    pub fn handle_exit(&mut self, serial: u64) -> bool {
        let Some((child, _)) = self.children.get_mut(&serial) else {
            return false;
        };
        if child.has_ended() {
            self.children.remove(&serial);
        }
        true
    }

    /// Reaps processes whose end was reported while the starter did not answer.
    pub fn reap(&mut self) {
        self.children.retain(|_, (child, _)| !child.has_ended());
    }

    /// Returns true if this process has not ended in time.
    pub fn is_lingering(&self, now: Instant, serial: u64) -> bool {
        let child = self.children.get(&serial);
        child.is_some_and(|(_, since)| now.saturating_duration_since(*since) >= LINGERING)
    }
}
