//! State of a switchover, on the node that gives and on the node that takes.

use super::drain::Drain;
use super::resume::Resume;
use super::retire::LastWords;
use super::stop::Stopping;

/// Each step has a file of its own with its type: numbers are drained, the old node stops, the new one resumes, and
/// the old one says what it received last.
#[derive(Debug, Default)]
pub struct Switchover {
    pub(super) drain: Drain,
    pub(super) stopping: Stopping,
    pub(super) resume: Resume,
    pub(super) last_words: LastWords,
}

impl Switchover {
    pub fn next_ns(&self) -> u64 {
        let times = [
            self.drain.deadline_ns(),
            self.stopping.next_ns(),
            self.resume.next_ns(),
            self.last_words.next_ns(),
        ];
        times.into_iter().min().unwrap_or(u64::MAX)
    }

    /// Whether outbound SAs wait for the old node, or are stopped for the new one.
    pub fn moves(&self) -> bool {
        !self.resume.is_none() || self.stopping.has_stopped()
    }
}
