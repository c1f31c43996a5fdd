//! Delivery to one recipient: one alarm at a time, repeated with growing pauses until the recipient has taken it.

use std::collections::BTreeMap;

use super::book::ToldChange;
use crate::finding::Key;
use crate::notification::Event;

/// Pause in ns after a failure; doubled with each further one.
const PAUSE_NS: u64 = 1_000_000_000;
const PAUSE_MAX_NS: u64 = 60_000_000_000;
/// Number of failures in a row after which the recipient counts as out of reach.
const FAILURES: u32 = 2;
/// Time in ns after the last failure for which it does.
const UNREACHED_NS: u64 = 60_000_000_000;

/// Alarm on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sending {
    pub run: u64,
    pub key: Key,
    pub event: Event,
    pub told: ToldChange,
}

/// State of a recipient.
#[derive(Debug, Default)]
pub struct Delivery {
    sending: Option<Sending>,
    /// Number of failures since the last success.
    failures: u32,
    failed_ns: u64,
    /// Reason of the last failure.
    why: String,
    sent: u64,
    failed: u64,
    /// Time of the next reminder of each finding that was told.
    reminders: BTreeMap<Key, u64>,
}

impl Delivery {
    pub fn sending(&self) -> Option<&Sending> {
        self.sending.as_ref()
    }

    pub fn begin(&mut self, sending: Sending) {
        self.sending = Some(sending);
    }

    /// Takes the result of the alarm on its way: what was sent, or None if that failed.
    pub fn handle_result(&mut self, now_ns: u64, result: Result<(), String>) -> Option<Sending> {
        let sending = self.sending.take()?;
        match result {
            Ok(()) => {
                self.failures = 0;
                self.sent += 1;
                Some(sending)
            }
            Err(why) => {
                self.failures = self.failures.saturating_add(1);
                self.failed += 1;
                self.failed_ns = now_ns;
                self.why = why;
                None
            }
        }
    }

    /// True if the recipient can be reached, as far as is known.
    pub fn reaches(&self, now_ns: u64) -> bool {
        self.failures < FAILURES || now_ns >= self.failed_ns.saturating_add(UNREACHED_NS)
    }

    /// Reason why the recipient cannot be reached, until it is.
    pub fn trouble(&self) -> Option<&str> {
        (self.failures >= FAILURES).then_some(self.why.as_str())
    }

    /// Time from which the next alarm may be sent.
    pub fn ready_ns(&self) -> u64 {
        match self.failures {
            0 => 0,
            count => {
                let pause_ns = PAUSE_NS.saturating_mul(1 << (count - 1).min(10));
                self.failed_ns.saturating_add(pause_ns.min(PAUSE_MAX_NS))
            }
        }
    }

    /// Time at which the recipient counts as reachable again.
    pub fn next_reach(&self, now_ns: u64) -> Option<u64> {
        let until = self.failed_ns.saturating_add(UNREACHED_NS);
        (!self.reaches(now_ns)).then_some(until)
    }

    /// Sets the reminders: of `lasting`, the findings that were told and last.
    pub fn remind<'k>(&mut self, at_ns: u64, lasting: impl Iterator<Item = &'k Key>) {
        let known = |key: &Key| self.reminders.get(key).copied().unwrap_or(at_ns);
        self.reminders = lasting.map(|key| (key.clone(), known(key))).collect();
    }

    /// Takes a reminder that is due.
    pub fn take_reminder(&mut self, now_ns: u64, next_ns: u64) -> Option<Key> {
        let (key, at_ns) = self.reminders.iter_mut().min_by_key(|(_, at_ns)| **at_ns)?;
        if *at_ns > now_ns {
            return None;
        }
        *at_ns = next_ns;
        Some(key.clone())
    }

    pub fn next_reminder(&self) -> Option<u64> {
        self.reminders.values().min().copied()
    }

    pub fn counters(&self) -> (u64, u64) {
        (self.sent, self.failed)
    }
}
