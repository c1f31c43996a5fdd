//! Rounds of echoes: echoes sent, answers, and the loss over a window.

use std::collections::{BTreeMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;

use super::{ANY_INTERFACE, Action, Finding};
use crate::config::{Need, Ping};
use crate::wire::icmp::{Echo, Heard, Prefix, request};

/// Maximum number of pending echoes: more than 256 checks of 16 targets have.
const SENT_MAX: usize = 8192;
/// Maximum number of targets that a reason names; further ones are counted.
const NAMED_MAX: usize = 3;

/// Pending echoes of all checks.
#[derive(Debug)]
pub(super) struct Echoes {
    secret: RandomState,
    /// First bytes of every token.
    prefix: Prefix,
    /// Identifier of the next echoes. It changes after echoes without an answer, because connection tracking would
    /// treat further ones by the rules in force when it saw the first.
    identifier: u16,
    count: u64,
    sent: BTreeMap<u16, Sent>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Sent {
    pub(super) run: u64,
    /// Index of the check's target.
    pub(super) target: usize,
    to: IpAddr,
    at_ns: u64,
    identifier: u16,
    token: [u8; 8],
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Back { round_trip_ns: u64 },
    Lost(String),
}

impl Echoes {
    pub(super) fn new(secret: RandomState, identifier: u64) -> Self {
        let [a, b, ..] = identifier.to_be_bytes();
        let [.., c, d, e, f] = secret.hash_one("prefix").to_be_bytes();
        Self {
            secret,
            prefix: [c, d, e, f],
            identifier: u16::from_be_bytes([a, b]),
            count: 0,
            sent: BTreeMap::new(),
        }
    }

    pub(super) fn prefix(&self) -> Prefix {
        self.prefix
    }

    /// Sends one echo to each target.
    pub(super) fn send(&mut self, now_ns: u64, run: u64, ping: &Ping) -> Vec<Action> {
        let mut actions = Vec::with_capacity(ping.targets.len());
        for (target, to) in ping.targets.iter().enumerate() {
            let sequence = self.unused_sequence();
            let echo = Echo {
                identifier: self.identifier,
                sequence,
                token: self.next_token(),
            };
            let sent = Sent {
                run,
                target,
                to: *to,
                at_ns: now_ns,
                identifier: echo.identifier,
                token: echo.token,
            };
            self.sent.insert(echo.sequence, sent);
            let via = ping.interface.as_deref().unwrap_or(ANY_INTERFACE);
            actions.push(Action::Ping {
                via: via.to_owned(),
                to: *to,
                sequence: echo.sequence,
                packet: request(*to, echo, ping.size),
            });
        }
        actions
    }

    /// Returns an unused sequence number: far fewer echoes are pending than there are numbers.
    fn unused_sequence(&mut self) -> u16 {
        loop {
            self.count += 1;
            let [.., high, low] = self.count.to_be_bytes();
            let sequence = u16::from_be_bytes([high, low]);
            if !self.sent.contains_key(&sequence) || self.sent.len() > SENT_MAX {
                return sequence;
            }
        }
    }

    fn next_token(&self) -> [u8; 8] {
        let [.., c, d, e, f] = self.secret.hash_one(self.count).to_be_bytes();
        let [g, h, i, j] = self.prefix;
        [g, h, i, j, c, d, e, f]
    }

    /// Handles a packet, if it answers one of these echoes.
    pub(super) fn answer(&self, now_ns: u64, heard: &Heard) -> Option<(u16, Answer)> {
        match *heard {
            Heard::Reply { from, echo } => {
                let sent = self.sent.get(&echo.sequence)?;
                let ours = echo.identifier == sent.identifier
                    && sent.to == from
                    && sent.token == echo.token;
                let round_trip_ns = now_ns.saturating_sub(sent.at_ns);
                ours.then_some((echo.sequence, Answer::Back { round_trip_ns }))
            }
            Heard::Unreachable {
                target,
                by,
                identifier,
                sequence,
                code,
            } => {
                let sent = self.sent.get(&sequence)?;
                let ours = identifier == sent.identifier && sent.to == target;
                let why = format!("unreachable, says {by} (code {code})");
                ours.then_some((sequence, Answer::Lost(why)))
            }
        }
    }

    pub(super) fn take(&mut self, sequence: u16) -> Option<Sent> {
        self.sent.remove(&sequence)
    }

    /// Drops the pending echoes of a run: later answers are too late.
    pub(super) fn drop_run(&mut self, run: u64) {
        let before = self.sent.len();
        self.sent.retain(|_, sent| sent.run != run);
        if self.sent.len() < before {
            self.identifier = self.identifier.wrapping_add(1);
        }
    }
}

/// Round of one check, and the rounds before it.
#[derive(Debug, Default)]
pub(super) struct Round {
    answers: Vec<Option<Answer>>,
    /// For each target, recent echoes with true for each that was answered.
    windows: Vec<VecDeque<bool>>,
}

impl Round {
    pub(super) fn begin(&mut self, ping: &Ping) {
        self.answers = vec![None; ping.targets.len()];
        self.windows.resize_with(ping.targets.len(), VecDeque::new);
    }

    /// Notes an answer; true if it was the last one.
    pub(super) fn answered(&mut self, target: usize, answer: Answer) -> bool {
        if let Some(place) = self.answers.get_mut(target) {
            place.get_or_insert(answer);
        }
        self.answers.iter().all(Option::is_some)
    }

    /// Ends the round; `late` is the reason for targets that did not answer.
    pub(super) fn end(&mut self, ping: &Ping, late: &str) -> Finding {
        let mut good = Vec::new();
        let mut bad = Vec::new();
        let answers = std::mem::take(&mut self.answers).into_iter();
        for ((target, window), answer) in ping.targets.iter().zip(&mut self.windows).zip(answers) {
            let answer = answer.unwrap_or_else(|| Answer::Lost(late.to_owned()));
            let back = matches!(answer, Answer::Back { .. });
            if window.len() >= ping.window {
                window.pop_front();
            }
            window.push_back(back);
            let lost = window.iter().filter(|back| !**back).count();
            let fits = match ping.loss {
                None => back,
                Some(loss) => lost * 100 <= usize::from(loss) * ping.window,
            };
            let share = ping.loss.map(|_| lost * 100 / window.len().max(1));
            let words = words(*target, &answer, share);
            if fits {
                good.push(words);
            } else {
                bad.push(words);
            }
        }
        let level = match ping.need {
            Need::Any if good.is_empty() => 0,
            Need::All if !bad.is_empty() => 0,
            _ => 100,
        };
        Finding::new(level, reason(level, &good, &bad))
    }
}

/// Text such as "9.9.9.9 3.1 ms", or "9.9.9.9 no answer within 1s, 30 % lost".
fn words(target: IpAddr, answer: &Answer, lost_percent: Option<usize>) -> String {
    let mut words = match answer {
        Answer::Back { round_trip_ns } => format!("{target} {}", milliseconds(*round_trip_ns)),
        Answer::Lost(why) => format!("{target} {why}"),
    };
    if let Some(percent) = lost_percent.filter(|percent| *percent > 0) {
        words = format!("{words}, {percent} % lost");
    }
    words
}

/// Reason of a finding: on failure the targets that failed, otherwise those that answered, and those that did not.
fn reason(level: u8, good: &[String], bad: &[String]) -> String {
    let told: Vec<&String> = if level == 0 {
        bad.iter().collect()
    } else {
        good.iter().chain(bad).collect()
    };
    let more = told.len().saturating_sub(NAMED_MAX);
    let mut named: Vec<String> = told.into_iter().take(NAMED_MAX).cloned().collect();
    if more > 0 {
        named.push(format!("{more} more"));
    }
    named.join("; ")
}

/// Time with two significant digits: "0.31 ms", "3.1 ms", "31 ms".
fn milliseconds(ns: u64) -> String {
    let us = ns / 1000;
    match us {
        0..1000 => format!("0.{:02} ms", us / 10),
        1000..10_000 => format!("{}.{} ms", us / 1000, us % 1000 / 100),
        _ => format!("{} ms", us / 1000),
    }
}
