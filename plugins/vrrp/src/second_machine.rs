//! Reports a second machine that has the peer's key: by a failed check while both are heard, and an event a minute.

use crate::limit::Limit;

/// Time for which it counts as present after both were last heard.
const PRESENT_NS: u64 = 60_000_000_000;

/// State of that report.
#[derive(Default)]
pub(crate) struct SecondMachine {
    until_ns: Option<u64>,
    is_reported: bool,
    limit: Limit,
}

impl SecondMachine {
    /// Takes note that both were heard; returns the event if it is due.
    pub fn handle_heard(&mut self, now_ns: u64, peer: &str) -> Option<String> {
        self.until_ns = Some(now_ns.saturating_add(PRESENT_NS));
        let more = self.limit.allow(now_ns)?;
        let text = format!("two machines have the key of {peer}: both are heard{more}");
        Some(text)
    }

    /// Returns true if the check fails from now on, false if it passes again; None if nothing changed.
    pub fn poll_check(&mut self, now_ns: u64) -> Option<bool> {
        self.until_ns = self.until_ns.filter(|until_ns| now_ns < *until_ns);
        let is_there = self.until_ns.is_some();
        (is_there != self.is_reported).then(|| {
            self.is_reported = is_there;
            is_there
        })
    }

    pub fn next_timeout(&self) -> Option<u64> {
        self.until_ns
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn the_check_stands_until_a_minute_after_both_were_heard_last() {
        let mut second = SecondMachine::default();
        assert_eq!(second.poll_check(0), None);
        assert_eq!(second.next_timeout(), None);

        let event = second.handle_heard(SECOND, "r2");
        assert_eq!(
            event.as_deref(),
            Some("two machines have the key of r2: both are heard")
        );
        assert_eq!(second.poll_check(SECOND), Some(true));
        assert_eq!(second.poll_check(SECOND), None);

        assert_eq!(second.handle_heard(2 * SECOND, "r2"), None, "one a minute");
        assert_eq!(second.next_timeout(), Some(62 * SECOND));
        assert_eq!(second.poll_check(61 * SECOND), None);
        assert_eq!(second.poll_check(62 * SECOND), Some(false));
        assert_eq!(second.next_timeout(), None);
    }
}
