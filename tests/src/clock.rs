// SPDX-License-Identifier: MIT OR Apache-2.0
//! Wall-clock nanoseconds, as in the kernel's time stamps of packets, so that all probes agree.

use std::thread;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

/// Nanoseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Stamp(pub u64);

impl Stamp {
    pub fn now() -> Self {
        let time = clock_gettime(ClockId::Realtime);
        Self(time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64)
    }

    /// Time since `earlier`; zero if that is later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    pub fn after(self, wait: Duration) -> Self {
        Self(self.0 + wait.as_nanos() as u64)
    }

    pub fn before(self, wait: Duration) -> Self {
        Self(self.0.saturating_sub(wait.as_nanos() as u64))
    }
}

/// Milliseconds with their fraction, for tables.
pub fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

/// Calls `done` every `step` until it returns true; false after `limit`.
pub fn poll(limit: Duration, step: Duration, mut done: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + limit;
    loop {
        if done() {
            return true;
        }
        if Instant::now() >= end {
            return false;
        }
        thread::sleep(step);
    }
}
