//! Limits lines of log and events that others can cause.

use std::fmt;

/// Allows one line a minute, which names the number of suppressed lines.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Limit {
    next_ns: u64,
    suppressed: u64,
}

/// Number of lines that were suppressed since the last one, as the end of the next line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Suppressed(u64);

impl Limit {
    const PAUSE_NS: u64 = 60_000_000_000;

    /// Returns the end of the line, if one may be written now.
    pub fn allow(&mut self, now_ns: u64) -> Option<Suppressed> {
        if now_ns < self.next_ns {
            self.suppressed += 1;
            return None;
        }
        self.next_ns = now_ns.saturating_add(Limit::PAUSE_NS);
        Some(Suppressed(std::mem::take(&mut self.suppressed)))
    }
}

impl fmt::Display for Suppressed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => Ok(()),
            suppressed => write!(f, " ({suppressed} suppressed before)"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_a_minute_says_how_many_it_stands_for() {
        const SECOND: u64 = 1_000_000_000;
        let mut limit = Limit::default();
        let lines: Vec<String> = (0..1200)
            .filter_map(|tenth| limit.allow(tenth * SECOND / 10))
            .map(|more| more.to_string())
            .collect();
        assert_eq!(lines, ["", " (599 suppressed before)"]);
    }
}
