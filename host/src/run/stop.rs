//! The stop on SIGTERM: performs the steps that [`spared_stop`] decides.

use std::time::Instant;

use spared_group::stop::{PLUGINS_TIMEOUT, Step, Stop};
use spared_message::notice::{Kind, Notice};
use spared_node::pending_for_stop;
use spared_process::clock;
use spared_supervisor::STOP_TIMEOUT;

use super::r#loop::Loop;

impl Loop {
    /// Begins the stop, or hurries a stop that has begun.
    pub(super) fn begin_stop(&mut self, now: Instant) {
        if let Some(stop) = &mut self.stop {
            return stop.skip_waiting(now);
        }
        self.service.stopping();
        self.notices.record(Notice::new(Kind::Stop, "stopping"));
        self.stop = Some(Stop::new(now));
        self.groups.handle_leave(clock::monotonic_ns());
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.stop.as_ref().is_some_and(Stop::is_done)
    }

    /// Handles a plugin that has stopped, died, or not answered in time.
    pub(super) fn handle_plugin_stopped(&mut self, now: Instant, name: &str) {
        if self.supervisor.provides_groups(name) {
            // Resigns for an elector that has not resigned: no fence lease outlives its elector.
            self.groups
                .handle_elector_stopped(clock::monotonic_ns(), name);
        }
        if let Some(stop) = &mut self.stop {
            stop.handle_stopped(name);
        }
        self.take_stop_steps(now);
    }

    pub(super) fn go_on_stopping(&mut self, now: Instant) {
        while let Some(stop) = &mut self.stop {
            let pending = pending_for_stop(self.config.setup(), &self.groups, &self.supervisor);
            if !stop.advance(now, &pending) {
                return;
            }
            self.take_stop_steps(now);
        }
    }

    fn take_stop_steps(&mut self, now: Instant) {
        while let Some(step) = self.stop.as_mut().and_then(Stop::poll_step) {
            match step {
                Step::Close => {
                    self.groups.cancel_switchovers("spared is being stopped");
                    self.groups.close();
                }
                Step::Stop(plugin) => self.supervisor.stop(now, &plugin),
            }
        }
    }
}

const _: () = assert!(STOP_TIMEOUT.as_millis() < PLUGINS_TIMEOUT.as_millis());
