//! [`Runner`], which makes a plugin of an engine and its I/O.

#[cfg(test)]
mod tests;

use std::os::fd::RawFd;
use std::thread;
use std::time::{Duration, Instant};

use crate::config::Config;
use crate::engine::{Commands, Engine, Io};
use crate::{
    Alarm, Answer, Applied, Checks, Documents, Error, Host, InterfaceEvent, Interfaces, Local,
    OpenSockets, PairStatus, Partner, Peer, PeerHandle, Plugin, Progress, Query, Ready, RoleEvent,
    Roles, SendError, Token, Transfer, Trouble, Watch,
};

/// Timer of the runner; every other number is free for [`Io::timer`].
const TIMER: u32 = u32::MAX;
/// Time in ns after which a callback begins no more actions; the host allows 50 ms in total.
const SLICE_NS: u64 = 10_000_000;
/// Time in ns after which a callback begins no more actions while addresses wait for this plugin. It is shorter because
/// the role is the next message of the host, and other messages come before it.
const SETTLING_SLICE_NS: u64 = 2_000_000;
/// Minimum time in ns between two reports of why the plugin is not in sync. With each report both hosts judge the pair
/// again, which takes time from the work that brings the plugin in sync.
const REASONS_NS: u64 = 250_000_000;
/// Number of messages between two looks at the clock.
const BURST: usize = 8;
/// Maximum delay of the peer's next message, a bit less than a callback may take.
const PATIENCE: Duration = Duration::from_millis(40);
const PAUSE: Duration = Duration::from_millis(1);

/// Plugin made of an [`Engine`] and its [`Io`], exported like any other plugin: `plugin!(Runner<Mine> { ... })`.
///
/// After each callback of the host, the runner works until nothing is left to do:
///
/// 1. Actions of the engine are performed ([`Engine::poll_action`], [`Io::perform`]).
/// 2. If there are none, [`Io::poll`] passes on one piece of what it reads.
/// 3. Messages are sent to the peer until the channel is full ([`Engine::poll_message`]). One that
///    found no room stays with the engine, and is sent first when there is room.
///
/// After 10 ms it returns to the host, and continues in the next callback, which follows at once. When nothing is left,
/// it completes a drain or settle ([`Engine::is_drained`], [`Engine::is_settled`]) and sets a timer for the earlier one
/// of [`Engine::next_timeout`] and [`Io::next_timeout`]. A settle may be complete before that
/// ([`Engine::is_settled_enough`]). After each callback the runner reads [`Engine::in_sync`] and [`Engine::troubles`],
/// and reports them to the host if they changed. Another reason why the plugin is not in sync is reported at most every
/// 250 ms, everything else at once.
pub struct Runner<I: Io> {
    host: Host,
    /// Settings; None until `configure`.
    settings: Option<I::Settings>,
    /// State between `start` and `stop`; None outside.
    running: Option<Running<I>>,
}

/// State between `start` and `stop`.
struct Running<I: Io> {
    io: I,
    engine: I::Engine,
    host: Host,
    peer: PeerHandle,
    /// True if the channel has no room until `writable` or `up`.
    is_full: bool,
    /// `in_sync` as last reported to the host; None if not reported since the last `up` or `down`.
    told: Option<Result<(), String>>,
    /// Time in ns from which another reason may be reported.
    reason_ns: u64,
    checks: Checks,
    /// Troubles as last reported to the host.
    troubles: Vec<Trouble>,
    draining: Vec<Token>,
    settling: Vec<Token>,
    alarm: Alarm,
}

impl<I: Io> Plugin for Runner<I> {
    type Settings = I::Settings;

    fn create(host: Host) -> Result<Self, Error> {
        Ok(Self {
            host,
            settings: None,
            running: None,
        })
    }

    fn read(config: &Config) -> Result<I::Settings, Error> {
        I::read(config)
    }

    fn configure(&mut self, new: I::Settings) -> Result<Applied, Error> {
        if let (Some(it), Some(old)) = (&mut self.running, &self.settings) {
            let now_ns = self.host.now();
            let applied = it.io.configure(&mut it.engine, now_ns, old, &new);
            it.work();
            if applied? == Applied::Restart {
                return Ok(Applied::Restart);
            }
        }
        self.settings = Some(new);
        Ok(Applied::Live)
    }

    fn start(&mut self, _token: Token) -> Result<Progress, Error> {
        let Some(settings) = &self.settings else {
            return Err(Error::Plugin("started before it was configured".to_owned()));
        };
        let (io, engine) = I::start(self.host, settings)?;
        let running = self.running.insert(Running {
            io,
            engine,
            host: self.host,
            peer: self.host.peer(),
            is_full: false,
            told: None,
            reason_ns: 0,
            checks: self.host.checks(),
            troubles: Vec::new(),
            draining: Vec::new(),
            settling: Vec::new(),
            alarm: Alarm::new(self.host, TIMER),
        });
        running.work();
        Ok(Progress::Done)
    }

    fn stop(&mut self, _token: Token) -> Result<Progress, Error> {
        if let Some(mut running) = self.running.take() {
            running.alarm.set(None);
            running.io.stop(running.engine);
        }
        Ok(Progress::Done)
    }

    fn fd(&mut self, fd: RawFd, ready: Ready) {
        self.with(|it, now_ns| it.io.fd(&mut it.engine, now_ns, fd, ready));
    }

    fn timer(&mut self, id: u32) {
        self.with(|it, now_ns| {
            if id == TIMER {
                it.alarm.fired();
                it.io.handle_timeout(&mut it.engine, now_ns);
            } else {
                it.io.timer(&mut it.engine, now_ns, id);
            }
        });
    }

    fn woken(&mut self) {
        self.with(|it, now_ns| it.io.woken(&mut it.engine, now_ns));
    }
}

impl<I: Io> Roles for Runner<I> {
    fn role(&mut self, event: &RoleEvent, token: Token) -> Result<Progress, Error> {
        let done = self.with(|it, now_ns| it.io.role(&mut it.engine, now_ns, event, token));
        done.unwrap_or(Ok(Progress::Done))
    }
}

impl<I: Io> Transfer for Runner<I> {
    fn drain(&mut self, token: Token, deadline_ns: u64) -> Result<Progress, Error> {
        let begun = self.with(|it, now_ns| {
            it.io.drain(&mut it.engine, now_ns, deadline_ns);
            it.draining.push(token);
        });
        Ok(pending_if(begun.is_some()))
    }

    fn settle(&mut self, token: Token, deadline_ns: u64) -> Result<Progress, Error> {
        let begun = self.with(|it, now_ns| {
            it.io.settle(&mut it.engine, now_ns, deadline_ns);
            it.settling.push(token);
        });
        Ok(pending_if(begun.is_some()))
    }
}

impl<I: Commands> Query for Runner<I> {
    const VERBS: &'static [crate::Verb] = I::VERBS;

    fn query(&mut self, argv: &[&str], answer: &mut Answer) -> Result<Progress, Error> {
        let done = self.with(|it, now_ns| it.io.query(&mut it.engine, now_ns, argv, answer));
        done.unwrap_or(Ok(Progress::Done))
    }
}

impl<I: Io> Interfaces for Runner<I> {
    fn changed(&mut self, event: &InterfaceEvent, sockets: &OpenSockets<'_>) {
        self.with(|it, now_ns| it.io.changed(&mut it.engine, now_ns, event, sockets));
    }
}

impl<I: Io> Peer for Runner<I> {
    fn up(&mut self, wire: u32) {
        self.with(|it, now_ns| {
            (it.is_full, it.told) = (false, None);
            it.engine.handle_up(now_ns, wire);
        });
    }

    fn down(&mut self) {
        self.with(|it, now_ns| {
            it.told = None;
            it.engine.handle_down(now_ns);
        });
    }

    fn message(&mut self, message: &[u8]) {
        self.with(|it, now_ns| {
            if let Err(why) = it.engine.handle_message(now_ns, message) {
                log::debug!("the peer sent {} bytes: {why}", message.len());
            }
        });
        if let Some(running) = &mut self.running {
            running.make_room();
        }
    }

    fn writable(&mut self) {
        self.with(|it, _| it.is_full = false);
    }
}

impl<I: Io> Watch for Runner<I> {
    fn status(&mut self, status: &PairStatus) {
        self.with(|it, now_ns| it.io.status(&mut it.engine, now_ns, status));
    }
}

impl<I: Io> Documents for Runner<I> {
    fn document(&mut self, ticket: u64, document: Result<&str, Error>) {
        self.with(|it, now_ns| it.io.document(&mut it.engine, now_ns, ticket, document));
    }
}

impl<I: Io> Local for Runner<I> {
    const PARTNERS: &'static [Partner] = I::PARTNERS;

    fn partner_up(&mut self, partner: usize) {
        self.with(|it, now_ns| it.io.partner_up(&mut it.engine, now_ns, partner));
    }

    fn partner_down(&mut self, partner: usize) {
        self.with(|it, now_ns| it.io.partner_down(&mut it.engine, now_ns, partner));
    }

    fn partner_message(&mut self, partner: usize, message: &[u8]) {
        self.with(|it, now_ns| {
            it.io
                .partner_message(&mut it.engine, now_ns, partner, message)
        });
    }

    fn partner_writable(&mut self, partner: usize) {
        self.with(|it, now_ns| it.io.partner_writable(&mut it.engine, now_ns, partner));
    }
}

impl<I: Io> Runner<I> {
    /// Passes an input to the two halves, then works. None if they do not run.
    fn with<T>(&mut self, input: impl FnOnce(&mut Running<I>, u64) -> T) -> Option<T> {
        let running = self.running.as_mut()?;
        let result = input(running, self.host.now());
        running.work();
        Some(result)
    }
}

/// Result of a callback that may have begun a call. If the call was completed within the callback, the host ignores
/// `Pending`.
fn pending_if(begun: bool) -> Progress {
    if begun {
        Progress::Pending
    } else {
        Progress::Done
    }
}

impl<I: Io> Running<I> {
    /// Works for a slice of time. Returns true if something is left to do.
    fn work(&mut self) -> bool {
        let mut now_ns = self.host.now();
        let slice_ns = if self.settling.is_empty() {
            SLICE_NS
        } else {
            SETTLING_SLICE_NS
        };
        let until_ns = now_ns.saturating_add(slice_ns);
        let mut is_busy = true;
        while is_busy && now_ns < until_ns {
            is_busy = self.round(now_ns);
            now_ns = self.host.now();
            self.end_settling_early(now_ns);
        }
        let reason_ns = self.tell_in_sync(now_ns);
        self.tell_troubles();
        let next_ns = if is_busy {
            Some(now_ns)
        } else {
            self.end_calls();
            let next_ns = self.engine.next_timeout(now_ns);
            let times = [next_ns, self.io.next_timeout(), reason_ns];
            times.into_iter().flatten().min()
        };
        self.alarm.set(next_ns);
        is_busy
    }

    /// Performs an action or, if there is none, reads and sends. Returns true if it did anything. All actions are
    /// performed before [`Io::poll`] is called.
    fn round(&mut self, now_ns: u64) -> bool {
        if let Some(action) = self.engine.poll_action(now_ns) {
            if let Err(error) = self.io.perform(&mut self.engine, now_ns, action) {
                log::warn!("{error}");
            }
            return true;
        }
        let has_read = self.io.poll(&mut self.engine, now_ns);
        self.send(now_ns) || has_read
    }

    /// Sends messages. Returns true if one was sent.
    fn send(&mut self, now_ns: u64) -> bool {
        for sent in 0..BURST {
            if self.is_full {
                return sent > 0;
            }
            let Some(message) = self.engine.poll_message(now_ns) else {
                return sent > 0;
            };
            match self.peer.send(message) {
                Ok(()) => {}
                Err(SendError::Full | SendError::Down) => {
                    self.is_full = true;
                    return sent > 0;
                }
                // the message would be refused again
                Err(error) => log::error!("a message of {} bytes: {error}", message.len()),
            }
            self.engine.message_sent(now_ns);
        }
        true
    }

    /// Reports a changed in-sync state. Returns the time at which another reason may be reported, if one waits for
    /// that.
    fn tell_in_sync(&mut self, now_ns: u64) -> Option<u64> {
        let said = self.engine.in_sync()?;
        if self.told.as_ref() == Some(&said) {
            return None;
        }
        let is_reason = said.is_err() && matches!(self.told, Some(Err(_)));
        if is_reason && now_ns < self.reason_ns {
            return Some(self.reason_ns);
        }
        let why = said.as_ref().err().map_or("", String::as_str);
        match self.peer.in_sync(said.is_ok(), why) {
            Ok(()) => {
                self.reason_ns = now_ns.saturating_add(REASONS_NS);
                self.told = Some(said);
            }
            Err(error) => log::warn!("{error}"),
        }
        None
    }

    fn tell_troubles(&mut self) {
        let troubles = self.engine.troubles();
        if troubles == self.troubles {
            return;
        }
        let old = std::mem::replace(&mut self.troubles, troubles);
        let is_over = |it: &&Trouble| !self.troubles.iter().any(|new| new.thing == it.thing);
        let over = old.iter().filter(is_over);
        let new = self.troubles.iter().filter(|it| !old.contains(it));
        let told = over.map(|it| self.checks.forget(&it.thing));
        let told = told.chain(new.map(|it| self.checks.trouble(it)));
        for error in told.filter_map(Result::err) {
            log::warn!("{error}");
        }
    }

    fn end_calls(&mut self) {
        if !self.draining.is_empty() && self.engine.is_drained() {
            for token in self.draining.drain(..) {
                self.host.done(token, Ok(()));
            }
        }
        if !self.settling.is_empty() && self.engine.is_settled() {
            self.end_settling();
        }
    }

    /// Completes a settle as soon as addresses may move, although actions are left.
    fn end_settling_early(&mut self, now_ns: u64) {
        if !self.settling.is_empty() && self.engine.is_settled_enough(now_ns) {
            self.end_settling();
        }
    }

    fn end_settling(&mut self) {
        for token in self.settling.drain(..) {
            self.host.done(token, Ok(()));
        }
    }

    /// Delays the return from the callback of a message while the engine cannot take another one. Meanwhile the channel
    /// is not read, which slows down a peer that sends more than the engine can apply.
    fn make_room(&mut self) {
        let begun = Instant::now();
        while !self.engine.wants_message() && begun.elapsed() < PATIENCE {
            if !self.work() {
                thread::sleep(PAUSE);
            }
        }
    }
}
