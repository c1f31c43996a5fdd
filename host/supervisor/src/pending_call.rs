//! Questions to a worker. Each ends with an answer, later if the worker asks for time, or without an answer.

use std::time::{Duration, Instant};

use spared_abi::{ATTENTION, RESTART};
use spared_contract::Failure;

use super::failure::{reason, status_of};
use super::plugin::State;
use super::{Answered, PluginReport, Returned, SHORT_QUERY, Supervisor, Unanswered};

/// Maximum time for which a start may be pending.
const START_MAX: Duration = Duration::from_secs(90);
/// Status of a callback whose own request was not answered in time, for example by this host: neither the file nor the
/// plugin is at fault.
const TIMED_OUT: i32 = -libc::ETIMEDOUT;

/// Question that a token identifies.
#[derive(Debug)]
pub(super) enum PendingCall {
    Configure,
    Reconfigure,
    Start {
        until: Option<Instant>,
    },
    Drain {
        group: String,
        epoch: u64,
    },
    Settle {
        group: String,
        epoch: u64,
    },
    Role {
        group: String,
        epoch: u64,
    },
    Query {
        id: u64,
        until: Instant,
    },
    /// The worker has to return by `until`, or end by `longest` if the stop is pending.
    Stop {
        until: Instant,
        longest: Instant,
    },
}

impl PendingCall {
    /// Name of the callback.
    fn callback(&self) -> &'static str {
        match self {
            Self::Configure | Self::Reconfigure => "configure",
            Self::Start { .. } => "start",
            Self::Drain { .. } => "drain",
            Self::Settle { .. } => "settle",
            Self::Role { .. } => "role",
            Self::Query { .. } => "query",
            Self::Stop { .. } => "stop",
        }
    }

    /// Returns true if other plugins wait until the callback has returned. So the pings must find a worker that does
    /// not return.
    pub(super) fn is_of_start(&self) -> bool {
        matches!(self, Self::Configure | Self::Start { .. })
    }

    pub(super) fn until(&self) -> Option<Instant> {
        match self {
            Self::Query { until, .. } | Self::Stop { until, .. } => Some(*until),
            Self::Start { until } => *until,
            _ => None,
        }
    }
}

impl Supervisor {
    pub(super) fn handle_returned(
        &mut self,
        now: Instant,
        name: &str,
        token: u64,
        status: i32,
        mut failures: Vec<Failure>,
        answered: Answered,
    ) {
        // An unknown token is stale or forged, and is ignored.
        let Some(call) = self.running(name).and_then(|running| running.take(token)) else {
            return;
        };
        let status = status_of(name, call.callback(), status, &mut failures);
        match call {
            PendingCall::Configure | PendingCall::Start { .. } if status == TIMED_OUT => {
                let why = format!("does not start: {}", reason(status, &failures));
                self.handle_failed_start(now, name, why);
            }
            PendingCall::Configure if status < 0 => {
                let lines = self.fault_lines(name, status, &failures);
                self.refuse_running(now, name, lines);
            }
            PendingCall::Configure => self.set_state(name, State::Configured),
            PendingCall::Reconfigure => {
                let result = match status {
                    RESTART => Ok(Returned::Restart),
                    0.. => Ok(Returned::Live),
                    _ => Err(self.fault_lines(name, status, &failures)),
                };
                if let Some(running) = self.running(name) {
                    running.refused = result.clone().err().unwrap_or_default();
                }
                self.report(name, PluginReport::Reconfigured(result));
            }
            PendingCall::Start { .. } if status < 0 => {
                let why = format!("does not start: {}", reason(status, &failures));
                self.handle_ended(now, name, Some(why));
            }
            PendingCall::Start { .. } => {
                if let Some(plugin) = self.plugins.get_mut(name) {
                    plugin.restart_budget.handle_started();
                }
                self.set_state(name, State::Running(now));
                self.report(name, PluginReport::Up);
            }
            PendingCall::Drain { group, epoch } => {
                let drained = PluginReport::Drained {
                    group,
                    epoch,
                    status,
                };
                self.report(name, drained);
            }
            PendingCall::Settle { group, epoch } => {
                if status < 0 {
                    let why = reason(status, &failures);
                    log::warn!("{name}: {group}: cannot apply all received records: {why}");
                }
                self.report(name, PluginReport::Settled { group, epoch });
            }
            PendingCall::Role { group, epoch } => {
                let result = if status < 0 {
                    Err(reason(status, &failures))
                } else {
                    Ok(())
                };
                let done = PluginReport::RoleDone {
                    group,
                    epoch,
                    result,
                };
                self.report(name, done);
            }
            PendingCall::Query { id, .. } => {
                let result = if status < 0 {
                    Err(Unanswered {
                        unknown_words: status == -libc::EINVAL,
                        why: reason(status, &failures),
                    })
                } else {
                    let attention = status == ATTENTION;
                    Ok(Answered {
                        attention,
                        ..answered
                    })
                };
                self.report_answer(id, result);
            }
            PendingCall::Stop { .. } => self.report(name, PluginReport::Stopped),
        }
    }

    /// Extends the time of a pending start or stop.
    pub(super) fn handle_pending(&mut self, now: Instant, name: &str, token: u64) {
        let Some(running) = self.running(name) else {
            return;
        };
        match running.pending.get_mut(&token) {
            // only the first extension counts, so that the wait is bounded
            Some(PendingCall::Start { until }) => {
                *until = until.or(Some(now + START_MAX));
                running.pings.end_call();
            }
            Some(PendingCall::Stop { until, longest }) => *until = *longest,
            _ => {}
        }
    }

    pub(super) fn end_questions(&mut self, now: Instant) {
        let mut ended = Vec::new();
        for (name, plugin) in &mut self.plugins {
            let Some(running) = plugin.running_mut() else {
                continue;
            };
            let due = |call: &PendingCall| call.until().is_some_and(|until| now >= until);
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
                        .map(|call| (name.clone(), call)),
                );
            }
        }
        for (name, call) in ended {
            match call {
                PendingCall::Start { .. } => {
                    let why = format!(
                        "does not start: still pending after {} s",
                        START_MAX.as_secs()
                    );
                    self.handle_ended(now, &name, Some(why));
                }
                call => self.give_up(&name, call, "does not answer"),
            }
        }
    }

    /// Ends the queries with a short time limit to a worker that has become silent.
    pub(super) fn fail_short_queries(&mut self, now: Instant, name: &str) {
        let Some(running) = self.running(name) else {
            return;
        };
        let is_short = |call: &PendingCall| match call {
            PendingCall::Query { until, .. } => until.saturating_duration_since(now) < SHORT_QUERY,
            _ => false,
        };
        let pending = running.pending.iter();
        let short = pending.filter(|(_, call)| is_short(call));
        let tokens: Vec<u64> = short.map(|(token, _)| *token).collect();
        for token in tokens {
            let running = self.running(name);
            if let Some(call) = running.and_then(|it| it.pending.remove(&token)) {
                self.give_up(name, call, "does not answer");
            }
        }
    }

    pub(super) fn give_up(&mut self, name: &str, call: PendingCall, why: &str) {
        match call {
            PendingCall::Query { id, .. } => {
                let result = Err(Unanswered {
                    unknown_words: false,
                    why: format!("{name} {why}"),
                });
                self.report_answer(id, result);
            }
            PendingCall::Stop { .. } => {
                log::warn!("{name} did not stop cleanly: {why}");
                self.report(name, PluginReport::Stopped);
            }
            PendingCall::Reconfigure => {
                let why = format!("{name} {why}");
                self.report(name, PluginReport::NotReconfigured(why));
            }
            // The end of the worker or the groups' own deadlines handle these.
            PendingCall::Configure
            | PendingCall::Start { .. }
            | PendingCall::Drain { .. }
            | PendingCall::Settle { .. }
            | PendingCall::Role { .. } => {}
        }
    }
}
