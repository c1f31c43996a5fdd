//! Limits how often work is done whose cost grows with the pair.

use std::time::{Duration, Instant};

/// Pause after the work, in multiples of its duration: the work takes at most a tenth of the time.
const PAUSE: u32 = 9;
/// Minimum pause. The effects of the work, such as a message to the peer, take the link's process more time than the
/// work itself.
const PAUSE_MIN: Duration = Duration::from_millis(20);
/// Maximum pause. A measured duration includes time in which other processes had the CPU.
const PAUSE_MAX: Duration = Duration::from_millis(250);

/// Work that is requested often, and done once for all requests within a pause. The first request is served at once.
#[derive(Debug, Default)]
pub struct Pace {
    is_wanted: bool,
    not_before: Option<Instant>,
}

impl Pace {
    pub fn want(&mut self) {
        self.is_wanted = true;
    }

    pub fn is_wanted(&self) -> bool {
        self.is_wanted
    }

    pub fn is_due(&self, now: Instant) -> bool {
        self.is_wanted && self.not_before.is_none_or(|at| now >= at)
    }

    /// Notes that the work was done, and its duration.
    pub fn handle_done(&mut self, begun: Instant, ended: Instant) {
        let took = ended.saturating_duration_since(begun);
        self.is_wanted = false;
        self.not_before = Some(ended + (took * PAUSE).clamp(PAUSE_MIN, PAUSE_MAX));
    }

    pub fn next_timeout(&self) -> Option<Instant> {
        self.not_before.filter(|_| self.is_wanted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COST: Duration = Duration::from_millis(5);

    #[test]
    fn the_first_is_done_at_once_and_the_next_together() {
        let begun = Instant::now();
        let mut pace = Pace::default();
        assert!(!pace.is_due(begun));
        pace.want();
        assert!(pace.is_due(begun));
        let ended = begun + COST;
        pace.handle_done(begun, ended);
        assert_eq!((pace.is_due(ended), pace.next_timeout()), (false, None));
        pace.want();
        pace.want();
        let next = ended + COST * PAUSE;
        assert_eq!(
            (pace.is_due(ended), pace.next_timeout()),
            (false, Some(next))
        );
        assert!(pace.is_due(next));
    }

    #[test]
    fn one_that_took_long_keeps_the_next_for_a_bounded_time() {
        let begun = Instant::now();
        let mut pace = Pace::default();
        let ended = begun + Duration::from_secs(10);
        pace.handle_done(begun, ended);
        pace.want();
        assert!(pace.is_due(ended + PAUSE_MAX));
    }
}
