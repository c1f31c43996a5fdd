//! Durations as users write them: a number and a unit.

use std::time::Duration;

const UNITS: [(&str, u64); 5] = [
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
];

/// Reads "100ms", "1.5s", "2m", "1h"; None for anything else, also if negative or too large.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let unit_at = text.find(|c: char| c.is_ascii_alphabetic())?;
    let (number, unit) = text.split_at(unit_at);
    let (_, unit_ns) = UNITS.iter().find(|(name, _)| *name == unit)?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(fraction) || fraction.len() > 9 {
        return None;
    }
    let mut ns = whole.parse::<u64>().ok()?.checked_mul(*unit_ns)?;
    if !fraction.is_empty() {
        let part = u128::from(fraction.parse::<u64>().ok()?) * u128::from(*unit_ns);
        let part = part / 10u128.pow(u32::try_from(fraction.len()).ok()?);
        ns = ns.checked_add(u64::try_from(part).ok()?)?;
    }
    Some(Duration::from_nanos(ns))
}

/// Shortest text that [`parse_duration`] reads back: "100ms", "90s", "1h".
pub fn format_duration(time: Duration) -> String {
    let ns = time.as_nanos();
    if ns == 0 {
        return "0s".to_owned();
    }
    let exact = UNITS
        .iter()
        .find(|(_, unit_ns)| ns % u128::from(*unit_ns) == 0);
    match exact {
        Some((unit, unit_ns)) => format!("{}{unit}", ns / u128::from(*unit_ns)),
        None => format!("{}us", ns / 1_000),
    }
}
