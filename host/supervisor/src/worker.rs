//! One running worker: its pending questions, its messages and its end.

use std::collections::BTreeMap;
use std::time::Instant;

use spared_contract::{Failure, FromPlugin, LogLevel, ToPlugin};
use spared_message::notice::{Kind, Notice};
use spared_message::query::DocumentRequest;
use spared_process::poller::Poller;
use spared_process::worker::error_output::ErrorOutput;
use spared_process::worker::process::Worker;
use spared_process::{Next, Pings, RestartBudget, TRIAL, UsageReader};
use spared_records::ReceiveError;

use super::failure::faults;
use super::memory_limit::MemoryLimit;
use super::output::Output;
use super::pending_call::PendingCall;
use super::plugin::State;
use super::share::Share;
use super::{Answered, PluginReport, Report, Supervisor};

/// Function that counts an end or a failed start in the restart budget, and plans the next start.
type Counted = fn(&mut RestartBudget, Instant) -> Next;

/// Maximum number of reads of the error output of a worker that has ended.
const LAST_LOOKS: u32 = 5;
/// Maximum number of messages read from a worker that has ended; a socket holds about as many.
const READ_AT_END: usize = 1024;

#[derive(Debug)]
pub(super) struct Running {
    pub(super) serial: u64,
    pub(super) worker: Worker,
    /// Unanswered questions, by token.
    pub(super) pending: BTreeMap<u64, PendingCall>,
    pub(super) pings: Pings,
    usage_reader: UsageReader,
    /// True if the host was told that the worker does not answer.
    is_silent: bool,
    /// Faults of the newest file, which the plugin refused: it runs with the previous file.
    pub(super) refused: Vec<String>,
    /// Number of callbacks that took longer than allowed.
    pub(super) slow_calls: u64,
    pub(super) share: Share,
    pub(super) memory: MemoryLimit,
    output: Output,
}

impl Running {
    pub(super) fn new(serial: u64, worker: Worker, memory: MemoryLimit, now: Instant) -> Self {
        let mut pings = Pings::default();
        // the worker loads the plugin before it answers pings
        pings.begin_call();
        Self {
            serial,
            usage_reader: UsageReader::new(worker.pid()),
            worker,
            pending: BTreeMap::new(),
            pings,
            is_silent: false,
            refused: Vec::new(),
            slow_calls: 0,
            share: Share::new(now),
            memory,
            output: Output::new(now),
        }
    }

    /// Notes a question that was sent. Returns false if the token was in use.
    pub(super) fn add(&mut self, token: u64, pending_call: PendingCall) -> bool {
        if pending_call.is_of_start() {
            self.pings.begin_call();
        }
        self.pending.insert(token, pending_call).is_none()
    }

    /// Removes a question that is answered.
    pub(super) fn take(&mut self, token: u64) -> Option<PendingCall> {
        let pending_call = self.pending.remove(&token)?;
        if pending_call.is_of_start() {
            self.pings.end_call();
        }
        Some(pending_call)
    }
}

impl Supervisor {
    /// Reads up to `budget` messages; all messages if the worker has ended.
    pub(super) fn read(
        &mut self,
        poller: &Poller,
        now: Instant,
        name: &str,
        serial: u64,
        budget: Option<usize>,
    ) {
        for _ in 0..budget.unwrap_or(READ_AT_END) {
            let Some(running) = self.running(name).filter(|it| it.serial == serial) else {
                return; // replaced meanwhile
            };
            if budget.is_some() && running.share.is_overdrawn(now) {
                return;
            }
            match running.worker.receive() {
                Ok(None) => return,
                Ok(Some(message)) => {
                    if !running.is_asked(&message) {
                        let bytes = running.worker.received_bytes();
                        running.share.charge_record(now, bytes);
                    }
                    self.handle_message(poller, now, name, message);
                }
                Err(ReceiveError::Closed) => return self.handle_ended(now, name, None),
                Err(error) => return self.handle_ended(now, name, Some(error.predicate())),
            }
        }
    }

    pub(super) fn read_errors(&mut self, now: Instant, name: &str) {
        let length = self.log_errors(now, name);
        let running = self.running(name).filter(|_| length > 0);
        if running.is_some_and(|running| running.output.is_flood(now, length)) {
            let why = "flooded its error output".to_owned();
            self.handle_ended(now, name, Some(why));
        }
    }

    /// Returns the number of bytes read.
    fn log_errors(&mut self, now: Instant, name: &str) -> usize {
        let Some(running) = self.running(name) else {
            return 0;
        };
        let Some((length, lines)) = running.worker.errors().and_then(ErrorOutput::read) else {
            running.worker.close_errors();
            return 0;
        };
        for line in lines {
            if let Some(running) = self.running(name) {
                running.memory.handle_line(&line);
            }
            self.handle_line(now, name, LogLevel::Warn, &line);
        }
        length
    }

    fn handle_message(&mut self, poller: &Poller, now: Instant, name: &str, message: FromPlugin) {
        match message {
            FromPlugin::Loaded(loaded) => self.handle_loaded(poller, now, name, loaded),
            FromPlugin::Pending { token } => self.handle_pending(now, name, token),
            FromPlugin::Returned {
                token,
                status,
                failures,
                rows,
                missing,
            } => {
                let answered = Answered {
                    rows,
                    missing,
                    ..Answered::default()
                };
                self.handle_returned(now, name, token, status, failures, answered);
            }
            FromPlugin::Call { number, call } => {
                self.report(name, PluginReport::Call { number, call });
            }
            FromPlugin::Log { level, text } => self.handle_line(now, name, level, &text),
            FromPlugin::Check {
                name: check,
                weight,
                state,
                why,
                points,
            } => {
                let result = PluginReport::Check {
                    check,
                    weight,
                    state,
                    why,
                    points,
                };
                self.report(name, result);
            }
            FromPlugin::ForgetCheck { name: check } => {
                self.report(name, PluginReport::ForgetCheck(check));
            }
            FromPlugin::InSync { yes, why } => {
                self.report(name, PluginReport::InSync { yes, why });
            }
            FromPlugin::Callback {
                name: callback,
                why,
            } => self.report(name, PluginReport::Callback { callback, why }),
            FromPlugin::Document { ticket, what, from } => {
                let asked = DocumentRequest { ticket, what, from };
                self.report(name, PluginReport::Document(asked));
            }
            FromPlugin::Scopes { scopes } => self.report(name, PluginReport::Scopes(scopes)),
            // A newer plugin made this call. It continues without it.
            FromPlugin::Unknown { .. } => {}
            FromPlugin::Pong { number, slow_calls } => {
                if let Some(running) = self.running(name) {
                    running.pings.handle_pong(number);
                    running.slow_calls = slow_calls;
                    self.report_silence(now);
                }
            }
        }
    }

    fn handle_line(&mut self, now: Instant, name: &str, level: LogLevel, text: &str) {
        let Some(running) = self.running(name) else {
            return;
        };
        if !running.output.lines.take(now) {
            return;
        }
        if matches!(level, LogLevel::Event | LogLevel::Conflict) {
            let (is_conflict, text) = (level == LogLevel::Conflict, text.to_owned());
            return self.report(name, PluginReport::Event { is_conflict, text });
        }
        log::log!(log::Level::from(level), "{name}: {text}");
    }

    /// Returns true if the host may log one more line about what a plugin sent. Such lines count against the plugin's
    /// own limit.
    pub fn may_log(&mut self, now: Instant, name: &str) -> bool {
        let running = self.running(name);
        running.is_some_and(|running| running.output.lines.take(now))
    }

    pub(super) fn report_suppressed(&mut self) {
        for (name, plugin) in &mut self.plugins {
            let suppressed = plugin
                .running
                .as_mut()
                .map_or(0, |running| running.output.lines.take_suppressed_count());
            if suppressed > 0 {
                log::warn!("{name}: {suppressed} more log lines suppressed");
            }
        }
    }

    pub(super) fn ping_all(&mut self, now: Instant) {
        for name in self.names() {
            self.look_at_memory(&name);
            let Some(running) = self.running(&name) else {
                continue;
            };
            let usage = running.usage_reader.read(running.pings.missed() > 0);
            let number = if running.share.take_paused() {
                running.pings.next_of_unread(usage)
            } else {
                running.pings.next(usage)
            };
            let Some(number) = number else {
                let why = format!("did not answer for {} s", running.pings.missed());
                self.handle_ended(now, &name, Some(why));
                continue;
            };
            running.pings.handle_sent(now);
            self.send(now, &name, &ToPlugin::Ping { number }, &[]);
        }
    }

    /// Reports workers that have become silent, and workers that answer again.
    pub(super) fn report_silence(&mut self, now: Instant) {
        for name in self.names() {
            let Some(running) = self.running(&name) else {
                continue;
            };
            let is_silent = running.pings.is_silent(now);
            if std::mem::replace(&mut running.is_silent, is_silent) == is_silent {
                continue;
            }
            self.reports.push_back(Report::Silence);
            if is_silent {
                self.fail_short_queries(now, &name);
            }
        }
    }

    /// Time at which [`Supervisor::report_silence`] next has something to report, if no worker answers before.
    pub(super) fn silence_timeout(&self) -> Option<Instant> {
        let running = self.plugins.values().filter_map(|it| it.running.as_ref());
        let answering = running.filter(|it| !it.is_silent);
        answering.filter_map(|it| it.pings.silent_at()).min()
    }

    /// Ends a worker that is dead or must be ended, and all that waits for it.
    pub(super) fn handle_ended(&mut self, now: Instant, name: &str, why: Option<String>) {
        self.end(now, name, why, RestartBudget::handle_end);
    }

    /// Ends a worker whose start failed because the machine is slow.
    pub(super) fn handle_failed_start(&mut self, now: Instant, name: &str, why: String) {
        self.end(now, name, Some(why), RestartBudget::handle_failed_start);
    }

    fn end(&mut self, now: Instant, name: &str, why: Option<String>, counted: Counted) {
        // the last output comes first, as much as a pipe holds
        let mut looks = 0..LAST_LOOKS;
        while looks.next().is_some() && self.log_errors(now, name) > 0 {}
        let Some(plugin) = self.plugins.get_mut(name) else {
            return;
        };
        let Some(mut running) = plugin.running.take() else {
            return;
        };
        let stopping = plugin.state == State::Stopping;
        let why = why.or_else(|| running.worker.exit_reason());
        let why = why.unwrap_or_else(|| "closed its connection".to_owned());
        let why = self.with_memory(name, &running, why);
        let pending = std::mem::take(&mut running.pending);
        self.kill_worker(now, name, Some(running));
        let sentence = format!("{name} {why}");
        self.report(name, PluginReport::Down(sentence.clone()));
        for pending_call in pending.into_values() {
            self.give_up(name, pending_call, &why);
        }
        if !stopping {
            self.plan_restart(now, name, sentence, counted);
        }
    }

    pub(super) fn plan_restart(
        &mut self,
        now: Instant,
        name: &str,
        sentence: String,
        counted: Counted,
    ) {
        let Some(plugin) = self.plugins.get_mut(name) else {
            return;
        };
        plugin.why.clone_from(&sentence);
        let next = counted(&mut plugin.restart_budget, now);
        let (until, pause) = (now + next.pause(), next.pause());
        if let Next::Restart(_) = next {
            plugin.state = State::Pausing(until);
            let text = format!("{sentence}; restarting in {} ms", pause.as_millis());
            return self.tell(Notice::warn(Kind::Plugin, text).because("died"));
        }
        plugin.state = State::Failed(until);
        let every = pause.as_secs();
        let text = format!("{sentence}; failed too often: given up, retrying every {every} s");
        plugin.why.clone_from(&text);
        self.report(name, PluginReport::GivenUp(sentence));
        // a state that may last for days is logged once
        match next {
            Next::TryAgain(_) => log::debug!("{text}"),
            _ => self.tell(Notice {
                level: log::Level::Error,
                ..Notice::warn(Kind::Plugin, text).because("given-up")
            }),
        }
    }

    /// Ends the trial of plugins that were given up and have run long enough since.
    pub(super) fn end_trials(&mut self, now: Instant) {
        for (name, plugin) in &mut self.plugins {
            if plugin.trial_end().is_some_and(|end| now >= end) {
                plugin.restart_budget.refill();
                plugin.why.clear();
                let recovered = Report::Plugin(name.clone(), PluginReport::Recovered);
                self.reports.push_back(recovered);
            }
        }
    }

    pub(super) fn refuse_running(&mut self, now: Instant, name: &str, lines: Vec<String>) {
        let running = self
            .plugins
            .get_mut(name)
            .and_then(|plugin| plugin.running.take());
        let why = format!("{name} has a wrong configuration");
        self.report(name, PluginReport::Down(why));
        self.refuse(name, lines);
        // It may have been asked to stop: what follows from that must find it refused.
        self.kill_worker(now, name, running);
    }

    pub(super) fn fault_lines(&self, name: &str, status: i32, failures: &[Failure]) -> Vec<String> {
        let text = self
            .plugins
            .get(name)
            .map_or("", |plugin| plugin.settings.text.as_str());
        faults(name, text, status, failures)
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    pub(super) fn running(&mut self, name: &str) -> Option<&mut Running> {
        self.plugins.get_mut(name)?.running_mut()
    }

    pub(super) fn running_worker(&self, name: &str) -> Option<&Running> {
        self.plugins.get(name)?.running()
    }

    pub(super) fn set_state(&mut self, name: &str, state: State) {
        if let Some(plugin) = self.plugins.get_mut(name) {
            plugin.state = state;
            plugin.why = match plugin.trial_end() {
                Some(_) => format!("running again, on trial for {} s", TRIAL.as_secs()),
                None if state.is_running() => String::new(),
                None => std::mem::take(&mut plugin.why),
            };
        }
    }
}
