//! Limits lines of log and events that others can cause.

use std::fmt;

/// Allows one line a minute, which names the number of suppressed lines.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Limit {
    next_ns: u64,
    swallowed: u64,
}

/// Number of lines that were suppressed since the last one, as the end of the next line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct More(u64);

impl Limit {
    const PAUSE_NS: u64 = 60_000_000_000;

    /// Returns the end of the line, if one may be written now.
    pub fn pass(&mut self, now_ns: u64) -> Option<More> {
        if now_ns < self.next_ns {
            self.swallowed += 1;
            return None;
        }
        self.next_ns = now_ns.saturating_add(Limit::PAUSE_NS);
        Some(More(std::mem::take(&mut self.swallowed)))
    }
}

impl fmt::Display for More {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => Ok(()),
            swallowed => write!(f, " ({swallowed} suppressed before)"),
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
            .filter_map(|tenth| limit.pass(tenth * SECOND / 10))
            .map(|more| more.to_string())
            .collect();
        assert_eq!(lines, ["", " (599 suppressed before)"]);
    }
}
