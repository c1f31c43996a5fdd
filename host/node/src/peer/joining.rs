//! Tracks joining: a node whose plugins are not yet in sync after its start counts as weaker than its peer (E8).
//! Joining ends when all of them are in sync, and after [`JOINING_MAX`] at the latest.

use std::time::{Duration, Instant};

pub const JOINING_MAX: Duration = Duration::from_secs(60);

/// State of joining: the time since which a plugin is not in sync.
#[derive(Debug, Default)]
pub struct Joining {
    since: Option<Instant>,
    is: bool,
}

impl Joining {
    /// Sets the number of plugins with a peer that are not in sync. Returns true if this node is joining.
    pub fn update(&mut self, now: Instant, behind: usize) -> bool {
        let since = (behind > 0).then(|| self.since.unwrap_or(now));
        self.is = since.is_some_and(|since| now.saturating_duration_since(since) < JOINING_MAX);
        self.since = since;
        self.is
    }

    /// Returns the time since which a plugin is not in sync.
    pub fn since(&self) -> Option<Instant> {
        self.since
    }

    /// Returns the time at which joining ends by itself.
    pub fn next_timeout(&self) -> Option<Instant> {
        self.since
            .filter(|_| self.is)
            .map(|since| since + JOINING_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn joining_ends_with_the_last_in_sync_or_after_a_minute() {
        let start = Instant::now();
        let mut joining = Joining::default();
        assert!(!joining.update(start, 0));
        assert_eq!(joining.next_timeout(), None);
        assert!(joining.update(start, 2));
        assert!(joining.update(start + JOINING_MAX / 2, 1));
        assert_eq!(joining.next_timeout(), Some(start + JOINING_MAX));
        assert!(!joining.update(start + JOINING_MAX, 1));
        assert_eq!(joining.next_timeout(), None);
        // a plugin that is still behind does not begin a new joining
        assert!(!joining.update(start + JOINING_MAX * 2, 1));
        assert!(!joining.update(start + JOINING_MAX * 2, 0));
        assert!(joining.update(start + JOINING_MAX * 3, 1));
    }
}
