//! History of one item since the worker began: counters, last fault, and events.

use super::event_limiter::{EventLimiter, Topic};

#[derive(Debug, Default)]
pub(super) struct ItemHistory {
    failures: u64,
    started_by_others: u64,
    last_fault: Option<String>,
    limiter: EventLimiter,
    events: Vec<String>,
}

impl ItemHistory {
    /// Counts a failure.
    pub(super) fn note_failure(&mut self, why: String) {
        self.failures = self.failures.saturating_add(1);
        self.last_fault = Some(why);
    }

    /// Notes a fault that is no failure of a job.
    pub(super) fn note_fault(&mut self, why: String) {
        self.last_fault = Some(why);
    }

    pub(super) fn note_started_by_others(&mut self) {
        self.started_by_others = self.started_by_others.saturating_add(1);
    }

    /// Queues an event, unless the same was queued a moment ago.
    pub(super) fn queue_event(&mut self, now_ns: u64, topic: Topic, text: String) {
        let text = self.limiter.limit(now_ns, topic, text);
        self.events.extend(text);
    }

    pub(super) fn take_events(&mut self) -> impl Iterator<Item = String> + '_ {
        self.events.drain(..)
    }

    pub(super) fn failures(&self) -> u64 {
        self.failures
    }

    pub(super) fn started_by_others(&self) -> u64 {
        self.started_by_others
    }

    pub(super) fn last_fault(&self) -> Option<&str> {
        self.last_fault.as_deref()
    }
}
