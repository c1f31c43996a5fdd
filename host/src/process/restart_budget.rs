//! When a process that died is started again, and when it is given up.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const WINDOW: Duration = Duration::from_secs(60);
/// So many ends within [`WINDOW`] use up the budget.
const BUDGET: usize = 5;

/// What happens to a process that dies again and again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Policy {
    longest: Duration,
    gives_up: bool,
}

impl Policy {
    /// A plugin's worker: given up when the budget is used up.
    pub(crate) const WORKER: Policy = Policy {
        longest: Duration::from_secs(30),
        gives_up: true,
    };
    /// The link's process: neither given up nor left for long, as the pair is blind without it.
    pub(crate) const LINK: Policy = Policy {
        longest: Duration::from_secs(2),
        gives_up: false,
    };
}

/// The restart budget of one process, and its backoff.
#[derive(Debug)]
pub(crate) struct RestartBudget {
    policy: Policy,
    recent: VecDeque<Instant>,
    pause: Option<Duration>,
}

impl RestartBudget {
    pub(crate) fn new(policy: Policy) -> Self {
        Self {
            policy,
            recent: VecDeque::new(),
            pause: None,
        }
    }

    /// It ended once more: how long to wait before the next start; None: give up.
    pub(crate) fn next_pause(&mut self, now: Instant) -> Option<Duration> {
        let calm = self
            .recent
            .back()
            .is_none_or(|last| now.saturating_duration_since(*last) >= WINDOW);
        self.recent
            .retain(|at| now.saturating_duration_since(*at) < WINDOW);
        self.recent.push_back(now);
        if self.recent.len() >= BUDGET {
            return (!self.policy.gives_up).then_some(self.policy.longest);
        }
        let pause = match self.pause {
            Some(pause) if !calm => (pause * 2).min(self.policy.longest),
            _ => FIRST_PAUSE,
        };
        self.pause = Some(pause);
        Some(pause)
    }
}
