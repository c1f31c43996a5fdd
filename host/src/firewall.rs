//! The process that keeps the link's rule in the administrator's firewall, as the host sees it: started when there is
//! a link or a rule may be left, told what must pass, started again when it ends, for which its rules stay.
//!
//! `handle_*` feed it, [`Firewall::take_notices`] drains it. Nothing waits but [`Firewall::end`].

use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use spared_message::clean;
use spared_message::firewall::{FromFirewall, Passage, RuleState, ToFirewall};
use spared_process::account::Account;
use spared_process::child::SOCKET_FD;
use spared_process::codec::{self, Receiver};
use spared_process::limit::Limit;
use spared_process::poller::{Key, Poller};
use spared_process::{Child, Killed, Policy, RestartBudget};

use crate::events::{Kind, Notice};

/// Interval of pings, of which one at a time waits for its answer.
const PING_EVERY: Duration = Duration::from_secs(10);
/// Longest time without an answer: `nft` may run several times, each for 5 s at most.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
/// Longest wait for the removal of the rules at the end.
const END_TIMEOUT: Duration = Duration::from_secs(1);
/// Messages that one turn of the loop reads.
const BUDGET: usize = 64;

/// The process, or none.
#[derive(Debug)]
pub struct Firewall {
    exe: PathBuf,
    account: Option<Account>,
    /// File that exists while our rules may exist, for the next run.
    marker: PathBuf,
    /// What must pass, once a process is needed.
    wanted: Option<Option<Passage>>,
    process: Option<Process>,
    /// Killed and not yet reaped.
    dying: Killed,
    serial: u64,
    /// Number of the last order. Answers to older ones say nothing any more.
    order: u64,
    restart_budget: RestartBudget,
    start_at: Option<Instant>,
    /// What filters the link, and what to do about it.
    kept: Option<String>,
    /// Why nobody keeps the rule.
    down: Option<String>,
    lines: Limit,
    notices: Vec<Notice>,
}

#[derive(Debug)]
struct Process {
    serial: u64,
    child: Child,
    socket: OwnedFd,
    receiver: Receiver,
    pinged_at: Instant,
    is_pinged: bool,
}

impl Firewall {
    /// `account` is None where this process may not change to it.
    pub fn new(exe: PathBuf, account: Option<Account>, marker: PathBuf, now: Instant) -> Self {
        Self {
            exe,
            account,
            marker,
            wanted: None,
            process: None,
            dying: Killed::default(),
            serial: 0,
            order: 0,
            restart_budget: RestartBudget::new(Policy::FIREWALL),
            start_at: None,
            kept: None,
            down: None,
            lines: Limit::new(5, 50, now),
            notices: Vec::new(),
        }
    }

    /// Takes what must pass at the start and after a reload; None removes the rules.
    pub fn configure(&mut self, poller: &Poller, now: Instant, passage: Option<Passage>) {
        let is_needed = self.wanted.is_some() || passage.is_some() || self.marker.exists();
        if !is_needed {
            return;
        }
        self.wanted = Some(passage);
        match &self.process {
            Some(_) => self.tell_wanted(now),
            None if self.start_at.is_none() => self.start(poller, now),
            None => {}
        }
    }

    /// What filters the link, if anything.
    pub fn filtered(&self) -> Option<String> {
        self.kept.clone()
    }

    /// Why nobody keeps the rule or looks what filters the link, if so.
    pub fn down(&self) -> Option<String> {
        self.down.clone()
    }

    /// Its process id.
    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(|it| it.child.pid())
    }

    pub fn take_notices(&mut self) -> Vec<Notice> {
        std::mem::take(&mut self.notices)
    }

    /// Removes the rules and ends the process.
    pub fn end(mut self) {
        let Some(mut process) = self.process.take() else {
            if self.marker.exists() {
                log::warn!("the link's rule may remain in the firewall: its process does not run");
            }
            return;
        };
        let _ = process.send(&ToFirewall::End);
        let until = Instant::now() + END_TIMEOUT;
        while process.wait(until) {
            match process.receive() {
                Ok(Some(FromFirewall::Ended { ours })) => return self.mark(ours),
                Ok(Some(message)) => self.handle_message(message),
                Ok(None) => {}
                Err(_) => break,
            }
        }
        log::warn!("nft timed out: the link's rule may remain in the firewall");
    }

    // ---- what wakes the loop

    pub fn handle_readable(&mut self, now: Instant, serial: u64) {
        for _ in 0..BUDGET {
            let Some(process) = self.process.as_mut().filter(|it| it.serial == serial) else {
                return;
            };
            match process.receive() {
                Ok(Some(message)) => self.handle_message(message),
                Ok(None) => return,
                Err(why) => return self.handle_ended(now, &why),
            }
        }
    }

    /// A process has ended.
    pub fn handle_exit(&mut self, now: Instant, serial: u64) {
        if self.dying.handle_exit(serial) {
            return;
        }
        self.handle_readable(now, serial);
        if self.process.as_ref().is_some_and(|it| it.serial == serial) {
            self.handle_ended(now, "ended");
        }
    }

    pub fn next_timeout(&self) -> Option<Instant> {
        let ping = self.process.as_ref().map(Process::next_timeout);
        self.start_at.into_iter().chain(ping).min()
    }

    pub fn handle_timeout(&mut self, poller: &Poller, now: Instant) {
        if self.start_at.is_some_and(|at| now >= at) {
            self.start(poller, now);
        }
        let Some(process) = &mut self.process else {
            return;
        };
        if now < process.next_timeout() {
            return;
        }
        if process.is_pinged {
            let why = format!("did not answer for {} s", ANSWER_TIMEOUT.as_secs());
            return self.handle_ended(now, &why);
        }
        (process.pinged_at, process.is_pinged) = (now, true);
        if let Err(why) = process.send(&ToFirewall::Ping) {
            self.handle_ended(now, &why);
        }
    }

    // It has no rights beyond the firewall: its texts are cleaned, its answers bounded.
    fn handle_message(&mut self, message: FromFirewall) {
        match message {
            FromFirewall::State { order, state, ours } if order == self.order => {
                self.down = None;
                self.mark(ours);
                self.handle_state(state);
            }
            FromFirewall::State { .. } | FromFirewall::Ended { .. } => {}
            FromFirewall::Warning(text) => {
                if self.lines.take(Instant::now()) {
                    log::warn!("{}", clean::text(&text));
                }
            }
            FromFirewall::Pong => {
                if let Some(process) = &mut self.process {
                    process.is_pinged = false;
                }
            }
        }
    }

    fn handle_state(&mut self, state: RuleState) {
        let kept = match state {
            RuleState::Kept(why) => Some(clean::text(&why)),
            RuleState::PutBack => {
                self.warn(
                    "the link's rule in the firewall was removed by another program; restored",
                );
                None
            }
            RuleState::Passes => None,
        };
        if let Some(why) = kept.as_ref().filter(|_| kept != self.kept) {
            self.warn(why);
        }
        self.kept = kept;
    }

    fn warn(&mut self, text: &str) {
        if self.lines.take(Instant::now()) {
            let notice = Notice::warn(Kind::Link, text).because("firewall");
            self.notices.push(notice);
        }
    }

    fn mark(&self, ours: bool) {
        let marked = match ours {
            true => fs::write(&self.marker, ""),
            false => fs::remove_file(&self.marker),
        };
        match marked {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                log::warn!("{}: {error}", self.marker.display());
            }
            _ => {}
        }
    }

    // ---- life

    fn start(&mut self, poller: &Poller, now: Instant) {
        self.start_at = None;
        self.serial += 1;
        let spawned = Process::spawn(&self.exe, self.serial, now).and_then(|process| {
            poller.watch(&process.socket, Key::Firewall(self.serial))?;
            poller.watch(process.child.pidfd(), Key::FirewallExit(self.serial))?;
            Ok(process)
        });
        match spawned {
            Ok(process) => {
                let begin = ToFirewall::Begin {
                    account: self.account,
                    ours: self.marker.exists(),
                };
                let sent = process.send(&begin);
                self.process = Some(process);
                match sent {
                    Ok(()) => self.tell_wanted(now),
                    Err(why) => self.handle_ended(now, &why),
                }
            }
            Err(error) => self.plan_start(now, &format!("cannot be started: {error}")),
        }
    }

    fn tell_wanted(&mut self, now: Instant) {
        let (Some(wanted), Some(process)) = (&self.wanted, &self.process) else {
            return;
        };
        // Before the rule, so that a run after this one knows of it.
        if wanted.as_ref().is_some_and(|it| it.chain.is_some()) {
            self.mark(true);
        }
        self.order += 1;
        let message = ToFirewall::Keep {
            order: self.order,
            passage: wanted.clone(),
        };
        if let Err(why) = process.send(&message) {
            self.handle_ended(now, &why);
        }
    }

    fn handle_ended(&mut self, now: Instant, why: &str) {
        let Some(mut process) = self.process.take() else {
            return;
        };
        let reason = process.child.exit_reason();
        self.dying.add(now, process.serial, process.child);
        self.plan_start(now, reason.as_deref().unwrap_or(why));
    }

    fn plan_start(&mut self, now: Instant, why: &str) {
        let pause = self.restart_budget.handle_end(now).pause();
        self.start_at = Some(now + pause);
        let ms = pause.as_millis();
        self.warn(&format!(
            "the process of the firewall {why}; restarting in {ms} ms"
        ));
        self.down = Some(format!("the process of the firewall {why}"));
    }
}

impl Process {
    fn spawn(exe: &Path, serial: u64, now: Instant) -> io::Result<Self> {
        let (socket, theirs) = codec::pair()?;
        // It changes its account itself, as it keeps a capability.
        let child = Child::spawn(
            exe,
            &["firewall"],
            None,
            Stdio::inherit(),
            [(theirs.as_fd(), SOCKET_FD)],
        )?;
        Ok(Self {
            serial,
            child,
            socket,
            receiver: Receiver::default(),
            pinged_at: now,
            is_pinged: false,
        })
    }

    fn send(&self, message: &ToFirewall) -> Result<(), String> {
        let sent = codec::send(self.socket.as_fd(), message, &[]);
        sent.map_err(|error| format!("cannot be reached: {error}"))
    }

    /// Descriptors from it are closed.
    fn receive(&mut self) -> Result<Option<FromFirewall>, String> {
        let received = self.receiver.receive(&self.socket);
        received
            .map(|received| received.map(|(message, _descriptors)| message))
            .map_err(|error| error.of_it())
    }

    fn next_timeout(&self) -> Instant {
        let pause = if self.is_pinged {
            ANSWER_TIMEOUT
        } else {
            PING_EVERY
        };
        self.pinged_at + pause
    }

    /// Whether something is to be read before that time.
    fn wait(&self, until: Instant) -> bool {
        let most = until.saturating_duration_since(Instant::now());
        let most = Timespec::try_from(most).ok();
        let mut ready = [PollFd::new(&self.socket, PollFlags::IN)];
        matches!(poll(&mut ready, most.as_ref()), Ok(1..))
    }
}
