//! The loop of a plugin: messages of the daemon on one socket, the plugin's descriptors and timers, and its channels.
//!
//! In each round descriptors come first, then timers, then records of channels, then messages of the daemon. So a
//! plugin that was stopped for a while reads what others sent meanwhile before it acts on their silence. Nothing on
//! that path allocates memory. `abi/RULES.md` lists the rules of order and time.

mod answers;
mod call;
pub(crate) mod clock;
mod core;
mod dispatch;
mod documents;
mod interfaces;
mod note;
mod outbound;
mod partners;
mod parts;
mod peer;
mod pending;
mod resign_limit;
#[cfg(test)]
pub(crate) mod rig;
mod roots;
mod slow;
mod timers;
mod watches;

pub(crate) use self::core::{Core, End};
pub use self::note::{Note, Writer, calls, flag, part};
pub(crate) use self::outbound::Outbound;
pub use self::parts::Parts;
#[cfg(test)]
pub(crate) use self::timers::TIMERS_MAX;

use std::os::fd::{FromRawFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use rustix::event::{Timespec, epoll};
use rustix::io::Errno;
use spared_contract::{LogLevel, ToPlugin};
use spared_records::ReceiveError;

use self::clock::now_ns;
use self::core::{CHANNEL, PARTNER, SOCKET, WAKE};
use self::documents::Incomplete;
use self::roots::Roots;
use self::slow::Slow;
use self::watches::{Source, Watches};
use crate::host::Host;
use crate::ready::Ready;
use crate::{Plugin, logger};

/// Maximum number of messages between two checks of timers and descriptors.
const MESSAGES_PER_ROUND: usize = 16;
/// Maximum number of records of a channel between two checks of timers and descriptors, within [`ROUND_NS_MAX`].
const RECORDS_PER_ROUND: usize = 32;
/// Maximum time in ns for the records of one round.
const ROUND_NS_MAX: u64 = 1_000_000;
/// Maximum duration of a callback in ns.
const CALLBACK_NS_MAX: u64 = 50_000_000;

/// Exit status after a panic, or if the loop cannot continue.
const BROKEN: i32 = 70;

/// Takes the socket of the daemon, whose number the worker passes.
///
/// # Safety
/// The descriptor is open, and nothing else owns it.
pub unsafe fn socket(number: i32) -> OwnedFd {
    // SAFETY: the caller's promise.
    unsafe { OwnedFd::from_raw_fd(number) }
}

/// Runs a plugin until the daemon ends it, or is gone. Returns the exit status of the process, which must end then.
pub fn run<T: Plugin>(socket: OwnedFd, parts: Parts<T>) -> i32 {
    let core = match Core::leak(socket, parts.partners) {
        Ok(core) => core,
        Err(errno) => {
            eprintln!("cannot set up: {errno}");
            return BROKEN;
        }
    };
    let driver = Driver::new(core, parts);
    logger::install(driver.host);
    match driver.run() {
        End::Stopped => 0,
        End::Broken => BROKEN,
    }
}

/// The plugin, with the loop that calls it.
struct Driver<T> {
    core: &'static Core,
    host: Host,
    parts: Parts<T>,
    /// The plugin; None until its first configuration, and after its stop.
    plugin: Option<T>,
    slow: Slow,
    /// Configuration from root; None for a plugin that does not run as root.
    roots: Option<Roots>,
    incomplete: Incomplete,
    /// True if the process only checks configurations.
    only_checks: bool,
    /// True if a message came.
    is_served: bool,
    /// Reference that is dropped when the loop ends.
    running: Arc<()>,
}

impl<T: Plugin> Driver<T> {
    fn new(core: &'static Core, parts: Parts<T>) -> Self {
        Self {
            core,
            host: Host::new(core),
            parts,
            plugin: None,
            slow: Slow::default(),
            roots: None,
            incomplete: Incomplete::default(),
            only_checks: false,
            is_served: false,
            running: Arc::default(),
        }
    }

    fn run(mut self) -> End {
        let mut events = Vec::with_capacity(64);
        loop {
            self.round(&mut events);
            if let Some(end) = self.core.end() {
                self.core.farewell();
                if end == End::Broken {
                    // its drop may rely on state that a panic left incomplete
                    std::mem::forget(self.plugin);
                }
                return end;
            }
        }
    }

    fn round(&mut self, events: &mut Vec<epoll::Event>) {
        self.core.arm();
        self.core.flush();
        self.wait(events);
        let channel = self.serve_descriptors(events);
        self.serve_timers();
        if channel && !self.core.is_ended() {
            self.serve_channel();
        }
        self.serve_partners();
        self.serve_messages();
        self.end_pending_stop();
    }

    fn wait(&self, events: &mut Vec<epoll::Event>) {
        events.clear();
        let poll_only = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        let timeout = self.core.has_inbox().then_some(&poll_only);
        let watches = self.core.watches.borrow();
        let room = rustix::buffer::spare_capacity(events);
        match epoll::wait(watches.epoll(), room, timeout) {
            // a round without events does no harm
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => self.core.is_robbed(errno),
        }
    }

    /// Handles descriptors that are ready. Returns true if the channel to the peer is readable.
    fn serve_descriptors(&mut self, events: &[epoll::Event]) -> bool {
        let mut channel = false;
        self.core.readable.set(false);
        for event in events {
            let flags = event.flags;
            match Watches::source(event.data.u64()) {
                Source::Own(SOCKET) => self.core.readable.set(flags != epoll::EventFlags::OUT),
                Source::Plugin(fd) => self.plugin_fd(fd, flags.bits()),
                Source::Own(WAKE) => {
                    if self.core.outbound.take_woken() {
                        self.enter("woken", T::woken);
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
                // timers are checked in every round
                Source::Own(_) => {}
            }
            if self.core.is_ended() {
                return false;
            }
        }
        channel
    }

    fn plugin_fd(&mut self, fd: i32, events: u32) {
        // an earlier callback of this round may have stopped the watching
        if self.core.watches.borrow().is_watched(fd) {
            self.enter("fd", |plugin| plugin.fd(fd, Ready(events & Ready::ALL)));
        }
    }

    fn serve_timers(&mut self) {
        let now_ns = now_ns();
        // at most as many as there were: a timer that is set again for the past waits for the next round
        let count = self.core.timers.borrow().len();
        for _ in 0..count {
            let due = self.core.timers.borrow_mut().pop_due(now_ns);
            match due {
                Some(id) if !self.core.is_ended() => {
                    self.enter("timer", |plugin| plugin.timer(id));
                }
                _ => return,
            }
        }
    }

    fn serve_messages(&mut self) {
        for _ in 0..MESSAGES_PER_ROUND {
            if self.core.is_ended() {
                return;
            }
            let next = match self.core.take_inbox() {
                Some(queued) => Some(queued),
                None if self.core.readable.get() => self.receive(),
                None => None,
            };
            match next {
                Some((message, descriptors)) => self.dispatch(message, descriptors),
                None => return,
            }
        }
    }

    fn receive(&mut self) -> Option<(ToPlugin, Vec<OwnedFd>)> {
        match self.core.receive() {
            Ok(received) => received,
            Err(ReceiveError::Closed) => {
                self.daemon_is_gone();
                None
            }
            Err(error) => {
                let text = format!("the daemon {}", error.predicate());
                self.core.outbound.log(LogLevel::Error, &text);
                self.core.end_with(End::Broken);
                None
            }
        }
    }

    /// Calls the plugin, if there is one. A slow callback is counted and logged. After a panic nothing is called again.
    fn enter<R>(&mut self, callback: &str, call: impl FnOnce(&mut T) -> R) -> Option<R> {
        let plugin = self.plugin.as_mut()?;
        let begin_ns = now_ns();
        let result = catch_unwind(AssertUnwindSafe(|| call(plugin)));
        let took_ns = now_ns() - begin_ns;
        if took_ns > CALLBACK_NS_MAX {
            if let Some(line) = self.slow.note(begin_ns, callback, took_ns) {
                self.core.outbound.log(LogLevel::Debug, &line);
            }
        }
        result.map_err(|payload| self.panicked(payload)).ok()
    }

    fn panicked(&mut self, payload: Box<dyn std::any::Any + Send>) {
        // a payload whose drop panics would end the loop without a message
        std::mem::forget(payload);
        self.core.note_failure("", "the plugin panicked");
        self.core.end_with(End::Broken);
    }
}
