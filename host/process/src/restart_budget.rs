//! Decides when a process that ended is started again, given up, and tried once more.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Pause that the backoff begins with.
const SHORTEST: Duration = Duration::from_millis(100);
const WINDOW: Duration = Duration::from_secs(60);
/// Number of ends within [`WINDOW`] that use up the budget.
const BUDGET: usize = 5;
/// How long starts may come to nothing for what the machine lacks before the process is given up as well.
const STARVED: Duration = Duration::from_secs(10);
/// Longest pause between two of them: they cost little, and the machine may have what it lacked.
const STARVED_PAUSE: Duration = Duration::from_secs(2);
/// How long a process that was given up has to run before it is trusted again.
pub const TRIAL: Duration = Duration::from_secs(20);

/// Treatment of a process that ends again and again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Pause after an end that follows none within [`WINDOW`].
    first: Duration,
    longest: Duration,
    gives_up: bool,
}

impl Policy {
    /// A plugin's worker: started again at once after its first end, as nobody may serve meanwhile;
    /// given up when the budget is used up, then tried every 30 s.
    pub const WORKER: Policy = Policy {
        first: Duration::ZERO,
        longest: Duration::from_secs(30),
        gives_up: true,
    };
    /// The link's process: never given up, and started again within 2 s, as the nodes cannot talk
    /// without it.
    pub const LINK: Policy = Policy {
        first: SHORTEST,
        longest: Duration::from_secs(2),
        gives_up: false,
    };
    /// The process of the firewall: never given up; its rules stay meanwhile.
    pub const FIREWALL: Policy = Policy {
        first: SHORTEST,
        longest: Duration::from_secs(30),
        gives_up: false,
    };
}

/// What to do after an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Start it again after this pause.
    Restart(Duration),
    /// It is given up from now on; try it after this pause.
    GiveUp(Duration),
    /// It was given up before, and ended again; try it once more after this pause.
    TryAgain(Duration),
}

impl Next {
    pub fn pause(self) -> Duration {
        match self {
            Self::Restart(pause) | Self::GiveUp(pause) | Self::TryAgain(pause) => pause,
        }
    }
}

/// The restart budget of one process, and its backoff.
#[derive(Debug)]
pub struct RestartBudget {
    policy: Policy,
    recent: VecDeque<Instant>,
    pause: Option<Duration>,
    /// Starts that came to nothing since it ran last.
    unstarted: Option<Unstarted>,
    is_given_up: bool,
}

/// Starts that came to nothing: the first, and the pause after the last.
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
            unstarted: None,
            is_given_up: false,
        }
    }

    /// Whether it was given up and has not run for [`TRIAL`] since.
    pub fn is_given_up(&self) -> bool {
        self.is_given_up
    }

    /// Whether it has not ended, or failed to start, since its first start or the last refill.
    pub fn is_full(&self) -> bool {
        self.recent.is_empty() && self.unstarted.is_none() && !self.is_given_up
    }

    /// Fills the budget, once the process has run for [`TRIAL`].
    pub fn refill(&mut self) {
        *self = Self::new(self.policy);
    }

    /// Handles that it runs.
    pub fn handle_started(&mut self) {
        self.unstarted = None;
    }

    /// Handles a start that came to nothing because the machine lacked something, time above all. That says nothing
    /// about the process, so it uses up no budget: what cannot be started for `STARVED` is given up.
    pub fn handle_unstarted(&mut self, now: Instant) -> Next {
        let before = self.unstarted;
        if self.is_given_up && before.is_none() {
            return Next::TryAgain(self.policy.longest);
        }
        let pause = before.map_or(SHORTEST, |it| (it.pause * 2).min(STARVED_PAUSE));
        let first = before.map_or(now, |it| it.first);
        self.unstarted = Some(Unstarted { first, pause });
        if self.is_given_up {
            return Next::TryAgain(pause);
        }
        let lasts = now.saturating_duration_since(first);
        if lasts >= STARVED && self.policy.gives_up {
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
            return match self.policy.gives_up {
                true => Next::GiveUp(self.policy.longest),
                false => Next::Restart(self.policy.longest),
            };
        }
        let before = self.pause.filter(|_| !calm);
        let backoff = before.map_or(SHORTEST, |pause| (pause * 2).min(self.policy.longest));
        self.pause = Some(backoff);
        let pause = before.map_or(self.policy.first, |_| backoff);
        Next::Restart(pause)
    }
}
