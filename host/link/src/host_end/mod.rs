//! Manages the link's process for the host: starts it, sends its setup, pings it, and restarts it. The process runs
//! whenever both nodes have keys, with or without a path to the peer.
//!
//! `handle_*` feed it, [`Link::poll_report`] drains it. Nothing here ever waits. Data from the network arrives only as
//! typed messages of the process: the host parses no packet.

mod channels;
mod message;
mod outbox;
mod state;
#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, VecDeque};
use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use spared_config as config;
use spared_message::clean;
use spared_message::control::LinkStatus;
use spared_message::link::{FromLink, State, ToLink};
use spared_message::starter::Start;
use spared_message::word::{Introduction, Word};
use spared_process::clock;
use spared_process::poller::{Key, Poller};
use spared_process::starter::Starter;
use spared_process::token_bucket::TokenBucket;
use spared_process::{MessageHandler, PING_EVERY, Pings, Policy, Subprocess, Usage, nearest_tick};
use spared_records::SendError;
use spared_verdict::LinkFacts;

use outbox::Outbox;
use spared_message::notice::{Kind, Notice};
use state::LinkState;
use zeroize::Zeroizing;

/// Pause before a message is sent again to a process that had no room for it.
const FLUSH_EVERY: Duration = Duration::from_millis(5);

/// Maximum time for the last words to the peer when the daemon ends, such as an answer to a user there.
const LAST_WORDS: Duration = Duration::from_millis(100);

/// A report to the host about the link.
#[derive(Debug)]
pub enum Report {
    /// A new process runs, and has no channels yet.
    Started,
    /// The process got its setup, and does not know the state of the paths yet.
    Configured,
    /// The first session with the peer has started.
    Up,
    /// The last session has ended, or the peer was restarted: every channel is down.
    Down {
        why: String,
    },
    /// A word from the peer's host, which must not be trusted.
    Heard(Box<Word>),
    /// The peer's mark has arrived, and everything before it is in the worker's socket.
    Marked {
        id: u64,
        channel: String,
    },
    Tell(Notice),
}

/// Link process, whether it runs or not.
#[derive(Debug)]
pub struct Link {
    process: Subprocess,
    outbox: Outbox,
    /// Time at which the outbox is flushed again.
    flush_at: Option<Instant>,
    pings: Pings,
    setup: Option<config::Link>,
    introduction: Introduction,
    pinged_at: Instant,
    /// True if the process did not answer at the last check.
    was_silent: bool,
    lines: TokenBucket,
    /// Limit of events that strangers cause at the port, so that they do not use up the limit of others.
    refusals: TokenBucket,
    link_state: LinkState,
    reports: VecDeque<Report>,
}

impl Link {
    pub fn new(starter: Starter, now: Instant) -> Self {
        let keys = [Key::Link, Key::LinkExit];
        Self {
            process: Subprocess::new(starter, Start::Link, keys, Policy::LINK),
            outbox: Outbox::default(),
            flush_at: None,
            pings: Pings::default(),
            setup: None,
            introduction: Introduction::default(),
            pinged_at: now,
            was_silent: false,
            lines: TokenBucket::new(5, 50, now),
            refusals: TokenBucket::new(1, 20, now),
            link_state: LinkState::default(),
            reports: VecDeque::new(),
        }
    }

    /// Sets the configuration. A running process gets the changed setup.
    pub fn configure(
        &mut self,
        poller: &Poller,
        now: Instant,
        setup: Option<config::Link>,
        introduction: Introduction,
    ) {
        // The machine's boot time is not exact to the second, so it alone is no difference.
        let same_node = self.introduction.node == introduction.node;
        if self.setup == setup && same_node {
            return;
        }
        let peer = |setup: &Option<config::Link>| setup.as_ref().map(|setup| setup.peer.clone());
        if !same_node || peer(&self.setup) != peer(&setup) {
            // The pair is another one: nothing that is queued concerns it.
            self.end_process(now, "the configuration names other nodes");
        }
        let is_linked =
            |setup: &Option<config::Link>| setup.as_ref().is_some_and(|it| !it.paths.is_empty());
        if is_linked(&self.setup) && !is_linked(&setup) {
            // Everything that the link told about the peer is invalid at once. Without paths a process still runs to
            // hold the keys.
            self.end_process(now, "there is no [[link]] any more");
        }
        (self.setup, self.introduction) = (setup, introduction);
        if self.setup.is_none() {
            self.process.stay_ended();
            self.end_process(now, "the configuration names no keys any more");
            self.link_state.set_paths(Vec::new());
        } else if self.process.is_up() {
            self.tell_setup(now);
        } else {
            self.start(poller, now);
        }
    }

    /// Ends the process, which sends what it was told before.
    pub fn end(mut self) {
        let _ = self.outbox.flush(&self.process);
        self.process.end(LAST_WORDS);
    }

    pub fn poll_report(&mut self) -> Option<Report> {
        self.reports.pop_front()
    }

    // ---- what wakes the loop

    pub fn next_timeout(&self) -> Option<Instant> {
        let ping = self.process.is_up().then(|| self.pinged_at + PING_EVERY);
        let silent = self.pings.silent_at().filter(|_| !self.was_silent);
        let start = self.process.start_at().into_iter();
        start.chain(ping).chain(silent).chain(self.flush_at).min()
    }

    pub fn handle_timeout(&mut self, poller: &Poller, now: Instant) {
        self.process.handle_timeout();
        if self.process.is_due(now) {
            self.start(poller, now);
        }
        if self.flush_at.take_if(|at| now >= *at).is_some() {
            let flushed = self.outbox.flush(&self.process);
            self.handle_send_result(now, flushed);
        }
        self.was_silent = self.is_silent(now);
        if now.saturating_duration_since(self.pinged_at) >= PING_EVERY {
            self.pinged_at = nearest_tick(self.pinged_at, PING_EVERY, now);
            self.ping(now);
            let limits = [&mut self.lines, &mut self.refusals];
            let suppressed: u64 = limits.map(TokenBucket::take_suppressed_count).iter().sum();
            if suppressed > 0 {
                log::warn!("link: {suppressed} more log lines suppressed");
            }
        }
    }

    fn ping(&mut self, now: Instant) {
        let Some(pid) = self.process.pid() else {
            return;
        };
        let Some(number) = self.pings.next(Usage::of(pid)) else {
            let why = format!("did not answer for {} s", self.pings.missed());
            return self.handle_ended(now, &why);
        };
        self.pings.handle_sent(now);
        self.send(now, &ToLink::Ping { number }, &[]);
    }

    fn handle_wire(&mut self, plugin: String, agreed: Result<u32, String>) {
        if let Some(why) = self.link_state.wire(&plugin, agreed) {
            self.tell(Notice::warn(Kind::Link, why).because("wire"));
        }
    }

    fn go_down(&mut self, why: String) {
        if self.link_state.down() {
            let peer = self.setup.as_ref().map_or("the peer", |s| s.peer.as_str());
            let text = format!("{peer} is not heard on any link: {why}");
            self.tell(Notice::warn(Kind::Link, text).because("peer-down"));
            self.reports.push_back(Report::Down { why });
        }
    }

    // ---- life

    fn start(&mut self, poller: &Poller, now: Instant) {
        if let Err(error) = self.process.start(poller) {
            return self.plan_start(now, &format!("cannot be started: {error}"));
        }
        self.pings = Pings::default();
        self.pinged_at = nearest_tick(self.pinged_at, PING_EVERY, now);
        self.tell_setup(now);
        self.reports.push_back(Report::Started);
    }

    fn tell_setup(&mut self, now: Instant) {
        let Some(setup) = &self.setup else {
            return;
        };
        let interfaces = setup.paths.iter().map(|path| path.interface.clone());
        self.link_state.set_paths(interfaces.collect());
        let record = message::setup(setup, &self.introduction);
        if self.send_record(now, record, &[]) {
            self.reports.push_back(Report::Configured);
        }
    }

    fn end_process(&mut self, now: Instant, why: &str) {
        if !self.process.kill(now) {
            return;
        }
        self.pings = Pings::default();
        (self.outbox, self.flush_at) = (Outbox::default(), None);
        self.go_down(why.to_owned());
        self.link_state.forget(why);
    }

    fn plan_start(&mut self, now: Instant, why: &str) {
        let ms = self.process.plan_start(now).as_millis();
        let text = format!("the link's process {why}; restarting in {ms} ms");
        self.tell(Notice::warn(Kind::Link, text).because("died"));
    }

    fn tell(&mut self, news: Notice) {
        self.reports.push_back(Report::Tell(news));
    }

    // ---- speaking

    /// Sends a message now, or when the process has room again. Returns false if no process runs.
    pub fn send(&mut self, now: Instant, message: &ToLink, descriptors: &[BorrowedFd<'_>]) -> bool {
        self.send_record(
            now,
            spared_records::encode(message).map(Zeroizing::new),
            descriptors,
        )
    }

    fn send_record(
        &mut self,
        now: Instant,
        record: Result<Zeroizing<Vec<u8>>, SendError>,
        descriptors: &[BorrowedFd<'_>],
    ) -> bool {
        let sent = record.and_then(|it| self.outbox.send(&self.process, it, descriptors));
        self.handle_send_result(now, sent)
    }

    /// Handles the result of an attempt to send: a process that cannot be reached is restarted. Returns true if a
    /// process runs.
    fn handle_send_result(&mut self, now: Instant, sent: Result<(), SendError>) -> bool {
        if let Err(error) = sent {
            self.handle_ended(now, &error.predicate());
            return false;
        }
        // A time that is planned stays, or messages that follow each other faster would delay it for ever.
        self.flush_at = if self.outbox.is_empty() {
            None
        } else {
            self.flush_at.or(Some(now + FLUSH_EVERY))
        };
        let lost = self.outbox.take_lost();
        if lost > 0 {
            log::warn!("link: {lost} messages to the peer's daemon were lost: the link was busy");
        }
        self.process.is_up()
    }

    // ---- facts

    /// Returns true if a process runs and has its configuration.
    pub fn is_running(&self) -> bool {
        self.process.is_up()
    }

    /// Returns the id of the process.
    pub fn pid(&self) -> Option<u32> {
        self.process.pid()
    }

    /// Returns true if there is a session with the peer.
    pub fn is_up(&self) -> bool {
        self.link_state.is_up
    }

    /// Returns the plugins whose peer plugins are connected.
    pub fn channels_up(&self) -> &BTreeSet<String> {
        &self.link_state.channels
    }

    /// Forgets the channel of a plugin whose worker is gone.
    pub fn forget_channel(&mut self, plugin: &str) {
        self.link_state.channels.remove(plugin);
        self.link_state.refusals.remove(plugin);
    }

    /// Returns why the plugin and its peer plugin share no protocol version.
    pub fn wire_refusal(&self, plugin: &str) -> Option<&str> {
        self.link_state.refusals.get(plugin).map(String::as_str)
    }

    /// Returns the time at which the peer was last heard over the link.
    pub fn last_heard(&self) -> Option<&str> {
        self.link_state.last_heard.as_deref()
    }

    /// Returns the last state that the process reported.
    pub fn state(&self) -> &State {
        &self.link_state.state
    }

    /// Sets why a path cannot be used, as detected by the host.
    pub fn set_obstacle(&mut self, index: usize, what: Option<&'static str>) {
        self.link_state.set_obstacle(index, what);
    }

    /// Returns the status of every path, in the order of the file.
    pub fn status(&self) -> Vec<LinkStatus> {
        self.link_state.status()
    }

    /// Returns the facts of every path that the verdict needs.
    pub fn facts(&self) -> Vec<LinkFacts> {
        self.link_state.facts(self.is_silent(Instant::now()))
    }

    /// Returns true if nothing arrives from the peer: no path answers, or the process does not.
    pub fn is_peer_unheard(&self, now: Instant) -> bool {
        self.is_silent(now) || self.link_state.is_peer_unheard()
    }

    /// Returns true if the process does not answer, so that its last reports may be outdated.
    fn is_silent(&self, now: Instant) -> bool {
        self.pings.is_silent(now)
    }
}

impl MessageHandler for Link {
    type Message = FromLink;

    fn process(&mut self) -> &mut Subprocess {
        &mut self.process
    }

    fn handle_message(&mut self, now: Instant, said: FromLink) {
        match said {
            FromLink::Up(introduction) => {
                let introduction = state::clean(introduction);
                let text = format!(
                    "{} is heard: spared {}",
                    introduction.node, introduction.version
                );
                self.link_state.up();
                self.tell(Notice::new(Kind::Link, text).because("peer-up"));
                self.reports.push_back(Report::Up);
            }
            FromLink::Down { why } => self.go_down(clean::line(&why)),
            FromLink::Heard(word) => {
                self.link_state.last_heard = Some(clock::now());
                self.reports.push_back(Report::Heard(Box::new(word)));
            }
            FromLink::Wire { plugin, agreed } => self.handle_wire(plugin, agreed),
            FromLink::RefusalOver { plugin } => {
                self.link_state.refusals.remove(&plugin);
            }
            FromLink::Marked { id, channel } => {
                self.reports.push_back(Report::Marked { id, channel });
            }
            FromLink::State(state) => {
                for news in self.link_state.update(state) {
                    self.tell(news);
                }
            }
            FromLink::Event { reason, text } => {
                let limit = if reason == "refused" {
                    &mut self.refusals
                } else {
                    &mut self.lines
                };
                if limit.take(now) {
                    let news = Notice::warn(Kind::Link, clean::line(&text));
                    self.tell(news.because(&clean::line(&reason)));
                }
            }
            FromLink::Log { level, text } => {
                if self.lines.take(now) {
                    message::log(level, &text);
                }
            }
            FromLink::Pong { number } => self.pings.handle_pong(number),
        }
    }

    fn handle_ended(&mut self, now: Instant, why: &str) {
        let why = self.process.exit_reason().unwrap_or_else(|| why.to_owned());
        self.end_process(now, &format!("the link's process {why}"));
        self.plan_start(now, &why);
    }
}
