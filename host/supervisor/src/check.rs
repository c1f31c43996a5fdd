//! Short-lived workers that check a plugin's new configuration while everything else keeps running.

use std::time::Instant;

use spared_config::Fault;
use spared_contract::{Failure, FromPlugin, Surroundings, ToPlugin};
use spared_message::starter::{NotStarted, Start};
use spared_process::poller::Poller;
use spared_process::worker::error_output::ErrorOutput;
use spared_process::worker::process::Worker;
use spared_process::{TaskTimer, Usage};
use spared_records::ReceiveError;

use super::failure::{faults, status_of};
use super::output::Output;
use super::{BUDGET, PluginReport, Supervisor, config};

/// Maximum bytes that a check may send, plus [`MESSAGE_COST`] for each message. Its faults fit into one message.
const SAID_MAX: usize = 4 << 20;
const MESSAGE_COST: usize = 64;

#[derive(Debug)]
pub(super) struct Check {
    settings: config::Plugin,
    surroundings: Surroundings,
    worker: Worker,
    time: TaskTimer,
    said: usize,
    output: Output,
}

impl Check {
    pub(super) fn next_look(&self) -> Instant {
        self.time.next_look()
    }
}

enum Step {
    Wait,
    End(Vec<Fault>),
}

impl Supervisor {
    /// Checks a plugin's file in a separate process. [`PluginReport::Validated`] follows.
    pub fn validate(
        &mut self,
        poller: &Poller,
        now: Instant,
        settings: config::Plugin,
        host: &config::Host,
    ) {
        let name = settings.name.clone();
        if let Err(why) = self.begin_check(poller, now, settings, host) {
            let faults = vec![Fault::whole(&format!("{name}.toml"), why)];
            self.report(&name, PluginReport::Validated(faults));
        }
    }

    fn begin_check(
        &mut self,
        poller: &Poller,
        now: Instant,
        settings: config::Plugin,
        host: &config::Host,
    ) -> Result<(), String> {
        let start = Start::Check {
            plugin: settings.name.clone(),
            memory: settings.memory(),
        };
        let (serial, worker) = self.start(poller, &start).map_err(|error| match error {
            NotStarted::Refused(why) => why,
            NotStarted::Failed(why) => format!("cannot start a worker: {why}"),
        })?;
        let check = Check {
            settings,
            surroundings: host.surroundings(),
            time: TaskTimer::new(now, Usage::of(worker.pid())),
            worker,
            said: 0,
            output: Output::new(now),
        };
        self.checks.insert(serial, check);
        Ok(())
    }

    /// Reads up to [`BUDGET`] messages. A check that never stops sending is ended at [`SAID_MAX`].
    pub(super) fn read_check(&mut self, now: Instant, serial: u64) {
        for _ in 0..BUDGET {
            let Some(check) = self.checks.get_mut(&serial) else {
                return;
            };
            let step = match check.worker.receive() {
                Ok(None) => return,
                Ok(Some(_)) if check.is_flood() => {
                    check.fail("flooded the daemon with messages while it was checked")
                }
                Ok(Some(message)) => check.step(message),
                Err(ReceiveError::Closed) => check.fail("crashed while it was checked"),
                Err(error) => check.fail(&error.predicate()),
            };
            if let Step::End(faults) = step {
                self.end_check(now, serial, faults);
            }
        }
    }

    pub(super) fn read_errors_of_check(&mut self, now: Instant, serial: u64) {
        let Some(check) = self.checks.get_mut(&serial) else {
            return;
        };
        if !check.log_errors(now) {
            return;
        }
        if let Step::End(faults) = check.fail("flooded its error output while it was checked") {
            self.end_check(now, serial, faults);
        }
    }

    pub(super) fn end_checks(&mut self, now: Instant) {
        let due = |check: &Check| now >= check.next_look();
        let serials: Vec<u64> = self
            .checks
            .iter()
            .filter(|(_, check)| due(check))
            .map(|(serial, _)| *serial)
            .collect();
        for serial in serials {
            // messages that this process had no time to read
            self.read_check(now, serial);
            let Some(check) = self.checks.get_mut(&serial) else {
                continue;
            };
            let why = check.time.check(now, Usage::of(check.worker.pid()));
            let step = why.map(|why| check.fail(&format!("its check {why}")));
            if let Some(Step::End(faults)) = step {
                self.end_check(now, serial, faults);
            }
        }
    }

    fn end_check(&mut self, now: Instant, serial: u64, faults: Vec<Fault>) {
        if let Some(mut check) = self.checks.remove(&serial) {
            check.log_errors(now);
            check.report_suppressed();
            let plugin = check.settings.name;
            self.discard(now, serial, check.worker);
            self.report(&plugin, PluginReport::Validated(faults));
        }
    }
}

impl Check {
    /// Logs one read of the check's error output, as much as a plugin may log. Returns true if the check writes too
    /// much.
    fn log_errors(&mut self, now: Instant) -> bool {
        let Some((length, lines)) = self.worker.errors().and_then(ErrorOutput::read) else {
            self.worker.close_errors();
            return false;
        };
        for line in lines {
            if self.output.lines.take(now) {
                log::warn!("{} (configuration check): {line}", self.settings.name);
            }
        }
        length > 0 && self.output.is_flood(now, length)
    }

    fn report_suppressed(&mut self) {
        let (name, count) = (
            &self.settings.name,
            self.output.lines.take_suppressed_count(),
        );
        if count > 0 {
            log::warn!("{name} (configuration check): {count} more log lines suppressed");
        }
    }

    /// Counts the message that was read last. Returns true if the check sends more than a check needs.
    fn is_flood(&mut self) -> bool {
        self.said += self.worker.received_bytes() + MESSAGE_COST;
        self.said > SAID_MAX
    }

    fn step(&mut self, message: FromPlugin) -> Step {
        match message {
            FromPlugin::Loaded(Ok(_)) => self.configure(),
            FromPlugin::Loaded(Err(why)) => self.fail(&why),
            FromPlugin::Returned {
                status, failures, ..
            } => self.end(status, failures),
            // A check changes nothing, so its other messages are ignored.
            _ => Step::Wait,
        }
    }

    fn end(&self, status: i32, mut failures: Vec<Failure>) -> Step {
        let (name, text) = (&self.settings.name, &self.settings.text);
        let status = status_of(name, "configure", status, &mut failures);
        Step::End(match status {
            0.. => Vec::new(),
            _ => faults(name, text, status, &failures),
        })
    }

    fn configure(&mut self) -> Step {
        let message = ToPlugin::Configure {
            token: 1,
            table: self.settings.table.clone(),
            check: true,
            surroundings: self.surroundings.clone(),
        };
        match self.worker.send(&message, &[]) {
            Ok(()) => Step::Wait,
            Err(error) => self.fail(&error.to_string()),
        }
    }

    fn fail(&self, why: &str) -> Step {
        let file = format!("{}.toml", self.settings.name);
        Step::End(vec![Fault::whole(&file, why)])
    }
}
