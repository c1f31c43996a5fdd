//! Performs the stop of the host: switch over if there is a peer, resign, then stop plugins in reverse order. Each step
//! has a time limit.
//!
//! [`Stop::advance`] gets the time and the [`PendingWork`]. [`Stop::handle_stopped`] gets each plugin that has stopped.
//! [`Stop::poll_step`] returns what to do. There is no input or output, and no clock.

#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, VecDeque};
use std::time::{Duration, Instant};

// The sum of these limits and the removals afterwards must fit into TimeoutStopSec of spared.service.

/// Longest wait for switchovers to the peer.
pub const SWITCHOVER_TIMEOUT: Duration = Duration::from_millis(1500);
/// Longest wait for the electors to resign, and for the followers to stop.
pub const PLUGINS_TIMEOUT: Duration = Duration::from_secs(3);
/// Longest wait for followers to become backup, for which services have to end. The peer is active by then.
pub const LEAVING_TIMEOUT: Duration = Duration::from_secs(7);

/// State that decides if a stage is over.
#[derive(Clone, Debug, Default)]
pub struct PendingWork {
    pub is_switching_over: bool,
    /// Electors that have a worker.
    pub electors: BTreeSet<String>,
    /// True if no follower is changing its role.
    pub is_quiet: bool,
    /// Other running plugins, in the order of `after`. The last one stops first.
    pub followers: Vec<String>,
}

/// A step that the caller performs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Ends switchovers in progress, and lets no group become active any longer.
    Close,
    /// Stops a plugin; [`Stop::handle_stopped`] follows.
    Stop(String),
}

/// A stop in progress.
#[derive(Debug)]
pub struct Stop {
    stage: Stage,
    until: Instant,
    hurried: bool,
    steps: VecDeque<Step>,
}

#[derive(Debug, PartialEq, Eq)]
enum Stage {
    /// Groups that are active here are switched over to the peer.
    SwitchingOver,
    /// Electors publish backup and send priority 0.
    Resigning(BTreeSet<String>),
    /// Followers become backup.
    Leaving,
    /// Followers stop one by one, from the end of the list.
    Stopping(Vec<String>),
    Done,
}

impl Stop {
    pub fn new(now: Instant) -> Self {
        Self {
            stage: Stage::SwitchingOver,
            until: now + SWITCHOVER_TIMEOUT,
            hurried: false,
            steps: VecDeque::new(),
        }
    }

    /// Handles a second signal: then only the resignation is waited for, as it helps the peer.
    pub fn skip_waiting(&mut self, now: Instant) {
        match self.stage {
            Stage::SwitchingOver => (self.hurried, self.until) = (true, now),
            Stage::Resigning(_) => self.hurried = true,
            _ => self.stage = Stage::Done,
        }
    }

    pub fn poll_step(&mut self) -> Option<Step> {
        self.steps.pop_front()
    }

    /// Returns the time at which the present stage ends at the latest.
    pub fn next_timeout(&self) -> Instant {
        self.until
    }

    pub fn is_done(&self) -> bool {
        self.stage == Stage::Done
    }

    /// Handles a plugin that has stopped, died, or not answered in time.
    pub fn handle_stopped(&mut self, plugin: &str) {
        match &mut self.stage {
            Stage::Resigning(waiting) => {
                waiting.remove(plugin);
            }
            Stage::Stopping(left) if left.last().is_some_and(|last| last == plugin) => {
                left.pop();
                self.stop_last();
            }
            _ => {}
        }
    }

    /// Enters the next stage if this one is over. Returns false if it is not. The caller performs the steps of a stage
    /// before it calls this again.
    pub fn advance(&mut self, now: Instant, pending: &PendingWork) -> bool {
        let is_late = now >= self.until;
        match &self.stage {
            Stage::SwitchingOver if is_late || !pending.is_switching_over => {
                self.enter_resigning(now, &pending.electors);
                return true;
            }
            Stage::Resigning(waiting) if is_late || waiting.is_empty() => {
                self.until = now + LEAVING_TIMEOUT;
                self.stage = if self.hurried {
                    Stage::Done
                } else {
                    Stage::Leaving
                };
            }
            // a late follower is stopped nevertheless
            Stage::Leaving if is_late || pending.is_quiet => {
                self.enter_stopping(now, &pending.followers);
            }
            Stage::Stopping(_) if is_late => self.stage = Stage::Done,
            _ => return false,
        }
        if is_late {
            log::warn!("plugins take too long to stop: continuing without them");
        }
        true
    }

    // Enters the stage in which the electors resign. Groups that are not switched over by now become backup here.
    fn enter_resigning(&mut self, now: Instant, electors: &BTreeSet<String>) {
        self.steps.push_back(Step::Close);
        self.steps.extend(electors.iter().cloned().map(Step::Stop));
        self.until = now + PLUGINS_TIMEOUT;
        self.stage = Stage::Resigning(electors.clone());
    }

    fn enter_stopping(&mut self, now: Instant, followers: &[String]) {
        self.until = now + PLUGINS_TIMEOUT;
        self.stage = Stage::Stopping(followers.to_vec());
        self.stop_last();
    }

    fn stop_last(&mut self) {
        if let Stage::Stopping(left) = &self.stage {
            match left.last() {
                Some(name) => self.steps.push_back(Step::Stop(name.clone())),
                None => self.stage = Stage::Done,
            }
        }
    }
}
