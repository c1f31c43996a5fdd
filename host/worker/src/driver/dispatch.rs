//! Messages of the host, as calls of the plugin, and the plugin's answers.

use std::ffi::c_void;
use std::os::fd::{OwnedFd, RawFd};

use rustix::io::Errno;
use spared_abi as abi;
use spared_contract::{
    ConfigTable, Directive, FromPlugin, LogLevel, RoleEvent, Surroundings, ToPlugin,
};

use spared_config_reader as config;
use spared_sdk::run::To;

use super::host::errno;
use super::{Driver, End, INBOX_MAX};
use crate::settings::Settings;

/// Token of a stop without a host.
const GONE: u64 = u64::MAX;

impl Driver {
    pub(super) fn dispatch(&self, message: ToPlugin, descriptors: Vec<OwnedFd>) {
        match message {
            ToPlugin::Configure {
                token,
                table,
                check,
                surroundings,
            } => {
                self.configure(token, &table, check || self.check_only, &surroundings);
            }
            ToPlugin::Ping { number } => self.pong(number),
            // A plugin that is only checked runs nothing.
            _ if self.check_only => {}
            ToPlugin::Start { token } => self.start(token),
            ToPlugin::Stop { token } => {
                self.expect(token, "stop", To::Stop);
                match self.stop(token) {
                    abi::PENDING => self.wait_longer("stop", token),
                    status => self.end_stop(token, status),
                }
            }
            ToPlugin::Drain { token, deadline_ns } => {
                let drain = self.plugin.table.drain;
                self.begin(token, "drain", To::Other, |instance| match drain {
                    // SAFETY: the plugin's contract for a created instance.
                    Some(drain) => unsafe { drain(instance, token, deadline_ns) },
                    None => 0,
                });
            }
            ToPlugin::Settle { token, deadline_ns } => {
                self.serve_waiting(deadline_ns);
                let settle = self.plugin.table.settle;
                self.begin(token, "settle", To::Other, |instance| match settle {
                    // SAFETY: as above.
                    Some(settle) => unsafe { settle(instance, token, deadline_ns) },
                    None => 0,
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
                if !self.started.get() =>
            {
                let mut held = self.held.borrow_mut();
                if held.len() < INBOX_MAX {
                    held.push_back((message, descriptors));
                }
            }
            ToPlugin::Interface(event) => self.interface(&event, descriptors),
            ToPlugin::Directive(directive) => self.directive(&directive),
            ToPlugin::Channel => self.channel(descriptors),
            ToPlugin::Partner { plugin } => self.partner(&plugin, descriptors),
            ToPlugin::Status(status) => self.tell_status(&status),
            ToPlugin::Event(event) => self.tell_event(&event),
            // An Answer outside a call comes too late.
            ToPlugin::Answer { .. } => {}
            // It is in what the worker was started with.
            ToPlugin::RootsFile(_) | ToPlugin::CheckOnly => {}
            // A newer daemon's, which goes on without it.
            ToPlugin::Unknown { .. } => {}
        }
    }

    fn configure(&self, token: u64, table: &ConfigTable, check: bool, surroundings: &Surroundings) {
        let status = self.created(|| self.configure_created(table, check, surroundings));
        self.answer_now("configure", token, status);
        if self.check_only {
            self.destroy();
            self.end_with(End::Stopped);
        }
    }

    fn configure_created(
        &self,
        table: &ConfigTable,
        check: bool,
        surroundings: &Surroundings,
    ) -> abi::Status {
        let mut surroundings = surroundings.clone();
        let roots = self.roots.as_ref();
        let permitted = roots.map_or(Ok(()), |it| it.permit(table, &mut surroundings));
        if let Err(why) = permitted {
            self.note_failure("", &why);
            return errno(Errno::INVAL);
        }
        let settings = Settings::new(table, &surroundings);
        let toml = &config::text(table);
        let old = self.settings.replace(settings);
        self.scopes.replace(Some(Vec::new()));
        let flags = if check { abi::CONFIGURE_CHECK } else { 0 };
        let configure = self.plugin.table.configure;
        let status = self.enter("configure", |instance| match configure {
            // SAFETY: the plugin's contract; toml lives through the call.
            Some(configure) => unsafe { configure(instance, abi::Str::of(toml), flags) },
            None => 0,
        });
        let scopes = self.scopes.take().unwrap_or_default();
        if check || status < 0 {
            // After a failure or a check, the old configuration stays in force.
            self.settings.replace(old);
        } else {
            self.outbound.send(&FromPlugin::Scopes { scopes });
        }
        status
    }

    /// Creates the instance if there is none, then goes on; returns the first failure.
    fn created(&self, go_on: impl FnOnce() -> abi::Status) -> abi::Status {
        if self.instance.get().is_null() {
            let (Some(create), Some(table)) = (self.plugin.table.create, self.table.get()) else {
                return errno(Errno::NOSYS);
            };
            let mut instance: *mut c_void = std::ptr::null_mut();
            // SAFETY: the plugin's contract; table and driver are leaked.
            let status = self.enter("create", |_| unsafe { create(table, &raw mut instance) });
            if status < 0 {
                return status;
            }
            // A plugin without state may leave it NULL; it gets a pointer that is not NULL.
            let fallback = std::ptr::NonNull::<u64>::dangling().as_ptr().cast();
            self.instance.set(if instance.is_null() {
                fallback
            } else {
                instance
            });
        }
        go_on()
    }

    fn start(&self, token: u64) {
        let start = self.plugin.table.start;
        self.expect(token, "start", To::Start);
        let status = self.created(|| {
            self.begun.set(true);
            self.enter("start", |instance| match start {
                // SAFETY: the plugin's contract for a created instance.
                Some(start) => unsafe { start(instance, token) },
                None => 0,
            })
        });
        match status {
            abi::PENDING => self.wait_longer("start", token),
            status => self.finish(token, status),
        }
    }

    /// Puts the messages that were held before those that the host sends next.
    pub(super) fn handle_started(&self, status: abi::Status) {
        self.started.set(status >= 0);
        if status < 0 {
            self.begun.set(false);
            return;
        }
        let mut held = self.held.take();
        let mut inbox = self.inbox.borrow_mut();
        held.append(&mut inbox);
        *inbox = held;
    }

    fn stop(&self, token: u64) -> abi::Status {
        self.started.set(false);
        if !self.begun.replace(false) {
            return 0;
        }
        let stop = self.plugin.table.stop;
        self.enter("stop", |instance| match stop {
            // SAFETY: the plugin's contract for a created instance.
            Some(stop) => unsafe { stop(instance, token) },
            None => 0,
        })
    }

    fn end_stop(&self, token: u64, status: abi::Status) {
        self.finish(token, status);
        self.destroy();
        self.end_with(End::Stopped);
    }

    /// Ends a stop that was pending.
    pub(super) fn end_pending_stop(&self) {
        if let Some((token, status)) = self.stopped.take() {
            self.end_stop(token, status);
        }
    }

    fn destroy(&self) {
        let instance = self.instance.replace(std::ptr::null_mut());
        if let (Some(destroy), false, None) = (
            self.plugin.table.destroy,
            instance.is_null(),
            self.end.get(),
        ) {
            // SAFETY: the plugin's contract: created, not broken, and nothing is called after.
            unsafe { destroy(instance) };
        }
    }

    /// Handles the end of the host or of its connection: the plugin resigns, and the process ends.
    /// If stop hangs, the alarm ends it.
    pub(super) fn host_is_gone(&self) {
        if self.gone.replace(true) {
            return;
        }
        crate::run::limit_remaining_time();
        self.watches.borrow().remove_own(self.outbound.socket());
        if self.is_stopping() {
            return;
        }
        self.expect(GONE, "stop", To::Stop);
        let status = self.stop(GONE);
        if status != abi::PENDING {
            self.report("stop", status);
            self.end_stop(GONE, status);
        }
    }

    fn role(&self, token: u64, event: &RoleEvent) {
        self.supersede(&event.group);
        let callback = self.plugin.table.role;
        let to = To::Role(event.group.clone());
        let cause = event.cause.to_raw();
        let raw = event.to_raw(&cause);
        self.begin(token, "role", to, |instance| match callback {
            // SAFETY: the plugin's contract; the event, its texts and its cause live through the call.
            Some(callback) => unsafe { callback(instance, token, &raw const raw) },
            None => 0,
        });
    }

    fn query(&self, token: u64, argv: &[String]) {
        self.limit_queries();
        let words: Vec<abi::Str> = argv.iter().map(|word| abi::Str::of(word)).collect();
        let query = self.plugin.table.query;
        self.begin(token, "query", To::Query, |instance| match query {
            // SAFETY: the plugin's contract; the words live through the call.
            Some(query) => unsafe {
                query(
                    instance,
                    token,
                    words.as_ptr(),
                    u32::try_from(words.len()).unwrap_or(0),
                )
            },
            None => errno(Errno::NOSYS),
        });
    }

    fn directive(&self, directive: &Directive) {
        let raw = directive.to_raw();
        if let Some(callback) = self.plugin.group.directive {
            // SAFETY: the plugin's contract; the directive and its texts live through the call.
            self.tell("directive", |instance| unsafe {
                callback(instance, &raw const raw)
            });
        }
    }

    /// Answers a ping. A plugin that has used up the descriptors is ended, as only a restart helps.
    fn pong(&self, number: u64) {
        let slow_calls = self.slow.borrow().total();
        self.outbound.send(&FromPlugin::Pong { number, slow_calls });
        if let Err(Errno::MFILE) = rustix::io::fcntl_dupfd_cloexec(self.outbound.wake_fd(), 0) {
            self.outbound
                .log(LogLevel::Error, "has used up all its file descriptors");
            self.end_with(End::Broken);
        }
    }

    pub(super) fn plugin_fd(&self, fd: RawFd, events: u32) {
        if !self.watches.borrow().is_watched(fd) {
            return;
        }
        match self.plugin.table.fd {
            // SAFETY: the plugin's contract for a created instance.
            Some(callback) => self.tell("fd", |instance| unsafe {
                callback(instance, fd, events & FD_EVENTS)
            }),
            None => self.watches.borrow_mut().unwatch(fd),
        }
    }

    pub(super) fn plugin_timer(&self, id: u32) {
        if let Some(timer) = self.plugin.table.timer {
            // SAFETY: the plugin's contract for a created instance.
            self.tell("timer", |instance| unsafe { timer(instance, id) });
        }
    }

    pub(super) fn woken(&self) {
        if let Some(woken) = self.plugin.table.woken {
            // SAFETY: the plugin's contract for a created instance.
            self.tell("woken", |instance| unsafe { woken(instance) });
        }
    }
}

const FD_EVENTS: u32 = abi::FD_READ | abi::FD_WRITE | abi::FD_ERROR | abi::FD_HANGUP;
