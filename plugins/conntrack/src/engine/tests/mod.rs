//! Test bed: two nodes with a simulated kernel each, a channel between them, and a clock that only
//! tests advance.

mod failover_walk;
mod follow;
mod groups;
mod kernel;
mod listing;
mod loss;
mod orphans;
mod own_address_counts;
mod packet;
mod peer_address_counts;
mod random;
mod random_both;
mod roles;
mod states;
mod there_and_back;
mod times;

use std::collections::{BTreeMap, VecDeque};

use super::kernel_events::By;
use super::{
    Action, EgressCounts, Engine, Fault, KernelChange, Listed, Rows, SECOND_NS, Source,
    Subscription,
};
use crate::config::Settings;
use crate::filter::Selection;
use crate::flow::{Flow, TCP, Tcp, Tuple, UDP, Zone, status};
use crate::wire;
use kernel::{Flows, Kernel, name};

const MS: u64 = 1_000_000;
/// Number of flows in one piece of a dump.
const PIECE: usize = 4;
/// Number of rounds in which everything comes to rest.
const ROUNDS: usize = 10_000;

struct Node {
    engine: Engine,
    kernel: Kernel,
    in_sync: Option<bool>,
    /// Last reported sync state, and the number of its changes.
    told: Option<Result<(), String>>,
    said: usize,
    compared: Option<Result<Rows, Fault>>,
    listed: Option<Listed>,
    warnings: Vec<String>,
    events: Vec<String>,
    told_of: Vec<String>,
    /// Events stay in its kernel until the channel accepts more.
    waits_for_room: bool,
    /// The next message to it is damaged.
    is_damaged: bool,
    /// Number of queries before changes.
    asked: usize,
}

struct Pair {
    now_ns: u64,
    nodes: [Node; 2],
    /// Messages in transit to each node.
    to: [VecDeque<Vec<u8>>; 2],
    up: bool,
    /// Number of messages that a channel holds.
    room: usize,
    /// Version of the messages that both know.
    wire: u32,
    /// Number of rounds of one step. With fewer than [`ROUNDS`], what follows happens in the middle of walks.
    rounds: usize,
    /// Number of restarts.
    restarts: u64,
}

impl Pair {
    fn new(settings: &Settings) -> Self {
        let node = |key: u64| {
            let mut engine = Engine::new([key, key + 1]);
            engine.configure(0, settings.clone());
            Node {
                engine,
                kernel: Kernel::new(),
                in_sync: None,
                told: None,
                said: 0,
                compared: None,
                listed: None,
                warnings: Vec::new(),
                events: Vec::new(),
                told_of: Vec::new(),
                waits_for_room: false,
                is_damaged: false,
                asked: 0,
            }
        };
        Self {
            now_ns: SECOND_NS,
            nodes: [node(7), node(70)],
            to: [VecDeque::new(), VecDeque::new()],
            up: false,
            room: usize::MAX,
            wire: wire::VERSION,
            rounds: ROUNDS,
            restarts: 0,
        }
    }

    /// A connected pair whose first node is active.
    fn started() -> Self {
        Self::started_with(&Settings::default())
    }

    fn started_with(settings: &Settings) -> Self {
        let mut pair = Self::new(settings);
        pair.role(0, true);
        pair.role(1, false);
        pair.connect();
        pair.settle();
        pair
    }

    fn connect(&mut self) {
        self.up = true;
        self.to = Default::default();
        for node in &mut self.nodes {
            node.told = None;
            node.engine.handle_up(self.now_ns, self.wire);
        }
        self.step();
    }

    fn cut(&mut self) {
        self.up = false;
        self.to = Default::default();
        for node in &mut self.nodes {
            node.engine.handle_down(self.now_ns);
        }
        self.step();
    }

    /// Restarts a worker: its engine knows nothing, its kernel keeps its table.
    fn restart(&mut self, at: usize, active: bool) {
        self.cut();
        self.restarts += 1;
        self.nodes[at].engine = Engine::new([98 + self.restarts, 98]);
        self.nodes[at].kernel.subscription = Subscription::Nothing;
        self.nodes[at].kernel.events.clear();
        self.nodes[at].kernel.dump = None;
        self.role(at, active);
        self.connect();
    }

    fn role(&mut self, at: usize, active: bool) {
        self.role_of("office", at, active);
    }

    fn role_of(&mut self, group: &str, at: usize, active: bool) {
        let node = &mut self.nodes[at];
        node.engine.handle_role(self.now_ns, group, active);
        self.step();
    }

    fn now_s(&self) -> u64 {
        self.now_ns / SECOND_NS
    }

    fn traffic(&mut self, at: usize, flow: &Flow) {
        let now_s = self.now_s();
        self.nodes[at].kernel.traffic(now_s, flow);
    }

    /// Deletes a flow, as an administrator does.
    fn end(&mut self, at: usize, flow: &Flow) {
        let now_s = self.now_s();
        self.nodes[at].kernel.end(now_s, flow);
    }

    /// Lets a flow expire.
    fn expire(&mut self, at: usize, flow: &Flow) {
        self.nodes[at].kernel.destroy(None, flow, By::Traffic);
    }

    /// Lets time pass in steps that meet every timer.
    fn pass_ms(&mut self, ms: u64) {
        let until_ns = self.now_ns + ms * MS;
        self.step();
        while self.now_ns < until_ns {
            let timers = self
                .nodes
                .iter()
                .filter_map(|node| node.engine.next_timeout(self.now_ns));
            let second_ns = (self.now_s() + 1) * SECOND_NS;
            let next_ns = timers.chain([second_ns]).min().unwrap_or(until_ns);
            assert!(next_ns > self.now_ns, "a timer that is always due");
            self.now_ns = next_ns.min(until_ns);
            let now_s = self.now_s();
            for node in &mut self.nodes {
                node.kernel.expire(now_s);
                node.engine.handle_timeout(self.now_ns);
            }
            self.step();
        }
    }

    fn settle(&mut self) {
        self.pass_ms(200);
    }

    /// Handles everything that is due now, or as much of it as fits into the rounds.
    fn step(&mut self) {
        for _ in 0..self.rounds {
            let busy = [0, 1].map(|at| self.turn(at));
            if busy == [false, false] {
                return;
            }
        }
        assert!(self.rounds < ROUNDS, "it never comes to rest");
    }

    /// Runs one turn of a node's loop; returns false if there was nothing to do.
    fn turn(&mut self, at: usize) -> bool {
        let now_ns = self.now_ns;
        let mut busy = false;
        let (sent, node) = (&mut self.to[1 - at], &mut self.nodes[at]);
        busy |= node.hear_if_due(now_ns);
        busy |= node.read_dump(now_ns);
        busy |= node.perform(now_ns);
        while let Some(message) = node.engine.poll_message(now_ns) {
            if sent.len() >= self.room {
                break;
            }
            if self.up {
                sent.push_back(message.to_vec());
            }
            node.engine.message_sent(now_ns);
            busy = true;
        }
        busy |= node.perform(now_ns);
        if let Some(message) = self.to[at].pop_front() {
            let heard = self.nodes[at].engine.handle_message(now_ns, &message);
            assert_eq!(
                heard.is_err(),
                std::mem::take(&mut self.nodes[at].is_damaged)
            );
            self.nodes[at].perform(now_ns);
            busy = true;
        }
        busy
    }

    #[track_caller]
    fn assert_equal(&self) {
        let differences = self.differences();
        assert!(differences.is_empty(), "{differences:#?}");
    }

    fn differences(&self) -> Vec<String> {
        let [here, there] = [0, 1].map(|at| self.nodes[at].kernel.table());
        let only = |which: &str, these: &[Flow], those: &[Flow]| -> Vec<String> {
            let missing = these.iter().filter(|flow| !those.contains(flow));
            let words = |flow: &Flow| format!("{which}: {}, {flow:?}", flow.original);
            missing.map(words).collect()
        };
        [only("here", &here, &there), only("there", &there, &here)].concat()
    }
}

impl Node {
    /// Reads events when the plugin does: if there are some, or if there is room again in the channel.
    fn hear_if_due(&mut self, now_ns: u64) -> bool {
        let is_due = if self.waits_for_room {
            !self.engine.is_congested()
        } else {
            !self.kernel.events.is_empty() || self.kernel.overrun
        };
        is_due && self.hear(now_ns)
    }

    fn hear(&mut self, now_ns: u64) -> bool {
        self.waits_for_room = self.engine.is_congested();
        if self.waits_for_room {
            return false;
        }
        let mut busy = false;
        for _ in 0..self.kernel.reads {
            let Some((event, by)) = self.kernel.events.pop_front() else {
                break;
            };
            self.engine.handle_event(now_ns, event, by);
            busy = true;
        }
        if self.kernel.events.is_empty() {
            // it is reported when everything before it has been read
            if std::mem::take(&mut self.kernel.overrun) {
                self.engine.handle_overrun(now_ns);
                busy = true;
            }
            self.engine.handle_heard_all();
        }
        busy
    }

    /// Begins a drain as the plugin does. Returns true if nothing is to be drained.
    fn drain(&mut self, now_ns: u64) -> bool {
        let has_nothing = self.engine.drain(now_ns);
        if !has_nothing {
            self.hear(now_ns);
        }
        has_nothing
    }

    /// Reads one piece of the dump. The kernel fills a piece when the previous one is fetched, so
    /// it is older than events that were read meanwhile.
    fn read_dump(&mut self, now_ns: u64) -> bool {
        if !self.engine.wants_more() {
            return false;
        }
        let Some(rest) = &mut self.kernel.dump else {
            return false;
        };
        let next = fill(rest, &self.kernel.flows, now_ns);
        let piece = std::mem::replace(&mut self.kernel.piece, next);
        let ended = piece.is_empty() && self.kernel.piece.is_empty();
        for flow in piece {
            self.engine.handle_dumped(now_ns, flow);
        }
        self.engine.handle_dump_piece();
        if ended {
            self.kernel.dump = None;
            self.engine.handle_dump_end(now_ns, true);
        }
        true
    }

    fn write(&mut self, now_ns: u64, change: KernelChange) {
        if self.kernel.broken {
            return self.engine.handle_unwritten(now_ns, vec![change]);
        }
        match self.kernel.write(now_ns / SECOND_NS, &change) {
            Ok(()) => self.engine.handle_written(&change),
            Err(errno) => self.engine.handle_refused(now_ns, change, errno),
        }
    }

    /// Performs actions and begins what is due, in turn as the runner does, until neither is left.
    fn perform(&mut self, now_ns: u64) -> bool {
        let mut busy = self.perform_actions(now_ns);
        self.engine.go_on(now_ns);
        while self.engine.has_actions() {
            busy = true;
            self.perform_actions(now_ns);
            self.engine.go_on(now_ns);
        }
        self.tell_in_sync();
        busy
    }

    fn perform_actions(&mut self, now_ns: u64) -> bool {
        let mut busy = false;
        let now_s = now_ns / SECOND_NS;
        while let Some(action) = self.engine.poll_action() {
            busy = true;
            match action {
                Action::Subscribe(subscription) => {
                    if self.kernel.subscription == Subscription::Nothing {
                        self.kernel.events.clear();
                    }
                    self.kernel.subscription = subscription;
                }
                Action::Write(change) => self.write(now_ns, change),
                Action::Find(flows) => {
                    let found = flows
                        .iter()
                        .filter_map(|flow| self.kernel.flows.get(&name(flow)));
                    let found: Vec<Flow> = found.map(|(flow, _)| flow.clone()).collect();
                    found
                        .into_iter()
                        .for_each(|flow| self.engine.handle_found(now_ns, flow));
                }
                Action::Ask(questions) if self.kernel.broken => {
                    self.engine.handle_unasked(now_ns, questions);
                }
                Action::Ask(questions) => {
                    for question in questions {
                        let found = self.kernel.find(now_s, &question.change.flow);
                        self.asked += 1;
                        let change = self.engine.handle_asked(now_ns, question, found);
                        change.into_iter().for_each(|it| self.write(now_ns, it));
                    }
                }
                Action::Probe(flow) => {
                    if self.kernel.hidden.contains(&name(&flow)) {
                        self.engine.handle_silent()
                    } else {
                        self.engine.handle_found(now_ns, flow)
                    }
                }
                Action::Dump(Source::Flows) if self.kernel.is_unreadable => {
                    self.kernel.dumps += 1;
                    self.engine.handle_dump_end(now_ns, false);
                }
                Action::Dump(Source::Flows) => {
                    self.kernel.dumps += 1;
                    let mut rest = self.kernel.flows.keys().cloned().collect();
                    self.kernel.piece = fill(&mut rest, &self.kernel.flows, now_ns);
                    self.kernel.dump = Some(rest);
                }
                // its end is read later: another dump may take its place before
                Action::Dump(Source::Expectations) => {
                    self.kernel.piece = Vec::new();
                    self.kernel.dump = Some(VecDeque::new());
                }
                Action::ReadTimeouts => {}
                Action::StopDump => self.kernel.dump = None,
                Action::Compared(rows) => self.compared = Some(rows),
                Action::Listed(rows) => self.listed = Some(rows),
                Action::Warn(text) => self.warnings.push(text),
                Action::Info(text) => self.told_of.push(text),
                Action::Event(text) => self.events.push(text),
            }
        }
        busy
    }

    /// Reports the sync state as the runner does.
    fn tell_in_sync(&mut self) {
        let said = self.engine.in_sync();
        if said.is_some() && said != self.told {
            self.in_sync = said.as_ref().map(Result::is_ok);
            self.said += 1;
            self.told = said;
        }
    }
}

/// Returns the next piece of a dump, in the state at the time when it is filled.
fn fill(rest: &mut VecDeque<Vec<u8>>, flows: &Flows, now_ns: u64) -> Vec<Flow> {
    let now_s = now_ns / SECOND_NS;
    let piece = rest.drain(..rest.len().min(PIECE));
    let there = piece.filter_map(|name| flows.get(&name));
    let flows = there.map(|(flow, expires_s)| Flow {
        timeout_s: Some(expires_s.saturating_sub(now_s) as u32),
        ..flow.clone()
    });
    flows.collect()
}

/// Flow with this number; a TCP flow is established.
fn flow(protocol: u8, number: u32) -> Flow {
    let [a, b, c, d] = number.to_be_bytes();
    let mut original = Tuple {
        protocol,
        ports: [c, d, 0, 80],
        ..Tuple::default()
    };
    original.source[..4].copy_from_slice(&[10, 1, a, b]);
    original.destination[..4].copy_from_slice(&[198, 51, 100, 1]);
    Flow {
        original,
        reply: original.inverse(),
        zone: Zone::default(),
        status: status::SEEN_REPLY | status::ASSURED,
        timeout_s: Some(if protocol == TCP { 432_000 } else { 120 }),
        tcp: (protocol == TCP).then_some(Tcp {
            state: 3,
            scales: [7, 7],
            flags: [3, 3],
        }),
        ..Flow::default()
    }
}

fn tcp(number: u32) -> Flow {
    flow(TCP, number)
}

fn udp(number: u32) -> Flow {
    flow(UDP, number)
}

/// Flow with this number from behind the router's address.
fn translated(number: u32) -> Flow {
    let mut flow = tcp(number);
    flow.reply.destination[..4].copy_from_slice(&[203, 0, 113, 1]);
    flow
}
