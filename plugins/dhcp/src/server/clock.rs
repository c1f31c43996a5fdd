//! Reads the clocks, and detects that the time of day was set.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::SystemTime;

use rustix::io::Errno;
use rustix::time::{
    ClockId, Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, clock_gettime,
    timerfd_create, timerfd_settime,
};

use crate::SECOND;
use crate::lease::{Clock, signed};

const MS: i64 = signed(crate::MS);
/// A time in the year 2255: the timer only serves to be informed when the clock is set.
const NEVER_S: i64 = 9_000_000_000;

pub fn clock() -> Clock {
    let monotonic = clock_gettime(ClockId::Monotonic);
    let unix = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let monotonic_ns = monotonic
        .tv_sec
        .saturating_mul(signed(SECOND))
        .saturating_add(monotonic.tv_nsec);
    let unix_ns = unix.map_or(0, |since| {
        i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
    });
    // rounded, as both cannot be read at once: a time in a file must always give the same value
    let ahead_ns = unix_ns.saturating_sub(monotonic_ns);
    let ahead_ms = ahead_ns.saturating_add(MS / 2).div_euclid(MS);
    Clock {
        monotonic_ns,
        unix_ns: monotonic_ns.saturating_add(ahead_ms.saturating_mul(MS)),
    }
}

/// Timer whose descriptor is readable once the time of day was set.
#[derive(Debug)]
pub struct Steps(OwnedFd);

impl Steps {
    pub fn new() -> Result<Self, std::io::Error> {
        let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
        let steps = Self(timerfd_create(TimerfdClockId::Realtime, flags)?);
        steps.arm()?;
        Ok(steps)
    }

    /// Returns true if it was set since the last call.
    pub fn take(&self) -> bool {
        match rustix::io::read(&self.0, &mut [0; 8]) {
            Err(Errno::CANCELED) => {
                if let Err(error) = self.arm() {
                    log::warn!("the clock cannot be watched: {error}");
                }
                true
            }
            _ => false,
        }
    }

    fn arm(&self) -> Result<(), Errno> {
        let second = |tv_sec| Timespec { tv_sec, tv_nsec: 0 };
        let never = Itimerspec {
            it_interval: second(0),
            it_value: second(NEVER_S),
        };
        let flags = TimerfdTimerFlags::ABSTIME | TimerfdTimerFlags::CANCEL_ON_SET;
        timerfd_settime(&self.0, flags, &never).map(drop)
    }
}

impl AsFd for Steps {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn a_time_in_a_file_is_the_same_whenever_it_is_read() {
        let mut counts = BTreeMap::new();
        for _ in 0..1_000 {
            let time_ns = clock().monotonic(1_795_197_600);
            *counts.entry(time_ns).or_insert(0) += 1;
        }
        // except for delays between both clocks on a busy machine
        assert!(counts.values().any(|count| *count > 950), "{counts:?}");
    }

    #[test]
    fn a_clock_that_nobody_sets_is_silent() {
        let steps = Steps::new().unwrap();
        assert!(!steps.take());
        let mut watched = [rustix::event::PollFd::new(
            &steps,
            rustix::event::PollFlags::IN,
        )];
        let some = Timespec {
            tv_sec: 0,
            tv_nsec: 50_000_000,
        };
        assert_eq!(rustix::event::poll(&mut watched, Some(&some)), Ok(0));
    }
}
