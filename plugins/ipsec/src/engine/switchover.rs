//! State of a switchover, on the old node and on the new one.

use super::drain::Drain;
use super::resume::Resume;
use super::retire::LastReceived;
use super::stop::Stopping;

/// Steps of a switchover, each with a file of its own: numbers are drained, the old node stops, the new one resumes,
/// and the old one reports what it received last. The value is never replaced: `resume` has a number and a time that
/// outlive a switchover.
#[derive(Debug, Default)]
pub struct Switchover {
    pub(super) drain: Drain,
    pub(super) stopping: Stopping,
    pub(super) resume: Resume,
    pub(super) last_received: LastReceived,
}

impl Switchover {
    pub fn next_ns(&self) -> u64 {
        let times = [
            self.drain.deadline_ns(),
            self.stopping.next_ns(),
            self.resume.next_ns(),
            self.last_received.next_ns(),
        ];
        times.into_iter().min().unwrap_or(u64::MAX)
    }

    /// True if outbound SAs wait for the old node, or are stopped for the new one.
    pub fn moves(&self) -> bool {
        !self.resume.is_none() || self.stopping.has_stopped()
    }
}
