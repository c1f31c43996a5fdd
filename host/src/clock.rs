//! Times: monotonic nanoseconds for the ABI, local wall time for people.

use std::time::Duration;

use jiff::{Timestamp, Zoned, tz::TimeZone};
use rustix::time::ClockId;
use spared_worker::clock::nanoseconds;
pub use spared_worker::clock::now_ns as monotonic_ns;

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
