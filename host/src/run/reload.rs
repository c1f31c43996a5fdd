//! Reload: performs the steps that [`spared_reload`] decides.

use std::time::Instant;

use spared_config::reload::Step;
use spared_config::{Fault, Setup};
use spared_contract::nanoseconds;
use spared_control::ErrorCode;
use spared_node::in_force;
use spared_process::clock;
use spared_supervisor::Returned;

use super::r#loop::Loop;

impl Loop {
    /// Requests a reload, for SIGHUP or for a client that waits for the result.
    pub(super) fn request_reload(&mut self, now: Instant, client: Option<u64>, anyway: bool) {
        if self.process.is_stopping() {
            let answer = spared_control::refusal(ErrorCode::Refused, "spared is stopping");
            return client.map_or((), |client| self.answer(now, client, &answer));
        }
        self.reload.request(client, anyway);
        self.take_reload_steps(now);
    }

    pub(super) fn handle_validated(&mut self, now: Instant, plugin: &str, found: Vec<Fault>) {
        let in_force = in_force(&self.config, &self.groups, &self.supervisor);
        self.reload.handle_checked(now, plugin, found, &in_force);
        self.take_reload_steps(now);
    }

    pub(super) fn handle_reconfigured(
        &mut self,
        now: Instant,
        name: &str,
        result: Result<Returned, Vec<String>>,
    ) {
        match result {
            Ok(Returned::Live) => {
                let follower = self.supervisor.follower(name);
                self.groups
                    .handle_follower_changed(clock::monotonic_ns(), name, follower);
                self.reload.handle_taken(name, false);
            }
            Ok(Returned::Restart) => self.reload.handle_taken(name, true),
            Err(faults) => self.reload.handle_refused(name, faults),
        }
        self.take_reload_steps(now);
    }

    /// Handles a plugin that has stopped, for a reload or because the host stops.
    pub(super) fn handle_stopped(&mut self, now: Instant, name: &str) {
        if self.process.is_stopping() {
            return self.handle_plugin_stopped(now, name);
        }
        self.reload
            .handle_stopped(name, self.config.setup().plugin(name));
        self.take_reload_steps(now);
    }

    /// Ends a reload that is over.
    pub(super) fn go_on_reloading(&mut self, now: Instant) {
        if self.reload.is_over(now, self.supervisor.is_settled()) {
            let in_force = in_force(&self.config, &self.groups, &self.supervisor);
            self.reload.handle_over(&in_force);
            self.take_reload_steps(now);
        }
    }

    fn take_reload_steps(&mut self, now: Instant) {
        while let Some(step) = self.reload.poll_step() {
            self.take_reload_step(now, step);
        }
    }

    fn take_reload_step(&mut self, now: Instant, step: Step) {
        match step {
            Step::Read => {
                self.process.tell_reloading();
                let files = Setup::read(&self.config.options().config());
                let in_force = in_force(&self.config, &self.groups, &self.supervisor);
                self.reload.handle_files(now, files, &in_force);
            }
            Step::Check(plugin, host) => {
                self.supervisor.validate(&self.poller, now, *plugin, &host);
            }
            Step::Take(setup) => self.take_setup(*setup),
            Step::ConfigureLink => {
                self.configure_link(now);
                self.pair.compare_files(&self.config);
            }
            Step::Add(plugin) => {
                self.note_on_failure(&plugin);
                self.supervisor.add(&self.poller, now, *plugin);
            }
            Step::Set(plugin) => {
                self.note_on_failure(&plugin);
                let name = plugin.name.clone();
                self.supervisor.set_settings(&name, *plugin);
            }
            Step::Reconfigure(name) => self.supervisor.reconfigure(now, &name),
            Step::Restart(name) => self.supervisor.restart(&self.poller, now, &name),
            Step::Stop(name) => self.supervisor.stop(now, &name),
            Step::Remove(name) => self.supervisor.remove(now, &name),
            Step::Tell(notice) => self.notices.record(notice),
            Step::End => self.process.tell_ready(&self.view().summary()),
            Step::Answer(client, answer) => self.answer(now, client, &answer),
        }
    }

    fn take_setup(&mut self, setup: Setup) {
        // before the new configuration adds groups
        let notice = self.orders.read_unarmed(self.config.node());
        self.groups.set_unarmed(self.orders.is_unarmed());
        self.pair.touch();
        self.record(notice);
        log::set_max_level(setup.host.log_level);
        self.groups.set_settle(nanoseconds(setup.host.settle));
        self.config.replace(setup);
        self.readers.set_in_force(self.config.setup());
        self.supervisor
            .set_worker_settings(self.config.worker_settings());
        let digest = &self.config.setup().digest;
        if let Err(why) = self.supervisor.starter().borrow_mut().configure(digest) {
            log::warn!("processes start with the previous rights: {why}");
        }
    }
}
