//! Stores what the session knows of one path: its stage, and its liveness.

use super::liveness::Liveness;
use crate::frame::Splitter;

/// Time limit for the peer's greeting.
const GREETING_NS: u64 = 5_000_000_000;

#[derive(Debug, Default)]
pub struct SessionPath {
    pub stage: Stage,
    pub liveness: Liveness,
    pub splitter: Splitter,
    /// True if acknowledgements that were sent over another path are sent again over this one.
    pub resend_credits: bool,
    opened_ns: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stage {
    #[default]
    Closed,
    Opened,
    /// Our greeting was sent, with this run.
    Greeted {
        run: u64,
    },
    /// The peer's greeting has arrived.
    Joined,
}

impl SessionPath {
    pub fn opened(now_ns: u64) -> Self {
        Self {
            stage: Stage::Opened,
            opened_ns: now_ns,
            ..Self::default()
        }
    }

    pub fn greet(&mut self, run: u64) {
        self.stage = Stage::Greeted { run };
    }

    pub fn greeted_as(&self) -> Option<u64> {
        match self.stage {
            Stage::Greeted { run } => Some(run),
            _ => None,
        }
    }

    pub fn join(&mut self, now_ns: u64) {
        self.stage = Stage::Joined;
        self.liveness = Liveness::new(now_ns);
    }

    pub fn is_joined(&self) -> bool {
        self.stage == Stage::Joined
    }

    /// Returns true if the path has a session whose peer has not answered for a while.
    pub fn is_silent(&self, now_ns: u64) -> bool {
        self.is_joined() && self.liveness.is_silent(now_ns)
    }

    /// Returns the time of the next check of [`overdue`](Self::overdue) or the liveness.
    pub fn next_ns(&self, now_ns: u64) -> Option<u64> {
        match self.stage {
            Stage::Closed => None,
            Stage::Opened | Stage::Greeted { .. } => Some(self.opened_ns + GREETING_NS),
            Stage::Joined => Some(self.liveness.next_ns(now_ns)),
        }
    }

    /// Returns the reason to give the path up, if there is one.
    pub fn overdue(&self, now_ns: u64) -> Option<&'static str> {
        match self.stage {
            Stage::Closed => None,
            Stage::Opened | Stage::Greeted { .. } => {
                (now_ns >= self.opened_ns + GREETING_NS).then_some("it sends no greeting")
            }
            Stage::Joined => self.liveness.overdue(now_ns),
        }
    }
}
