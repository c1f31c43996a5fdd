//! Two nodes with a kernel each, a channel between them and a clock that only tests move.

mod follow;
mod loss;
mod random;
mod roles;

use std::collections::{BTreeMap, HashSet, VecDeque};

use super::local::Event;
use super::{Action, Change, Engine, Finished, How, SECOND_NS, Source, Subscription};
use crate::config::Settings;
use crate::flow::{Flow, TCP, Tcp, Tuple, UDP, Zone, status};

const ENOENT: i32 = 2;
const ENOMEM: i32 = 12;
const EEXIST: i32 = 17;
const EBUSY: i32 = 16;
const EOPNOTSUPP: i32 = 95;
const MS: u64 = 1_000_000;
/// Flows in one piece of a dump.
const PIECE: usize = 4;

/// What a kernel does with flows, as far as the engine can tell.
struct Kernel {
    /// By original tuple; with the second in which they end.
    flows: BTreeMap<Vec<u8>, (Flow, u64)>,
    limit: usize,
    subscription: Subscription,
    /// Events that were not read yet; more than `buffer` are lost.
    events: VecDeque<Event>,
    buffer: usize,
    overrun: bool,
    /// What is left of a dump, filled when it is asked for, a piece ahead.
    dump: Option<VecDeque<Flow>>,
    piece: Vec<Flow>,
    hidden: HashSet<Vec<u8>>,
    expectations: Vec<Vec<u8>>,
    deletes: usize,
    creates: usize,
    updates: usize,
    loosened: usize,
}

fn name(flow: &Flow) -> Vec<u8> {
    let mut bytes = Vec::new();
    crate::wire::record(&mut bytes, crate::wire::Kind::Gone, flow);
    bytes
}

impl Kernel {
    fn new() -> Self {
        Self {
            flows: BTreeMap::new(),
            limit: usize::MAX,
            subscription: Subscription::Nothing,
            events: VecDeque::new(),
            buffer: usize::MAX,
            overrun: false,
            dump: None,
            piece: Vec::new(),
            hidden: HashSet::new(),
            expectations: Vec::new(),
            deletes: 0,
            creates: 0,
            updates: 0,
            loosened: 0,
        }
    }

    fn tell(&mut self, event: Event) {
        let heard = match (&event, self.subscription) {
            (_, Subscription::Nothing) => false,
            (Event::Gone(_), _) => true,
            (_, subscription) => subscription == Subscription::All,
        };
        let (Event::New(flow) | Event::Changed(flow) | Event::Gone(flow)) = &event else {
            return;
        };
        if !heard || self.hidden.contains(&name(flow)) {
            return;
        }
        if self.events.len() >= self.buffer {
            self.overrun = true;
        } else {
            self.events.push_back(event);
        }
    }

    /// A packet: the flow is made, or changed, or only its time.
    fn traffic(&mut self, now_s: u64, flow: &Flow) {
        let ends_s = now_s + u64::from(flow.timeout_s.unwrap_or(0));
        let before = self.flows.insert(name(flow), (flow.clone(), ends_s));
        let whole = Flow {
            timeout_s: None,
            ..flow.clone()
        };
        match before {
            None => self.tell(Event::New(flow.clone())),
            Some((before, _)) => {
                let before = Flow {
                    timeout_s: None,
                    ..before
                };
                if before != whole {
                    self.tell(Event::Changed(flow.clone()));
                }
            }
        }
    }

    fn end(&mut self, flow: &Flow) {
        if let Some((flow, _)) = self.flows.remove(&name(flow)) {
            self.tell(Event::Gone(flow));
        }
    }

    fn expire(&mut self, now_s: u64) {
        let ended = |(_, ends_s): &(Flow, u64)| *ends_s <= now_s;
        let flows: Vec<Flow> = self
            .flows
            .values()
            .filter(|it| ended(it))
            .map(|it| it.0.clone())
            .collect();
        flows.iter().for_each(|flow| self.end(flow));
    }

    fn write(&mut self, now_s: u64, change: &Change) -> Result<(), i32> {
        let (key, flow) = (name(&change.flow), &change.flow);
        let ends_s = now_s + u64::from(change.timeout_s);
        match &change.how {
            How::Create { exclusive } => {
                if let Some((there, _)) = self.flows.get(&key) {
                    return match () {
                        () if *exclusive => Err(EEXIST),
                        () if !flow.is_plain() => Err(EOPNOTSUPP),
                        () if there.status & !flow.status & status::ASSURED != 0 => Err(EBUSY),
                        () => self.update(flow, ends_s, true),
                    };
                }
                let clash = self
                    .flows
                    .values()
                    .any(|(there, _)| there.reply == flow.reply);
                match () {
                    () if clash => return Err(EEXIST),
                    () if self.flows.len() >= self.limit => return Err(ENOMEM),
                    () => {}
                }
                assert!(
                    flow.original.protocol != TCP || flow.tcp.is_some(),
                    "a TCP flow without a state"
                );
                self.creates += 1;
                self.flows.insert(key, (flow.clone(), ends_s));
                Ok(())
            }
            How::Update { with_status } => self.update(flow, ends_s, *with_status),
            How::Refresh => match self.flows.get_mut(&key) {
                Some((_, ends)) => {
                    *ends = ends_s;
                    Ok(())
                }
                None => Err(ENOENT),
            },
            How::Loosen => {
                let (there, _) = self.flows.get_mut(&key).ok_or(ENOENT)?;
                self.loosened += 1;
                there
                    .tcp
                    .iter_mut()
                    .for_each(|tcp| tcp.flags = tcp.flags.map(|it| it | 8));
                Ok(())
            }
            How::Delete => {
                self.deletes += 1;
                self.flows.remove(&key).map(drop).ok_or(ENOENT)
            }
            How::DeleteReply => {
                self.deletes += 1;
                self.flows.retain(|_, (there, _)| there.reply != flow.reply);
                Ok(())
            }
            How::Expect(_, request) => {
                self.expectations.push(request.clone());
                Ok(())
            }
        }
    }

    fn update(&mut self, flow: &Flow, ends_s: u64, with_status: bool) -> Result<(), i32> {
        let (there, ends) = self.flows.get_mut(&name(flow)).ok_or(ENOENT)?;
        if with_status {
            if there.status & !flow.status & status::ASSURED != 0 {
                return Err(EBUSY);
            }
            there.status |= flow.status;
        }
        self.updates += 1;
        there.mark = flow.mark;
        there.tcp = flow.tcp.or(there.tcp);
        *ends = ends_s;
        Ok(())
    }

    fn listed(&self, now_s: u64) -> Vec<Flow> {
        let flows = self.flows.values().map(|(flow, ends_s)| Flow {
            timeout_s: Some(ends_s.saturating_sub(now_s) as u32),
            ..flow.clone()
        });
        flows.collect()
    }

    /// Tables without times, for comparison.
    fn table(&self) -> Vec<Flow> {
        // being liberal is the copy's own
        let bare = |tcp: Tcp| Tcp {
            flags: tcp.flags.map(|flags| flags & 7),
            ..tcp
        };
        let flows = self.listed(0).into_iter().map(|flow| Flow {
            timeout_s: None,
            tcp: flow.tcp.map(bare),
            ..flow
        });
        flows.collect()
    }
}

struct Node {
    engine: Engine,
    kernel: Kernel,
    in_sync: Option<bool>,
    drained: bool,
    compared: Option<Vec<(String, String)>>,
    warnings: Vec<String>,
    events: Vec<String>,
}

struct Pair {
    now_ns: u64,
    nodes: [Node; 2],
    /// Messages to each node.
    to: [VecDeque<Vec<u8>>; 2],
    up: bool,
    /// A channel takes no more than that.
    room: usize,
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
                drained: false,
                compared: None,
                warnings: Vec::new(),
                events: Vec::new(),
            }
        };
        Self {
            now_ns: SECOND_NS,
            nodes: [node(7), node(70)],
            to: [VecDeque::new(), VecDeque::new()],
            up: false,
            room: usize::MAX,
        }
    }

    /// Both are there, and the first is active.
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
            node.engine.handle_up(self.now_ns);
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

    /// A worker is restarted: it knows nothing, its kernel stays.
    fn restart(&mut self, at: usize, active: bool) {
        self.cut();
        self.nodes[at].engine = Engine::new([99, 98]);
        self.nodes[at].kernel.subscription = Subscription::Nothing;
        self.nodes[at].kernel.events.clear();
        self.nodes[at].kernel.dump = None;
        self.role(at, active);
        self.connect();
    }

    fn role(&mut self, at: usize, active: bool) {
        self.nodes[at]
            .engine
            .handle_role(self.now_ns, "office", active);
        self.step();
    }

    fn now_s(&self) -> u64 {
        self.now_ns / SECOND_NS
    }

    fn traffic(&mut self, at: usize, flow: &Flow) {
        let now_s = self.now_s();
        self.nodes[at].kernel.traffic(now_s, flow);
    }

    fn end(&mut self, at: usize, flow: &Flow) {
        self.nodes[at].kernel.end(flow);
    }

    /// Lets time pass in steps that every timer meets.
    fn pass_ms(&mut self, ms: u64) {
        let until_ns = self.now_ns + ms * MS;
        self.step();
        while self.now_ns < until_ns {
            let timers = self
                .nodes
                .iter()
                .filter_map(|node| node.engine.next_timeout());
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

    /// Everything that happens at this moment.
    fn step(&mut self) {
        for _ in 0..10_000 {
            let busy = [0, 1].map(|at| self.turn(at));
            if busy == [false, false] {
                return;
            }
        }
        panic!("it never comes to rest");
    }

    /// One round of a node's loop; false where nothing was to be done.
    fn turn(&mut self, at: usize) -> bool {
        let now_ns = self.now_ns;
        let mut busy = false;
        let (sent, node) = (&mut self.to[1 - at], &mut self.nodes[at]);
        busy |= node.hear(now_ns);
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
            self.nodes[at].engine.handle_message(now_ns, &message);
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
    fn hear(&mut self, now_ns: u64) -> bool {
        if self.engine.is_congested() {
            return false;
        }
        let mut busy = false;
        if std::mem::take(&mut self.kernel.overrun) {
            self.engine.handle_overrun(now_ns);
            busy = true;
        }
        while let Some(event) = self.kernel.events.pop_front() {
            self.engine.handle_event(now_ns, event);
            busy = true;
        }
        self.engine.handle_heard_all();
        busy
    }

    /// The kernel fills a piece when the one before is fetched: it is older than what was heard
    /// meanwhile.
    fn read_dump(&mut self, now_ns: u64) -> bool {
        if !self.engine.wants_more() {
            return false;
        }
        let Some(rest) = &mut self.kernel.dump else {
            return false;
        };
        let next: Vec<Flow> = rest.drain(..rest.len().min(PIECE)).collect();
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

    fn perform(&mut self, now_ns: u64) -> bool {
        let mut busy = false;
        let now_s = now_ns / SECOND_NS;
        self.engine.go_on(now_ns);
        while let Some(action) = self.engine.poll_action() {
            busy = true;
            match action {
                Action::Subscribe(subscription) => {
                    self.kernel.subscription = subscription;
                    self.kernel.events.clear();
                }
                Action::Write(change) => match self.kernel.write(now_s, &change) {
                    Ok(()) => self.engine.handle_written(&change),
                    Err(errno) => self.engine.handle_refused(now_ns, change, errno),
                },
                Action::Find(flows) => {
                    let found = flows
                        .iter()
                        .filter_map(|flow| self.kernel.flows.get(&name(flow)));
                    let found: Vec<Flow> = found.map(|(flow, _)| flow.clone()).collect();
                    found
                        .into_iter()
                        .for_each(|flow| self.engine.handle_found(now_ns, flow));
                }
                Action::Probe(flow) => match self.kernel.hidden.contains(&name(&flow)) {
                    true => self.engine.handle_silent(),
                    false => self.engine.handle_found(now_ns, flow),
                },
                Action::Dump(Source::Flows) => {
                    self.kernel.dump = Some(self.kernel.listed(now_s).into());
                    let rest = self.kernel.dump.as_mut().map(|rest| {
                        let piece = rest.len().min(PIECE);
                        rest.drain(..piece).collect()
                    });
                    self.kernel.piece = rest.unwrap_or_default();
                }
                Action::Dump(Source::Expectations) => {
                    self.engine.handle_dump_end(now_ns, true);
                }
                Action::StopDump => self.kernel.dump = None,
                Action::InSync(yes, _) => self.in_sync = Some(yes),
                Action::Done(Finished::Drain) => self.drained = true,
                Action::Done(Finished::Comparison(rows)) => self.compared = rows,
                Action::Warn(text) => self.warnings.push(text),
                Action::Info(_) => {}
                Action::Event(text) => self.events.push(text),
            }
        }
        busy
    }
}

/// Flow number so-and-so; TCP is established.
fn flow(protocol: u8, number: u32) -> Flow {
    let [a, b, c, d] = number.to_be_bytes();
    let mut original = Tuple {
        protocol,
        ends: [c, d, 0, 80],
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

/// From behind the router's address.
fn translated(number: u32) -> Flow {
    let mut flow = tcp(number);
    flow.reply.destination[..4].copy_from_slice(&[203, 0, 113, 1]);
    flow
}
