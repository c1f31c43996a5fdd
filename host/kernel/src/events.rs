//! Queues the events for the host. A warning that repeats is reported once a minute.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::{KernelError, KernelEvent};

/// Time in which the same warning is not repeated.
const PACE: Duration = Duration::from_secs(60);
/// Maximum number of remembered warnings. Further ones are dropped.
const REMEMBERED_MAX: usize = 256;

#[derive(Default)]
pub(super) struct Events {
    queue: Vec<KernelEvent>,
    warned: BTreeMap<String, Instant>,
}

impl Events {
    pub(super) fn push(&mut self, event: KernelEvent) {
        self.queue.push(event);
    }

    /// Adds an event, unless it waits already.
    pub(super) fn push_once(&mut self, event: KernelEvent) {
        if !self.contains(&event) {
            self.push(event);
        }
    }

    /// Adds a warning that is not limited.
    pub(super) fn tell(&mut self, text: String) {
        self.push(KernelEvent::Warning(text));
    }

    pub(super) fn warn(&mut self, failures: impl IntoIterator<Item = KernelError>) {
        let failures = failures.into_iter();
        failures.for_each(|failure| self.warn_once(failure.to_string()));
    }

    pub(super) fn warn_once(&mut self, text: String) {
        let now = Instant::now();
        self.warned.retain(|_, at| now.duration_since(*at) < PACE);
        if !self.warned.contains_key(&text) && self.warned.len() < REMEMBERED_MAX {
            self.warned.insert(text.clone(), now);
            self.tell(text);
        }
    }

    pub(super) fn take(&mut self) -> Vec<KernelEvent> {
        std::mem::take(&mut self.queue)
    }

    pub(super) fn contains(&self, event: &KernelEvent) -> bool {
        self.queue.contains(event)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }
}
