//! Time from which on something is asked for, as it is typed: "2h" ago, or a date.

use std::time::Duration;

use jiff::civil::DateTime;
use jiff::{SignedDuration, ZonedDateTime};
use spared_config_reader::parse_duration;

const DAY: Duration = Duration::from_secs(86_400);

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Since {
    Ago(Duration),
    /// Local time.
    At(DateTime),
}

impl Since {
    /// # Errors
    /// A sentence about what is allowed.
    pub fn parse(text: &str) -> Result<Self, String> {
        let days = text.strip_suffix('d').and_then(|days| days.parse().ok());
        let ago = days.and_then(|days: u32| DAY.checked_mul(days));
        if let Some(ago) = ago.or_else(|| parse_duration(text)) {
            return Ok(Self::Ago(ago));
        }
        let at = text.parse().map(Self::At);
        at.map_err(|_| "not a time like 2h, 7d, 2026-11-20 or \"2026-11-20 09:30\"".to_owned())
    }

    /// Text in RFC 3339.
    pub fn rfc3339(self, now: &ZonedDateTime) -> String {
        let at = match self {
            Self::Ago(ago) => SignedDuration::try_from(ago)
                .ok()
                .and_then(|ago| now.checked_sub(ago).ok()),
            Self::At(at) => at.to_zoned_datetime(now.time_zone().clone()).ok(),
        };
        // a time before all calendars
        let at =
            at.unwrap_or_else(|| jiff::Timestamp::MIN.to_zoned_datetime(now.time_zone().clone()));
        at.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_a_duration_or_a_date_of_here() {
        let now: ZonedDateTime = "2026-11-20T12:00:00+01:00[Europe/Berlin]".parse().unwrap();
        let text = |text: &str| Since::parse(text).map(|it| it.rfc3339(&now));
        for (typed, wanted) in [
            ("2h", "2026-11-20T10:00:00+01:00"),
            ("7d", "2026-11-13T12:00:00+01:00"),
            ("2026-10-20", "2026-10-20T00:00:00+02:00"),
            ("2026-11-20 09:30", "2026-11-20T09:30:00+01:00"),
            ("2026-11-20 09:30:07.715", "2026-11-20T09:30:07+01:00"),
        ] {
            assert_eq!(text(typed).as_deref(), Ok(wanted), "{typed}");
        }
        for typed in ["", "yesterday", "h", "2026-13-01", "99999999999h", "-1d"] {
            assert!(text(typed).is_err(), "{typed}");
        }
    }
}
