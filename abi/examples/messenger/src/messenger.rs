//! The plugin: settings, messages, and the rows that it shows.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use spared_sdk::config::{Config, local, node, secret};
use spared_sdk::*;

use crate::message::{BULK, LEAST, PING, PONG, SAID, open, seal};
use crate::proof::Proofs;

const TICK: u32 = 1;
const GO_ON: u32 = 2;
/// Messages sent in one callback, so that the loop can do other things.
const BURST: usize = 256;
const USAGE: &str = "usage: sparectl messenger check bad|good | in-sync yes|no | say TEXT | \
                     flood N SIZE [spare] | ping N | prove TEXT | verify SIGNATURE TEXT | status";

pub struct Settings {
    interval: Duration,
    weight: u32,
    label: String,
}

#[derive(Default)]
struct Counters {
    sent: u64,
    received: u64,
    gaps: u64,
    repeats: u64,
    corrupt: u64,
    /// Number of the last message since `up`.
    last_sent: u64,
    last_received: u64,
    settled_at: u64,
    drained_at: u64,
}

pub struct Messenger {
    host: Host,
    settings: Settings,
    counters: Counters,
    good: bool,
    in_sync: bool,
    wire: Option<u32>,
    heard: String,
    roles: BTreeMap<String, Role>,
    /// Pings and answers that are to be sent.
    waiting: VecDeque<Vec<u8>>,
    /// Number of messages of a flood that are to be sent, and the message.
    flood: (u64, Vec<u8>),
    /// The peer can do without the flood: a drain does not wait for the rest of it.
    is_spare: bool,
    pings_left: u64,
    round_trips_us: Vec<u64>,
    draining: Option<Token>,
    /// Answer to the query that requested the pings.
    asked: Option<Answer>,
    proofs: Proofs,
}

impl Plugin for Messenger {
    type Settings = Settings;

    fn create(host: Host) -> Result<Self, Error> {
        Ok(Self {
            host,
            settings: Settings {
                interval: Duration::from_secs(1),
                weight: 100,
                label: String::new(),
            },
            counters: Counters::default(),
            good: true,
            in_sync: true,
            wire: None,
            heard: String::new(),
            roles: BTreeMap::new(),
            waiting: VecDeque::new(),
            flood: (0, Vec::new()),
            is_spare: false,
            pings_left: 0,
            round_trips_us: Vec::new(),
            draining: None,
            asked: None,
            proofs: Proofs::default(),
        })
    }

    fn read(config: &Config) -> Result<Settings, Error> {
        let root = config.root();
        let intervals = Duration::from_millis(10)..=Duration::from_secs(3600);
        // For people; the nodes do not compare it.
        root.text(local("note"));
        // Compared by its digest, and masked in a report.
        root.text(secret("community"));
        Ok(Settings {
            interval: root
                .duration("interval", intervals)
                .unwrap_or(Duration::from_secs(1)),
            weight: root.integer("weight", 0..=9999).unwrap_or(100) as u32,
            label: root.text(node("label")).unwrap_or_default(),
        })
    }

    fn configure(&mut self, settings: Settings) -> Result<Applied, Error> {
        self.settings = settings;
        self.report()?;
        Ok(Applied::Live)
    }

    fn start(&mut self, _token: Token) -> Result<Progress, Error> {
        self.again(TICK, self.settings.interval)?;
        Ok(Progress::Done)
    }

    fn timer(&mut self, id: u32) {
        if id == TICK {
            // If the channel is full, this one is left out.
            let _ = self.say("tick");
            let _ = self.again(TICK, self.settings.interval);
        }
        self.go_on();
    }
}

impl Messenger {
    fn again(&self, id: u32, delay: Duration) -> Result<(), Error> {
        let delay_ns = spared_sdk::nanoseconds(delay);
        self.host
            .timer(id, self.host.now().saturating_add(delay_ns))
    }

    fn report(&self) -> Result<(), Error> {
        let (state, why) = if self.good {
            (100, "all is well")
        } else {
            (0, "somebody said so")
        };
        let checks = self.host.checks();
        checks.report("messenger", self.settings.weight, state, why)
    }

    /// Each `up` and `down` ends an earlier report.
    fn report_synchrony(&self) -> Result<(), Error> {
        let why = if self.in_sync { "" } else { "somebody said so" };
        self.host.peer().in_sync(self.in_sync, why)
    }

    fn say_synchrony(&self) {
        if let Err(error) = self.report_synchrony() {
            log::warn!("{error}");
        }
    }

    fn send(&self, message: &[u8]) -> Result<(), SendError> {
        self.host.peer().send(message)
    }

    /// Sends a message with the next number; the number is used up only if it was sent.
    fn send_numbered(&mut self, kind: u8, message: &mut [u8]) -> Result<(), SendError> {
        seal(message, kind, self.counters.last_sent + 1);
        self.send(message)?;
        self.counters.last_sent += 1;
        self.counters.sent += 1;
        Ok(())
    }

    fn say(&mut self, text: &str) -> Result<(), Error> {
        let mut message = vec![0; LEAST];
        message.extend_from_slice(text.as_bytes());
        Ok(self.send_numbered(SAID, &mut message)?)
    }

    fn ping(&mut self) {
        let mut message = vec![0; LEAST];
        seal(&mut message, PING, self.host.now());
        self.waiting.push_back(message);
    }

    /// Sends what waits until the channel is full; then writable() follows.
    fn go_on(&mut self) {
        for _ in 0..BURST {
            let sent = match self.waiting.front() {
                Some(message) => self.send(message).map(|()| drop(self.waiting.pop_front())),
                None if self.flood.0 > 0 => {
                    if self.is_spare {
                        self.idle();
                    }
                    self.send_of_flood()
                }
                None => return self.idle(),
            };
            match sent {
                Ok(()) => {}
                Err(SendError::Full) => return,
                Err(_) => return self.forget(),
            }
        }
        let _ = self.again(GO_ON, Duration::ZERO);
    }

    fn send_of_flood(&mut self) -> Result<(), SendError> {
        let mut message = std::mem::take(&mut self.flood.1);
        let sent = self.send_numbered(BULK, &mut message);
        self.flood.1 = message;
        sent.map(|()| self.flood.0 -= 1)
    }

    /// Drops what waits, as the peer is gone.
    fn forget(&mut self) {
        self.waiting.clear();
        (self.flood, self.pings_left) = Default::default();
        self.end_pings(Err(SendError::Down.into()));
        self.idle();
    }

    /// Completes the query for pings with the round trips so far.
    fn end_pings(&mut self, result: Result<(), Error>) {
        if let Some(mut answer) = self.asked.take() {
            let put = self.round_trips(&mut answer);
            answer.done(result.and(put));
        }
    }

    /// Called when nothing is left that a drain waits for.
    fn idle(&mut self) {
        if let Some(token) = self.draining.take() {
            self.counters.drained_at = self.counters.last_sent;
            self.host.done(token, Ok(()));
        }
    }

    fn take_numbered(&mut self, number: u64) {
        let counters = &mut self.counters;
        counters.received += 1;
        match number.checked_sub(counters.last_received) {
            Some(ahead @ 1..) => {
                counters.gaps = counters.gaps.saturating_add(ahead - 1);
                counters.last_received = number;
            }
            _ => counters.repeats += 1,
        }
    }
}

impl Peer for Messenger {
    fn up(&mut self, wire: u32) {
        self.wire = Some(wire);
        (self.counters.last_sent, self.counters.last_received) = (0, 0);
        self.say_synchrony();
    }

    fn down(&mut self) {
        self.wire = None;
        self.say_synchrony();
        self.forget();
    }

    fn message(&mut self, message: &[u8]) {
        match open(message) {
            Some((BULK, number, _)) => self.take_numbered(number),
            Some((SAID, number, text)) => {
                self.take_numbered(number);
                self.heard = String::from_utf8_lossy(text).into_owned();
            }
            // bounded, for a peer that sends pings and reads nothing
            Some((PING, sent_ns, _)) if self.waiting.len() < BURST => {
                let mut answer = vec![0; LEAST];
                seal(&mut answer, PONG, sent_ns);
                self.waiting.push_back(answer);
                self.go_on();
            }
            Some((PONG, sent_ns, _)) if self.pings_left > 0 => {
                let took_ns = self.host.now().saturating_sub(sent_ns);
                self.round_trips_us.push(took_ns / 1000);
                self.pings_left -= 1;
                if self.pings_left > 0 {
                    self.ping();
                    self.go_on();
                } else {
                    self.end_pings(Ok(()));
                }
            }
            _ => self.counters.corrupt += 1,
        }
    }

    fn writable(&mut self) {
        self.go_on();
    }
}

impl Identity for Messenger {
    fn signed(&mut self, ticket: u64, signature: &[u8]) {
        self.proofs.signed(ticket, signature);
    }

    fn verified(&mut self, ticket: u64, genuine: bool) {
        self.proofs.verified(ticket, genuine);
    }
}

impl Transfer for Messenger {
    fn drain(&mut self, token: Token, _deadline_ns: u64) -> Result<Progress, Error> {
        let is_wanted = self.flood.0 > 0 && !self.is_spare;
        if self.wire.is_some() && (is_wanted || !self.waiting.is_empty()) {
            self.draining = Some(token);
            return Ok(Progress::Pending);
        }
        self.counters.drained_at = self.counters.last_sent;
        Ok(Progress::Done)
    }

    fn settle(&mut self, _token: Token, _deadline_ns: u64) -> Result<Progress, Error> {
        // Messages are applied as they arrive.
        self.counters.settled_at = self.counters.last_received;
        Ok(Progress::Done)
    }
}

impl Roles for Messenger {
    fn role(&mut self, event: &RoleEvent, _token: Token) -> Result<Progress, Error> {
        self.roles.insert(event.group.clone(), event.role);
        Ok(Progress::Done)
    }
}

impl Query for Messenger {
    const VERBS: &'static [Verb] = &[
        Verb::ROWS,
        Verb::STATUS,
        Verb::changes(c"check", c"good|bad", c"reports its check"),
        Verb::changes(c"in-sync", c"yes|no", c"reports its synchrony"),
        Verb::changes(c"say", c"TEXT", c"sends the peer a text"),
        Verb::changes(c"flood", c"COUNT SIZE [spare]", c"sends the peer messages"),
        Verb::changes(c"ping", c"COUNT", c"measures the way to the peer"),
        Verb::changes(c"prove", c"TEXT", c"has a text signed"),
        Verb::changes(c"verify", c"SIGNATURE TEXT", c"has a signature checked"),
    ];

    fn query(&mut self, argv: &[&str], answer: &mut Answer) -> Result<Progress, Error> {
        let number = |word: &str, least: u64, most: u64| match word.parse() {
            Ok(number) if (least..=most).contains(&number) => Ok(number),
            _ => Err(Error::Usage(format!(
                "{word:?}, allowed {least}-{most}\n{USAGE}"
            ))),
        };
        match argv {
            ["status"] | [] => self.status(answer)?,
            ["check", word @ ("good" | "bad")] => {
                self.good = *word == "good";
                self.report()?;
            }
            ["in-sync", word @ ("yes" | "no")] => {
                self.in_sync = *word == "yes";
                self.report_synchrony()?;
            }
            ["say", words @ ..] => self.say(&words.join(" "))?,
            ["flood" | "ping", ..] if self.wire.is_none() => return Err(SendError::Down.into()),
            ["flood", count, size] | ["flood", count, size, "spare"] => {
                let size = number(size, LEAST as u64, abi::PEER_MESSAGE_MAX.into())?;
                let count = number(count, 1, u64::MAX)?;
                self.flood = (count, (0..size).map(|at| (at * 31) as u8).collect());
                self.is_spare = argv.len() > 3;
                self.go_on();
            }
            ["ping", count] => {
                let count = number(count, 1, 1_000_000)?;
                self.end_pings(Err(Error::Plugin("somebody else asked".to_owned())));
                self.pings_left = count;
                self.round_trips_us.clear();
                self.asked = Some(answer.later());
                self.ping();
                self.go_on();
                return Ok(Progress::Pending);
            }
            ["prove", words @ ..] => {
                self.proofs.sign(self.host, answer, &words.join(" "))?;
                return Ok(Progress::Pending);
            }
            ["verify", signature, words @ ..] => {
                let wrong = || Error::Usage(format!("{signature:?}, allowed hex\n{USAGE}"));
                let signature = hex::parse(signature.as_bytes()).ok_or_else(wrong)?;
                let text = words.join(" ");
                self.proofs.verify(self.host, answer, &signature, &text)?;
                return Ok(Progress::Pending);
            }
            _ => return Err(Error::Usage(USAGE.to_owned())),
        }
        Ok(Progress::Done)
    }
}

impl Messenger {
    fn status(&self, answer: &mut Answer) -> Result<(), Error> {
        let peer = self.wire.map(|wire| format!("up wire {wire}"));
        answer.text("peer", peer.as_deref().unwrap_or("down"))?;
        let known = self.host.peer_with_keys();
        answer.text("peer_with_keys", known.as_deref().unwrap_or(""))?;
        answer.text("label", &self.settings.label)?;
        answer.text("check", if self.good { "good" } else { "bad" })?;
        answer.text("in_sync", if self.in_sync { "yes" } else { "no" })?;
        answer.text("heard", &self.heard)?;
        for (group, role) in &self.roles {
            answer.text(&format!("role.{group}"), &role.to_string())?;
        }
        let counters = &self.counters;
        for (key, value) in [
            ("sent", counters.sent),
            ("received", counters.received),
            ("gaps", counters.gaps),
            ("repeats", counters.repeats),
            ("corrupt", counters.corrupt),
            ("last_sent", counters.last_sent),
            ("last_received", counters.last_received),
            ("settled_at", counters.settled_at),
            ("drained_at", counters.drained_at),
            ("to_send", self.flood.0),
        ] {
            answer.number(key, value)?;
        }
        self.round_trips(answer)
    }

    fn round_trips(&self, answer: &mut Answer) -> Result<(), Error> {
        answer.number("round_trips", self.round_trips_us.len() as u64)?;
        let mut sorted = self.round_trips_us.clone();
        sorted.sort_unstable();
        for (key, percent) in [("round_trip_us_median", 50), ("round_trip_us_p99", 99)] {
            if let Some(round_trip_us) = sorted.get(sorted.len() * percent / 100) {
                answer.number(key, *round_trip_us)?;
            }
        }
        Ok(())
    }
}
