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
pub struct Listing {
    at: Instant,
    pause: Duration,
    /// An answer is requested.
    is_asked: bool,
    told: Option<Listed>,
}

impl Listing {
    pub fn new(now: Instant) -> Self {
        Self {
            at: now,
            pause: FIRST,
            is_asked: false,
            told: None,
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
        let is_news = self.told.as_ref() != Some(&listed);
        self.told = Some(listed.clone());
        (is_asked || is_news).then_some(listed)
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
        let mut listing = Listing::new(now);
        listing.begin(now);
        assert_eq!(listing.due(), now + FIRST);
        let listed = || Listed::default();
        assert_eq!(listing.handle_listed(now, listed()), Some(listed()));
        assert_eq!(listing.handle_listed(now, listed()), None);
        assert_eq!(listing.due(), now + 2 * FIRST);
        listing.handle_sas(now);
        assert_eq!(listing.due(), now + 2 * FIRST);
        listing.ask(now);
        assert_eq!(listing.due(), now);
        assert_eq!(listing.handle_listed(now, listed()), Some(listed()));
        listing.ask(now);
        assert!(listing.handle_fault());
        assert!(!listing.handle_fault());
    }
}
