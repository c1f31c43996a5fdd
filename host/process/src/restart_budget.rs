//! Decides when a process that ended is started again or given up, and when a process that was given up is tried once
//! more.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// First pause of the backoff.
const SHORTEST: Duration = Duration::from_millis(100);
const WINDOW: Duration = Duration::from_secs(60);
/// Number of ends within [`WINDOW`] that use up the budget.
const BUDGET: usize = 5;
/// Time for which starts may fail because the machine lacks something, before the process is given up as well.
const FAILED_STARTS_TIMEOUT: Duration = Duration::from_secs(10);
/// Maximum pause between two such starts: they cost little, and the machine may soon have what it lacked.
const FAILED_START_PAUSE: Duration = Duration::from_secs(2);
/// Time for which a process that was given up has to run before it is trusted again.
pub const TRIAL: Duration = Duration::from_secs(20);

/// Settings for a process that ends repeatedly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Pause after an end without another one within [`WINDOW`] before it.
    first: Duration,
    longest: Duration,
    gives_up: bool,
}

impl Policy {
    /// A plugin's worker. It is started again at once after its first end, because nobody may serve meanwhile. It is
    /// given up when the budget is used up, and then tried every 30 s.
    pub const WORKER: Policy = Policy {
        first: Duration::ZERO,
        longest: Duration::from_secs(30),
        gives_up: true,
    };
    /// The link's process. It is never given up, and is started again within 2 s, because the nodes cannot talk without
    /// it.
    pub const LINK: Policy = Policy {
        first: SHORTEST,
        longest: Duration::from_secs(2),
        gives_up: false,
    };
    /// The process of the firewall. It is never given up; its rules stay meanwhile.
    pub const FIREWALL: Policy = Policy {
        first: SHORTEST,
        longest: Duration::from_secs(30),
        gives_up: false,
    };
}

/// Action after an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Start the process again after this pause.
    Restart(Duration),
    /// The process is given up from now on; try it after this pause.
    GiveUp(Duration),
    /// The process was given up before and ended again; try it once more after this pause.
    TryAgain(Duration),
}

impl Next {
    pub fn pause(self) -> Duration {
        match self {
            Self::Restart(pause) | Self::GiveUp(pause) | Self::TryAgain(pause) => pause,
        }
    }
}

/// Restart budget of one process, and its backoff.
#[derive(Debug)]
pub struct RestartBudget {
    policy: Policy,
    recent: VecDeque<Instant>,
    pause: Option<Duration>,
    /// Failed starts since the process last ran.
    failed_start: Option<Unstarted>,
    is_given_up: bool,
}

/// Failed starts: time of the first, and the pause after the last.
#[derive(Clone, Copy, Debug)]
struct Unstarted {
    first: Instant,
    pause: Duration,
}

impl RestartBudget {
    pub fn new(policy: Policy) -> Self {
        Self {
            policy,
            recent: VecDeque::new(),
            pause: None,
            failed_start: None,
            is_given_up: false,
        }
    }

    /// Returns true if the process was given up and has not run for [`TRIAL`] since.
    pub fn is_given_up(&self) -> bool {
        self.is_given_up
    }

    /// Returns true if the process has neither ended nor failed to start since its first start or the last refill.
    pub fn is_full(&self) -> bool {
        self.recent.is_empty() && self.failed_start.is_none() && !self.is_given_up
    }

    /// Fills the budget, once the process has run for [`TRIAL`].
    pub fn refill(&mut self) {
        *self = Self::new(self.policy);
    }

    /// Handles that the process runs.
    pub fn handle_started(&mut self) {
        self.failed_start = None;
    }

    /// Handles a start that failed because the machine lacked something, usually time. That says nothing about the
    /// process, so it uses up no budget. A process that cannot be started for `FAILED_STARTS_TIMEOUT` is given up.
    pub fn handle_failed_start(&mut self, now: Instant) -> Next {
        let before = self.failed_start;
        if self.is_given_up && before.is_none() {
            return Next::TryAgain(self.policy.longest);
        }
        let pause = before.map_or(SHORTEST, |it| (it.pause * 2).min(FAILED_START_PAUSE));
        let first = before.map_or(now, |it| it.first);
        self.failed_start = Some(Unstarted { first, pause });
        if self.is_given_up {
            return Next::TryAgain(pause);
        }
        let lasts = now.saturating_duration_since(first);
        if lasts >= FAILED_STARTS_TIMEOUT && self.policy.gives_up {
            self.is_given_up = true;
            return Next::GiveUp(pause);
        }
        Next::Restart(before.map_or(self.policy.first, |_| pause))
    }

    /// Handles an end of the process.
    pub fn handle_end(&mut self, now: Instant) -> Next {
        if self.is_given_up {
            return Next::TryAgain(self.policy.longest);
        }
        let calm = self
            .recent
            .back()
            .is_none_or(|last| now.saturating_duration_since(*last) >= WINDOW);
        self.recent
            .retain(|at| now.saturating_duration_since(*at) < WINDOW);
        self.recent.push_back(now);
        if self.recent.len() >= BUDGET {
            self.is_given_up = self.policy.gives_up;
            return if self.policy.gives_up {
                Next::GiveUp(self.policy.longest)
            } else {
                Next::Restart(self.policy.longest)
            };
        }
        let before = self.pause.filter(|_| !calm);
        let backoff = before.map_or(SHORTEST, |pause| (pause * 2).min(self.policy.longest));
        self.pause = Some(backoff);
        let pause = before.map_or(self.policy.first, |_| backoff);
        Next::Restart(pause)
    }
}
