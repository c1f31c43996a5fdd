// SPDX-License-Identifier: MIT OR Apache-2.0
//! Records numbered questions: when each was sent, and whether it was answered. Outages are computed from it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use rustix::time::{ClockId, Timespec, clock_gettime};

use crate::clock::{Stamp, poll};
use crate::sys;

#[derive(Clone, Copy)]
struct Probe {
    sent: Stamp,
    answered: bool,
}

/// Outage caused by a fault.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outage {
    /// Sum of all gaps, each from the first packet without an answer to the next one with an answer.
    pub total: Duration,
    /// The longest gap.
    pub longest: Duration,
    pub lost: usize,
    /// Number of gaps.
    pub gaps: usize,
}

pub struct Ledger {
    probes: Mutex<Vec<Probe>>,
    /// Longest time for an answer to arrive.
    flight: Duration,
    stop: AtomicBool,
    pause: AtomicBool,
}

impl Ledger {
    pub(super) fn new(flight: Duration) -> Self {
        Self {
            probes: Mutex::default(),
            flight,
            stop: AtomicBool::new(false),
            pause: AtomicBool::new(false),
        }
    }

    /// Sends questions at even intervals, and collects answers before each, until [`Ledger::stop`].
    pub(super) fn fill(
        &self,
        spacing: Duration,
        mut ask: impl FnMut(u64),
        mut collect: impl FnMut(&Self),
    ) {
        sys::realtime(5);
        let start = clock_gettime(ClockId::Monotonic);
        let mut ticks = 0u64;
        while !self.is_stopped() {
            collect(self);
            if !self.pause.load(Ordering::Relaxed) {
                ask(self.enter());
            }
            ticks += 1;
            let late = sleep_until(
                start,
                Duration::from_nanos(spacing.as_nanos() as u64 * ticks),
            );
            // No burst after a stall: it would count a loss twice.
            ticks += (late.as_nanos() / spacing.as_nanos()) as u64;
        }
    }

    pub(super) fn note_answer(&self, number: u64) {
        if let Some(probe) = self.probes().get_mut(number as usize) {
            probe.answered = true;
        }
    }

    pub(super) fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    fn enter(&self) -> u64 {
        let mut probes = self.probes();
        probes.push(Probe {
            sent: Stamp::now(),
            answered: false,
        });
        probes.len() as u64 - 1
    }

    fn probes(&self) -> MutexGuard<'_, Vec<Probe>> {
        self.probes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stops or continues sending, to leave the processors to others.
    pub fn pause(&self, pause: bool) {
        self.pause.store(pause, Ordering::Relaxed);
    }

    /// Outage among the packets sent in [from, to). Packets in transit count as lost, so the span must have
    /// ended some milliseconds ago.
    pub fn outage(&self, from: Stamp, to: Stamp) -> Outage {
        let probes = self.probes();
        let start = probes.partition_point(|probe| probe.sent < from);
        let end = probes.partition_point(|probe| probe.sent < to).max(start);
        let mut outage = Outage::default();
        let mut gap: Option<Stamp> = None;
        for probe in &probes[start..end] {
            match (probe.answered, gap) {
                (false, _) => {
                    outage.lost += 1;
                    gap = gap.or(Some(probe.sent));
                }
                (true, Some(begin)) => {
                    outage.add(probe.sent.since(begin));
                    gap = None;
                }
                (true, None) => {}
            }
        }
        if let Some(begin) = gap {
            outage.add(to.since(begin));
        }
        outage
    }

    /// Waits `after`, by when the effects of a fault at `from` have begun, and then until they are over. None if they
    /// are not over within `limit`.
    pub fn outage_of(&self, from: Stamp, after: Duration, limit: Duration) -> Option<Outage> {
        const CALM: Duration = Duration::from_millis(200);
        thread::sleep(after);
        let over = || self.is_steady(CALM) && Stamp::now().since(from) > CALM + self.flight;
        let ended = poll(limit, Duration::from_millis(5), over);
        let to = Stamp(Stamp::now().0 - self.flight.as_nanos() as u64);
        ended.then(|| self.outage(from, to))
    }

    /// Returns the sending time of the first answered packet from `from` on.
    pub fn first_answered(&self, from: Stamp) -> Option<Stamp> {
        let probes = self.probes();
        let start = probes.partition_point(|probe| probe.sent < from);
        let mut answered = probes[start..].iter().filter(|probe| probe.answered);
        answered.next().map(|probe| probe.sent)
    }

    /// Returns the number of packets sent since `from`, and of those answered.
    pub fn counts(&self, from: Stamp) -> (usize, usize) {
        let probes = self.probes();
        let start = probes.partition_point(|probe| probe.sent < from);
        let answered = probes[start..]
            .iter()
            .filter(|probe| probe.answered)
            .count();
        (probes.len() - start, answered)
    }

    /// True if all packets of the last `span` were answered, except those in transit.
    pub fn is_steady(&self, span: Duration) -> bool {
        let now = Stamp::now();
        let to = Stamp(now.0 - self.flight.as_nanos() as u64);
        let from = Stamp(to.0 - span.as_nanos() as u64);
        let probes = self.probes();
        let start = probes.partition_point(|probe| probe.sent < from);
        let end = probes.partition_point(|probe| probe.sent < to);
        start < end && probes[start..end].iter().all(|probe| probe.answered)
    }
}

impl Outage {
    fn add(&mut self, gap: Duration) {
        self.gaps += 1;
        self.total += gap;
        self.longest = self.longest.max(gap);
    }
}

/// Sleeps until `start + offset` on the monotonic clock. Returns how much later it is.
fn sleep_until(start: Timespec, offset: Duration) -> Duration {
    let begin = Duration::new(start.tv_sec as u64, start.tv_nsec as u32);
    let at = begin + offset;
    let time = Timespec {
        tv_sec: at.as_secs() as i64,
        tv_nsec: at.subsec_nanos().into(),
    };
    let _ = rustix::thread::clock_nanosleep_absolute(rustix::thread::ClockId::Monotonic, &time);
    let now = clock_gettime(ClockId::Monotonic);
    Duration::new(now.tv_sec as u64, now.tv_nsec as u32).saturating_sub(at)
}
