//! Times in the words of this router's clock.

use jiff::{Timestamp, ZonedDateTime};
use maud::{Markup, html};

use super::text::Text;

/// Milliseconds since 1970 of a time in a document; None if it is no time.
pub fn milliseconds(time: &Text) -> Option<i64> {
    let time: Timestamp = time.as_str().parse().ok()?;
    Some(time.as_millisecond())
}

/// Local time of a moment; `now` says where.
pub fn local(milliseconds: i64, now: &ZonedDateTime) -> Option<ZonedDateTime> {
    let time = Timestamp::from_millisecond(milliseconds).ok()?;
    Some(time.to_zoned_datetime(now.time_zone().clone()))
}

/// Time of the day, with the date in front if it is another than that of `now`.
pub fn clock(time: &Text, now: &ZonedDateTime) -> Markup {
    let Some(local) = milliseconds(time).and_then(|it| local(it, now)) else {
        return html! { (time) };
    };
    let format = match local.date() == now.date() {
        true => "%H:%M:%S",
        false => "%Y-%m-%d %H:%M:%S",
    };
    html! { time datetime=(time) { (local.strftime(format)) } }
}

/// Time of the day of an event in a list that has the date elsewhere.
pub fn time_of_day(milliseconds: i64, now: &ZonedDateTime) -> String {
    let time = local(milliseconds, now);
    time.map_or("-".to_owned(), |it| it.strftime("%H:%M:%S").to_string())
}

/// Time that has passed since then: "3 h 12 min".
pub fn passed(since: &Text, now: &ZonedDateTime) -> Option<String> {
    let since = milliseconds(since)?;
    Some(duration(now.timestamp().as_millisecond() - since))
}

/// Duration in at most two units.
pub fn duration(milliseconds: i64) -> String {
    let seconds = milliseconds.max(0) / 1000;
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, minutes) => format!("{minutes} min"),
        (0, hours, minutes) => format!("{hours} h {minutes} min"),
        (days, hours, _) => format!("{days} d {hours} h"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples;
    use super::*;

    #[test]
    fn a_time_has_its_date_if_that_is_not_today() {
        let now = samples::now();
        let shown = |time: &str| clock(&Text::new(time), &now).into_string();
        assert!(shown("2026-11-20T11:33:45+01:00").ends_with(">11:33:45</time>"));
        assert!(shown("2026-11-19T11:33:45+01:00").ends_with(">2026-11-19 11:33:45</time>"));
        assert!(shown("2026-11-20T10:33:45Z").ends_with(">11:33:45</time>"));
        assert_eq!(shown("<never>"), "&lt;never&gt;");
    }

    #[test]
    fn a_duration_has_two_units_at_most() {
        for (seconds, words) in [
            (-5, "0 s"),
            (41, "41 s"),
            (720, "12 min"),
            (11_520, "3 h 12 min"),
            (93_600, "1 d 2 h"),
        ] {
            assert_eq!(duration(seconds * 1000), words);
        }
    }
}
