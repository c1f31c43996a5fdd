//! Calls one plugin from one loop: descriptors, then timers, then messages of the peer and the
//! host.
//!
//! Descriptors come before timers, so that a plugin that was stopped for a while reads what the
//! others sent meanwhile before it acts on their silence. Nothing on that path allocates. A driver
//! is leaked: the plugin keeps its address, and the process ends with the plugin.

mod callback;
mod cause;
mod claims;
mod dispatch;
mod facts;
mod failing;
mod groups;
mod host;
mod identity;
mod interfaces;
mod lent;
mod local;
mod misbehaviour;
mod peer;
mod status;
#[cfg(test)]
mod tests;

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::ffi::c_void;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, epoll, poll};
use rustix::io::Errno;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, timerfd_create, timerfd_settime,
};
use spared_abi as abi;
use spared_contract::{CALL_TIMEOUT_MS, Call, Cause, FromPlugin, LogLevel, Role, Scope, ToPlugin};
use spared_message::load::Load;
use spared_records::monotonic::now_ns;
use spared_records::{ReceiveError, Receiver, SendError};

use self::failing::Failing;
use self::host::errno;
use self::interfaces::Interface;
pub use self::lent::{sized, sized_array, slice};
use self::local::Partner;
pub use self::misbehaviour::is_misbehaviour;
use self::peer::Peer;
use crate::loader::Loaded;
use crate::settings::Settings;
pub use spared_sdk::run::Outbound;
use spared_sdk::run::Roots;
use spared_sdk::run::{Failures, Pending, Slow, Source, Timers, Watches, closed_descriptor};

/// Messages handled between two looks at timers and descriptors.
const MESSAGES_PER_ROUND: usize = 16;
/// With this many messages waiting, calls of the plugin are refused.
const INBOX_MAX: usize = 1024;
/// Maximum duration of a callback, by the manual.
const CALLBACK_NS_MAX: u64 = 50_000_000;
/// Longest time for the last messages to the host.
const FAREWELL: Duration = Duration::from_millis(100);

const SOCKET: u32 = 0;
const TIMER: u32 = 1;
const WAKE: u32 = 2;
const CHANNEL: u32 = 3;
/// The channel of the first partner; those of the others follow.
const PARTNER: u32 = 4;

thread_local! {
    static LOOP_THREAD: Cell<bool> = const { Cell::new(false) };
}

fn is_loop_thread() -> bool {
    LOOP_THREAD.get()
}

/// Why the loop ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The host asked for it or is gone, and the plugin was stopped and destroyed.
    Stopped,
    /// The plugin reported that it cannot be called again, or the worker cannot go on.
    Broken,
}

/// The plugin, its host table, and everything between callbacks.
pub struct Driver {
    // The only field that other threads use.
    outbound: Outbound,
    plugin: Loaded,
    table: Cell<Option<&'static abi::Host>>,
    instance: Cell<*mut c_void>,
    started: Cell<bool>,
    /// Its start was called and has not failed, so a stop is due.
    begun: Cell<bool>,
    /// A pending stop, and how it ended.
    stopped: Cell<Option<(u64, abi::Status)>>,
    /// The host died.
    gone: Cell<bool>,
    check_only: bool,
    /// None for a plugin that is not root.
    roots: Option<Roots>,
    timers: RefCell<Timers>,
    timer_fd: OwnedFd,
    armed_ns: Cell<Option<u64>>,
    watches: RefCell<Watches>,
    settings: RefCell<Settings>,
    /// Texts that config_get lent to the running callback.
    lent: RefCell<Vec<Box<str>>>,
    /// Failures that the running callback reported by fail().
    failures: RefCell<Failures>,
    pending: RefCell<Pending>,
    slow: RefCell<Slow>,
    failing: RefCell<Failing>,
    interfaces: RefCell<HashMap<String, Interface>>,
    peer: Peer,
    /// In the order of the descriptor.
    partners: Vec<Partner>,
    /// Scopes that the running configure declared.
    scopes: RefCell<Option<Vec<(String, Scope)>>>,
    inbox: RefCell<VecDeque<(ToPlugin, Vec<OwnedFd>)>>,
    /// Messages to extensions that came before start.
    held: RefCell<VecDeque<(ToPlugin, Vec<OwnedFd>)>>,
    receiver: RefCell<Receiver>,
    calls: Cell<u64>,
    /// The host's socket was readable in this round. In most rounds of an elector it is not, and reading it in vain
    /// would be a sixth of its system calls.
    readable: Cell<bool>,
    /// The host does not read, and messages to it wait.
    congested: Cell<bool>,
    end: Cell<Option<End>>,
}

impl Driver {
    /// # Errors
    /// No descriptors left.
    pub fn new(
        outbound: Outbound,
        receiver: Receiver,
        plugin: Loaded,
        load: &Load,
    ) -> Result<&'static Self, Errno> {
        let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
        let timer_fd = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        let watches = Watches::new()?;
        watches.add_own(outbound.socket(), SOCKET)?;
        watches.add_own(timer_fd.as_fd(), TIMER)?;
        watches.add_own(outbound.wake_fd(), WAKE)?;
        let partners = plugin.descriptor.partners.iter();
        let partners = partners.map(|_| Partner::default()).collect();
        let driver: &'static Self = Box::leak(Box::new(Self {
            outbound,
            plugin,
            table: Cell::new(None),
            instance: Cell::new(std::ptr::null_mut()),
            started: Cell::new(false),
            begun: Cell::new(false),
            stopped: Cell::new(None),
            gone: Cell::new(false),
            check_only: load.check_only,
            roots: load.roots.clone().map(Roots),
            timers: RefCell::default(),
            timer_fd,
            armed_ns: Cell::new(None),
            watches: RefCell::new(watches),
            settings: RefCell::default(),
            lent: RefCell::default(),
            failures: RefCell::default(),
            pending: RefCell::default(),
            slow: RefCell::default(),
            failing: RefCell::default(),
            interfaces: RefCell::default(),
            peer: Peer::default(),
            partners,
            scopes: RefCell::default(),
            inbox: RefCell::default(),
            held: RefCell::default(),
            receiver: RefCell::new(receiver),
            calls: Cell::new(0),
            readable: Cell::new(false),
            congested: Cell::new(false),
            end: Cell::new(None),
        }));
        driver
            .table
            .set(Some(Box::leak(Box::new(host::table(driver)))));
        Ok(driver)
    }

    /// Runs until the host or the plugin ends it.
    pub fn run(&self) -> End {
        LOOP_THREAD.set(true);
        let mut events = Vec::with_capacity(64);
        loop {
            self.arm();
            self.flush();
            self.wait(&mut events);
            let channel = self.serve_descriptors(&events);
            self.serve_timers();
            if channel && self.end.get().is_none() {
                self.serve_channel();
            }
            self.serve_partners();
            self.serve_messages();
            self.end_pending_stop();
            if let Some(end) = self.end.get() {
                self.farewell();
                return end;
            }
        }
    }

    fn wait(&self, events: &mut Vec<epoll::Event>) {
        events.clear();
        let poll_only = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        let timeout = (!self.inbox.borrow().is_empty()).then_some(&poll_only);
        let watches = self.watches.borrow();
        match epoll::wait(
            watches.epoll(),
            rustix::buffer::spare_capacity(events),
            timeout,
        ) {
            // A round without events does no harm.
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => self.is_robbed(errno),
        }
    }

    /// The plugin has closed a descriptor of the loop: ends it.
    fn is_robbed(&self, errno: Errno) {
        let text = closed_descriptor(errno);
        self.outbound.log(LogLevel::Error, &text);
        self.end_with(End::Broken);
    }

    /// Returns whether the channel to the peer is readable.
    fn serve_descriptors(&self, events: &[epoll::Event]) -> bool {
        let mut channel = false;
        self.readable.set(false);
        for event in events {
            let flags = event.flags;
            match Watches::source(event.data.u64()) {
                Source::Own(SOCKET) => self.readable.set(flags != epoll::EventFlags::OUT),
                Source::Plugin(fd) => self.plugin_fd(fd, flags.bits()),
                Source::Own(WAKE) => {
                    if self.outbound.take_woken() {
                        self.woken();
                    }
                }
                Source::Own(CHANNEL) => {
                    channel |= flags != epoll::EventFlags::OUT;
                    if flags.contains(epoll::EventFlags::OUT) {
                        self.channel_is_writable();
                    }
                }
                Source::Own(number) if number >= PARTNER => {
                    self.partner_is_ready(number - PARTNER, flags);
                }
                // Timers are checked in every round.
                Source::Own(_) => {}
            }
            if self.end.get().is_some() {
                return false;
            }
        }
        channel
    }

    fn serve_timers(&self) {
        let now_ns = now_ns();
        // As many as there were: a timer that is set again for the past waits for the next round.
        let count = self.timers.borrow().len();
        for _ in 0..count {
            let due = self.timers.borrow_mut().pop_due(now_ns);
            match due {
                Some(id) if self.end.get().is_none() => self.plugin_timer(id),
                _ => return,
            }
        }
    }

    fn serve_messages(&self) {
        for _ in 0..MESSAGES_PER_ROUND {
            if self.end.get().is_some() {
                return;
            }
            let queued = self.inbox.borrow_mut().pop_front();
            let next = match queued {
                Some(queued) => Some(queued),
                None if self.readable.get() => self.receive(),
                None => None,
            };
            match next {
                Some((message, descriptors)) => self.dispatch(message, descriptors),
                None => return,
            }
        }
    }

    /// Sends what waits for the host, and watches for when it reads again.
    fn flush(&self) {
        let congested = !self.outbound.flush();
        if congested != self.congested.get() {
            let watches = self.watches.borrow();
            let wanted = watches.want_writable(self.outbound.socket(), SOCKET, congested);
            if wanted.is_ok() {
                self.congested.set(congested);
            }
        }
    }

    /// Sets the timerfd to the next timer, if that changed.
    fn arm(&self) {
        let next_ns = self.timers.borrow().next_ns();
        if next_ns == self.armed_ns.get() {
            return;
        }
        let zero = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        let value = next_ns.map_or(zero, |at_ns| Timespec {
            tv_sec: (at_ns / 1_000_000_000) as i64,
            tv_nsec: (at_ns % 1_000_000_000) as i64,
        });
        let spec = Itimerspec {
            it_interval: zero,
            it_value: value,
        };
        match timerfd_settime(&self.timer_fd, TimerfdTimerFlags::ABSTIME, &spec) {
            Ok(_) => self.armed_ns.set(next_ns),
            Err(errno) => self.is_robbed(errno),
        }
    }

    fn receive(&self) -> Option<(ToPlugin, Vec<OwnedFd>)> {
        let received = self.receiver.borrow_mut().receive(self.outbound.socket());
        match received {
            Ok(received) => received,
            Err(ReceiveError::Closed) => {
                self.host_is_gone();
                None
            }
            Err(error) => {
                let text = format!("the daemon {}", error.predicate());
                self.outbound.log(LogLevel::Error, &text);
                self.end_with(End::Broken);
                None
            }
        }
    }

    /// Asks the host and waits for its answer, at most [`CALL_TIMEOUT_MS`].
    fn call(&self, call: Call) -> abi::Status {
        let number = self.calls.get() + 1;
        self.calls.set(number);
        let answers = self.wait_for_answer(FromPlugin::Call { number, call }, deadline_ns());
        answers.map_or_else(errno, |statuses| first_of(&statuses))
    }

    /// Asks the host for each of these in one call, and returns as many statuses. What is longer than
    /// a record is asked in parts.
    fn call_each<T: Clone>(
        &self,
        wanted: &[T],
        call: &impl Fn(Vec<T>) -> Call,
    ) -> Vec<abi::Status> {
        self.call_until(wanted, call, deadline_ns())
    }

    fn call_until<T: Clone>(
        &self,
        wanted: &[T],
        call: &impl Fn(Vec<T>) -> Call,
        until_ns: u64,
    ) -> Vec<abi::Status> {
        if wanted.is_empty() {
            return Vec::new();
        }
        let number = self.calls.get() + 1;
        let message = FromPlugin::Call {
            number,
            call: call(wanted.to_vec()),
        };
        if let (2.., Err(SendError::TooLong(_))) = (wanted.len(), spared_records::encode(&message))
        {
            let (first, second) = wanted.split_at(wanted.len() / 2);
            let mut statuses = self.call_until(first, call, until_ns);
            statuses.extend(self.call_until(second, call, until_ns));
            return statuses;
        }
        self.calls.set(number);
        let mut statuses = match self.wait_for_answer(message, until_ns) {
            Ok(statuses) => statuses,
            Err(why) => vec![errno(why); wanted.len()],
        };
        statuses.resize(wanted.len(), errno(Errno::PROTO));
        statuses
    }

    /// Sends a call and waits for its answer.
    fn wait_for_answer(
        &self,
        message: FromPlugin,
        until_ns: u64,
    ) -> Result<Vec<abi::Status>, Errno> {
        let FromPlugin::Call { number, .. } = message else {
            return Err(Errno::INVAL);
        };
        // Messages would pile up if a plugin only called and never returned to the loop.
        if self.inbox.borrow().len() >= INBOX_MAX {
            return Err(Errno::BUSY);
        }
        self.outbound.send(&message);
        loop {
            self.outbound.flush();
            let received = self.receiver.borrow_mut().receive(self.outbound.socket());
            match received {
                Ok(Some((
                    ToPlugin::Answer {
                        number: of,
                        statuses,
                    },
                    _,
                ))) if of == number => {
                    return Ok(statuses);
                }
                // An answer to an earlier call, which timed out.
                Ok(Some((ToPlugin::Answer { .. }, _))) => continue,
                Ok(Some(other)) => {
                    self.inbox.borrow_mut().push_back(other);
                    continue;
                }
                Ok(None) => {}
                // The loop gets the same error and acts on it.
                Err(_) => return Err(Errno::PIPE),
            }
            let left_ns = until_ns.saturating_sub(now_ns());
            if left_ns == 0 {
                return Err(Errno::TIMEDOUT);
            }
            self.wait_for_socket(left_ns);
        }
    }

    /// Sends an Explain; its answer is ignored, as one that comes too late.
    fn explain(&self, group: &str, role: Role, cause: Cause) {
        let number = self.calls.get() + 1;
        self.calls.set(number);
        let group = group.to_owned();
        let call = Call::Explain { group, role, cause };
        self.outbound.send(&FromPlugin::Call { number, call });
    }

    fn wait_for_socket(&self, timeout_ns: u64) {
        let mut interest = PollFlags::IN;
        if !self.outbound.flush() {
            interest |= PollFlags::OUT;
        }
        let timeout = Timespec {
            tv_sec: (timeout_ns / 1_000_000_000) as i64,
            tv_nsec: (timeout_ns % 1_000_000_000) as i64,
        };
        let socket = self.outbound.socket();
        let _ = poll(&mut [PollFd::new(&socket, interest)], Some(&timeout));
    }

    /// The first reason counts.
    fn end_with(&self, end: End) {
        self.end.set(self.end.get().or(Some(end)));
    }

    /// Gives the host a moment to read the last messages.
    fn farewell(&self) {
        let deadline_ns = now_ns() + FAREWELL.as_nanos() as u64;
        while !self.outbound.flush() && now_ns() < deadline_ns {
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

fn deadline_ns() -> u64 {
    now_ns() + CALL_TIMEOUT_MS * 1_000_000
}

fn first_of(statuses: &[abi::Status]) -> abi::Status {
    statuses.first().copied().unwrap_or(errno(Errno::PROTO))
}
