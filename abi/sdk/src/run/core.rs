//! The part of the loop that the plugin's handles use while a callback runs: everything except the plugin itself.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::event::Timespec;
use rustix::io::Errno;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, timerfd_create, timerfd_settime,
};
use spared_abi as abi;
use spared_contract::{FromPlugin, LogLevel, Surroundings, ToPlugin};
use spared_records::monotonic::now_ns;
use spared_records::{ReceiveError, Receiver};

use super::interfaces::Followed;
use super::outbound::Outbound;
use super::partners::Partner;
use super::peer::Channel;
use super::pending::{Failures, Pending};
use super::timers::Timers;
use super::watches::Watches;

/// Number of waiting messages from which calls of the plugin are refused.
pub(super) const INBOX_MAX: usize = 1024;
/// Maximum time for sending the last messages to the daemon.
const FAREWELL: Duration = Duration::from_millis(100);

pub(super) const SOCKET: u32 = 0;
const TIMER: u32 = 1;
pub(super) const WAKE: u32 = 2;
pub(super) const CHANNEL: u32 = 3;
/// Number of the first partner's channel; those of the other partners follow.
pub(super) const PARTNER: u32 = 4;

/// Reason why the loop ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The daemon asked for the end or is gone, and the plugin was stopped.
    Stopped,
    /// The plugin panicked, or the loop cannot continue.
    Broken,
}

/// Message with the descriptors that came with it.
pub(super) type Received = (ToPlugin, Vec<OwnedFd>);

/// The loop without the plugin. It is leaked: handles keep its address, and the process ends when the loop ends.
pub(crate) struct Core {
    /// The only field that other threads use.
    pub(crate) outbound: Outbound,
    pub(super) surroundings: RefCell<Surroundings>,
    pub(crate) timers: RefCell<Timers>,
    timer_fd: OwnedFd,
    armed_ns: Cell<Option<u64>>,
    pub(super) watches: RefCell<Watches>,
    pub(super) pending: RefCell<Pending>,
    /// Token and status of a stop that was pending and has ended.
    pub(super) stopped: Cell<Option<(u64, abi::Status)>>,
    pub(super) failures: RefCell<Failures>,
    pub(super) followed: RefCell<Followed>,
    pub(super) channel: Channel,
    /// Partners in the order of [`Local::PARTNERS`](crate::Local::PARTNERS).
    pub(super) partners: Vec<Partner>,
    /// True if the plugin's start has returned without a failure.
    pub(super) started: Cell<bool>,
    /// True if the plugin's start was called and has not failed, so that a stop is due.
    pub(super) begun: Cell<bool>,
    inbox: RefCell<VecDeque<Received>>,
    /// Messages that came before the plugin started.
    held: RefCell<VecDeque<Received>>,
    pub(super) receiver: RefCell<Receiver>,
    /// Number of the last call.
    pub(super) calls: Cell<u64>,
    /// True if the socket was readable in this round. In most rounds of an elector it is not, and reading it without
    /// success would be a sixth of the elector's system calls.
    pub(super) readable: Cell<bool>,
    /// True if the daemon does not read, and messages to it wait.
    congested: Cell<bool>,
    /// True if the daemon died.
    pub(super) is_gone: Cell<bool>,
    end: Cell<Option<End>>,
}

impl std::fmt::Debug for Core {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Core").finish_non_exhaustive()
    }
}

impl Core {
    /// # Errors
    /// No descriptors left.
    pub(super) fn leak(
        socket: OwnedFd,
        partners: &'static [crate::Partner],
    ) -> Result<&'static Self, Errno> {
        let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
        let timer_fd = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        let outbound = Outbound::new(socket)?;
        let watches = Watches::new()?;
        watches.add_own(outbound.socket(), SOCKET)?;
        watches.add_own(timer_fd.as_fd(), TIMER)?;
        watches.add_own(outbound.wake_fd(), WAKE)?;
        Ok(Box::leak(Box::new(Self {
            outbound,
            surroundings: RefCell::default(),
            timers: RefCell::default(),
            timer_fd,
            armed_ns: Cell::new(None),
            watches: RefCell::new(watches),
            pending: RefCell::default(),
            stopped: Cell::new(None),
            failures: RefCell::default(),
            followed: RefCell::default(),
            channel: Channel::default(),
            partners: partners.iter().map(|it| Partner::new(it.name())).collect(),
            started: Cell::new(false),
            begun: Cell::new(false),
            inbox: RefCell::default(),
            held: RefCell::default(),
            receiver: RefCell::default(),
            calls: Cell::new(0),
            readable: Cell::new(false),
            congested: Cell::new(false),
            is_gone: Cell::new(false),
            end: Cell::new(None),
        })))
    }

    pub(crate) fn surroundings(&self) -> Surroundings {
        self.surroundings.borrow().clone()
    }

    /// Watches a descriptor of the plugin for these events; 0 stops watching.
    pub(crate) fn watch_fd(&self, fd: i32, events: u32) -> abi::Status {
        let watched = self.watches.borrow_mut().watch(fd, events);
        watched.map_or_else(errno, |()| 0)
    }

    /// Watches one of the loop's own descriptors.
    pub(super) fn add_own(&self, fd: BorrowedFd<'_>, number: u32) -> Result<(), Errno> {
        self.watches.borrow().add_own(fd, number)
    }

    pub(super) fn remove_own(&self, fd: BorrowedFd<'_>) {
        self.watches.borrow().remove_own(fd);
    }

    /// Begins or stops to watch one of the loop's own descriptors for being writable.
    pub(super) fn watch_writable(&self, fd: BorrowedFd<'_>, number: u32, yes: bool) {
        let watched = self.watches.borrow().want_writable(fd, number, yes);
        if let Err(errno) = watched {
            self.is_robbed(errno);
        }
    }

    /// Sets a timer of the plugin.
    pub(crate) fn timer(&self, id: u32, at_ns: u64) -> abi::Status {
        if self.timers.borrow_mut().set(id, at_ns) {
            0
        } else {
            errno(Errno::NOSPC)
        }
    }

    pub(crate) fn cancel_timer(&self, id: u32) {
        self.timers.borrow_mut().cancel(id);
    }

    /// Sets the timerfd to the next timer, if that has changed.
    pub(super) fn arm(&self) {
        let next_ns = self.timers.borrow().next_ns();
        if next_ns == self.armed_ns.get() {
            return;
        }
        let spec = Itimerspec {
            it_interval: timespec(0),
            it_value: timespec(next_ns.unwrap_or(0)),
        };
        match timerfd_settime(&self.timer_fd, TimerfdTimerFlags::ABSTIME, &spec) {
            Ok(_) => self.armed_ns.set(next_ns),
            Err(errno) => self.is_robbed(errno),
        }
    }

    /// Sends queued messages to the daemon, and watches the socket if some are left.
    pub(super) fn flush(&self) {
        let congested = !self.outbound.flush();
        if congested != self.congested.get() {
            let watches = self.watches.borrow();
            let wanted = watches.want_writable(self.outbound.socket(), SOCKET, congested);
            if wanted.is_ok() {
                self.congested.set(congested);
            }
        }
    }

    pub(super) fn receive(&self) -> Result<Option<Received>, ReceiveError> {
        self.receiver.borrow_mut().receive(self.outbound.socket())
    }

    pub(super) fn has_inbox(&self) -> bool {
        !self.inbox.borrow().is_empty()
    }

    pub(super) fn take_inbox(&self) -> Option<Received> {
        self.inbox.borrow_mut().pop_front()
    }

    pub(super) fn is_inbox_full(&self) -> bool {
        self.inbox.borrow().len() >= INBOX_MAX
    }

    /// Queues a message that came while a call waited.
    pub(super) fn put_off(&self, received: Received) {
        self.inbox.borrow_mut().push_back(received);
    }

    /// Keeps a message until the plugin has started.
    pub(super) fn hold(&self, received: Received) {
        let mut held = self.held.borrow_mut();
        if held.len() < INBOX_MAX {
            held.push_back(received);
        }
    }

    /// Queues the messages that were kept until the start, before all later ones.
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

    /// Notes a fault of the running callback.
    pub(crate) fn note_failure(&self, key: &str, why: &str) {
        self.failures.borrow_mut().note(key, why);
    }

    /// Logs faults that are part of no answer.
    pub(super) fn log_failures(&self, callback: &str) {
        for line in self.failures.borrow_mut().lines(callback) {
            self.outbound.log(LogLevel::Warn, &line);
        }
    }

    /// Refuses an invalid call of the plugin with -EINVAL, and logs the reason.
    pub(super) fn refuse(&self, function: &str, why: &str) -> abi::Status {
        let text = format!("{function}(): {why}");
        self.outbound.log(LogLevel::Error, &text);
        errno(Errno::INVAL)
    }

    /// Reports a check of this node.
    pub(crate) fn report_check(
        &self,
        name: &str,
        weight: u32,
        state: u32,
        why: &str,
    ) -> abi::Status {
        if let Err(why) = spared_contract::check::fits(name, weight, state) {
            return self.refuse("report", &why);
        }
        self.send_check(name, (weight, 0), state, why)
    }

    /// Reports a check of this node that has no weight, and takes points off.
    pub(crate) fn report_points(
        &self,
        name: &str,
        points: u32,
        state: u32,
        why: &str,
    ) -> abi::Status {
        use spared_contract::check::{POINTS_MAX, fits};
        if let Err(why) = fits(name, 0, state) {
            return self.refuse("report_points", &why);
        }
        if points > POINTS_MAX {
            let why = format!("check {name}: {points} points, allowed 0-{POINTS_MAX}");
            return self.refuse("report_points", &why);
        }
        self.send_check(name, (0, points), state, why)
    }

    fn send_check(
        &self,
        name: &str,
        (weight, points): (u32, u32),
        state: u32,
        why: &str,
    ) -> abi::Status {
        self.outbound.send(&FromPlugin::Check {
            name: name.to_owned(),
            weight,
            state,
            why: why.to_owned(),
            points,
        });
        0
    }

    pub(crate) fn forget_check(&self, name: &str) -> abi::Status {
        if let Err(why) = spared_contract::check::check_name(name) {
            return self.refuse("forget", why);
        }
        let name = name.to_owned();
        self.outbound.send(&FromPlugin::ForgetCheck { name });
        0
    }

    pub(crate) fn report_synchrony(&self, yes: bool, why: &str) {
        self.outbound.send(&FromPlugin::InSync {
            yes,
            why: why.to_owned(),
        });
    }

    /// Ends the loop because the plugin has closed one of its descriptors.
    pub(super) fn is_robbed(&self, errno: Errno) {
        self.outbound
            .log(LogLevel::Error, &closed_descriptor(errno));
        self.end_with(End::Broken);
    }

    /// Sets the reason of the end. The first reason counts.
    pub(super) fn end_with(&self, end: End) {
        self.end.set(self.end.get().or(Some(end)));
    }

    pub(super) fn end(&self) -> Option<End> {
        self.end.get()
    }

    pub(super) fn is_ended(&self) -> bool {
        self.end.get().is_some()
    }

    /// Waits a moment, so that the daemon can read the last messages.
    pub(super) fn farewell(&self) {
        let until_ns = now_ns() + FAREWELL.as_nanos() as u64;
        while !self.outbound.flush() && now_ns() < until_ns {
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

/// Log line about a plugin that has closed a descriptor of its worker. `spared-plugin-check` looks for it.
fn closed_descriptor(errno: Errno) -> String {
    format!("closed a descriptor of its worker ({errno})")
}

/// Converts a time to the kernel's form.
pub(super) fn timespec(at_ns: u64) -> Timespec {
    Timespec {
        tv_sec: (at_ns / 1_000_000_000) as i64,
        tv_nsec: (at_ns % 1_000_000_000) as i64,
    }
}

/// Status of a failed function.
pub(super) const fn errno(errno: Errno) -> abi::Status {
    -errno.raw_os_error()
}
