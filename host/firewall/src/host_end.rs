//! The host's end of `spared firewall`, the process that keeps the link's rule in the administrator's firewall. The
//! process is started if there is a link or a rule may be left, is told what must pass, and is started again when it
//! ends. Its rules stay meanwhile.
//!
//! `handle_*` feed it, [`Firewall::take_notices`] drains it. Only [`Firewall::end`] waits.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use spared_message::clean;
use spared_message::firewall::{
    FromFirewall, NodeNames, Passage, RuleState, RulesListed, ToFirewall,
};
use spared_message::starter::Start;
use spared_process::poller::{Key, Poller, is_readable};
use spared_process::starter::Starter;
use spared_process::token_bucket::TokenBucket;
use spared_process::{MessageHandler, Policy, Subprocess, nearest_tick};

use spared_message::notice::{Kind, Notice};

/// Interval of pings. At most one ping waits for its answer.
const PING_EVERY: Duration = Duration::from_secs(1);
/// Time without an answer after which a process counts as silent, unless it runs `nft`.
const SILENT: Duration = Duration::from_secs(2);
/// Maximum time without an answer: `nft` may run several times, each for 5 s at most.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
/// Maximum wait for the removal of the rules at the end.
const END_TIMEOUT: Duration = Duration::from_secs(1);

/// Pings of the process, with those of all others: see [`nearest_tick`].
#[derive(Debug)]
struct Ping {
    /// Start of the daemon, from which the ticks are counted.
    began: Instant,
    sent_at: Instant,
    /// True while a ping waits for its answer.
    is_pending: bool,
}

impl Ping {
    fn begin(&mut self, now: Instant) {
        self.sent_at = nearest_tick(self.began, PING_EVERY, now);
        self.is_pending = false;
    }
}

/// The firewall process, which may not be running.
#[derive(Debug)]
pub struct Firewall {
    process: Subprocess,
    /// File that exists while our rules may exist. It tells the next run of the daemon.
    marker: PathBuf,
    /// Packets that must pass, once a process is needed; `Some(None)` removes the rules.
    wanted: Option<Option<Passage>>,
    /// Number of the last order. Answers to older orders are ignored.
    order: u64,
    ping: Ping,
    /// True while the process runs `nft`.
    is_busy: bool,
    /// True if the process does not answer.
    is_silent: bool,
    /// Reason why the process cannot look at the rules.
    unreadable_reason: Option<String>,
    /// Sentence about what filters the link, and what to do about it.
    blocked_sentence: Option<String>,
    /// Reason why nobody keeps the rule.
    down: Option<String>,
    /// Names by which the rules of both nodes are compared, once they are known.
    names: Option<NodeNames>,
    /// Digests of the rules that arrived last.
    listed: RulesListed,
    is_listed: bool,
    lines: TokenBucket,
    notices: Vec<Notice>,
}

impl Firewall {
    pub fn new(starter: Starter, marker: PathBuf, now: Instant) -> Self {
        let keys = [Key::Firewall, Key::FirewallExit];
        Self {
            process: Subprocess::new(starter, Start::Firewall, keys, Policy::FIREWALL),
            marker,
            wanted: None,
            order: 0,
            ping: Ping {
                began: now,
                sent_at: now,
                is_pending: false,
            },
            is_busy: false,
            is_silent: false,
            unreadable_reason: None,
            blocked_sentence: None,
            down: None,
            names: None,
            listed: RulesListed::default(),
            is_listed: false,
            lines: TokenBucket::new(5, 50, now),
            notices: Vec::new(),
        }
    }

    /// Sets what must pass, at the start and after a reload; None removes the rules.
    pub fn configure(&mut self, poller: &Poller, now: Instant, passage: Option<Passage>) {
        let is_needed = self.wanted.is_some() || passage.is_some() || self.marker.exists();
        if !is_needed {
            return;
        }
        self.wanted = Some(passage);
        if self.process.is_up() {
            self.tell_wanted(now);
        } else if self.process.start_at().is_none() {
            self.start(poller, now);
        }
    }

    /// Sentence about what filters the link, if anything does.
    pub fn filtered(&self) -> Option<String> {
        self.blocked_sentence.clone()
    }

    /// Reason why nobody keeps the rule or looks at the rules, if so.
    pub fn down(&self) -> Option<String> {
        let silent = || "the firewall process does not answer".to_owned();
        let unreadable = |why: &String| format!("nobody can look at the rules of nftables: {why}");
        let down = self.down.clone();
        let down = down.or_else(|| self.is_silent.then(silent));
        down.or_else(|| self.unreadable_reason.as_ref().map(unreadable))
    }

    /// Digests of the rules; empty if nobody lists them.
    pub fn listed(&self) -> &RulesListed {
        &self.listed
    }

    /// Returns true if other digests arrived since the last call.
    pub fn take_is_listed(&mut self) -> bool {
        std::mem::take(&mut self.is_listed)
    }

    /// Sets the names by which the rules of both nodes are compared.
    pub fn set_names(&mut self, now: Instant, names: NodeNames) {
        if self.names.as_ref() != Some(&names) {
            self.names = Some(names);
            self.tell_names(now);
        }
    }

    /// Process id of the firewall process.
    pub fn pid(&self) -> Option<u32> {
        self.process.pid()
    }

    pub fn take_notices(&mut self) -> Vec<Notice> {
        std::mem::take(&mut self.notices)
    }

    /// Removes the rules and ends the process.
    pub fn end(mut self) {
        if !self.process.is_up() {
            if self.marker.exists() {
                log::warn!(
                    "the link's rule may remain in the firewall: the firewall process is not running"
                );
            }
            return;
        }
        let _ = self.process.send(&ToFirewall::End, &[]);
        let until = Instant::now() + END_TIMEOUT;
        while self.wait(until) {
            match self.process.receive() {
                Ok(Some(FromFirewall::Ended { ours })) => return self.mark(ours),
                Ok(Some(message)) => self.handle_message(Instant::now(), message),
                Ok(None) => {}
                Err(_) => break,
            }
        }
        log::warn!("nft timed out: the link's rule may remain in the firewall");
    }

    /// Returns true as soon as a message can be read, and false if none can be read by `until`.
    fn wait(&self, until: Instant) -> bool {
        let most = until.saturating_duration_since(Instant::now());
        let socket = self.process.socket();
        socket.is_some_and(|socket| is_readable(socket, most))
    }

    // ---- what wakes the loop

    pub fn next_timeout(&self) -> Option<Instant> {
        let ping = self.process.is_up().then(|| self.due_at());
        self.process.start_at().into_iter().chain(ping).min()
    }

    pub fn handle_timeout(&mut self, poller: &Poller, now: Instant) {
        self.process.handle_timeout();
        if self.process.is_due(now) {
            self.start(poller, now);
        }
        if !self.process.is_up() || now < self.due_at() {
            return;
        }
        if !self.ping.is_pending {
            self.ping.begin(now);
            self.ping.is_pending = true;
            self.send(now, &ToFirewall::Ping);
        } else if self.may_be_silent() {
            let why = format!("did not answer for {} s", ANSWER_TIMEOUT.as_secs());
            self.handle_ended(now, &why);
        } else {
            self.is_silent = true;
        }
    }

    /// Time of the next ping or, if a ping waits for its answer, the time at which the answer is late or overdue.
    fn due_at(&self) -> Instant {
        let pause = match self.ping.is_pending {
            false => PING_EVERY,
            true if self.may_be_silent() => ANSWER_TIMEOUT,
            true => SILENT,
        };
        self.ping.sent_at + pause
    }

    /// Returns true if it is known already that the process does not answer, or if `nft` is the reason.
    fn may_be_silent(&self) -> bool {
        self.is_silent || self.is_busy
    }

    fn handle_state(&mut self, state: RuleState) {
        let blocked = match state {
            RuleState::Blocked(why) => Some(clean::text(&why)),
            RuleState::PutBack => {
                self.warn(
                    "the link's rule in the firewall was removed by another program; restored",
                );
                None
            }
            RuleState::Passes => None,
        };
        if let Some(why) = blocked
            .as_ref()
            .filter(|_| blocked != self.blocked_sentence)
        {
            self.warn(why);
        }
        self.blocked_sentence = blocked;
    }

    fn warn(&mut self, text: &str) {
        if self.lines.take(Instant::now()) {
            let notice = Notice::warn(Kind::Link, text).because("firewall");
            self.notices.push(notice);
        }
    }

    fn mark(&self, ours: bool) {
        let marked = if ours {
            fs::write(&self.marker, "")
        } else {
            fs::remove_file(&self.marker)
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
        if let Err(error) = self.process.start(poller) {
            return self.plan_start(now, &format!("cannot be started: {error}"));
        }
        self.ping.begin(now);
        (self.is_busy, self.is_silent, self.unreadable_reason) = (false, false, None);
        let ours = self.marker.exists();
        let begin = ToFirewall::Begin { ours };
        self.send(now, &begin);
        self.tell_wanted(now);
    }

    fn tell_wanted(&mut self, now: Instant) {
        let Some(passage) = self.wanted.clone().filter(|_| self.process.is_up()) else {
            return;
        };
        // The marker comes before the rule, so that the next run knows of the rule.
        if passage.as_ref().is_some_and(|it| it.chain.is_some()) {
            self.mark(true);
        }
        self.order += 1;
        let order = self.order;
        self.send(now, &ToFirewall::Keep { order, passage });
        self.tell_names(now);
    }

    fn tell_names(&mut self, now: Instant) {
        let has_link = self.wanted.as_ref().is_some_and(Option::is_some);
        let names = self
            .names
            .clone()
            .filter(|_| has_link && self.process.is_up());
        if let Some(names) = names {
            self.send(now, &ToFirewall::Compare(names));
        }
    }

    fn send(&mut self, now: Instant, message: &ToFirewall) {
        if let Err(why) = self.process.send(message, &[]) {
            self.handle_ended(now, &why);
        }
    }

    fn plan_start(&mut self, now: Instant, why: &str) {
        let ms = self.process.plan_start(now).as_millis();
        self.warn(&format!(
            "the firewall process {why}; restarting in {ms} ms"
        ));
        self.down = Some(format!("the firewall process {why}"));
        (self.listed, self.is_listed) = (RulesListed::default(), true);
    }
}

impl MessageHandler for Firewall {
    type Message = FromFirewall;

    fn process(&mut self) -> &mut Subprocess {
        &mut self.process
    }

    // The process has no rights beyond the firewall, so its texts are cleaned and its answers are bounded.
    fn handle_message(&mut self, now: Instant, said: FromFirewall) {
        self.is_silent = false;
        match said {
            FromFirewall::State { order, state, ours } if order == self.order => {
                self.down = None;
                self.mark(ours);
                self.handle_state(state);
            }
            FromFirewall::State { .. } | FromFirewall::Ended { .. } => {}
            FromFirewall::Warning(text) => {
                if self.lines.take(now) {
                    log::warn!("{}", clean::text(&text));
                }
            }
            FromFirewall::Pong => self.ping.is_pending = false,
            FromFirewall::Busy(is_busy) => {
                self.is_busy = is_busy;
                // the answer to what arrived meanwhile follows now
                self.ping.sent_at = now;
            }
            FromFirewall::Unreadable(why) => {
                self.unreadable_reason = why.map(|why| clean::text(&why));
                if let Some(why) = self.down().filter(|_| self.unreadable_reason.is_some()) {
                    self.warn(&why);
                }
            }
            FromFirewall::Rules(listed) => {
                let by = clean::text(&listed.by);
                let mut own = listed.own;
                for rule in &mut own {
                    (rule.chain, rule.rule) = (clean::text(&rule.chain), clean::text(&rule.rule));
                }
                self.listed = RulesListed { by, own, ..listed };
                self.is_listed = true;
            }
        }
    }

    fn handle_ended(&mut self, now: Instant, why: &str) {
        let reason = self.process.exit_reason();
        self.process.kill(now);
        self.plan_start(now, reason.as_deref().unwrap_or(why));
    }
}
