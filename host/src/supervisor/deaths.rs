//! When a worker that died is started again, and when it is given up.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
const WINDOW: Duration = Duration::from_secs(60);
/// So many deaths within [`WINDOW`] are enough.
const DEATHS_MAX: usize = 5;

/// The deaths of one plugin's workers.
#[derive(Debug, Default)]
pub struct Deaths {
    recent: VecDeque<Instant>,
    pause: Option<Duration>,
}

impl Deaths {
    /// Another one: how long to wait before the next start; None: give up.
    pub fn add(&mut self, now: Instant) -> Option<Duration> {
        let calm = self
            .recent
            .back()
            .is_none_or(|last| now.saturating_duration_since(*last) >= WINDOW);
        self.recent
            .retain(|at| now.saturating_duration_since(*at) < WINDOW);
        self.recent.push_back(now);
        if self.recent.len() >= DEATHS_MAX {
            return None;
        }
        let pause = match self.pause {
            Some(pause) if !calm => (pause * 2).min(LONGEST_PAUSE),
            _ => FIRST_PAUSE,
        };
        self.pause = Some(pause);
        Some(pause)
    }
}
