//! The stop on SIGTERM: switch over if there is a peer, resign, then stop plugins in reverse order. Each
//! step is bounded in time.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use spared_config::by_order;
use spared_message::notice::{Kind, Notice};
use spared_process::clock;
use spared_supervisor::STOP_TIMEOUT;

use super::r#loop::Loop;

/// Longest wait for switchovers to the peer.
const SWITCHOVER_TIMEOUT: Duration = Duration::from_millis(1500);
/// Longest wait for the electors to resign, and for each follower to stop.
const PLUGINS_TIMEOUT: Duration = Duration::from_secs(3);
/// Longest wait for followers to become backup, for which services must end. The peer is active by then.
const LEAVING_TIMEOUT: Duration = Duration::from_secs(7);

#[derive(Debug)]
pub struct Stop {
    stage: Stage,
    until: Instant,
    hurried: bool,
}

#[derive(Debug, PartialEq, Eq)]
enum Stage {
    /// Groups that are active here are switched over to the peer.
    SwitchingOver,
    /// Electors publish backup and send priority 0.
    Resigning {
        waiting: BTreeSet<String>,
    },
    /// Followers become backup.
    Leaving,
    /// Followers stop one after the other, from the end of the list.
    Stopping {
        left: Vec<String>,
    },
    Done,
}

impl Loop {
    /// Begins the stop. A second signal hurries it: only the resignation is waited for, which helps the peer.
    pub(super) fn begin_stop(&mut self, now: Instant) {
        if let Some(stop) = &mut self.stop {
            match stop.stage {
                Stage::SwitchingOver => (stop.hurried, stop.until) = (true, now),
                Stage::Resigning { .. } => stop.hurried = true,
                _ => stop.stage = Stage::Done,
            }
            return;
        }
        self.service.stopping();
        self.notices.record(Notice::new(Kind::Stop, "stopping"));
        self.stop = Some(Stop {
            stage: Stage::SwitchingOver,
            until: now + SWITCHOVER_TIMEOUT,
            hurried: false,
        });
        self.groups.handle_leave(clock::monotonic_ns());
    }

    // Groups that are not being switched over by now end here.
    fn enter_resigning(&mut self, now: Instant) {
        self.groups.cancel_switchovers("spared is being stopped");
        self.groups.close();
        let electors: BTreeSet<String> = self
            .supervisor
            .names()
            .into_iter()
            .filter(|name| {
                self.supervisor.provides_groups(name) && self.supervisor.has_worker(name)
            })
            .collect();
        let stage = Stage::Resigning {
            waiting: electors.clone(),
        };
        if let Some(stop) = &mut self.stop {
            (stop.stage, stop.until) = (stage, now + PLUGINS_TIMEOUT);
        }
        for elector in electors {
            self.supervisor.stop(now, &elector);
        }
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.stop
            .as_ref()
            .is_some_and(|stop| stop.stage == Stage::Done)
    }

    pub(super) fn stop_timeout(&self) -> Option<Instant> {
        self.stop.as_ref().map(|stop| stop.until)
    }

    /// Handles a plugin that has stopped, died, or not answered in time.
    pub(super) fn handle_plugin_stopped(&mut self, now: Instant, name: &str) {
        let provides = self.supervisor.provides_groups(name);
        if provides {
            // Resigns for an elector that has not done so: no fence lease outlives its elector.
            self.groups
                .handle_elector_stopped(clock::monotonic_ns(), name);
        }
        let Some(stop) = &mut self.stop else { return };
        match &mut stop.stage {
            Stage::Resigning { waiting } => {
                waiting.remove(name);
            }
            Stage::Stopping { left } if left.last().is_some_and(|last| last == name) => {
                left.pop();
                self.stop_last(now);
            }
            _ => {}
        }
    }

    pub(super) fn go_on_stopping(&mut self, now: Instant) {
        self.end_switching_over(now);
        let Some(stop) = &mut self.stop else { return };
        let late = now >= stop.until;
        if late {
            log::warn!("plugins take too long to stop: continuing without them");
        }
        match &stop.stage {
            Stage::Resigning { waiting } if late || waiting.is_empty() => {
                stop.stage = if stop.hurried {
                    Stage::Done
                } else {
                    Stage::Leaving
                };
                stop.until = now + LEAVING_TIMEOUT;
            }
            // a follower that is late is stopped all the same
            Stage::Leaving if late => return self.enter_stopping(now),
            Stage::Stopping { .. } if late => stop.stage = Stage::Done,
            _ => {}
        }
        if stop.stage == Stage::Leaving && self.groups.is_quiet() {
            self.enter_stopping(now);
        }
    }

    fn end_switching_over(&mut self, now: Instant) {
        let Some(stop) = &self.stop else { return };
        let over = now >= stop.until || !self.groups.is_switching_over();
        if stop.stage == Stage::SwitchingOver && over {
            self.enter_resigning(now);
        }
    }

    fn enter_stopping(&mut self, now: Instant) {
        let left = self.followers_to_stop();
        if let Some(stop) = &mut self.stop {
            (stop.stage, stop.until) = (Stage::Stopping { left }, now + PLUGINS_TIMEOUT);
        }
        self.stop_last(now);
    }

    fn stop_last(&mut self, now: Instant) {
        let Some(stop) = &mut self.stop else { return };
        let Stage::Stopping { left } = &stop.stage else {
            return;
        };
        match left.last().cloned() {
            Some(name) => self.supervisor.stop(now, &name),
            None => stop.stage = Stage::Done,
        }
    }

    // In the order of `after`; the caller stops the last one first.
    fn followers_to_stop(&self) -> Vec<String> {
        let setup = self.here.setup();
        let plugins: Vec<(&str, &[String])> = setup
            .plugins
            .iter()
            .map(|plugin| (plugin.name.as_str(), plugin.after.as_slice()))
            .collect();
        by_order(&plugins)
            .into_iter()
            .filter(|name| self.supervisor.is_running(name))
            .filter(|name| !self.supervisor.provides_groups(name))
            .map(str::to_owned)
            .collect()
    }
}

const _: () = assert!(STOP_TIMEOUT.as_millis() < PLUGINS_TIMEOUT.as_millis());
