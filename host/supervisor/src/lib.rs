//! Plugins and their workers: starts them, exchanges messages, pings, restarts, gives up.
//!
//! Every start has the same steps, at boot, after a crash and after a reload. A short-lived worker reads the
//! descriptor. The real one loads with the capabilities that remain, then come `configure` and `start`. At
//! [`PluginReport::Up`] the host replays roles, interfaces and directives.
//!
//! `handle_*` feed it, [`Supervisor::poll_report`] drains it. Nothing here waits. [`starter`] is another process, which
//! runs as root and starts the workers.

#![forbid(unsafe_code)]

mod check;
mod failure;
mod file_rights;
mod group_calls;
mod memory_limit;
mod output;
mod partners;
mod pending_call;
mod plugin;
mod queries;
mod replaced_files;
mod report;
mod share;
pub mod starter;
mod status;
mod worker;

use std::collections::{BTreeMap, VecDeque};
use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use spared_config as config;
use spared_contract::{RoleEvent, Surroundings, ToPlugin};
use spared_group::Order;
use spared_message::query::{Answered, Unanswered};
use spared_message::starter::About;
use spared_process::poller::{Key, Poller};
use spared_process::starter::Starter;
use spared_process::worker::process::Worker;
use spared_process::{Killed, PING_EVERY, Policy, RestartBudget, nearest_tick};
use spared_records::SendError;

use check::Check;
use file_rights::Looker;
pub use file_rights::Replaced;
use group_calls::Calls;
use partners::Partners;
use pending_call::PendingCall;
use plugin::{Plugin, State};
pub use report::{PluginReport, Report, Returned};
use spared_message::notice::{Kind, Notice};
use worker::Running;

/// Maximum number of messages that one turn of the loop reads from one worker, so that none starves the others.
const BUDGET: usize = 16;
const ELECTOR_BUDGET: usize = 128;
pub const STOP_TIMEOUT: Duration = Duration::from_secs(1);
/// Minimum time limit of a query to a worker that is silent. A shorter query is answered with an error at once.
const SHORT_QUERY: Duration = Duration::from_millis(1_500);
/// Maximum time for which a stop may be pending.
const STOP_MAX: Duration = Duration::from_secs(3);

/// Settings common to all workers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkerSettings {
    pub surroundings: Surroundings,
    pub realtime: bool,
}

/// All plugins.
#[derive(Debug)]
pub struct Supervisor {
    worker_settings: WorkerSettings,
    starter: Starter,
    is_starter_silent: bool,
    about: About,
    plugins: BTreeMap<String, Plugin>,
    /// Short-lived workers that check a new configuration.
    checks: BTreeMap<u64, Check>,
    /// Processes that were killed and are not reaped yet.
    dying: Killed,
    serial: u64,
    token: u64,
    pinged_at: Instant,
    reports: VecDeque<Report>,
    calls: Calls,
    partners: Partners,
    /// Thread that looks at the files of workers, once it is needed.
    looker: Option<Looker>,
}

impl Supervisor {
    pub fn new(worker_settings: WorkerSettings, starter: Starter, now: Instant) -> Self {
        let about = starter.borrow().about();
        Self {
            worker_settings,
            starter,
            is_starter_silent: false,
            about,
            plugins: BTreeMap::new(),
            checks: BTreeMap::new(),
            dying: Killed::default(),
            serial: 0,
            token: 0,
            pinged_at: now,
            reports: VecDeque::new(),
            calls: Calls::default(),
            partners: Partners::default(),
            looker: None,
        }
    }

    /// Sets new terms after a reload, for workers that start from now on.
    pub fn set_worker_settings(&mut self, worker_settings: WorkerSettings) {
        self.worker_settings = worker_settings;
    }

    /// Reason why workers have no control groups, if they have none.
    pub fn control_groups_error(&self) -> Option<&str> {
        self.about.groups.as_ref().err().map(String::as_str)
    }

    pub fn starter(&self) -> &Starter {
        &self.starter
    }

    /// Returns true if the starter does not answer.
    pub fn is_starter_silent(&self) -> bool {
        self.is_starter_silent
    }

    pub fn poll_report(&mut self) -> Option<Report> {
        self.reports.pop_front()
    }

    fn report(&mut self, plugin: &str, report: PluginReport) {
        self.reports
            .push_back(Report::Plugin(plugin.to_owned(), report));
    }

    fn report_answer(&mut self, id: u64, result: Result<Answered, Unanswered>) {
        self.reports.push_back(Report::Answered { id, result });
    }

    // ---- life

    /// Starts a plugin, or reports why it does not start. A disabled or faulty plugin is only listed.
    pub fn add(&mut self, poller: &Poller, now: Instant, settings: config::Plugin) {
        let name = settings.name.clone();
        let faults: Vec<String> = settings.faults.iter().map(ToString::to_string).collect();
        let enabled = settings.enabled;
        self.plugins
            .insert(name.clone(), Plugin::new(settings, now));
        if !faults.is_empty() {
            self.refuse(&name, faults);
        } else if enabled {
            self.begin(poller, now, &name);
        }
    }

    /// Forgets a plugin that was stopped. Its worker may still run.
    pub fn remove(&mut self, now: Instant, name: &str) {
        let plugin = self.plugins.remove(name);
        if let Some(running) = plugin.and_then(|plugin| plugin.running) {
            let why = format!("the plugin {name} was removed");
            self.report(name, PluginReport::Down(why));
            self.kill_worker(now, name, Some(running));
        }
        self.report(name, PluginReport::Removed);
    }

    /// Kills the worker and starts another, with a full restart budget.
    pub fn restart(&mut self, poller: &Poller, now: Instant, name: &str) {
        let Some(plugin) = self.plugins.get_mut(name) else {
            return;
        };
        let running = plugin.running.take();
        plugin.restart_budget = RestartBudget::new(Policy::WORKER);
        if running.is_some() {
            let why = format!("{name} is restarted");
            self.report(name, PluginReport::Down(why));
        }
        self.kill_worker(now, name, running);
        self.begin(poller, now, name);
    }

    /// Replaces the host's keys and the file of a plugin.
    pub fn set_settings(&mut self, name: &str, settings: config::Plugin) {
        if let Some(plugin) = self.plugins.get_mut(name) {
            plugin.settings = settings;
        }
    }

    // ---- what wakes the loop

    /// Handles that a worker's socket is readable.
    pub fn handle_readable(&mut self, poller: &Poller, now: Instant, serial: u64) {
        if self.checks.contains_key(&serial) {
            return self.read_check(now, serial);
        }
        let Some(name) = self.name_of(serial) else {
            return;
        };
        let budget = if self.provides_groups(&name) {
            ELECTOR_BUDGET
        } else {
            BUDGET
        };
        self.read(poller, now, &name, serial, Some(budget));
        self.start_configured();
    }

    /// Handles that a worker has written to its error output.
    pub fn handle_errors(&mut self, now: Instant, serial: u64) {
        if self.checks.contains_key(&serial) {
            return self.read_errors_of_check(now, serial);
        }
        if let Some(name) = self.name_of(serial) {
            self.read_errors(now, &name);
        }
    }

    /// Handles that a worker's process has ended.
    pub fn handle_exit(&mut self, poller: &Poller, now: Instant, serial: u64) {
        if self.dying.handle_exit(serial) {
            return;
        }
        if self.checks.contains_key(&serial) {
            return self.read_check(now, serial);
        }
        let Some(name) = self.name_of(serial) else {
            return;
        };
        // Messages that the worker sent before its end come first.
        self.read(poller, now, &name, serial, None);
        if self.name_of(serial).is_some() {
            self.handle_ended(now, &name, None);
        }
        self.start_configured();
    }

    pub fn next_timeout(&self) -> Option<Instant> {
        let plugins = self.plugins.values().filter_map(Plugin::next_timeout);
        let checks = self.checks.values().map(Check::next_look);
        plugins
            .chain(checks)
            .chain([self.pinged_at + PING_EVERY])
            .chain(self.silence_timeout())
            .min()
    }

    /// Sends pings, restarts workers, and ends questions that were not answered in time.
    pub fn handle_timeout(&mut self, poller: &Poller, now: Instant) {
        if now.saturating_duration_since(self.pinged_at) >= PING_EVERY {
            // One ping per turn, however long this process may have been stopped.
            self.pinged_at = nearest_tick(self.pinged_at, PING_EVERY, now);
            self.ping_all(now);
            self.report_suppressed();
            self.is_starter_silent = self.starter.borrow_mut().is_silent();
            self.dying.reap();
        }
        self.report_silence(now);
        let due = |plugin: &&Plugin| plugin.start_at().is_some_and(|at| now >= at);
        let due: Vec<String> = self
            .plugins
            .values()
            .filter(due)
            .map(|plugin| plugin.name().to_owned())
            .collect();
        for name in due {
            self.begin_again(poller, now, &name);
        }
        self.end_pauses(poller, now);
        self.end_trials(now);
        self.end_questions(now);
        self.end_checks(now);
        self.start_configured();
    }

    // ---- messages to workers

    /// Sends a message. Returns false if it was not sent. A worker that does not read is killed.
    pub fn send(
        &mut self,
        now: Instant,
        name: &str,
        message: &ToPlugin,
        descriptors: &[BorrowedFd<'_>],
    ) -> bool {
        let Some(plugin) = self.plugins.get(name) else {
            return false;
        };
        let Some(running) = &plugin.running else {
            return false;
        };
        match running.worker.send(message, descriptors) {
            Ok(()) => true,
            // it has ended as requested: its last messages are read first
            Err(SendError::Closed) if plugin.state == State::Stopping => false,
            // it has ended: its exit reason says more than that it cannot be reached
            Err(SendError::Closed) => {
                self.handle_ended(now, name, None);
                false
            }
            Err(error) => {
                let why = error.predicate();
                self.handle_ended(now, name, Some(why));
                false
            }
        }
    }

    pub fn settle(
        &mut self,
        now: Instant,
        name: &str,
        group: String,
        epoch: u64,
        deadline_ns: u64,
    ) {
        let call = PendingCall::Settle { group, epoch };
        self.ask(now, name, call, |token| ToPlugin::Settle {
            token,
            deadline_ns,
        });
    }

    pub fn drain(&mut self, now: Instant, name: &str, group: String, epoch: u64, deadline_ns: u64) {
        let call = PendingCall::Drain { group, epoch };
        self.ask(now, name, call, |token| ToPlugin::Drain {
            token,
            deadline_ns,
        });
    }

    pub fn role(&mut self, now: Instant, name: &str, order: Order, why: String) {
        let call = PendingCall::Role {
            group: order.group.clone(),
            epoch: order.epoch,
        };
        let event = RoleEvent {
            group: order.group,
            role: order.role,
            why,
            deadline_ns: order.deadline_ns,
            maintenance: order.maintenance,
            planned: order.cause.is_by_switchover(),
            before: order.before,
            epoch: order.epoch,
            cause: order.cause,
        };
        self.ask(now, name, call, |token| ToPlugin::Role { token, event });
    }

    /// Sends a query. [`Report::Answered`] with the same id follows in any case, at the latest at `until`.
    pub fn query(&mut self, now: Instant, until: Instant, name: &str, argv: Vec<String>, id: u64) {
        let is_short = until.saturating_duration_since(now) < SHORT_QUERY;
        let call = PendingCall::Query { id, until };
        let why = if is_short && self.is_silent(name, now) {
            "does not answer"
        } else if self.ask(now, name, call, |token| ToPlugin::Query { token, argv }) {
            return;
        } else {
            "is not running"
        };
        let result = Err(Unanswered {
            unknown_words: false,
            why: format!("{name} {why}"),
        });
        self.report_answer(id, result);
    }

    /// Asks a plugin to stop; [`PluginReport::Stopped`] follows in any case.
    pub fn stop(&mut self, now: Instant, name: &str) {
        let call = PendingCall::Stop {
            until: now + STOP_TIMEOUT,
            longest: now + STOP_MAX,
        };
        let asked = self.ask(now, name, call, |token| ToPlugin::Stop { token });
        match self.plugins.get_mut(name) {
            Some(plugin) if asked => plugin.state = State::Stopping,
            _ => self.report(name, PluginReport::Stopped),
        }
    }

    /// Gives a running plugin its new file; [`PluginReport::Reconfigured`] or [`PluginReport::NotReconfigured`] follows in
    /// any case.
    pub fn reconfigure(&mut self, now: Instant, name: &str) {
        let Some(plugin) = self.plugins.get(name) else {
            return;
        };
        let message = self.configure_message(plugin);
        if !self.ask(now, name, PendingCall::Reconfigure, message) {
            let why = format!("{name} is not running");
            self.report(name, PluginReport::NotReconfigured(why));
        }
    }

    fn ask(
        &mut self,
        now: Instant,
        name: &str,
        call: PendingCall,
        message: impl FnOnce(u64) -> ToPlugin,
    ) -> bool {
        self.token += 1;
        let token = self.token;
        if !self.send(now, name, &message(token), &[]) {
            return false;
        }
        self.running(name)
            .is_some_and(|running| running.add(token, call))
    }

    fn tell(&mut self, news: Notice) {
        self.reports.push_back(Report::Tell(news));
    }

    fn refuse(&mut self, name: &str, lines: Vec<String>) {
        let Some(plugin) = self.plugins.get_mut(name) else {
            return;
        };
        plugin.state = State::Refused;
        plugin.why = lines.join("; ");
        let why = plugin.why.clone();
        self.report(name, PluginReport::Refused(why));
        for line in lines {
            self.tell(Notice::warn(Kind::Plugin, line).because("refused"));
        }
    }

    fn watch(&mut self, poller: &Poller, worker: &mut Worker) -> std::io::Result<u64> {
        self.serial += 1;
        let serial = self.serial;
        poller.watch(&*worker, Key::Worker(serial))?;
        if let Some(errors) = worker.errors() {
            poller.watch(errors, Key::Errors(serial))?;
        }
        poller.watch_end(worker.pidfd(), Key::Exit(serial))?;
        Ok(serial)
    }

    /// Kills a worker, whose process is reaped when it has ended, and ends the questions to it.
    fn kill_worker(&mut self, now: Instant, name: &str, running: Option<Running>) {
        let Some(running) = running else {
            return;
        };
        if let Some(plugin) = self.plugins.get_mut(name) {
            plugin.killed = Some(running.serial);
        }
        self.discard(now, running.serial, running.worker);
        for call in running.pending.into_values() {
            self.give_up(name, call, "was stopped");
        }
    }

    fn discard(&mut self, now: Instant, serial: u64, worker: Worker) {
        self.dying.add(now, serial, worker.into_child());
    }
}
