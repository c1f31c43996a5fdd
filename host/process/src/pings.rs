//! Finds processes that hang: each is pinged and has to answer. Time that a process spent waiting for a CPU or a disk
//! does not count, so that a starved process does not count as hanging.

use std::time::{Duration, Instant};

use super::Usage;

/// Time between two pings.
pub const PING_EVERY: Duration = Duration::from_secs(1);
/// Own time without an answer after which a process hangs: three pings, less the short time that other processes always
/// take.
const PATIENCE: Duration = Duration::from_millis(2_500);
/// Unanswered pings after which even a starved process counts as hanging.
const MISSED_MAX: u32 = 60;

/// Time without an answer, for whatever cause, after which earlier statements of the process no longer count.
/// [`PING_EVERY`] comes before it: a process that stops is silent after 2.5 s.
const SILENT: Duration = Duration::from_millis(1_500);

/// Tick that is nearest to `now`, counted from `last`. Work with the same interval and the same ticks is one wake-up of the
/// daemon. The processes answer while it does that work, so that their answers are one more wake-up.
pub fn nearest_tick(last: Instant, every: Duration, now: Instant) -> Instant {
    let since = now.saturating_duration_since(last) + every / 2;
    let ticks = since.as_nanos().checked_div(every.as_nanos());
    let ticks = ticks.and_then(|it| u32::try_from(it).ok());
    ticks.map_or(now, |ticks| last + every * ticks)
}

/// Pings of one process.
#[derive(Debug, Default)]
pub struct Pings {
    number: u64,
    answered: u64,
    /// Number of the last ping before a call that has not returned. The process handles both in order, so an answer to
    /// a later ping is forged.
    before_call: Option<u64>,
    /// Own time of the process since its last answer.
    own: Duration,
    /// Usage at the last ping.
    usage: Option<Usage>,
    /// Time of the first ping without an answer, and of the last one.
    asked: Option<(Instant, Instant)>,
}

impl Pings {
    /// Number of the next ping, one second after the last; None if the process hangs. `usage` is the present one, if
    /// the kernel reports it.
    pub fn next(&mut self, usage: Option<Usage>) -> Option<u64> {
        let used = self.usage.zip(usage);
        let own = used.map_or(PING_EVERY, |(last, now)| now.own_since(last, PING_EVERY));
        self.usage = usage;
        if self.missed() > 0 {
            self.own += own;
            if self.own >= PATIENCE || self.missed() >= MISSED_MAX {
                return None;
            }
        }
        self.number += 1;
        Some(self.number)
    }

    /// Number of the next ping for a process that was not read from for a part of that second, so that its answer may
    /// wait here.
    pub fn next_of_unread(&mut self, usage: Option<Usage>) -> Option<u64> {
        self.usage = usage;
        if self.missed() >= MISSED_MAX {
            return None;
        }
        self.number += 1;
        Some(self.number)
    }

    /// Notes that a ping is sent.
    pub fn handle_sent(&mut self, now: Instant) {
        let (first, _) = self.asked.unwrap_or((now, now));
        self.asked = Some((first, now));
    }

    /// Notes that the process got a call, which it has to complete before it answers later pings.
    pub fn begin_call(&mut self) {
        self.before_call = Some(self.number);
    }

    /// Notes that the call has returned.
    pub fn end_call(&mut self) {
        self.before_call = None;
    }

    /// Handles an answer. An answer that arrived before, or cannot be true yet, is ignored.
    pub fn handle_pong(&mut self, number: u64) {
        if self.is_open(number) {
            self.answered = number;
            self.own = Duration::ZERO;
            let last = self.asked.filter(|_| self.missed() > 0);
            self.asked = last.map(|(_, last)| (last, last));
        }
    }

    /// Returns true if the process has not answered for so long that its state is unknown.
    pub fn is_silent(&self, now: Instant) -> bool {
        self.silent_at().is_some_and(|at| now >= at)
    }

    /// Time from which the process is silent, if it does not answer before.
    pub fn silent_at(&self) -> Option<Instant> {
        self.asked.map(|(first, _)| first + SILENT)
    }

    /// Returns true if this ping waits for its answer.
    pub fn is_open(&self, number: u64) -> bool {
        number > self.answered && number <= self.before_call.unwrap_or(self.number)
    }

    /// Number of unanswered pings.
    pub fn missed(&self) -> u32 {
        u32::try_from(self.number - self.answered).unwrap_or(u32::MAX)
    }
}
