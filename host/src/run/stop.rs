//! The stop on SIGTERM: does what [`spared_stop`] decides.

use std::time::Instant;

use spared_config::{Setup, by_order};
use spared_group::Groups;
use spared_message::notice::{Kind, Notice};
use spared_process::clock;
use spared_stop::{PLUGINS_TIMEOUT, Remains, Step, Stop};
use spared_supervisor::{STOP_TIMEOUT, Supervisor};

use super::r#loop::Loop;

impl Loop {
    /// Begins the stop, or hurries it.
    pub(super) fn begin_stop(&mut self, now: Instant) {
        if let Some(stop) = &mut self.stop {
            return stop.hurry(now);
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
            // Resigns for an elector that has not done so: no fence lease outlives its elector.
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
            let remains = remains(self.here.setup(), &self.groups, &self.supervisor);
            if !stop.advance(now, &remains) {
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

fn remains(setup: &Setup, groups: &Groups, supervisor: &Supervisor) -> Remains {
    let names = supervisor.names().into_iter();
    let electors =
        names.filter(|name| supervisor.provides_groups(name) && supervisor.has_worker(name));
    let plugins = setup.plugins.iter();
    let plugins: Vec<(&str, &[String])> = plugins
        .map(|plugin| (plugin.name.as_str(), plugin.after.as_slice()))
        .collect();
    let followers = by_order(&plugins)
        .into_iter()
        .filter(|name| supervisor.is_running(name) && !supervisor.provides_groups(name));
    Remains {
        is_switching_over: groups.is_switching_over(),
        electors: electors.collect(),
        is_quiet: groups.is_quiet(),
        followers: followers.map(str::to_owned).collect(),
    }
}

const _: () = assert!(STOP_TIMEOUT.as_millis() < PLUGINS_TIMEOUT.as_millis());
