//! Reads the keys that every kind has.

use std::path::PathBuf;
use std::time::Duration;

use spared_sdk::config::{Key, Section, format_duration};
use spared_sdk::nanoseconds;

use super::{Check, Kind, Only, POINTS_MAX, Timing, Weight};

pub(super) const DAY: Duration = Duration::from_secs(24 * 3600);
const NAME_MAX: usize = 64;

/// Defaults of a kind of check.
pub(super) struct Defaults {
    pub weight: u64,
    pub interval_ms: u64,
    /// Default timeout; None: the kind waits for no answer, and has no key for it.
    pub timeout_ms: Option<u64>,
    /// Default rise and fall; None: the kernel's report counts at once, and the kind has no keys for them.
    pub rise_fall: Option<(u64, u64)>,
    /// The kind has the key `reverse`.
    pub has_reverse: bool,
}

/// Reads the keys that every kind has, and combines them with the kind's own.
pub(super) fn check(
    section: &Section<'_>,
    name: Option<String>,
    defaults: &Defaults,
    kind: Option<Kind>,
) -> Option<(Check, bool)> {
    let name = name.and_then(|name| fitting(section, name));
    let weight = weight(section, defaults);
    let timing = timing(section, defaults);
    let only = only(section);
    let enabled = section.flag("enabled").unwrap_or(true);
    let reverse = defaults.has_reverse && section.flag("reverse").unwrap_or(false);
    let check = Check {
        name: name?,
        weight,
        reverse,
        timing: timing?,
        only,
        kind: kind?,
    };
    Some((check, enabled))
}

/// Reads the key `name`, which is required.
pub(super) fn required_name(section: &Section<'_>) -> Option<String> {
    section.required("name", section.text("name"))
}

fn fitting(section: &Section<'_>, name: String) -> Option<String> {
    let printable = |c: char| c.is_ascii_graphic();
    if name.is_empty() || name.len() > NAME_MAX || !name.chars().all(printable) {
        let why =
            format!("found {name:?}, allowed up to {NAME_MAX} letters, digits and signs, no space");
        section.fault("name", why);
        return None;
    }
    Some(name)
}

/// Reads the weight: a negative one is a number of points.
fn weight(section: &Section<'_>, defaults: &Defaults) -> Weight {
    let points_max = i64::from(POINTS_MAX);
    let found = section.signed("weight", -points_max..=9999);
    let Some(found) = found else {
        return Weight::Share(u32::try_from(defaults.weight).unwrap_or(100));
    };
    let amount = u32::try_from(found.unsigned_abs()).unwrap_or(100);
    if found < 0 {
        Weight::Points(amount)
    } else {
        Weight::Share(amount)
    }
}

fn timing(section: &Section<'_>, defaults: &Defaults) -> Option<Timing> {
    let least = Duration::from_millis(100);
    let interval = section
        .duration("interval", least..=DAY)
        .unwrap_or(Duration::from_millis(defaults.interval_ms));
    let timeout = match defaults.timeout_ms {
        Some(timeout_ms) => timeout(section, interval, timeout_ms)?,
        None => interval,
    };
    let (rise, fall) = match defaults.rise_fall {
        Some((rise, fall)) => (
            section.integer("rise", 1..=100).unwrap_or(rise),
            section.integer("fall", 1..=100).unwrap_or(fall),
        ),
        None => (1, 1),
    };
    let delay = |key| {
        section
            .duration(key, Duration::ZERO..=DAY)
            .map_or(0, nanoseconds)
    };
    Some(Timing {
        interval_ns: nanoseconds(interval),
        timeout_ns: nanoseconds(timeout),
        rise: u32::try_from(rise).unwrap_or(1),
        fall: u32::try_from(fall).unwrap_or(1),
        up_delay_ns: delay("up_delay"),
        down_delay_ns: delay("down_delay"),
    })
}

fn timeout(section: &Section<'_>, interval: Duration, default_ms: u64) -> Option<Duration> {
    let least = Duration::from_millis(10);
    let minute = Duration::from_secs(60);
    if !section.has("timeout") {
        return Some(Duration::from_millis(default_ms).min(interval));
    }
    let timeout = section.duration("timeout", least..=minute)?;
    if timeout > interval {
        let (found, interval) = (format_duration(timeout), format_duration(interval));
        section.fault(
            "timeout",
            format!("found \"{found}\", allowed up to the interval, \"{interval}\""),
        );
        return None;
    }
    Some(timeout)
}

fn only(section: &Section<'_>) -> Option<Only> {
    let group = section.text("group");
    let only = section.choice("only", &[("active", ())]);
    if only.is_none() && group.is_some() && !section.has("only") {
        section.fault("group", "has an effect only with only = \"active\"");
    }
    only.map(|()| Only { group })
}

/// Reads an absolute path.
pub(super) fn path<'k>(section: &Section<'_>, key: impl Into<Key<'k>> + Copy) -> Option<PathBuf> {
    let found = section.required(key, section.text(key))?;
    section
        .fits_path("path", &found)
        .then(|| PathBuf::from(found))
}
