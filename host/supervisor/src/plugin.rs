//! One plugin: its settings, its descriptor, and the steps of its start.

use std::path::PathBuf;
use std::time::Instant;

use spared_contract::{Descriptor, Surroundings, ToPlugin};
use spared_message::load::Asks;
use spared_message::starter::{NotStarted, Start};
use spared_process::poller::Poller;
use spared_process::worker::group_names;
use spared_process::worker::process::Worker;
use spared_process::{Policy, RestartBudget, TRIAL};

use super::file_rights::FileRights;
use super::memory_limit::MemoryLimit;
use super::pending_call::PendingCall;
use super::starter::Rights;
use super::worker::Running;
use super::{Supervisor, config};

#[derive(Debug)]
pub(super) struct Plugin {
    pub(super) settings: config::Plugin,
    pub(super) descriptor: Option<Descriptor>,
    pub(super) state: State,
    /// Reason why the plugin is not running.
    pub(super) why: String,
    pub(super) running: Option<Running>,
    /// Serial number of the previous worker, which was killed.
    pub(super) killed: Option<u64>,
    pub(super) restart_budget: RestartBudget,
    pub(super) restarts: u64,
    pub(super) file_rights: FileRights,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Disabled,
    /// A short-lived worker reads the descriptor.
    Checking,
    Loading,
    Configuring,
    /// Waits until every other plugin is configured.
    Configured,
    Starting,
    Running(Instant),
    Stopping,
    Pausing(Instant),
    /// Given up; tried again at `until`.
    Failed(Instant),
    /// The file is not a plugin, or the plugin's configuration is wrong.
    Refused,
}

impl State {
    pub(super) fn is_running(self) -> bool {
        matches!(self, Self::Running(_))
    }
}

impl Plugin {
    pub(super) fn new(settings: config::Plugin, _now: Instant) -> Self {
        Self {
            settings,
            descriptor: None,
            state: State::Disabled,
            why: String::new(),
            running: None,
            killed: None,
            restart_budget: RestartBudget::new(Policy::WORKER),
            restarts: 0,
            file_rights: FileRights::default(),
        }
    }

    pub(super) fn name(&self) -> &str {
        &self.settings.name
    }

    pub(super) fn running(&self) -> Option<&Running> {
        self.running.as_ref()
    }

    pub(super) fn running_mut(&mut self) -> Option<&mut Running> {
        self.running.as_mut()
    }

    /// Returns true during the steps up to `configure`.
    pub(super) fn is_preparing(&self) -> bool {
        matches!(
            self.state,
            State::Checking | State::Loading | State::Configuring
        )
    }

    /// Returns true if other plugins delay their start until this one is configured. A plugin that has ended on the way
    /// is no longer awaited: one that hangs or crashes repeatedly must not keep the elector from starting.
    fn is_awaited(&self) -> bool {
        self.is_preparing() && !self.is_started_again()
    }

    /// Returns true if the plugin has ended or failed to start before, and is tried again.
    fn is_started_again(&self) -> bool {
        !self.restart_budget.is_full()
    }

    /// Rights that the starter grants the plugin. spared.toml may deny real-time priority.
    pub(super) fn rights(&self) -> Rights {
        let asked = self.descriptor.as_ref();
        let (flags, capabilities) = asked.map_or((0, 0), |it| (it.flags, it.capabilities));
        Rights::new(self.settings.allow, flags, capabilities, true)
    }

    /// Returns true if the plugin runs as root: it asks for that, and the administrator allows it.
    pub(super) fn is_root(&self) -> bool {
        self.rights().root
    }

    /// Capabilities of a plugin that is not root, as bits `1 << CAP_...`.
    pub(super) fn capabilities(&self) -> u64 {
        self.rights().capabilities
    }

    /// Groups of system calls that the plugin may use.
    pub(super) fn call_groups(&self) -> Vec<String> {
        let descriptor = self.descriptor.as_ref().filter(|_| !self.is_root());
        let calls = descriptor.map_or(0, |descriptor| descriptor.calls);
        let names = group_names(calls).into_iter();
        names.map(str::to_owned).collect()
    }

    /// End of the plugin's trial, if it was given up before and runs again.
    pub(super) fn trial_end(&self) -> Option<Instant> {
        match self.state {
            State::Running(since) if self.restart_budget.is_given_up() => Some(since + TRIAL),
            _ => None,
        }
    }

    /// Returns true if the plugin has declared its start pending, which may take long.
    pub(super) fn is_pending(&self) -> bool {
        let running = self.running.as_ref();
        let mut pending = running.iter().flat_map(|it| it.pending.values());
        pending.any(|it| matches!(it, PendingCall::Start { until: Some(_) }))
    }

    /// Time of the plugin's next start, if it does not run.
    pub(super) fn start_at(&self) -> Option<Instant> {
        match self.state {
            State::Pausing(until) | State::Failed(until) => Some(until),
            _ => None,
        }
    }

    pub(super) fn next_timeout(&self) -> Option<Instant> {
        let own = [self.start_at(), self.trial_end()];
        let questions = self
            .running
            .iter()
            .flat_map(|running| running.pending.values());
        let questions = questions.filter_map(PendingCall::until);
        let running = self.running.as_ref();
        let pause = running.and_then(|running| running.share.paused_until());
        let own = own.into_iter().chain([pause]);
        questions.chain(own.flatten()).min()
    }
}

impl Supervisor {
    /// Begins a start: in the first step a short-lived worker reads the descriptor.
    pub(super) fn begin(&mut self, poller: &Poller, now: Instant, name: &str) {
        self.spawn(poller, now, name, true);
    }

    /// Begins a start after a pause. If the kernel cannot end the previous worker, such as one that waits for a disk
    /// that hangs, another worker would only hang as well.
    pub(super) fn begin_again(&mut self, poller: &Poller, now: Instant, name: &str) {
        let Some(plugin) = self.plugins.get_mut(name) else {
            return;
        };
        let before = plugin.killed;
        if before.is_some_and(|serial| self.dying.is_lingering(now, serial)) {
            let why = format!("{name}: its killed worker does not end: it may wait for a disk");
            return self.plan_restart(now, name, why, RestartBudget::handle_failed_start);
        }
        plugin.restarts += 1;
        self.begin(poller, now, name);
    }

    fn is_started_again(&self, name: &str) -> bool {
        let plugin = self.plugins.get(name);
        plugin.is_some_and(Plugin::is_started_again)
    }

    fn spawn(&mut self, poller: &Poller, now: Instant, name: &str, check_only: bool) {
        let Some(plugin) = self.plugins.get(name) else {
            return;
        };
        let memory = plugin.settings.memory();
        let is_root = !check_only && plugin.is_root();
        let plugin = name.to_owned();
        let start = match self.descriptor(name).filter(|_| !check_only) {
            None => Start::Check { plugin, memory },
            Some(descriptor) => Start::Worker {
                plugin,
                asks: Asks::of(descriptor),
            },
        };
        let memory = MemoryLimit::new((!is_root).then_some(memory), self.kills(name));
        let (serial, worker) = match self.start(poller, &start) {
            Ok(started) => started,
            // the plugin started before, and may do so again: its package is being replaced, or no descriptor is left
            // to open it
            Err(NotStarted::Refused(why)) if !self.is_started_again(name) => {
                return self.refuse(name, vec![format!("{name}: {why}")]);
            }
            // A resource is missing, the starter had no time, or it died before its first message. The next attempt may
            // succeed.
            Err(NotStarted::Refused(why) | NotStarted::Failed(why)) => {
                let why = format!("{name}: cannot start a worker: {why}");
                return self.plan_restart(now, name, why, RestartBudget::handle_failed_start);
            }
        };
        if let Some(plugin) = self.plugins.get_mut(name) {
            plugin.running = Some(Running::new(serial, worker, memory, now));
            plugin.state = if check_only {
                State::Checking
            } else {
                State::Loading
            };
        }
    }

    /// Asks the starter to start a worker, and watches the worker.
    pub(super) fn start(
        &mut self,
        poller: &Poller,
        start: &Start,
    ) -> Result<(u64, Worker), NotStarted> {
        let failed = |error: std::io::Error| NotStarted::Failed(error.to_string());
        let started = self.starter.borrow_mut().start(start)?;
        let mut worker = Worker::started(started, self.starter.clone()).map_err(failed)?;
        let serial = self.watch(poller, &mut worker).map_err(failed)?;
        Ok((serial, worker))
    }

    pub(super) fn state_folder(&self, name: &str) -> Option<PathBuf> {
        Some(self.about.state_dir.as_ref()?.join(name))
    }

    pub(super) fn handle_loaded(
        &mut self,
        poller: &Poller,
        now: Instant,
        name: &str,
        loaded: Result<Descriptor, String>,
    ) {
        let Some(plugin) = self.plugins.get_mut(name) else {
            return;
        };
        let descriptor = match loaded {
            Ok(descriptor) if descriptor.name == name => descriptor,
            Ok(other) => {
                let why = format!(
                    "{name}: {name}.so calls itself \"{}\": rename one",
                    other.name
                );
                return self.refuse_loaded(now, name, why);
            }
            // the file could be read before: it is being replaced, or the machine lacks memory
            Err(why) if plugin.state == State::Loading || plugin.is_started_again() => {
                return self.handle_ended(now, name, Some(format!("does not start: {why}")));
            }
            Err(why) => return self.refuse_loaded(now, name, format!("{name}: {why}")),
        };
        match plugin.state {
            State::Checking => {
                plugin.descriptor = Some(descriptor);
                let running = plugin.running.take();
                self.kill_worker(now, name, running);
                self.spawn(poller, now, name, false);
            }
            State::Loading => {
                plugin.state = State::Configuring;
                let message = self.configure_message_of(name);
                if let Some(message) = message {
                    self.ask(now, name, PendingCall::Configure, message);
                }
            }
            // A second `Loaded` is ignored.
            _ => {}
        }
    }

    fn refuse_loaded(&mut self, now: Instant, name: &str, why: String) {
        let running = self
            .plugins
            .get_mut(name)
            .and_then(|plugin| plugin.running.take());
        self.refuse(name, vec![why]);
        self.kill_worker(now, name, running);
    }

    fn configure_message_of(&self, name: &str) -> Option<impl FnOnce(u64) -> ToPlugin + use<>> {
        Some(self.configure_message(self.plugins.get(name)?))
    }

    pub(super) fn configure_message(
        &self,
        plugin: &Plugin,
    ) -> impl FnOnce(u64) -> ToPlugin + use<> {
        let table = plugin.settings.table.clone();
        let folder = self.state_folder(plugin.name());
        let folder = folder.and_then(|folder| folder.to_str().map(str::to_owned));
        let surroundings = Surroundings {
            state: folder,
            ..self.worker_settings.surroundings.clone()
        };
        move |token| ToPlugin::Configure {
            token,
            table,
            check: false,
            surroundings,
        }
    }

    /// Starts the plugins that are configured, once no other plugin is awaited.
    pub(super) fn start_configured(&mut self) {
        if self.plugins.values().any(Plugin::is_awaited) {
            return;
        }
        let now = Instant::now();
        let ready = |plugin: &&Plugin| plugin.state == State::Configured;
        let names: Vec<String> = self
            .plugins
            .values()
            .filter(ready)
            .map(|plugin| plugin.name().to_owned())
            .collect();
        for name in names {
            self.set_state(&name, State::Starting);
            self.ask(now, &name, PendingCall::Start { until: None }, |token| {
                ToPlugin::Start { token }
            });
        }
    }
}
