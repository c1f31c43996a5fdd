//! Messages of the daemon, as calls of the plugin, and the plugin's answers.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::io::Errno;
use spared_abi as abi;
use spared_contract::{FromPlugin, LogLevel, RoleEvent, Surroundings, ToPlugin};

use super::core::{End, errno};
use super::documents::Part;
use super::pending::To;
use super::roots::Roots;
use super::{Driver, resign_limit};
use crate::config::{Config, ConfigTable, Scope};
use crate::{Answer, Applied, Error, Plugin, Progress, Token};

/// Token of a stop without a daemon.
const GONE: u64 = u64::MAX;

impl<T: Plugin> Driver<T> {
    pub(super) fn dispatch(&mut self, message: ToPlugin, descriptors: Vec<OwnedFd>) {
        let is_first = !std::mem::replace(&mut self.is_served, true);
        match message {
            ToPlugin::RootsFile(file) if is_first => self.roots = Some(Roots(file)),
            ToPlugin::CheckOnly if is_first => self.only_checks = true,
            ToPlugin::Configure {
                token,
                table,
                check,
                surroundings,
            } => self.configure(token, &table, check, surroundings),
            ToPlugin::Ping { number } => self.pong(number),
            // a plugin that is only checked runs nothing
            _ if self.only_checks => {}
            ToPlugin::Start { token } => self.start(token),
            ToPlugin::Stop { token } => self.stop(token),
            ToPlugin::Drain { token, deadline_ns } => {
                let drain = self.parts.drain;
                self.begin(token, "drain", To::Other, |plugin| match drain {
                    Some(drain) => drain(plugin, Token(token), deadline_ns),
                    None => Ok(Progress::Done),
                });
            }
            ToPlugin::Settle { token, deadline_ns } => {
                self.serve_waiting(deadline_ns);
                let settle = self.parts.settle;
                self.begin(token, "settle", To::Other, |plugin| match settle {
                    Some(settle) => settle(plugin, Token(token), deadline_ns),
                    None => Ok(Progress::Done),
                });
            }
            ToPlugin::Role { token, event } => self.role(token, &event),
            ToPlugin::Query { token, argv } => self.query(token, &argv),
            // A plugin may follow interfaces in configure; it receives them after start.
            ToPlugin::Interface(_)
            | ToPlugin::Directive(_)
            | ToPlugin::Channel
            | ToPlugin::Partner { .. }
            | ToPlugin::Status(_)
            | ToPlugin::Event(_)
            | ToPlugin::Document { .. }
                if !self.core.started.get() =>
            {
                self.core.hold((message, descriptors));
            }
            ToPlugin::Interface(event) => self.interface(event, descriptors),
            ToPlugin::Directive(directive) => {
                if let Some(call) = self.parts.directive {
                    self.enter("directive", |plugin| call(plugin, &directive));
                }
            }
            ToPlugin::Channel => self.channel(descriptors),
            ToPlugin::Partner { plugin } => self.partner(&plugin, descriptors),
            ToPlugin::Status(status) => {
                if let Some(watch) = self.parts.watch {
                    self.enter("status", |plugin| (watch.status)(plugin, &status));
                }
            }
            ToPlugin::Event(event) => {
                if let Some(watch) = self.parts.watch {
                    self.enter("event", |plugin| (watch.event)(plugin, &event));
                }
            }
            ToPlugin::Document {
                ticket,
                status,
                text,
                left,
            } => self.document(Part {
                ticket,
                status,
                text,
                left,
            }),
            // An answer outside of a call comes too late; of a kind that this version does not know nothing depends.
            ToPlugin::Answer { .. } | ToPlugin::Unknown { .. } => {}
            // not for the daemon to say
            ToPlugin::RootsFile(_) | ToPlugin::CheckOnly => {}
        }
    }

    fn configure(
        &mut self,
        token: u64,
        table: &ConfigTable,
        check: bool,
        mut surroundings: Surroundings,
    ) {
        self.core.expect(token, To::Other);
        let roots = self.roots.as_ref();
        let permitted = roots.map_or(Ok(()), |it| it.permit(table, &mut surroundings));
        let status = match permitted {
            Err(why) => self.host.report(&Error::config("", why)),
            Ok(()) if check || self.only_checks => self.check(table, &surroundings),
            Ok(()) => self.apply(table, surroundings),
        };
        self.core.finish(token, status);
        if self.only_checks {
            self.core.end_with(End::Stopped);
        }
    }

    /// Reads a configuration, which has no effect.
    fn check(&mut self, table: &ConfigTable, surroundings: &Surroundings) -> abi::Status {
        match self.caught(|| read::<T>(&of(table, surroundings))) {
            Ok(Ok(_)) => 0,
            Ok(Err(error)) => self.host.report(&error),
            Err(status) => status,
        }
    }

    /// Applies a configuration. After a failure the old one stays in force.
    fn apply(&mut self, table: &ConfigTable, surroundings: Surroundings) -> abi::Status {
        if self.plugin.is_none() {
            let host = self.host;
            match self.caught(|| T::create(host)) {
                Ok(Ok(plugin)) => self.plugin = Some(plugin),
                Ok(Err(error)) => return self.host.report(&error),
                Err(status) => return status,
            }
        }
        let (settings, scopes) = match self.caught(|| read::<T>(&of(table, &surroundings))) {
            Ok(Ok(read)) => read,
            Ok(Err(error)) => return self.host.report(&error),
            Err(status) => return status,
        };
        let old = self.core.surroundings.replace(surroundings);
        let applied = self.enter("configure", |plugin| plugin.configure(settings));
        let status = match applied {
            Some(Ok(Applied::Live)) => 0,
            Some(Ok(Applied::Restart)) => abi::RESTART,
            Some(Err(error)) => self.host.report(&error),
            None => errno(Errno::NOTRECOVERABLE),
        };
        if status < 0 {
            self.core.surroundings.replace(old);
        } else {
            self.core.outbound.send(&FromPlugin::Scopes { scopes });
        }
        status
    }

    /// Calls a function of the plugin that needs no instance.
    ///
    /// # Errors
    /// It panicked.
    fn caught<R>(&mut self, call: impl FnOnce() -> R) -> Result<R, abi::Status> {
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(call));
        result.map_err(|payload| {
            self.panicked(payload);
            errno(Errno::NOTRECOVERABLE)
        })
    }

    fn start(&mut self, token: u64) {
        self.core.expect(token, To::Start);
        self.core.begun.set(true);
        let called = self.enter("start", |plugin| plugin.start(Token(token)));
        match self.status(called) {
            abi::PENDING => self.core.wait_longer(token),
            status => self.core.finish(token, status),
        }
        self.core.log_failures("start");
    }

    fn stop(&mut self, token: u64) {
        self.core.expect(token, To::Stop);
        self.core.started.set(false);
        let status = if self.core.begun.replace(false) {
            let called = self.enter("stop", |plugin| plugin.stop(Token(token)));
            self.status(called)
        } else {
            0
        };
        match status {
            abi::PENDING => self.core.wait_longer(token),
            status => self.end_stop(token, status),
        }
    }

    fn end_stop(&mut self, token: u64, status: abi::Status) {
        if token == GONE {
            // nobody hears the answer; the log may be read later
            self.core.log_failures("stop");
        }
        self.core.finish(token, status);
        if !self.core.is_ended() {
            let plugin = self.plugin.take();
            let _ = self.caught(|| drop(plugin));
        }
        self.core.end_with(End::Stopped);
    }

    /// Ends a stop that was pending.
    pub(super) fn end_pending_stop(&mut self) {
        if let Some((token, status)) = self.core.stopped.take() {
            self.end_stop(token, status);
        }
    }

    /// Handles the end of the daemon: the plugin resigns, and the process ends. If the stop hangs, it is ended.
    pub(super) fn daemon_is_gone(&mut self) {
        if self.core.is_gone.replace(true) {
            return;
        }
        resign_limit::limit_remaining_time(Arc::downgrade(&self.running));
        self.core.remove_own(self.core.outbound.socket());
        if !self.core.is_stopping() {
            self.stop(GONE);
        }
    }

    fn role(&mut self, token: u64, event: &RoleEvent) {
        self.core.supersede(&event.group);
        let role = self.parts.role;
        let to = To::Role(event.group.clone());
        self.begin(token, "role", to, |plugin| match role {
            Some(role) => role(plugin, event, Token(token)),
            None => Ok(Progress::Done),
        });
    }

    fn query(&mut self, token: u64, argv: &[String]) {
        self.core.limit_queries();
        self.core.expect(token, To::Query);
        let argv: Vec<&str> = argv.iter().map(String::as_str).collect();
        let mut answer = Answer {
            host: self.host,
            token,
            attention: false,
        };
        let query = self.parts.query;
        let called = self.enter("query", |plugin| match query {
            Some(query) => query(plugin, &argv, &mut answer),
            None => Err(Error::Usage("there is nothing to ask".to_owned())),
        });
        let status = match called {
            Some(Ok(Progress::Done)) => answer.status(),
            called => self.status(called),
        };
        self.end_call(token, "query", status);
    }

    /// Runs a callback that may stay pending under a token.
    fn begin(
        &mut self,
        token: u64,
        callback: &'static str,
        to: To,
        call: impl FnOnce(&mut T) -> Result<Progress, Error>,
    ) {
        self.core.expect(token, to);
        let called = self.enter(callback, call);
        let status = self.status(called);
        self.end_call(token, callback, status);
    }

    fn end_call(&self, token: u64, callback: &str, status: abi::Status) {
        if status != abi::PENDING {
            self.core.finish(token, status);
        }
        self.core.log_failures(callback);
    }

    /// The status of a callback; None: there is no plugin, or it panicked.
    fn status(&self, called: Option<Result<Progress, Error>>) -> abi::Status {
        match called {
            Some(Ok(Progress::Done)) => 0,
            Some(Ok(Progress::Pending)) => abi::PENDING,
            Some(Err(error)) => self.host.report(&error),
            None if self.core.is_ended() => errno(Errno::NOTRECOVERABLE),
            None => errno(Errno::INVAL),
        }
    }

    /// Answers a ping. A plugin that has used up the descriptors is ended, as only a restart helps.
    fn pong(&self, number: u64) {
        let slow_calls = self.slow.total();
        let outbound = &self.core.outbound;
        outbound.send(&FromPlugin::Pong { number, slow_calls });
        if let Err(Errno::MFILE) = rustix::io::fcntl_dupfd_cloexec(outbound.wake_fd(), 0) {
            outbound.log(LogLevel::Error, "has used up all its file descriptors");
            self.core.end_with(End::Broken);
        }
    }
}

/// Keys with their scopes.
type Scopes = Vec<(String, Scope)>;

fn of(table: &ConfigTable, surroundings: &Surroundings) -> Config {
    Config::of(table, &surroundings.node, &surroundings.nodes)
}

/// Settings without a fault, and the scopes of keys that have another than the default; faults that the reader found
/// come before those of the plugin.
pub(crate) fn read<T: Plugin>(config: &Config) -> Result<(T::Settings, Scopes), Error> {
    let settings = T::read(config);
    match (config.finish(), settings) {
        (Ok(()), Ok(settings)) => {
            let scopes = config.scopes();
            let declared = scopes.into_iter().filter(|(_, it)| *it != Scope::Pair);
            Ok((settings, declared.collect()))
        }
        (Ok(()), Err(Error::Config(faults))) if faults.is_empty() => Err(Error::config(
            "",
            "the configuration is refused without a reason",
        )),
        (Ok(()), Err(error)) => Err(error),
        (Err(mut faults), Err(Error::Config(more))) => {
            let new = more.into_iter().filter(|fault| !faults.contains(fault));
            let new: Vec<_> = new.collect();
            faults.extend(new);
            Err(Error::Config(faults))
        }
        (Err(faults), _) => Err(Error::Config(faults)),
    }
}
