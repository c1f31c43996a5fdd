//! Times: monotonic nanoseconds for the ABI, local wall time for people.

use std::time::Duration;

use jiff::{Timestamp, Zoned, tz::TimeZone};
use rustix::time::{ClockId, clock_gettime};

/// CLOCK_MONOTONIC in ns.
pub fn monotonic_ns() -> u64 {
    nanoseconds(ClockId::Monotonic)
}

/// Local time like "2026-11-14T08:12:03+01:00".
pub fn now() -> String {
    format(&Zoned::now(), "%Y-%m-%dT%H:%M:%S%:z")
}

/// Local time with milliseconds, for events.
pub fn now_ms() -> String {
    format(&Zoned::now(), "%Y-%m-%dT%H:%M:%S%.3f%:z")
}

/// When the kernel started.
pub fn booted() -> String {
    let up = Duration::from_nanos(nanoseconds(ClockId::Boottime));
    let booted = Timestamp::now()
        .checked_sub(up)
        .unwrap_or(Timestamp::UNIX_EPOCH);
    format(&booted.to_zoned(TimeZone::system()), "%Y-%m-%dT%H:%M:%S%:z")
}

fn format(at: &Zoned, form: &str) -> String {
    at.strftime(form).to_string()
}

fn nanoseconds(clock: ClockId) -> u64 {
    let at = clock_gettime(clock);
    let seconds = u64::try_from(at.tv_sec).unwrap_or(0);
    let rest = u64::try_from(at.tv_nsec).unwrap_or(0);
    seconds.saturating_mul(1_000_000_000).saturating_add(rest)
}
