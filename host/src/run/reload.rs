//! Reload: performs the steps that [`spared_config::reload`] decides.

use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use spared_config::reload::Step;
use spared_config::{Fault, Setup, unconfirmed};
use spared_contract::nanoseconds;
use spared_message::control::{Answer, ErrorCode, refusal};
use spared_message::notice::{Kind, Notice};
use spared_node::in_force;
use spared_process::clock;
use spared_requests::questions::Asker;
use spared_supervisor::Returned;

use super::r#loop::Loop;

/// Seconds for which a reload may wait for its confirmation.
const WITHIN_S: RangeInclusive<u64> = 5..=86_400;

impl Loop {
    /// Requests a reload, for SIGHUP or for a client that waits for the result.
    pub(super) fn request_reload(&mut self, now: Instant, client: Option<u64>, anyway: bool) {
        if self.process.is_stopping() {
            let answer = spared_message::control::refusal(ErrorCode::Refused, "spared is stopping");
            return client.map_or((), |client| self.answer(now, client, &answer));
        }
        self.reload.request(client, anyway);
        self.take_reload_steps(now);
    }

    /// Requests a reload that is taken back unless it is confirmed in time.
    pub(super) fn request_reload_to_confirm(
        &mut self,
        now: Instant,
        client: u64,
        anyway: bool,
        within_s: u64,
        across_restarts: bool,
    ) {
        let refused = if self.process.is_stopping() {
            Some(refusal(ErrorCode::Refused, "spared is stopping"))
        } else {
            let why = "allowed times: 5 seconds to 24 hours";
            let is_allowed = WITHIN_S.contains(&within_s);
            (!is_allowed).then(|| refusal(ErrorCode::Usage, why))
        };
        if let Some(refused) = refused {
            return self.answer(now, client, &refused);
        }
        let lasts = Duration::from_secs(within_s);
        self.reload
            .request_to_confirm(client, anyway, lasts, across_restarts);
        self.take_reload_steps(now);
    }

    /// Takes the configuration back that waits for its confirmation on this node.
    pub(super) fn take_back(&mut self, now: Instant, asker: Asker, by: &str) {
        let client = match asker {
            Asker::Client(client) => Some(client),
            Asker::Peer(_) | Asker::Snapshot | Asker::Plugin(_) => None,
        };
        let node = self.config.node();
        let digest = &self.config.setup().digest;
        let text = format!("{node}: configuration {digest} is taken back, by {by}");
        if self.process.is_stopping() {
            let refused = refusal(ErrorCode::Refused, "spared is stopping");
            return self.reply(now, asker, &refused);
        }
        if let Err(why) = self.reload.request_back(now, client) {
            let refused = refusal(ErrorCode::Refused, format!("{node}: {why}"));
            return self.reply(now, asker, &refused);
        }
        // who asked is told that it goes back: a daemon that ends before that does so at its next start
        if let Err(why) = self.supervisor.starter().borrow_mut().end_term() {
            log::warn!("a restart has the configuration in force that is taken back: {why}");
        }
        let notice = Notice::new(Kind::Reload, text.clone()).because("taken-back");
        self.notices.record(notice);
        self.note_unconfirmed(now);
        if client.is_none() {
            // the peer does not wait for the end of a reload
            self.reply(now, asker, &Answer::Done { lines: vec![text] });
        }
    }

    /// Confirms the last reload on this node.
    pub(super) fn confirm_here(&mut self, by: &str) -> Answer {
        let node = self.config.node().to_owned();
        if let Some((code, why)) = self.reload.confirm_objection() {
            return refusal(code, format!("{node}: {why}"));
        }
        if let Err(why) = self.supervisor.starter().borrow_mut().forget_files() {
            let why = format!("{node}: not confirmed: {why}");
            return refusal(ErrorCode::Failed, why);
        }
        self.reload.handle_confirmed();
        self.note_unconfirmed(Instant::now());
        let digest = &self.config.setup().digest;
        let text = format!("{node}: configuration {digest} is confirmed, by {by}");
        let notice = Notice::new(Kind::Reload, text.clone()).because("confirmed");
        self.notices.record(notice);
        Answer::Done { lines: vec![text] }
    }

    /// Notes that the files from before a reload that nobody confirmed are in force since this start.
    pub fn note_taken_back(&mut self) {
        let text = "nobody confirmed the last reload before the daemon ended: the configuration from before is in force";
        let notice = Notice::warn(Kind::Reload, text).because("taken-back");
        self.notices.record(notice);
        // the starter has removed it, unless the files cannot be put back
        if unconfirmed::path(self.config.options()).exists() {
            self.reload.note_kept(Instant::now());
        }
    }

    /// Notes that the configuration of this start waits so long for its confirmation, as it did before the restart.
    pub fn note_waiting(&mut self, left: Duration) {
        let now = Instant::now();
        self.reload.note_waiting(now + left);
        self.note_unconfirmed(now);
    }

    // Passes on to the orders for how long a configuration waits for its confirmation.
    fn note_unconfirmed(&mut self, now: Instant) {
        if self.orders.is_unconfirmed() != self.reload.is_unconfirmed() {
            self.orders
                .set_unconfirmed(self.reload.unconfirmed_left(now));
            self.pair.touch();
        }
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

    /// Handles a plugin that ended before it had taken its new file.
    pub(super) fn handle_not_reconfigured(&mut self, now: Instant, name: &str, why: &str) {
        self.reload.handle_ended(name, why);
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

    /// Ends a reload that is over, and takes a configuration back that nobody confirmed.
    pub(super) fn go_on_reloading(&mut self, now: Instant) {
        if !self.process.is_stopping() {
            self.reload.handle_timeout(now);
            self.take_reload_steps(now);
        }
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
        self.note_unconfirmed(now);
    }

    fn take_reload_step(&mut self, now: Instant, step: Step) {
        match step {
            Step::Keep { term } => {
                let starter = self.supervisor.starter();
                let kept = starter.borrow_mut().keep_files(term.as_secs());
                self.reload.handle_kept(kept);
            }
            Step::PutBack => {
                self.put_back(now);
            }
            Step::Forget => {
                let forgotten = self.supervisor.starter().borrow_mut().forget_files();
                if let Err(why) = forgotten {
                    log::warn!("the next start has the configuration from before: {why}");
                    self.reload.note_kept(now);
                }
            }
            Step::Read | Step::ReadKept => {
                self.process.tell_reloading();
                let options = self.config.options();
                let files = match step {
                    Step::ReadKept => unconfirmed::read(options).unwrap_or_else(|| {
                        let path = unconfirmed::path(options);
                        let why = format!("{}: cannot be read", path.display());
                        Err(vec![Fault::whole(unconfirmed::UNCONFIRMED, why)])
                    }),
                    _ => Setup::read(&options.config()),
                };
                let in_force = in_force(&self.config, &self.groups, &self.supervisor);
                self.reload.handle_files(now, files, &in_force);
            }
            Step::Check(plugin, host) => {
                self.supervisor.validate(&self.poller, now, *plugin, &host);
            }
            Step::Take(setup) => self.take_setup(now, *setup),
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

    fn take_setup(&mut self, now: Instant, setup: Setup) {
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
        if let Some(why) = self.put_back(now) {
            self.reload.note_not_put_back(why);
        }
    }

    // Has the starter read the configuration in force, and put its files back if they are kept. Returns why they are
    // kept still.
    fn put_back(&mut self, now: Instant) -> Option<String> {
        let digest = &self.config.setup().digest;
        let configured = self.supervisor.starter().borrow_mut().configure(digest);
        if let Err(why) = &configured {
            log::warn!("spared starter: {why}");
        }
        if !unconfirmed::path(self.config.options()).exists() {
            return None;
        }
        // unless this reload waits for a confirmation, the files could not be put back
        self.reload.note_kept(now);
        configured.err()
    }
}
