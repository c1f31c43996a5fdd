//! Damped state of a check: a result counts after `rise` or `fall` results in a row and the delay, so that a check that
//! flaps changes nothing. Also decides when the daemon is told.

use super::Finding;
use crate::config::{Timing, Weight};

/// Minimum time in ns between reports that change only the reason: a round trip differs each time.
pub(super) const REASON_INTERVAL_NS: u64 = 10_000_000_000;

/// State that counts, with the results that may replace it.
#[derive(Clone, Debug, Default)]
pub(super) struct DampedState {
    /// State that counts; None until there are enough results.
    state: Option<u8>,
    why: String,
    /// Excess of a number, as of the last result that counts.
    excess: Option<u32>,
    candidate: Option<Candidate>,
    pub(super) changed_ns: u64,
    pub(super) runs: u64,
    pub(super) failures: u64,
    last_report: Option<Reported>,
}

/// Results that differ from the state, all in one direction.
#[derive(Clone, Debug)]
struct Candidate {
    better: bool,
    /// State that all of them reach: the worst of better ones, the best of worse ones.
    level: u8,
    count: u32,
    since_ns: u64,
    why: String,
    excess: Option<u32>,
}

/// A state as the daemon knows it.
#[derive(Clone, Debug)]
pub(super) struct Reported {
    pub(super) state: u8,
    /// Points that the check takes off.
    pub(super) points: u32,
    pub(super) why: String,
    weight: Weight,
    at_ns: u64,
}

impl DampedState {
    pub(super) fn state(&self) -> Option<u8> {
        self.state
    }

    pub(super) fn why(&self) -> &str {
        &self.why
    }

    /// Results that do not count yet: their number, direction and reason.
    pub(super) fn pending(&self) -> Option<(u32, bool, &str)> {
        let candidate = self.candidate.as_ref()?;
        Some((candidate.count, candidate.better, &candidate.why))
    }

    /// True if the only known results are bad ones that wait for confirmation.
    pub(super) fn is_undecided(&self, timing: &Timing) -> bool {
        let waits = |candidate: &Candidate| candidate.count < timing.fall;
        self.state.is_none() && self.candidate.as_ref().is_some_and(waits)
    }

    pub(super) fn was_reported(&self) -> bool {
        self.last_report.is_some()
    }

    /// Takes a result.
    pub(super) fn handle_result(&mut self, now_ns: u64, timing: &Timing, finding: &Finding) {
        let (level, excess, why) = (finding.level, finding.excess, &finding.why);
        self.runs += 1;
        if level == 0 {
            self.failures += 1;
        }
        let better = match self.state {
            Some(state) if level == state => {
                self.candidate = None;
                self.excess = excess;
                why.clone_into(&mut self.why);
                return;
            }
            Some(state) => level > state,
            // no state was reported yet, so a good result needs no confirmation
            None if level > 0 => {
                self.candidate = None;
                return self.set_state(now_ns, level, excess, why.clone());
            }
            None => false,
        };
        match &mut self.candidate {
            Some(candidate) if candidate.better == better => {
                candidate.count = candidate.count.saturating_add(1);
                candidate.level = if better {
                    candidate.level.min(level)
                } else {
                    candidate.level.max(level)
                };
                candidate.excess = excess;
                why.clone_into(&mut candidate.why);
            }
            _ => {
                self.candidate = Some(Candidate {
                    better,
                    level,
                    count: 1,
                    since_ns: now_ns,
                    why: why.clone(),
                    excess,
                });
            }
        }
        self.handle_timeout(now_ns, timing);
    }

    /// Makes a candidate the state if it has been seen often and long enough.
    pub(super) fn handle_timeout(&mut self, now_ns: u64, timing: &Timing) {
        let first = self.state.is_none();
        let due = |candidate: &mut Candidate| {
            let due_ns = candidate.due_ns(timing, first);
            due_ns.is_some_and(|due_ns| now_ns >= due_ns)
        };
        if let Some(candidate) = self.candidate.take_if(due) {
            self.set_state(now_ns, candidate.level, candidate.excess, candidate.why);
        }
    }

    /// Drops the candidate: only results from now on say if the state still holds.
    pub(super) fn drop_candidate(&mut self) {
        self.candidate = None;
    }

    fn set_state(&mut self, now_ns: u64, level: u8, excess: Option<u32>, why: String) {
        self.state = Some(level);
        self.excess = excess;
        self.why = why;
        self.changed_ns = now_ns;
    }

    /// State to report to the daemon now.
    pub(super) fn poll_report(&mut self, now_ns: u64, weight: Weight) -> Option<Reported> {
        let state = self.state?;
        if self.report_due_ns(weight)? > now_ns {
            return None;
        }
        self.last_report = Some(Reported {
            state,
            points: weight.points(state, self.excess),
            why: self.why.clone(),
            weight,
            at_ns: now_ns,
        });
        self.last_report.clone()
    }

    pub(super) fn next_timeout(&self, timing: &Timing, weight: Weight) -> Option<u64> {
        let candidate = self.candidate.as_ref();
        let delayed = candidate.and_then(|it| it.due_ns(timing, self.state.is_none()));
        let report = self.report_due_ns(weight);
        delayed.into_iter().chain(report).min()
    }

    fn report_due_ns(&self, weight: Weight) -> Option<u64> {
        let state = self.state?;
        let points = weight.points(state, self.excess);
        match &self.last_report {
            None => Some(0),
            Some(last) if (last.state, last.points, last.weight) != (state, points, weight) => {
                Some(0)
            }
            Some(last) if last.why != self.why => {
                Some(last.at_ns.saturating_add(REASON_INTERVAL_NS))
            }
            Some(_) => None,
        }
    }
}

impl Candidate {
    /// Time when the candidate counts; None while more results are needed. The first state need not last, because there
    /// is no earlier one to keep.
    fn due_ns(&self, timing: &Timing, first: bool) -> Option<u64> {
        let (count, delay_ns) = if self.better {
            (timing.rise, timing.up_delay_ns)
        } else {
            (timing.fall, timing.down_delay_ns)
        };
        let delay_ns = if first { 0 } else { delay_ns };
        (self.count >= count).then(|| self.since_ns.saturating_add(delay_ns))
    }
}
