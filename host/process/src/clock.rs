//! Clocks: monotonic nanoseconds for the ABI, local wall time for people.

use std::time::Duration;

use jiff::{Timestamp, ZonedDateTime, tz::TimeZone};
use rustix::time::ClockId;

pub use spared_records::boot::{self, id as boot_id};
use spared_records::monotonic::nanoseconds;
pub use spared_records::monotonic::{cpu_time, now_ns as monotonic_ns};

/// Local time like "2026-11-14T08:12:03+01:00".
pub fn now() -> String {
    format(&ZonedDateTime::now(), "%Y-%m-%dT%H:%M:%S%:z")
}

/// Local time with milliseconds, for events.
pub fn now_ms() -> String {
    format(&ZonedDateTime::now(), "%Y-%m-%dT%H:%M:%S%.3f%:z")
}

/// Milliseconds since 1970, for times that must survive a reboot.
pub fn wall_ms() -> u64 {
    u64::try_from(Timestamp::now().as_millisecond()).unwrap_or(0)
}

/// Local time of a moment in milliseconds since 1970.
pub fn at(wall_ms: u64) -> String {
    let ms = i64::try_from(wall_ms).unwrap_or(i64::MAX);
    let at = Timestamp::from_millisecond(ms).unwrap_or(Timestamp::MAX);
    format(
        &at.to_zoned_datetime(TimeZone::system()),
        "%Y-%m-%dT%H:%M:%S%:z",
    )
}

/// Local time `time` from now.
pub fn after(time: Duration) -> String {
    let ms = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    at(wall_ms().saturating_add(ms))
}

/// Local time `ms` milliseconds ago.
pub fn before_ms(ms: u64) -> String {
    at(wall_ms().saturating_sub(ms))
}

/// Local time for a sentence, without the date if it is today's.
pub fn brief(at: &str) -> String {
    let today = now();
    match (at.get(..10), at.get(11..19)) {
        (Some(day), Some(time)) if today.starts_with(day) => time.to_owned(),
        (Some(day), Some(time)) => format!("{day} {time}"),
        _ => at.to_owned(),
    }
}

/// Local time at which the kernel started.
pub fn booted() -> String {
    let up = Duration::from_nanos(nanoseconds(ClockId::Boottime));
    let booted = Timestamp::now()
        .checked_sub(up)
        .unwrap_or(Timestamp::UNIX_EPOCH);
    format(
        &booted.to_zoned_datetime(TimeZone::system()),
        "%Y-%m-%dT%H:%M:%S%:z",
    )
}

fn format(at: &ZonedDateTime, form: &str) -> String {
    at.strftime(form).to_string()
}
