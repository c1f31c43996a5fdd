//! One running worker: what it was asked, what it said, and how it dies.

use std::collections::BTreeMap;
use std::time::Instant;

use spared_abi::{ATTENTION, LOG_DEBUG, LOG_ERROR, LOG_EVENT, LOG_INFO, LOG_WARN, RESTART};
use spared_worker::codec::ReceiveError;
use spared_worker::message::{Failure, FromWorker, Row, ToWorker};
use spared_worker::process::Worker;

use super::failure::{faults, reason, status_of};
use super::limit::Limit;
use super::plugin::State;
use super::{Answered, Report, Returned, Supervisor, Unanswered};
use crate::events::{Kind, Notice};
use crate::poller::Poller;
use crate::process::{MISSED_MAX, Pings};

#[derive(Debug)]
pub(super) struct Running {
    pub(super) serial: u64,
    pub(super) worker: Worker,
    /// What was asked and not yet answered, by token.
    pub(super) pending: BTreeMap<u64, Purpose>,
    pub(super) pings: Pings,
    messages: Limit,
    lines: Limit,
}

/// Why a token was given out.
#[derive(Debug)]
pub(super) enum Purpose {
    Configure,
    Reconfigure,
    Start,
    Drain { group: String, epoch: u64 },
    Settle { group: String, epoch: u64 },
    Role { group: String, epoch: u64 },
    Query { id: u64, until: Instant },
    Stop { until: Instant },
}

impl Purpose {
    /// What the plugin was called for.
    fn callback(&self) -> &'static str {
        match self {
            Self::Configure | Self::Reconfigure => "configure",
            Self::Start => "start",
            Self::Drain { .. } => "drain",
            Self::Settle { .. } => "settle",
            Self::Role { .. } => "role",
            Self::Query { .. } => "query",
            Self::Stop { .. } => "stop",
        }
    }

    pub(super) fn until(&self) -> Option<Instant> {
        match self {
            Self::Query { until, .. } | Self::Stop { until } => Some(*until),
            _ => None,
        }
    }
}

impl Running {
    pub(super) fn new(serial: u64, worker: Worker, now: Instant) -> Self {
        Self {
            serial,
            worker,
            pending: BTreeMap::new(),
            pings: Pings::default(),
            // Ten times what a busy plugin sends; more is a flood.
            messages: Limit::new(5_000, 10_000, now),
            lines: Limit::new(20, 200, now),
        }
    }
}

impl Supervisor {
    pub(super) fn read(
        &mut self,
        poller: &Poller,
        now: Instant,
        name: &str,
        serial: u64,
        budget: usize,
    ) {
        for _ in 0..budget {
            let Some(running) = self.plugins.get_mut(name).and_then(|p| p.running.as_mut()) else {
                return;
            };
            if running.serial != serial {
                return; // replaced meanwhile
            }
            match running.worker.receive() {
                Ok(None) => return,
                Ok(Some(_)) if !running.messages.take(now) => {
                    return self.handle_ended(
                        now,
                        name,
                        Some("flooded the host with messages".to_owned()),
                    );
                }
                Ok(Some(message)) => self.handle_message(poller, now, name, message),
                Err(ReceiveError::Closed) => return self.handle_ended(now, name, None),
                Err(error) => return self.handle_ended(now, name, Some(error.to_string())),
            }
        }
    }

    fn handle_message(&mut self, poller: &Poller, now: Instant, name: &str, message: FromWorker) {
        match message {
            FromWorker::Loaded(loaded) => self.handle_loaded(poller, now, name, loaded),
            FromWorker::Returned {
                token,
                status,
                failures,
                rows,
            } => {
                self.handle_returned(now, name, token, status, failures, rows);
            }
            FromWorker::Call { number, call } => {
                let plugin = name.to_owned();
                self.reports.push_back(Report::Call {
                    plugin,
                    number,
                    call,
                });
            }
            FromWorker::Log { level, text } => self.handle_line(now, name, level, &text),
            FromWorker::Check {
                name: check,
                weight,
                state,
                why,
            } => self.reports.push_back(Report::Check {
                plugin: name.to_owned(),
                check,
                weight,
                state,
                why,
            }),
            FromWorker::ForgetCheck { name: check } => {
                let plugin = name.to_owned();
                self.reports
                    .push_back(Report::ForgetCheck { plugin, check });
            }
            FromWorker::InSync { yes, why } => {
                let plugin = name.to_owned();
                self.reports.push_back(Report::InSync { plugin, yes, why });
            }
            FromWorker::Scopes { scopes } => {
                let plugin = name.to_owned();
                self.reports.push_back(Report::Scopes { plugin, scopes });
            }
            FromWorker::Pong { number } => {
                if let Some(running) = self.running(name) {
                    running.pings.handle_pong(number);
                }
            }
        }
    }

    fn handle_returned(
        &mut self,
        now: Instant,
        name: &str,
        token: u64,
        status: i32,
        mut failures: Vec<Failure>,
        rows: Vec<Row>,
    ) {
        // A token that nobody gave out is stale, or a lie without effect.
        let Some(purpose) = self
            .running(name)
            .and_then(|running| running.pending.remove(&token))
        else {
            return;
        };
        let status = status_of(name, purpose.callback(), status, &mut failures);
        let plugin = name.to_owned();
        match purpose {
            Purpose::Configure if status < 0 => {
                let lines = self.fault_lines(name, status, &failures);
                self.refuse_running(now, name, lines);
            }
            Purpose::Configure => self.set_state(name, State::Configured),
            Purpose::Reconfigure => {
                let result = match status {
                    RESTART => Ok(Returned::Restart),
                    0.. => Ok(Returned::Live),
                    _ => Err(self.fault_lines(name, status, &failures)),
                };
                self.reports
                    .push_back(Report::Reconfigured { plugin, result });
            }
            Purpose::Start if status < 0 => {
                let why = format!("does not start: {}", reason(status, &failures));
                self.handle_ended(now, name, Some(why));
            }
            Purpose::Start => {
                self.set_state(name, State::Running);
                self.reports.push_back(Report::Up { plugin });
            }
            Purpose::Drain { group, epoch } => {
                self.reports.push_back(Report::Drained {
                    plugin,
                    group,
                    epoch,
                    status,
                });
            }
            Purpose::Settle { group, epoch } => {
                self.reports.push_back(Report::Settled {
                    plugin,
                    group,
                    epoch,
                });
            }
            Purpose::Role { group, epoch } => {
                let result = match status < 0 {
                    true => Err(reason(status, &failures)),
                    false => Ok(()),
                };
                self.reports.push_back(Report::RoleDone {
                    plugin,
                    group,
                    epoch,
                    result,
                });
            }
            Purpose::Query { id, .. } => {
                let result = if status < 0 {
                    Err(Unanswered {
                        unknown_words: status == -libc::EINVAL,
                        why: reason(status, &failures),
                    })
                } else {
                    let attention = status == ATTENTION;
                    Ok(Answered { rows, attention })
                };
                self.reports.push_back(Report::Answered { id, result });
            }
            Purpose::Stop { .. } => self.reports.push_back(Report::Stopped { plugin }),
        }
    }

    fn handle_line(&mut self, now: Instant, name: &str, level: u32, text: &str) {
        let Some(running) = self.running(name) else {
            return;
        };
        if !running.lines.take(now) {
            return;
        }
        if level == LOG_EVENT {
            let (plugin, text) = (name.to_owned(), text.to_owned());
            return self.reports.push_back(Report::Line { plugin, text });
        }
        let text = format!("{name}: {text}");
        match level {
            LOG_ERROR => log::error!("{text}"),
            LOG_WARN => log::warn!("{text}"),
            LOG_INFO => log::info!("{text}"),
            LOG_DEBUG => log::debug!("{text}"),
            _ => log::trace!("{text}"),
        }
    }

    pub(super) fn report_suppressed(&mut self) {
        for (name, plugin) in &mut self.plugins {
            let suppressed = plugin
                .running
                .as_mut()
                .map_or(0, |running| running.lines.take_suppressed_count());
            if suppressed > 0 {
                log::warn!("{name}: {suppressed} more lines of log suppressed");
            }
        }
    }

    pub(super) fn ping_all(&mut self, now: Instant) {
        for name in self.names() {
            let Some(running) = self.running(&name) else {
                continue;
            };
            let Some(number) = running.pings.next() else {
                let why = format!("did not answer for {MISSED_MAX} s");
                self.handle_ended(now, &name, Some(why));
                continue;
            };
            self.send(now, &name, &ToWorker::Ping { number }, &[]);
        }
    }

    pub(super) fn end_questions(&mut self, now: Instant) {
        let mut ended = Vec::new();
        for (name, plugin) in &mut self.plugins {
            let Some(running) = &mut plugin.running else {
                continue;
            };
            let due = |purpose: &Purpose| purpose.until().is_some_and(|until| now >= until);
            let tokens: Vec<u64> = running
                .pending
                .iter()
                .filter(|(_, p)| due(p))
                .map(|(token, _)| *token)
                .collect();
            for token in tokens {
                ended.extend(
                    running
                        .pending
                        .remove(&token)
                        .map(|purpose| (name.clone(), purpose)),
                );
            }
        }
        for (name, purpose) in ended {
            self.give_up(&name, purpose, "does not answer");
        }
    }

    /// The worker is dead, or must be: everything that waited for it learns so.
    pub(super) fn handle_ended(&mut self, now: Instant, name: &str, why: Option<String>) {
        let Some(plugin) = self.plugins.get_mut(name) else {
            return;
        };
        let Some(mut running) = plugin.running.take() else {
            return;
        };
        let why = why.or_else(|| running.worker.exit_reason());
        let why = why.unwrap_or_else(|| "closed its connection".to_owned());
        let pending = std::mem::take(&mut running.pending);
        let stopping = plugin.state == State::Stopping;
        self.retire(now, name, Some(running));
        let sentence = format!("{name} {why}");
        self.reports.push_back(Report::Down {
            plugin: name.to_owned(),
            why: sentence.clone(),
        });
        for purpose in pending.into_values() {
            self.give_up(name, purpose, &why);
        }
        if !stopping {
            self.plan_restart(now, name, sentence);
        }
    }

    pub(super) fn plan_restart(&mut self, now: Instant, name: &str, sentence: String) {
        let Some(plugin) = self.plugins.get_mut(name) else {
            return;
        };
        plugin.why.clone_from(&sentence);
        let news = match plugin.restart_budget.next_pause(now) {
            Some(pause) => {
                plugin.restarts += 1;
                plugin.state = State::Pausing { until: now + pause };
                let text = format!("{sentence}; started again in {} ms", pause.as_millis());
                Notice::warn(Kind::Plugin, text).because("died")
            }
            None => {
                plugin.state = State::Failed;
                let text =
                    format!("{sentence}, and too often: given up. `sparectl reload` tries again");
                plugin.why.clone_from(&text);
                let (plugin, why) = (name.to_owned(), sentence);
                self.reports.push_back(Report::GivenUp { plugin, why });
                Notice {
                    level: log::Level::Error,
                    ..Notice::warn(Kind::Plugin, text).because("given-up")
                }
            }
        };
        self.tell(news);
    }

    pub(super) fn give_up(&mut self, name: &str, purpose: Purpose, why: &str) {
        let plugin = name.to_owned();
        match purpose {
            Purpose::Query { id, .. } => {
                let result = Err(Unanswered {
                    unknown_words: false,
                    why: format!("{name} {why}"),
                });
                self.reports.push_back(Report::Answered { id, result });
            }
            Purpose::Stop { .. } => self.reports.push_back(Report::Stopped { plugin }),
            Purpose::Reconfigure => {
                let result = Err(vec![format!("{name} {why}")]);
                self.reports
                    .push_back(Report::Reconfigured { plugin, result });
            }
            // The groups learn of it by the worker's end, or by their own deadlines.
            Purpose::Configure
            | Purpose::Start
            | Purpose::Drain { .. }
            | Purpose::Settle { .. }
            | Purpose::Role { .. } => {}
        }
    }

    fn refuse_running(&mut self, now: Instant, name: &str, lines: Vec<String>) {
        let running = self
            .plugins
            .get_mut(name)
            .and_then(|plugin| plugin.running.take());
        self.retire(now, name, running);
        let why = format!("{name} has a wrong configuration");
        self.reports.push_back(Report::Down {
            plugin: name.to_owned(),
            why,
        });
        self.refuse(name, lines);
    }

    fn fault_lines(&self, name: &str, status: i32, failures: &[Failure]) -> Vec<String> {
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
        self.plugins.get_mut(name)?.running.as_mut()
    }

    pub(super) fn set_state(&mut self, name: &str, state: State) {
        if let Some(plugin) = self.plugins.get_mut(name) {
            if state == State::Running {
                plugin.why.clear();
            }
            plugin.state = state;
        }
    }
}
