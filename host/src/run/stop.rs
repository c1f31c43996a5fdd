//! The stop on SIGTERM: performs the steps that [`spared_group::stop`] decides.

use std::time::Instant;

use spared_group::stop::{PLUGINS_TIMEOUT, Step};
use spared_message::notice::{Kind, Notice};
use spared_node::pending_for_stop;
use spared_process::clock;
use spared_supervisor::STOP_TIMEOUT;

use super::r#loop::Loop;

impl Loop {
    /// Begins the stop, or hurries a stop that has begun.
    pub(super) fn begin_stop(&mut self, now: Instant) {
        if self.process.begin_stop(now) {
            self.notices.record(Notice::new(Kind::Stop, "stopping"));
            self.groups.handle_leave(clock::monotonic_ns());
        }
    }

    /// Handles a plugin that has stopped, died, or not answered in time.
    pub(super) fn handle_plugin_stopped(&mut self, now: Instant, name: &str) {
        if self.supervisor.provides_groups(name) {
            // Resigns for an elector that has not resigned: no fence lease outlives its elector.
            self.groups
                .handle_elector_stopped(clock::monotonic_ns(), name);
        }
        self.process.handle_plugin_stopped(name);
        self.take_stop_steps(now);
    }

    pub(super) fn go_on_stopping(&mut self, now: Instant) {
        while self.process.is_stopping() {
            let pending = pending_for_stop(self.config.setup(), &self.groups, &self.supervisor);
            if !self.process.advance_stop(now, &pending) {
                return;
            }
            self.take_stop_steps(now);
        }
    }

    fn take_stop_steps(&mut self, now: Instant) {
        while let Some(step) = self.process.poll_stop_step() {
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
