//! Time that the page looks back, and the marks on its axis.

use jiff::{RoundMode, ToSpan, Unit, ZonedDateTime, ZonedDateTimeRound};

/// Steps of a window.
const STEPS: i64 = 720;

/// Time that the page looks back from now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Range {
    Hour,
    #[default]
    Day,
    Week,
    Month,
}

/// A moment on the axis: milliseconds since 1970, and its label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tick {
    pub at: i64,
    pub label: String,
}

/// From when to when, in milliseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    pub from: i64,
    pub to: i64,
}

impl Range {
    pub const ALL: [Self; 4] = [Self::Hour, Self::Day, Self::Week, Self::Month];

    /// Range of a query such as "range=7d"; a day if it has none.
    pub fn from_query(query: &str) -> Self {
        let words = query.split('&').filter_map(|it| it.strip_prefix("range="));
        let known = |word: &str| Self::ALL.into_iter().find(|range| range.word() == word);
        words.into_iter().find_map(known).unwrap_or_default()
    }

    /// Word in a query.
    pub fn word(self) -> &'static str {
        match self {
            Self::Hour => "1h",
            Self::Day => "24h",
            Self::Week => "7d",
            Self::Month => "31d",
        }
    }

    pub fn title(self) -> &'static str {
        match self {
            Self::Hour => "1 hour",
            Self::Day => "24 hours",
            Self::Week => "7 days",
            Self::Month => "31 days",
        }
    }

    /// Window up to now. It moves in steps that can just be seen, so that a page does not change each second.
    pub fn window(self, now: &ZonedDateTime) -> Window {
        let hours = match self {
            Self::Hour => 1,
            Self::Day => 24,
            Self::Week => 7 * 24,
            Self::Month => 31 * 24,
        };
        let length = hours * 3_600_000;
        let step = length / STEPS;
        let to = (now.timestamp().as_millisecond() / step + 1) * step;
        Window {
            from: to - length,
            to,
        }
    }

    /// Marks at round times of this router's clock, oldest first.
    pub fn ticks(self, now: &ZonedDateTime) -> Vec<Tick> {
        let window = self.window(now);
        let (round, step, format) = match self {
            Self::Hour => (rounding(Unit::Minute, 10), 10.minutes(), "%H:%M"),
            Self::Day => (rounding(Unit::Hour, 4), 4.hours(), "%H:%M"),
            Self::Week => (rounding(Unit::Day, 1), 1.day(), "%a %-d"),
            Self::Month => (rounding(Unit::Day, 1), 7.days(), "%-d %b"),
        };
        let mut ticks = Vec::new();
        let mut next = now.round(round).ok();
        while let Some(at) = next.filter(|it| it.timestamp().as_millisecond() > window.from) {
            let label = at.strftime(format).to_string();
            let tick = Tick {
                at: at.timestamp().as_millisecond(),
                label,
            };
            ticks.push(tick);
            next = at.checked_sub(step).ok();
        }
        ticks.reverse();
        ticks
    }
}

impl Window {
    pub fn length(self) -> i64 {
        (self.to - self.from).max(1)
    }

    /// Place of a moment in percent of the window.
    pub fn percent(self, at: i64) -> f64 {
        let passed = (at.clamp(self.from, self.to) - self.from) as f64;
        passed * 100.0 / self.length() as f64
    }
}

fn rounding(unit: Unit, increment: i64) -> ZonedDateTimeRound {
    let round = ZonedDateTimeRound::new()
        .smallest(unit)
        .increment(increment);
    round.mode(RoundMode::Trunc)
}

#[cfg(test)]
mod tests {
    use super::super::samples;
    use super::*;

    #[test]
    fn a_query_names_the_range() {
        for range in Range::ALL {
            let query = format!("a=b&range={}", range.word());
            assert_eq!(Range::from_query(&query), range);
        }
        for query in ["", "range=", "range=1y", "orange=7d"] {
            assert_eq!(Range::from_query(query), Range::Day, "{query}");
        }
    }

    #[test]
    fn marks_are_few_round_and_within() {
        let now = samples::now();
        for range in Range::ALL {
            let (window, ticks) = (range.window(&now), range.ticks(&now));
            assert!((4..=8).contains(&ticks.len()), "{ticks:?}");
            assert!(ticks.windows(2).all(|two| two[0].at < two[1].at));
            let within = |it: &Tick| window.from < it.at && it.at <= window.to;
            assert!(ticks.iter().all(within), "{ticks:?}");
        }
        let labels = |range: Range| range.ticks(&now).into_iter().map(|it| it.label);
        let day: Vec<String> = labels(Range::Day).collect();
        assert_eq!(day, ["12:00", "16:00", "20:00", "00:00", "04:00", "08:00"]);
        assert_eq!(labels(Range::Week).next_back().as_deref(), Some("Fri 20"));
        assert_eq!(labels(Range::Month).next_back().as_deref(), Some("20 Nov"));
    }
}
