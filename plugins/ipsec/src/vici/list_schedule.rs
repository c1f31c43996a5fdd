//! Schedules reads of charon's connections for [the check](crate::connections); sans I/O.

use std::time::{Duration, Instant};

use crate::connections::Listed;

/// Intervals between reads: connections are loaded soon after charon starts, and others may be
/// loaded later.
const FIRST: Duration = Duration::from_secs(1);
const MAX: Duration = Duration::from_secs(60);
/// Delay after an SA came or went, which shows more of its connection.
const AFTER_SA: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub struct ListSchedule {
    at: Instant,
    pause: Duration,
    /// An answer is requested.
    is_asked: bool,
    reported: Option<Listed>,
}

impl ListSchedule {
    pub fn new(now: Instant) -> Self {
        Self {
            at: now,
            pause: FIRST,
            is_asked: false,
            reported: None,
        }
    }

    /// Begins the schedule when charon has started.
    pub fn begin(&mut self, now: Instant) {
        (self.at, self.pause) = (now + FIRST, FIRST);
    }

    pub fn ask(&mut self, now: Instant) {
        (self.at, self.is_asked) = (now, true);
    }

    pub fn handle_sas(&mut self, now: Instant) {
        self.at = self.at.min(now + AFTER_SA);
    }

    pub fn due(&self) -> Instant {
        self.at
    }

    /// Returns what is to be reported of the lists.
    pub fn handle_listed(&mut self, now: Instant, listed: Listed) -> Option<Listed> {
        self.at = now + self.pause;
        self.pause = (self.pause * 2).min(MAX);
        let is_asked = std::mem::take(&mut self.is_asked);
        let is_new = self.reported.as_ref() != Some(&listed);
        self.reported = Some(listed.clone());
        (is_asked || is_new).then_some(listed)
    }

    /// Handles a failed read; returns true if an answer is requested.
    pub fn handle_fault(&mut self) -> bool {
        std::mem::take(&mut self.is_asked)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_the_same_is_told_to_who_asks_alone() {
        let now = Instant::now();
        let mut list_schedule = ListSchedule::new(now);
        list_schedule.begin(now);
        assert_eq!(list_schedule.due(), now + FIRST);
        let listed = || Listed::default();
        assert_eq!(list_schedule.handle_listed(now, listed()), Some(listed()));
        assert_eq!(list_schedule.handle_listed(now, listed()), None);
        assert_eq!(list_schedule.due(), now + 2 * FIRST);
        list_schedule.handle_sas(now);
        assert_eq!(list_schedule.due(), now + 2 * FIRST);
        list_schedule.ask(now);
        assert_eq!(list_schedule.due(), now);
        assert_eq!(list_schedule.handle_listed(now, listed()), Some(listed()));
        list_schedule.ask(now);
        assert!(list_schedule.handle_fault());
        assert!(!list_schedule.handle_fault());
    }
}
