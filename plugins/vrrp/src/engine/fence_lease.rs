//! The fence lease of an active group, and the adverts that renew it.

use super::lapse::Lapse;
use crate::config;
use crate::limit::{Limit, Suppressed};

/// Limit of answers to losing adverts between two regular adverts.
const ANSWERS_MAX: u32 = 8;

#[derive(Clone, Debug, Default)]
pub(super) struct Lease {
    /// Interval of adverts in force; a longer one takes effect after the peer has learned it.
    interval_ns: u64,
    /// Number of adverts until the longer interval takes effect.
    old_interval_left: u32,
    /// Number of losing adverts answered since the last regular advert.
    answers: u32,
    /// Time until which the last adverts keep the fence passing.
    until_ns: u64,
    /// The lease has ended and is not granted again yet.
    lapse: Option<Lapse>,
    /// Limit of events about late adverts.
    late_limit: Limit,
}

impl Lease {
    pub fn new(interval_ns: u64) -> Lease {
        Lease {
            interval_ns,
            ..Self::default()
        }
    }

    /// Begins an active role with the configured interval.
    pub fn begin_term(&mut self, interval_ns: u64) {
        (self.interval_ns, self.old_interval_left) = (interval_ns, 0);
    }

    /// Renews the lease: adverts are sent.
    pub fn renew(&mut self, now_ns: u64, config: &config::Group) {
        self.until_ns = now_ns.saturating_add(config.lease_ns);
        if self.old_interval_left > 0 {
            self.old_interval_left -= 1;
            if self.old_interval_left == 0 {
                self.interval_ns = config.interval_ns;
            }
        }
    }

    /// Shortens the lease: the last adverts did not leave.
    pub fn shorten(&mut self, until_ns: u64) {
        self.until_ns = until_ns;
    }

    /// Notes a newly configured interval; returns true if it is in force.
    pub fn change_interval(&mut self, config: &config::Group, is_active: bool) -> bool {
        let is_longer = config.interval_ns > self.interval_ns;
        if is_active && is_longer {
            // the backups must have learned the longer interval before it is kept
            self.old_interval_left = config.advert_loss;
            return false;
        }
        (self.interval_ns, self.old_interval_left) = (config.interval_ns, 0);
        true
    }

    /// Counts a losing advert; returns true if it is answered.
    pub fn begin_answer(&mut self) -> bool {
        let answers = self.answers < ANSWERS_MAX;
        self.answers += u32::from(answers);
        answers
    }

    /// Ends an interval: a regular advert is due.
    pub fn end_interval(&mut self) {
        self.answers = 0;
    }

    pub fn interval_ns(&self) -> u64 {
        self.interval_ns
    }

    /// Time of the advert that follows one sent now.
    pub fn next_advert_ns(&self, now_ns: u64) -> u64 {
        now_ns.saturating_add(self.interval_ns)
    }

    pub fn until_ns(&self) -> u64 {
        self.until_ns
    }

    pub fn is_over(&self, now_ns: u64) -> bool {
        now_ns > self.until_ns
    }

    // ---- lapses ----------------------------------------------------------------------------

    pub fn begin_lapse(&mut self, lapse: Lapse) {
        self.lapse = Some(lapse);
    }

    /// Ends and returns the lapse: the lease is granted again, or the role is given up.
    pub fn end_lapse(&mut self) -> Option<Lapse> {
        self.lapse.take()
    }

    pub fn is_lapsed(&self) -> bool {
        self.lapse.is_some()
    }

    /// Returns the number of suppressed events if the event of a late advert may be sent now.
    pub fn allow_late_event(&mut self, now_ns: u64) -> Option<Suppressed> {
        self.late_limit.allow(now_ns)
    }
}
