//! SIGTERM: hand over where there is a peer, resign, then everything in reverse, each step bounded
//! in time.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::core::Core;
use crate::clock;
use crate::config::by_order;
use crate::events::{Kind, News};
use crate::supervisor::STOP_TIMEOUT;

/// However the peer behaves, no longer than this.
const HANDOVER_TIMEOUT: Duration = Duration::from_millis(1500);
/// However plugins behave, no longer than this.
const WHOLE_TIMEOUT: Duration = Duration::from_secs(3);

#[derive(Debug)]
pub struct Stop {
    stage: Stage,
    until: Instant,
    hurried: bool,
}

#[derive(Debug, PartialEq, Eq)]
enum Stage {
    /// The peer takes what is active here.
    HandingOver,
    /// The plugins that decide roles publish backup and send priority 0.
    Resigning {
        waiting: BTreeSet<String>,
    },
    /// Followers learn that they are backup.
    Leaving,
    /// Followers stop one after the other; the next is the last.
    Stopping {
        left: Vec<String>,
    },
    Done,
}

impl Core {
    /// The second time it is meant: only the resignation is waited for, which helps the peer.
    pub(super) fn begin_stop(&mut self, now: Instant) {
        if let Some(stop) = &mut self.stop {
            match stop.stage {
                Stage::HandingOver => (stop.hurried, stop.until) = (true, now),
                Stage::Resigning { .. } => stop.hurried = true,
                _ => stop.stage = Stage::Done,
            }
            return;
        }
        self.notify.stopping();
        self.events.record(News::new(Kind::Stop, "stopping"));
        self.stop = Some(Stop {
            stage: Stage::HandingOver,
            until: now + HANDOVER_TIMEOUT,
            hurried: false,
        });
        self.groups.handle_leave(clock::monotonic_ns());
    }

    // What is not on its way to the peer by now stays here, and ends here.
    fn enter_resigning(&mut self, now: Instant) {
        self.groups.cancel_handovers("spared is being stopped");
        self.groups.close();
        let providers: BTreeSet<String> = self
            .supervisor
            .names()
            .into_iter()
            .filter(|name| {
                self.supervisor.provides_groups(name) && self.supervisor.has_worker(name)
            })
            .collect();
        let stage = Stage::Resigning {
            waiting: providers.clone(),
        };
        if let Some(stop) = &mut self.stop {
            (stop.stage, stop.until) = (stage, now + WHOLE_TIMEOUT);
        }
        for provider in providers {
            self.supervisor.stop(now, &provider);
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

    /// A plugin has stopped, died, or not answered in time.
    pub(super) fn handle_plugin_stopped(&mut self, now: Instant, name: &str) {
        let provides = self.supervisor.provides_groups(name);
        if provides {
            // What it has not published is done for it: no lease outlives its elector.
            self.groups
                .handle_provider_stopped(clock::monotonic_ns(), name);
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
        self.end_handing_over(now);
        let Some(stop) = &mut self.stop else { return };
        if now >= stop.until {
            log::warn!("plugins take too long to stop: going on without them");
            stop.stage = Stage::Done;
        }
        if matches!(&stop.stage, Stage::Resigning { waiting } if waiting.is_empty()) {
            stop.stage = if stop.hurried {
                Stage::Done
            } else {
                Stage::Leaving
            };
        }
        if stop.stage == Stage::Leaving && self.groups.is_quiet() {
            self.enter_stopping(now);
        }
    }

    fn end_handing_over(&mut self, now: Instant) {
        let Some(stop) = &self.stop else { return };
        let over = now >= stop.until || !self.groups.is_handing_over();
        if stop.stage == Stage::HandingOver && over {
            self.enter_resigning(now);
        }
    }

    fn enter_stopping(&mut self, now: Instant) {
        let left = self.followers_to_stop();
        if let Some(stop) = &mut self.stop {
            stop.stage = Stage::Stopping { left };
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

    // In the order of `after`: the last is stopped first.
    fn followers_to_stop(&self) -> Vec<String> {
        let plugins: Vec<(&str, &[String])> = self
            .setup
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

const _: () = assert!(STOP_TIMEOUT.as_millis() < WHOLE_TIMEOUT.as_millis());
