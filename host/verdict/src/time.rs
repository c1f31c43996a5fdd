//! Formats times of the daemon, which are RFC 3339 with the local offset, in readable form.

use jiff::Timestamp;

/// Formats `2026-11-14T08:12:03.250+01:00` as `2026-11-14 08:12:03`.
pub fn clock(rfc3339: &str) -> String {
    let text = rfc3339.replacen('T', " ", 1);
    text.get(..19).map_or(text.clone(), str::to_owned)
}

/// Formats a time like [`clock`], without the date if it is the date of `now`.
pub fn clock_on(now: &str, rfc3339: &str) -> String {
    let text = clock(rfc3339);
    let (today, day) = (now.get(..10), text.get(..10));
    match text.get(11..) {
        Some(time) if today == day => time.to_owned(),
        _ => text,
    }
}

/// Returns the seconds from `then` to `now`; None if one of them is not a time.
pub fn seconds(then: &str, now: &str) -> Option<i64> {
    let second = |text: &str| Some(text.parse::<Timestamp>().ok()?.as_second());
    second(now)?.checked_sub(second(then)?)
}

/// Formats the duration from `then` to `now` as "3 h 12 min", "12 min" or "41 s"; None if one of
/// them is not a time.
pub fn between(then: &str, now: &str) -> Option<String> {
    let passed = seconds(then, now)?.max(0);
    let (days, hours, minutes) = (passed / 86_400, passed / 3600 % 24, passed / 60 % 60);
    Some(match (days, hours, minutes) {
        (0, 0, 0) => format!("{passed} s"),
        (0, 0, minutes) => format!("{minutes} min"),
        (0, hours, minutes) => format!("{hours} h {minutes} min"),
        (days, hours, _) => format!("{days} d {hours} h"),
    })
}

/// Formats a time and the duration since then: "08:12:03 (12 min)".
pub fn since(then: &str, now: &str) -> String {
    let clock = clock_on(now, then);
    match between(then, now) {
        Some(passed) => format!("{clock} ({passed})"),
        None => clock,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: &str = "2026-11-20T12:53:12.100+01:00";

    #[test]
    fn a_time_that_is_no_time_is_shown_as_it_is() {
        assert_eq!(
            clock("2026-11-14T08:12:03.250+01:00"),
            "2026-11-14 08:12:03"
        );
        assert_eq!(clock("never"), "never");
        assert_eq!(clock("2026-11-14T08:12:0é"), "2026-11-14 08:12:0é");
        assert_eq!(since("never", NOW), "never");
        assert_eq!(between("never", NOW), None);
    }

    #[test]
    fn the_day_is_named_where_it_is_another() {
        assert_eq!(clock_on(NOW, "2026-11-20T09:41:07+01:00"), "09:41:07");
        assert_eq!(
            clock_on(NOW, "2026-11-19T09:41:07+01:00"),
            "2026-11-19 09:41:07"
        );
    }

    #[test]
    fn what_has_passed_is_said_in_two_units_at_most() {
        for (then, passed) in [
            ("2026-11-20T12:52:31+01:00", "41 s"),
            ("2026-11-20T12:41:00+01:00", "12 min"),
            ("2026-11-20T08:41:07Z", "3 h 12 min"),
            ("2026-11-17T11:00:00+01:00", "3 d 1 h"),
            ("2026-11-20T13:00:00+01:00", "0 s"),
        ] {
            assert_eq!(between(then, NOW).as_deref(), Some(passed), "{then}");
        }
    }
}
