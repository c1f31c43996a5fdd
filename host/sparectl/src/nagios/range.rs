//! Ranges of the plugins of Nagios: `10` is 0 to 10, `10:` at least 10, `~:10` at most 10, `@10:20` outside of 10 to 20.

use std::fmt;
use std::str::FromStr;

/// Allowed values.
#[derive(Clone, Debug, PartialEq)]
pub struct Range {
    /// As it was typed.
    text: String,
    start: f64,
    end: f64,
    /// True if the values from start to end are those that are not allowed.
    is_inverted: bool,
}

impl Range {
    /// Returns true if the value is not allowed.
    pub fn alerts(&self, value: f64) -> bool {
        (self.start..=self.end).contains(&value) == self.is_inverted
    }
}

impl FromStr for Range {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let fault = || format!("\"{text}\" is not a range like 10, 10:, ~:10, 10:20 or @10:20");
        let number = |text: &str| text.parse().ok().filter(|it: &f64| it.is_finite());
        let inner = text.strip_prefix('@');
        let (start, end) = match inner.unwrap_or(text).split_once(':') {
            None => ("0", inner.unwrap_or(text)),
            Some(("", end)) => ("0", end),
            Some(both) => both,
        };
        let start = match start {
            "~" => Some(f64::NEG_INFINITY),
            start => number(start),
        };
        let end = match end {
            "" if text.contains(':') => Some(f64::INFINITY),
            end => number(end),
        };
        let (start, end) = start.zip(end).filter(|it| it.0 <= it.1).ok_or_else(fault)?;
        Ok(Self {
            text: text.to_owned(),
            start,
            end,
            is_inverted: inner.is_some(),
        })
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
