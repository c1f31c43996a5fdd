//! Two nodes in virtual time, with their daemons, the channel between them, and recipients.

use std::collections::{BTreeSet, VecDeque};

use spared_sdk::{Engine as _, FindingRecord, PairStatus, VerdictWord};
use spared_sim::Agenda;

use super::super::*;
use super::settings;

pub const S: u64 = 1_000_000_000;
const NAMES: [&str; 2] = ["r1", "r2"];
/// Time that a message takes, and that a recipient takes to answer.
const LATENCY_NS: u64 = 1_000_000;
const ANSWER_NS: u64 = 50_000_000;

/// Alarm that a recipient got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Got {
    pub at_ns: u64,
    pub node: usize,
    pub recipient: String,
    pub key: Key,
    pub event: Event,
}

#[derive(Debug)]
enum Due {
    Message(usize, u64, Vec<u8>),
    Answer(usize, u64, u64, bool, Got),
}

#[derive(Default)]
struct Node {
    engine: Option<Engine>,
    /// Number of the run of the plugin.
    life: u64,
    file: Vec<u8>,
    told: Option<PairStatus>,
}

pub struct World {
    pub now_ns: u64,
    nodes: [Node; 2],
    /// True while the nodes hear each other; the plugins do if both run.
    pub is_linked: bool,
    /// Number of the channel, None while there is none.
    channel: Option<u64>,
    channels: u64,
    agenda: Agenda<Due>,
    /// Faults of each node, which may have several.
    pub faults: [BTreeSet<&'static str>; 2],
    /// Time in ms by which the clock of each node is ahead.
    pub ahead_ms: [u64; 2],
    /// Recipients that a node cannot reach.
    pub unreached: BTreeSet<(usize, &'static str)>,
    pub got: Vec<Got>,
}

impl World {
    pub fn new() -> Self {
        let mut world = Self {
            now_ns: S,
            nodes: Default::default(),
            is_linked: true,
            channel: None,
            channels: 0,
            agenda: Agenda::default(),
            faults: Default::default(),
            ahead_ms: [0; 2],
            unreached: BTreeSet::new(),
            got: Vec::new(),
        };
        world.start(0);
        world.start(1);
        world
    }

    pub fn is_alive(&self, node: usize) -> bool {
        self.nodes[node].engine.is_some()
    }

    pub fn engine(&mut self, node: usize) -> &mut Engine {
        self.nodes[node].engine.as_mut().expect("a node that runs")
    }

    /// Starts a plugin with the file that its last run has left.
    pub fn start(&mut self, node: usize) {
        let file = &self.nodes[node].file;
        let book = Book::load(file).unwrap_or_default();
        let engine = Engine::new(self.now_ns, settings(NAMES[node]), book);
        let state = &mut self.nodes[node];
        (state.engine, state.told) = (Some(engine), None);
        state.life += 1;
        self.update_channel();
    }

    /// Kills a node.
    pub fn kill(&mut self, node: usize) {
        self.nodes[node].engine = None;
        self.update_channel();
    }

    pub fn link(&mut self, is_linked: bool) {
        self.is_linked = is_linked;
        self.update_channel();
    }

    fn update_channel(&mut self) {
        let now_ns = self.now_ns;
        let is_up = self.is_linked && self.is_alive(0) && self.is_alive(1);
        // a plugin that was started again has another channel
        if self.channel.take().is_some() {
            self.each(|engine| engine.handle_down(now_ns));
        }
        if is_up {
            self.channels += 1;
            self.channel = Some(self.channels);
            self.each(|engine| engine.handle_up(now_ns, 1));
        }
        self.pump();
    }

    fn each(&mut self, mut work: impl FnMut(&mut Engine)) {
        for node in &mut self.nodes {
            node.engine.iter_mut().for_each(&mut work);
        }
    }

    /// Findings that a node sees.
    pub fn sees(&self, node: usize) -> BTreeSet<Key> {
        if !self.is_alive(node) {
            return BTreeSet::new();
        }
        let faults = |of: usize| {
            let names = self.faults[of].iter();
            names.map(move |thing| key("SP-0401", of, thing))
        };
        let hears = self.channel.is_some();
        let mut seen: BTreeSet<Key> = faults(node).collect();
        if hears {
            seen.extend(faults(1 - node));
        } else {
            seen.insert(key("SP-0101", 1 - node, "heard"));
        }
        seen
    }

    fn status(&self, node: usize) -> PairStatus {
        let findings = self.sees(node).into_iter().map(|key| FindingRecord {
            text: format!("{}: {} fails", key.node, key.thing),
            id: key.id,
            node: key.node,
            thing: key.thing,
            todo: "See `sparectl status`.".to_owned(),
            since: String::new(),
        });
        PairStatus {
            verdict: VerdictWord::Warn,
            node: NAMES[node].to_owned(),
            peer: NAMES[1 - node].to_owned(),
            findings: findings.collect(),
            ..PairStatus::default()
        }
    }

    /// Lets time pass.
    pub fn run(&mut self, time_ns: u64) {
        let end_ns = self.now_ns + time_ns;
        self.pump();
        while let Some(next_ns) = self.next_ns().filter(|it| *it <= end_ns) {
            self.now_ns = next_ns.max(self.now_ns);
            while let Some((_, due)) = self.agenda.take(self.now_ns) {
                self.take(due);
            }
            let now_ns = self.now_ns;
            // each second the daemons look at the pair
            if now_ns % S == 0 {
                self.tell_status();
            }
            for (node, ahead_ms) in self.nodes.iter_mut().zip(self.ahead_ms) {
                let engine = node.engine.as_mut();
                let is_due =
                    |it: &&mut Engine| it.next_timeout(now_ns).is_some_and(|at_ns| at_ns <= now_ns);
                if let Some(engine) = engine.filter(is_due) {
                    engine.set_clock(now_ns, now_ns / 1_000_000 + ahead_ms);
                    engine.handle_timeout(now_ns);
                }
            }
            self.pump();
            self.assert_calm();
        }
        self.now_ns = end_ns;
    }

    /// No engine has anything to do now: it would keep a processor busy.
    fn assert_calm(&mut self) {
        let now_ns = self.now_ns;
        self.each(|engine| {
            let next_ns = engine.next_timeout(now_ns);
            assert!(next_ns.is_none_or(|it| it > now_ns), "{engine:?}");
        });
    }

    fn next_ns(&self) -> Option<u64> {
        let engines = self.nodes.iter().filter_map(|it| it.engine.as_ref());
        let timeouts = engines.filter_map(|it| it.next_timeout(self.now_ns));
        let second = self.now_ns / S * S + S;
        let next = timeouts.chain(self.agenda.next_at()).chain([second]);
        next.min()
    }

    fn tell_status(&mut self) {
        let now_ns = self.now_ns;
        for node in 0..2 {
            let status = self.status(node);
            let clock_ms = now_ns / 1_000_000 + self.ahead_ms[node];
            let state = &mut self.nodes[node];
            let Some(engine) = &mut state.engine else {
                continue;
            };
            if state.told.as_ref() != Some(&status) {
                engine.set_clock(now_ns, clock_ms);
                engine.handle_status(now_ns, &status);
                state.told = Some(status);
            }
        }
    }

    fn take(&mut self, due: Due) {
        match due {
            Due::Message(to, channel, bytes) => {
                let is_there = self.channel == Some(channel);
                let now_ns = self.now_ns;
                if let Some(engine) = self.nodes[to].engine.as_mut().filter(|_| is_there) {
                    engine.handle_message(now_ns, &bytes).expect("a message");
                }
            }
            Due::Answer(node, life, run, is_sent, got) => {
                let now_ns = self.now_ns;
                let state = &mut self.nodes[node];
                if let Some(engine) = state.engine.as_mut().filter(|_| state.life == life) {
                    let result = if is_sent {
                        Ok(())
                    } else {
                        Err("hangs".to_owned())
                    };
                    engine.handle_result(now_ns, run, result);
                }
                self.got.extend(is_sent.then_some(got));
            }
        }
    }

    /// Performs all actions and sends all messages.
    fn pump(&mut self) {
        for node in 0..2 {
            let mut messages = VecDeque::new();
            let state = &mut self.nodes[node];
            let Some(engine) = &mut state.engine else {
                continue;
            };
            let mut plans = Vec::new();
            while let Some(action) = engine.poll_action(self.now_ns) {
                match action {
                    Action::Send {
                        run,
                        recipient,
                        notification,
                    } => plans.push((run, recipient.name, notification)),
                    Action::Save(bytes) => {
                        state.file = bytes;
                        engine.handle_saved(Ok(()));
                    }
                    Action::Answer { .. } => {}
                }
            }
            while let Some(message) = engine.poll_message(self.now_ns) {
                messages.push_back(message.to_vec());
                engine.message_sent(self.now_ns);
            }
            let life = state.life;
            for (run, recipient, notification) in plans {
                let pair = (node, recipient.as_str());
                let is_sent = !self.unreached.iter().any(|it| *it == pair);
                let at_ns = self.now_ns + ANSWER_NS;
                let got = Got {
                    at_ns,
                    node,
                    recipient,
                    key: notification.key,
                    event: notification.event,
                };
                self.agenda
                    .plan(at_ns, Due::Answer(node, life, run, is_sent, got));
            }
            if let Some(channel) = self.channel {
                for message in messages {
                    let at_ns = self.now_ns + LATENCY_NS;
                    self.agenda
                        .plan(at_ns, Due::Message(1 - node, channel, message));
                }
            }
        }
    }

    /// Events that a recipient got of a finding, in their order.
    pub fn events(&self, recipient: &str, key: &Key) -> Vec<Event> {
        let got = self.got.iter();
        let got = got.filter(|it| it.recipient == recipient && it.key == *key);
        got.map(|it| it.event).collect()
    }

    /// Events by node, as short words.
    pub fn words(&self, recipient: &str) -> Vec<String> {
        let got = self.got.iter().filter(|it| it.recipient == recipient);
        got.map(|it| format!("{} {} {}", NAMES[it.node], it.event.word(), it.key.thing))
            .collect()
    }
}

pub fn key(id: &str, node: usize, thing: &str) -> Key {
    Key {
        id: id.to_owned(),
        node: NAMES[node].to_owned(),
        thing: thing.to_owned(),
    }
}
