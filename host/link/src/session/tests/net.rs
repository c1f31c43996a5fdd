//! Simulates two sessions and a virtual network, whose paths delay, stall, break and heal.

use std::collections::BTreeMap;

use spared_sim::{Channel, Clock, Random};

use crate::message::{ChannelState, PathState, State};
use crate::session::{Event, Now, Session, Transmit, Wire};
use crate::word::Introduction;
use spared_contract::channel::{DOWN, MESSAGE, UP, message_kind};

pub const MS: u64 = 1_000_000;
/// Time between a break and the next connection.
const RECONNECT_NS: u64 = 100 * MS;
/// Size of data that TCP takes before it blocks, in bytes.
const IN_FLIGHT_MAX: usize = 256 << 10;

pub struct Net {
    clock: Clock,
    pub sides: [Side; 2],
    pub lines: Vec<Line>,
    next_run: u64,
    /// Time since which each side has had no path.
    pathless_since_ns: [Option<u64>; 2],
    pub longest_pathless_ns: u64,
}

pub struct Side {
    pub session: Session,
    pub workers: BTreeMap<String, Worker>,
    pub events: Vec<Event>,
    /// Offset of the wall clock.
    pub clock_us: u64,
}

/// A worker that checks everything that it receives.
#[derive(Default)]
pub struct Worker {
    pub up: bool,
    ups: u8,
    /// Number of the present period, which begins each time that the channel goes up.
    pub period: u64,
    pub sent: u64,
    pub reads: bool,
    /// Messages received in the peer's present period.
    pub heard: Vec<Delivered>,
    pub heard_in_all: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delivered {
    pub worker: u64,
    pub period: u64,
    pub number: u64,
    pub length: usize,
}

/// A path between both sides.
pub struct Line {
    pub latency_ns: u64,
    /// True if nothing passes, and no side is told.
    pub cut: bool,
    /// Side at which nothing arrives.
    pub deaf: Option<usize>,
    pub open: bool,
    open_at_ns: u64,
    /// Data to side 0, and to side 1.
    pipes: [Channel<Vec<u8>>; 2],
}

impl Net {
    pub fn new(lines: usize) -> Self {
        let side = |node: &str, peer: &str, run: u64| Side {
            session: Session::new(node, peer, Introduction::default(), run, lines),
            workers: BTreeMap::new(),
            events: Vec::new(),
            clock_us: 1_000_000_000,
        };
        let line = || Line {
            latency_ns: MS / 10,
            cut: false,
            deaf: None,
            open: false,
            open_at_ns: 0,
            pipes: [(); 2].map(|()| Channel::ordered(0, usize::MAX)),
        };
        Self {
            clock: Clock::at(1),
            sides: [side("r1", "r2", 1_000_000), side("r2", "r1", 2_000_000)],
            lines: (0..lines).map(|_| line()).collect(),
            next_run: 3_000_000,
            pathless_since_ns: [None; 2],
            longest_pathless_ns: 0,
        }
    }

    pub fn now(&self, side: usize) -> Now {
        let ns = self.clock.now_ns();
        let wall_us = self.sides[side].clock_us + ns / 1000;
        Now { ns, wall_us }
    }

    pub fn add_channel(&mut self, name: &str) {
        for side in 0..2 {
            self.restart_worker(side, name);
        }
    }

    pub fn restart_worker(&mut self, side: usize, name: &str) {
        let place = &mut self.sides[side];
        let worker = place.workers.entry(name.to_owned()).or_default();
        let (reads, period, all) = (worker.reads, worker.period, worker.heard_in_all);
        self.next_run += 1;
        *worker = Worker {
            reads: reads || period == 0,
            // The periods of a new worker differ from those of the old one.
            period: self.next_run << 32,
            heard_in_all: all,
            ..Worker::default()
        };
        place.session.set_channel(name, Wire { min: 1, max: 1 });
    }

    /// Restarts the process of a side. Its workers get new channels.
    pub fn restart(&mut self, side: usize) {
        for index in 0..self.lines.len() {
            self.break_line(index);
        }
        // a run counts associations that ended: those of two processes, which are random numbers, never meet
        self.next_run += 1_000_000;
        let (node, peer) = (["r1", "r2"][side], ["r2", "r1"][side]);
        let lines = self.lines.len();
        self.sides[side].session =
            Session::new(node, peer, Introduction::default(), self.next_run, lines);
        let names: Vec<String> = self.sides[side].workers.keys().cloned().collect();
        for name in names {
            self.restart_worker(side, &name);
        }
    }

    /// Breaks a connection. Both ends are told, and data in transit is lost.
    pub fn break_line(&mut self, index: usize) {
        let line = &mut self.lines[index];
        line.pipes.iter_mut().for_each(Channel::link);
        line.open_at_ns = self.clock.now_ns() + RECONNECT_NS;
        if std::mem::take(&mut line.open) {
            for side in 0..2 {
                let now = self.now(side);
                self.sides[side].session.handle_closed(now, index, "broken");
            }
        }
    }

    /// Sends a message, if the worker may send one.
    pub fn send(&mut self, side: usize, name: &str, length: usize) -> bool {
        let wants = self.sides[side].session.wants(name);
        let place = &mut self.sides[side];
        let Some(worker) = place.workers.get_mut(name) else {
            return false;
        };
        if !worker.up || !wants {
            return false;
        }
        let mut record = vec![message_kind(worker.ups)];
        record.extend(worker.period.to_be_bytes());
        record.extend(worker.sent.to_be_bytes());
        record.resize(record.len().max(1 + length), b'x');
        worker.sent += 1;
        place.session.handle_record(name, record);
        true
    }

    pub fn run_for(&mut self, ms: u64) {
        let end = self.clock.now_ns() + ms * MS;
        while self.clock.now_ns() < end {
            self.step(end);
        }
    }

    fn step(&mut self, end: u64) {
        self.open_lines();
        self.exchange();
        self.look_for_paths();
        let mut next = end;
        for side in 0..2 {
            if let Some(at) = self.sides[side].session.next_timeout(self.now(side)) {
                next = next.min(at);
            }
        }
        for line in &self.lines {
            if line.cut {
                continue;
            }
            if !line.open {
                next = next.min(line.open_at_ns);
            }
            let pipes = line.pipes.iter().filter(|_| line.deaf.is_none());
            next = pipes.filter_map(Channel::next_at).fold(next, u64::min);
        }
        self.clock.move_to(next.max(self.clock.now_ns() + MS / 20));
    }

    fn look_for_paths(&mut self) {
        let now_ns = self.clock.now_ns();
        for (side, since) in self.sides.iter().zip(&mut self.pathless_since_ns) {
            let has_path = (0..self.lines.len()).any(|line| side.session.is_joined(line));
            *since = (!has_path).then(|| since.unwrap_or(now_ns));
            let lasts_ns = since.map_or(0, |since| now_ns - since);
            self.longest_pathless_ns = self.longest_pathless_ns.max(lasts_ns);
        }
    }

    fn open_lines(&mut self) {
        for index in 0..self.lines.len() {
            let line = &mut self.lines[index];
            if line.open || line.cut || self.clock.now_ns() < line.open_at_ns {
                continue;
            }
            line.open = true;
            for side in 0..2 {
                let now = self.now(side);
                self.sides[side].session.handle_opened(now, index);
            }
        }
    }

    fn exchange(&mut self) {
        for side in 0..2 {
            let now = self.now(side);
            for index in 0..self.lines.len() {
                self.receive(side, index);
            }
            self.sides[side].session.handle_timeout(now);
            self.serve_workers(side);
            for index in 0..self.lines.len() {
                self.transmit(side, index);
            }
            self.drain_events(side);
        }
    }

    fn receive(&mut self, side: usize, index: usize) {
        let now = self.now(side);
        loop {
            let line = &mut self.lines[index];
            if !line.open || line.cut || line.deaf == Some(side) {
                return;
            }
            let Some(bytes) = line.pipes[side].receive(now.ns) else {
                return;
            };
            let result = self.sides[side].session.handle_bytes(now, index, &bytes);
            if result.is_err() {
                self.break_line(index);
            }
        }
    }

    fn transmit(&mut self, side: usize, index: usize) {
        let now = self.now(side);
        let mut transmit = Transmit::default();
        while self.lines[index].open {
            let line = &mut self.lines[index];
            let pipe = &mut line.pipes[1 - side];
            if pipe.iter().map(Vec::len).sum::<usize>() > IN_FLIGHT_MAX {
                return;
            }
            transmit.clear();
            self.sides[side]
                .session
                .poll_transmit(now, index, 40_000, &mut transmit);
            if transmit.is_empty() {
                return;
            }
            let bytes: Vec<u8> = transmit.parts().flatten().copied().collect();
            assert_eq!(bytes.len(), transmit.len());
            pipe.set_latency(line.latency_ns);
            // the latency is not random here
            let sent = pipe.send(now.ns, &mut Random::new(0), bytes);
            sent.expect("room for everything");
        }
    }

    fn drain_events(&mut self, side: usize) {
        while let Some(event) = self.sides[side].session.poll_event() {
            if let Event::Close { path, .. } = &event {
                // The other side of a cut path is not told, but here the closed socket is closed.
                let path = *path;
                self.break_line(path);
            }
            self.sides[side].events.push(event);
        }
    }

    fn serve_workers(&mut self, side: usize) {
        let now = self.now(side);
        let place = &mut self.sides[side];
        for (name, worker) in &mut place.workers {
            while worker.reads {
                let Some(record) = place.session.delivery(name) else {
                    break;
                };
                worker.hear(record);
                place.session.handle_delivered(now, name);
            }
        }
    }

    pub fn state(&self, side: usize) -> State {
        let mut state = State {
            paths: vec![PathState::default(); self.lines.len()],
            ..State::default()
        };
        self.sides[side].session.state(&mut state);
        state
    }

    pub fn channel(&self, side: usize, name: &str) -> ChannelState {
        self.state(side)
            .channels
            .get(name)
            .cloned()
            .unwrap_or_default()
    }

    pub fn worker(&mut self, side: usize, name: &str) -> &mut Worker {
        self.sides[side].workers.get_mut(name).unwrap()
    }
}

impl Worker {
    /// Checks that every message arrives once and in order, and from one period of the peer only.
    fn hear(&mut self, record: &[u8]) {
        match record[0] {
            UP => {
                assert!(!self.up, "up twice");
                self.up = true;
                self.period += 1;
                self.ups = self.ups.wrapping_add(1);
                self.sent = 0;
                self.heard.clear();
            }
            DOWN => {
                assert!(self.up, "down without up");
                self.up = false;
            }
            MESSAGE => {
                assert!(self.up, "a message while down");
                let number = |at: usize| u64::from_be_bytes(record[at..at + 8].try_into().unwrap());
                let said = Delivered {
                    worker: number(1) >> 32,
                    period: number(1),
                    number: number(9),
                    length: record.len() - 1,
                };
                let before = self.heard.last();
                assert_eq!(said.number, before.map_or(0, |last| last.number + 1));
                assert!(before.is_none_or(|last| last.period == said.period));
                self.heard.push(said);
                self.heard_in_all += 1;
            }
            kind => panic!("a record of kind {kind}"),
        }
    }
}
