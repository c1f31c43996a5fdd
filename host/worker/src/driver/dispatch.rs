//! What the host says, as calls of the plugin, and what the plugin answers.

use std::ffi::c_void;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use rustix::io::Errno;
use spared_abi as abi;

use super::host::{errno, size};
use super::outbound::now_ns;
use super::{CALLBACK_NS_MAX, Driver, End, INBOX_MAX};
use crate::message::{
    Call, Failure, Forced, FromWorker, InterfaceEvent, Role, Row, Stance, ToWorker, Value,
};
use crate::settings::Settings;

/// Answers larger than this are refused.
const ANSWER_BYTES_MAX: usize = 64 * 1024;
/// Faults of one callback; more say nothing new.
const FAILURES_MAX: usize = 200;
/// Text of one fault; longer ones are cut.
const FAILURE_BYTES_MAX: usize = 1024;

const ENOTRECOVERABLE: abi::Status = errno(Errno::NOTRECOVERABLE);

/// A callback that is not through yet.
#[derive(Debug, Default)]
pub struct Answer {
    rows: Vec<Row>,
    bytes: usize,
    /// The group of a role, which a newer role of the same group ends.
    group: Option<String>,
}

/// The sockets that the host sent for a followed interface.
#[derive(Debug, Default)]
pub struct Interface {
    generation: u64,
    sockets: Vec<(u32, OwnedFd)>,
}

impl Driver {
    pub(super) fn dispatch(&self, message: ToWorker, descriptors: Vec<OwnedFd>) {
        match message {
            ToWorker::Configure {
                token,
                toml,
                check,
                node,
                nodes,
            } => {
                self.configure(token, &toml, check, &node, &nodes);
            }
            ToWorker::Start { token } => self.start(token),
            ToWorker::Stop { token } => {
                let status = self.stop();
                self.answer_now(token, status);
                self.destroy();
                self.end_with(End::Stopped);
            }
            ToWorker::Drain { token, deadline_ns } => {
                let drain = self.plugin.table.drain;
                self.begin(token, "drain", None, |instance| match drain {
                    // SAFETY: the plugin's contract for a created instance.
                    Some(drain) => unsafe { drain(instance, token, deadline_ns) },
                    None => 0,
                });
            }
            ToWorker::Settle { token, deadline_ns } => {
                let settle = self.plugin.table.settle;
                self.begin(token, "settle", None, |instance| match settle {
                    // SAFETY: as above.
                    Some(settle) => unsafe { settle(instance, token, deadline_ns) },
                    None => 0,
                });
            }
            ToWorker::Role {
                token,
                group,
                role,
                why,
                deadline_ns,
            } => {
                self.role(token, group, role, &why, deadline_ns);
            }
            ToWorker::Query { token, argv } => self.query(token, &argv),
            // A plugin may follow interfaces in configure; it hears of them after start.
            ToWorker::Interface(_) | ToWorker::Stance(_) if !self.started.get() => {
                let mut held = self.held.borrow_mut();
                if held.len() < INBOX_MAX {
                    held.push_back((message, descriptors));
                }
            }
            ToWorker::Interface(event) => self.interface(&event, descriptors),
            ToWorker::Stance(stance) => self.stance(&stance),
            ToWorker::Ping { number } => self.pong(number),
            // A second Load is nonsense; an Answer outside a call comes too late.
            ToWorker::Load(_) | ToWorker::Answer { .. } => {}
        }
    }

    fn configure(&self, token: u64, toml: &str, check: bool, node: &str, nodes: &[String]) {
        let status = self.created(|| self.configure_created(toml, check, node, nodes));
        self.answer_now(token, status);
        if self.check_only {
            self.destroy();
            self.end_with(End::Stopped);
        }
    }

    fn configure_created(
        &self,
        toml: &str,
        check: bool,
        node: &str,
        nodes: &[String],
    ) -> abi::Status {
        let settings = match Settings::parse(toml, node, nodes) {
            Ok(settings) => settings,
            Err(why) => {
                self.note_failure("", &why);
                return errno(Errno::INVAL);
            }
        };
        let old = self.settings.replace(settings);
        let flags = if check { abi::CONFIGURE_CHECK } else { 0 };
        let configure = self.plugin.table.configure;
        let status = self.enter("configure", |instance| match configure {
            // SAFETY: the plugin's contract; toml lives through the call.
            Some(configure) => unsafe { configure(instance, abi::Str::of(toml), flags) },
            None => 0,
        });
        if check || status < 0 {
            // On failure, and after a check, the old configuration stays in force.
            self.settings.replace(old);
        }
        status
    }

    /// Creates the instance if there is none, then goes on; the status of whichever fails.
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
            // A plugin without state may leave it NULL; it gets something that is not.
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
        let status = self.created(|| {
            self.enter("start", |instance| match start {
                // SAFETY: the plugin's contract for a created instance.
                Some(start) => unsafe { start(instance) },
                None => 0,
            })
        });
        self.started.set(status >= 0);
        self.answer_now(token, status);
        if status >= 0 {
            // Before whatever the host says next.
            let mut held = self.held.take();
            let mut inbox = self.inbox.borrow_mut();
            held.append(&mut inbox);
            *inbox = held;
        }
    }

    fn stop(&self) -> abi::Status {
        if !self.started.replace(false) {
            return 0;
        }
        let stop = self.plugin.table.stop;
        self.enter("stop", |instance| match stop {
            // SAFETY: the plugin's contract for a created instance.
            Some(stop) => unsafe { stop(instance) },
            None => 0,
        })
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

    /// The host died, or let go: the plugin resigns what it holds, and the process ends. One that
    /// hangs in its stop is ended by the alarm.
    pub(super) fn host_is_gone(&self) {
        crate::run::limit_remaining_time();
        let status = self.stop();
        self.report("stop", status);
        self.destroy();
        self.end_with(End::Stopped);
    }

    fn role(&self, token: u64, group: String, role: Role, why: &str, deadline_ns: u64) {
        self.supersede(&group);
        let event = abi::RoleEvent {
            size: size::<abi::RoleEvent>(),
            role: match role {
                Role::Backup => abi::ROLE_BACKUP,
                Role::Active => abi::ROLE_ACTIVE,
                Role::Fault => abi::ROLE_FAULT,
            },
            group: abi::Str::of(&group),
            why: abi::Str::of(why),
            deadline_ns,
        };
        let callback = self.plugin.table.role;
        self.begin(
            token,
            "role",
            Some(group.clone()),
            |instance| match callback {
                // SAFETY: the plugin's contract; the event and its texts live through the call.
                Some(callback) => unsafe { callback(instance, token, &raw const event) },
                None => 0,
            },
        );
    }

    /// Ends an older role of the group that is still pending: the newest wins.
    fn supersede(&self, group: &str) {
        let old = {
            let answers = self.answers.borrow();
            let found = answers
                .iter()
                .find(|(_, answer)| answer.group.as_deref() == Some(group));
            found.map(|(token, _)| *token)
        };
        if let Some(token) = old {
            self.finish(token, errno(Errno::CANCELED));
        }
    }

    fn query(&self, token: u64, argv: &[String]) {
        let words: Vec<abi::Str> = argv.iter().map(|word| abi::Str::of(word)).collect();
        let query = self.plugin.table.query;
        self.begin(token, "query", None, |instance| match query {
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

    fn interface(&self, event: &InterfaceEvent, descriptors: Vec<OwnedFd>) {
        let Some(old) = self.take_sockets(event, descriptors) else {
            return;
        };
        let addresses: Vec<_> = event.addresses.iter().map(own_address).collect();
        let sockets: Vec<_> = self
            .interfaces
            .borrow()
            .get(&event.name)
            .map(|interface| interface.sockets.iter().map(raw_socket).collect())
            .unwrap_or_default();
        let flag = |on: bool, flag: u32| if on { flag } else { 0 };
        let [a, b, c, d, e, f] = event.mac;
        let raw = abi::InterfaceEvent {
            size: size::<abi::InterfaceEvent>(),
            flags: flag(event.present, abi::INTERFACE_PRESENT)
                | flag(event.up, abi::INTERFACE_UP)
                | flag(event.carrier, abi::INTERFACE_CARRIER),
            name: abi::Str::of(&event.name),
            index: event.index,
            mtu: event.mtu,
            mac: [a, b, c, d, e, f, 0, 0],
            addresses: addresses.as_ptr(),
            address_count: u32::try_from(addresses.len()).unwrap_or(0),
            socket_count: u32::try_from(sockets.len()).unwrap_or(0),
            sockets: sockets.as_ptr(),
        };
        if let Some(changed) = self.plugin.interface.changed {
            // SAFETY: the plugin's contract; the event and its arrays live through the call.
            self.tell("changed", |instance| unsafe {
                changed(instance, &raw const raw)
            });
        }
        self.close_sockets(old);
    }

    /// Keeps the sockets of an event; those that they replace come back, to be closed after the
    /// plugin has heard of it, so that no number means two sockets. None: not followed.
    fn take_sockets(
        &self,
        event: &InterfaceEvent,
        descriptors: Vec<OwnedFd>,
    ) -> Option<Vec<(u32, OwnedFd)>> {
        let mut interfaces = self.interfaces.borrow_mut();
        let interface = interfaces.get_mut(&event.name)?;
        if !event.sockets.is_empty()
            && descriptors.is_empty()
            && event.generation == interface.generation
        {
            return Some(Vec::new());
        }
        if descriptors.len() != event.sockets.len() {
            let why = format!(
                "interface {}: {} sockets with {} descriptors",
                event.name,
                event.sockets.len(),
                descriptors.len()
            );
            self.outbound.log(abi::LOG_ERROR, &why);
        }
        interface.generation = event.generation;
        let kinds = event.sockets.iter().copied();
        let new = kinds.zip(descriptors).collect();
        Some(std::mem::replace(&mut interface.sockets, new))
    }

    fn close_sockets(&self, sockets: Vec<(u32, OwnedFd)>) {
        for (_, socket) in &sockets {
            self.watches.borrow_mut().unwatch(socket.as_raw_fd());
        }
    }

    fn stance(&self, stance: &Stance) {
        let flag = |on: bool, flag: u32| if on { flag } else { 0 };
        let raw = abi::Stance {
            size: size::<abi::Stance>(),
            flags: flag(stance.eligible, abi::STANCE_ELIGIBLE)
                | flag(stance.maintenance, abi::STANCE_MAINTENANCE)
                | flag(stance.resign, abi::STANCE_RESIGN)
                | flag(stance.peer_quality.is_some(), abi::STANCE_PEER),
            group: abi::Str::of(&stance.group),
            quality: stance.quality.into(),
            peer_quality: stance.peer_quality.unwrap_or(0).into(),
            forced: match stance.forced {
                Forced::No => abi::FORCED_NO,
                Forced::Active => abi::FORCED_ACTIVE,
                Forced::Backup => abi::FORCED_BACKUP,
            },
            reserved: 0,
            why: abi::Str::of(&stance.why),
        };
        if let Some(callback) = self.plugin.group.stance {
            // SAFETY: the plugin's contract; the stance and its texts live through the call.
            self.tell("stance", |instance| unsafe {
                callback(instance, &raw const raw)
            });
        }
    }

    /// Also finds out whether the plugin has used up the descriptors: then nothing works any more,
    /// and a restart is the remedy.
    fn pong(&self, number: u64) {
        self.outbound.send(&FromWorker::Pong { number });
        if let Err(Errno::MFILE) = rustix::io::fcntl_dupfd_cloexec(self.outbound.wake_fd(), 0) {
            self.outbound
                .log(abi::LOG_ERROR, "has used up all its file descriptors");
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

    /// A callback that may stay pending under a token.
    fn begin(
        &self,
        token: u64,
        callback: &str,
        group: Option<String>,
        call: impl FnOnce(*mut c_void) -> abi::Status,
    ) {
        let answer = Answer {
            group,
            ..Answer::default()
        };
        self.answers.borrow_mut().insert(token, answer);
        let status = if self.instance.get().is_null() {
            errno(Errno::INVAL)
        } else {
            self.enter(callback, call)
        };
        if status != abi::PENDING {
            self.finish(token, status);
        }
        self.drop_failures(callback);
    }

    /// A callback whose failure nobody waits for: it is logged.
    fn tell(&self, callback: &str, call: impl FnOnce(*mut c_void) -> abi::Status) {
        if self.instance.get().is_null() {
            return;
        }
        let status = self.enter(callback, call);
        self.report(callback, status);
    }

    fn report(&self, callback: &str, status: abi::Status) {
        if status < 0 && self.failures.borrow().is_empty() {
            self.note_failure("", &std::io::Error::from_raw_os_error(-status).to_string());
        }
        self.drop_failures(callback);
    }

    fn drop_failures(&self, callback: &str) {
        if self.failures.borrow().is_empty() {
            return;
        }
        for failure in self.failures.take() {
            let key = if failure.key.is_empty() { "" } else { ": " };
            let text = format!("{callback} failed: {}{key}{}", failure.key, failure.why);
            self.outbound.log(abi::LOG_WARN, &text);
        }
    }

    /// Calls the plugin, and watches how it comes back.
    fn enter(&self, callback: &str, call: impl FnOnce(*mut c_void) -> abi::Status) -> abi::Status {
        let begin_ns = now_ns();
        let status = call(self.instance.get());
        let took_ns = now_ns() - begin_ns;
        self.lent.borrow_mut().clear();
        if took_ns > CALLBACK_NS_MAX && !self.check_only {
            let text = format!(
                "{callback} took {} ms, 50 ms are allowed",
                took_ns / 1_000_000
            );
            self.outbound.log(abi::LOG_WARN, &text);
        }
        if status == ENOTRECOVERABLE {
            self.end_with(End::Broken);
        }
        status
    }

    fn answer_now(&self, token: u64, status: abi::Status) {
        self.answers.borrow_mut().insert(token, Answer::default());
        self.finish(token, status);
    }

    /// Tells the host that a callback is through. A token that is none is ignored.
    pub(super) fn finish(&self, token: u64, status: abi::Status) {
        let answer = self.answers.borrow_mut().remove(&token);
        if let Some(answer) = answer {
            let failures = self.failures.take();
            self.outbound.send(&FromWorker::Returned {
                token,
                status,
                failures,
                rows: answer.rows,
            });
        }
    }

    pub(super) fn put(&self, token: u64, key: &str, value: Value) -> abi::Status {
        let mut answers = self.answers.borrow_mut();
        let Some(answer) = answers.get_mut(&token) else {
            return errno(Errno::NOENT);
        };
        let bytes = key.len()
            + match &value {
                Value::Text(text) => text.len(),
                Value::Number(_) => 8,
            };
        if answer.bytes + bytes > ANSWER_BYTES_MAX {
            return errno(Errno::MSGSIZE);
        }
        answer.bytes += bytes;
        answer.rows.push(Row {
            key: key.to_owned(),
            value,
        });
        0
    }

    pub(super) fn note_failure(&self, key: &str, why: &str) {
        let cut = |text: &str| text.chars().take(FAILURE_BYTES_MAX).collect();
        let mut failures = self.failures.borrow_mut();
        if failures.len() < FAILURES_MAX {
            failures.push(Failure {
                key: cut(key),
                why: cut(why),
            });
        }
    }

    /// A host function that was called wrongly: -EINVAL, with the reason logged.
    pub(super) fn refuse(&self, function: &str, why: &str) -> abi::Status {
        self.outbound
            .log(abi::LOG_ERROR, &format!("{function}(): {why}"));
        errno(Errno::INVAL)
    }

    /// Keeps a text until the running callback returns.
    pub(super) fn lend(&self, text: String) -> abi::Str {
        let text = text.into_boxed_str();
        let lent = abi::Str::of(&text);
        self.lent.borrow_mut().push(text);
        lent
    }

    pub(super) fn follow(&self, name: &str, sockets: u32) -> abi::Status {
        let new = !self.interfaces.borrow().contains_key(name);
        if new {
            self.interfaces
                .borrow_mut()
                .insert(name.to_owned(), Interface::default());
        }
        let interface = name.to_owned();
        let status = self.call(Call::Follow { interface, sockets });
        if new && status < 0 {
            self.interfaces.borrow_mut().remove(name);
        }
        status
    }

    pub(super) fn unfollow(&self, name: &str) -> abi::Status {
        let Some(interface) = self.interfaces.borrow_mut().remove(name) else {
            return errno(Errno::NOENT);
        };
        self.close_sockets(interface.sockets);
        self.call(Call::Unfollow {
            interface: name.to_owned(),
        })
    }
}

const FD_EVENTS: u32 = abi::FD_READ | abi::FD_WRITE | abi::FD_ERROR | abi::FD_HANGUP;

fn own_address((address, prefix): &(std::net::IpAddr, u8)) -> abi::OwnAddress {
    let (family, octets) = match address {
        std::net::IpAddr::V4(address) => {
            let [a, b, c, d] = address.octets();
            (4, [a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])
        }
        std::net::IpAddr::V6(address) => (6, address.octets()),
    };
    abi::OwnAddress {
        size: size::<abi::OwnAddress>(),
        family,
        prefix: (*prefix).into(),
        flags: 0,
        octets,
    }
}

fn raw_socket((kind, socket): &(u32, OwnedFd)) -> abi::Socket {
    abi::Socket {
        size: size::<abi::Socket>(),
        kind: *kind,
        fd: socket.as_raw_fd(),
        reserved: 0,
    }
}
