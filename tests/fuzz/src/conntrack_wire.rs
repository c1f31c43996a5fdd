//! Whatever the peer says of flows, and whatever the kernel says: no bytes panic, what is a record is
//! one again, and an engine that hears them goes on, with as much to do as the bytes are long.
//!
//! Input: one byte (bit 0: this node is active; bit 1: the channel is full; bit 2: rules hide flows),
//! then records of one byte that says what comes, one of length (units of 4), and bytes.

use spared_conntrack::codec::{build, expectation, parse};
use spared_conntrack::config::Settings;
use spared_conntrack::engine::kernel_events::{By, Event};
use spared_conntrack::engine::{Action, Engine, KernelChange, Question, Source};
use spared_conntrack::filter::Selection;
use spared_conntrack::flow::{Flow, Tcp, Tuple};
use spared_conntrack::wire::{self, Kind, Message, Why};
use spared_replica::map::Map;
use spared_replica::wire::OWN;
use spared_replica::{Config, Replica};

/// The shortest record, of a flow that is gone.
const RECORD_BYTES_MIN: usize = 14;
/// Most actions that any input may cause, apart from those for the records that it holds.
const ACTIONS_MAX: usize = 64;
/// ENOMEM, EEXIST, ENOENT, EBUSY, EPERM, EOPNOTSUPP, EINVAL
const REFUSALS: [i32; 7] = [12, 17, 2, 16, 1, 95, 22];

struct Node {
    engine: Engine,
    now_ns: u64,
    /// Source of a dump that has begun and not ended.
    dumping: Option<Source>,
    refusal: Option<i32>,
    is_full: bool,
}

pub fn run(input: &[u8]) {
    let Some((flags, mut rest)) = input.split_first() else {
        return;
    };
    let mut node = Node::new(*flags);
    while let [what, length, tail @ ..] = rest {
        let (bytes, after) = tail.split_at((usize::from(*length) * 4).min(tail.len()));
        rest = after;
        node.now_ns += u64::from(*what >> 4) * 100_000_000;
        node.refusal = REFUSALS.get(usize::from(*length % 9)).copied();
        node.hear(*what & 0xf, bytes);
        node.settle(bytes.len());
    }
}

impl Node {
    fn new(flags: u8) -> Self {
        let mut engine = Engine::new([1, 2]);
        engine.configure(1, Settings::default());
        engine.handle_role(1, "office", flags & 1 != 0);
        engine.handle_hiding(flags & 4 != 0);
        engine.handle_up(1, wire::VERSION);
        let mut node = Self {
            engine,
            now_ns: 1,
            dumping: None,
            refusal: None,
            is_full: flags & 2 != 0,
        };
        node.meet(flags & 1 == 0);
        node.settle(0);
        node
    }

    /// The peer introduces itself.
    fn meet(&mut self, is_active: bool) {
        let mut nowhere: Map = Map::new(0);
        let mut peer = Replica::new(Config::new(3, 4, []));
        let groups = is_active.then(|| "office".to_owned());
        peer.handle_groups(groups.into_iter().collect());
        peer.handle_up(&mut nowhere);
        while let Some(message) = peer.poll_message(1, &mut nowhere) {
            let heard = self.engine.handle_message(1, message);
            assert_eq!(heard, Ok(()));
            peer.sent();
        }
    }

    fn hear(&mut self, what: u8, bytes: &[u8]) {
        let now_ns = self.now_ns;
        match what {
            0..8 => {
                look(bytes);
                let _ = self.engine.handle_message(now_ns, bytes);
            }
            8 => self.engine.handle_timeout(now_ns),
            9 => self.engine.handle_role(now_ns, "office", bytes.is_empty()),
            10 => self.engine.handle_overrun(now_ns),
            11 => drop(self.engine.compare(now_ns, Selection::default())),
            12 => self.end_dump(bytes.is_empty()),
            13 => drop(self.engine.drain(now_ns)),
            _ => self.hear_kernel(what == 14, bytes),
        }
        assert!(self.engine.next_timeout(now_ns).is_some());
    }

    fn hear_kernel(&mut self, is_event: bool, bytes: &[u8]) {
        let Some(flow) = parse::flow(bytes) else {
            return;
        };
        requests(&flow);
        let by = if bytes[1] & 4 == 0 {
            By::Traffic
        } else {
            By::Request
        };
        match (is_event, bytes[1] & 3) {
            (false, _) if self.dumping == Some(Source::Flows) => {
                self.engine.handle_dumped(self.now_ns, flow);
                self.engine.handle_dump_piece();
            }
            (false, _) => {}
            (true, 0) => self.engine.handle_event(self.now_ns, Event::Gone(flow), by),
            (true, 1) => self.engine.handle_event(self.now_ns, Event::New(flow), by),
            (true, _) => self
                .engine
                .handle_event(self.now_ns, Event::Changed(flow), by),
        }
    }

    fn end_dump(&mut self, complete: bool) {
        if self.dumping.take().is_some() {
            self.engine.handle_dump_end(self.now_ns, complete);
        }
    }

    /// Does what the engine wants, as often as so many bytes may make it want something.
    fn settle(&mut self, bytes: usize) {
        // a change may be tried in several ways
        let most = ACTIONS_MAX + bytes / RECORD_BYTES_MIN * 8;
        let mut done = 0;
        loop {
            self.engine.go_on(self.now_ns);
            while let Some(action) = self.engine.poll_action() {
                done += 1;
                assert!(
                    done <= most,
                    "{done} actions after {bytes} bytes: {action:?}"
                );
                self.perform(action);
            }
            self.send();
            if !self.engine.has_actions() {
                return;
            }
        }
    }

    fn perform(&mut self, action: Action) {
        match action {
            Action::Write(change) => self.write(change),
            Action::Find(flows) => {
                for flow in flows {
                    self.engine.handle_found(self.now_ns, flow);
                }
            }
            Action::Ask(questions) => questions.into_iter().for_each(|it| self.answer(it)),
            Action::Probe(_) => self.engine.handle_silent(),
            Action::Dump(source) => self.dumping = Some(source),
            Action::StopDump => self.dumping = None,
            _ => {}
        }
    }

    /// The kernel has no such flow, or the one that is to be written, a second older.
    fn answer(&mut self, question: Question) {
        let flow = question.change.flow.clone();
        let timeout_s = flow.timeout_s.map(|left_s| left_s.saturating_sub(1));
        let found = self.refusal.is_none().then_some(Flow { timeout_s, ..flow });
        if let Some(change) = self.engine.handle_asked(self.now_ns, question, found) {
            self.write(change);
        }
    }

    fn write(&mut self, change: KernelChange) {
        requests(&change.flow);
        match self.refusal {
            Some(errno) => self.engine.handle_refused(self.now_ns, change, errno),
            None => self.engine.handle_written(&change),
        }
    }

    fn send(&mut self) {
        while let Some(message) = self.engine.poll_message(self.now_ns) {
            assert!(message.len() <= wire::MESSAGE_BYTES.max(wire::HASHES_MAX * 8 + 1));
            assert!(message[0] < OWN || Message::decode(message).is_ok());
            if self.is_full {
                return;
            }
            self.engine.message_sent(self.now_ns);
        }
    }
}

/// Asserts that each record is the same one after it was written and read again.
fn look(bytes: &[u8]) {
    let (Ok(Message::Changes { records, .. }) | Ok(Message::Compared { records, .. })) =
        Message::decode(bytes)
    else {
        return;
    };
    for (kind, flow) in wire::records(records).map_while(Result::ok) {
        let mut again = Vec::new();
        wire::record(&mut again, kind, &flow);
        assert!(again.len() <= wire::RECORD_BYTES_MAX);
        assert_eq!(wire::records(&again).next(), Some(Ok((kind, flow))));
    }
}

/// Every request can be built of any flow; a new one is read again.
fn requests(flow: &Flow) {
    let mut out = Vec::new();
    build::create(&mut out, flow, 1);
    if flow.original.protocol != 0 {
        assert!(parse::flow(&out).is_some());
    }
    build::update(&mut out, flow, Some(1), true);
    build::touch(&mut out, flow);
    build::name_by_reply(&mut out, flow);
    let _ = expectation::request(&out);
}

/// Flows of each kind as records of the peer, as the kernel's events and dumps, and every other message.
pub fn seeds() -> Vec<Vec<u8>> {
    let flows: Vec<Flow> = (0..8).map(sample).collect();
    let mut messages: Vec<Vec<u8>> = Vec::new();
    for kind in [
        Kind::Whole,
        Kind::Part,
        Kind::Gone(Why::Ended),
        Kind::Gone(Why::Closed),
    ] {
        let (mut changes, mut compared) = (Vec::new(), Vec::new());
        wire::begin_changes(&mut changes, 1500);
        wire::begin_compared(&mut compared, 5);
        for flow in &flows {
            wire::record(&mut changes, kind, flow);
            wire::record(&mut compared, kind, flow);
        }
        messages.extend([changes, compared]);
    }
    let address = (false, [10; 16]);
    messages.extend([
        Message::Resync {
            number: 7,
            lease_s: 120,
            serial: 3,
        }
        .encode(),
        Message::Alive(&[1; 16]).encode(),
        Message::Resynced {
            number: 7,
            flows: 2,
        }
        .encode(),
        Message::Missing(&[1; 8]).encode(),
        Message::Expect {
            yes: true,
            request: &[2, 0, 0, 0],
        }
        .encode(),
        Message::Addresses(vec![address]).encode(),
        Message::Pulse {
            flows: 3,
            has_lost_events: true,
        }
        .encode(),
        Message::Compare { id: 4 }.encode(),
        Message::End { id: 4 }.encode(),
        Message::Holds(vec![address, (true, [3; 16])]).encode(),
    ]);
    let record = |what: u8, bytes: &[u8]| {
        let mut bytes = bytes.to_vec();
        bytes.resize(bytes.len().next_multiple_of(4).min(1020), 0);
        [&[what, (bytes.len() / 4) as u8], &bytes[..]].concat()
    };
    let mut seeds: Vec<Vec<u8>> = Vec::new();
    for message in &messages {
        let resync = record(
            0,
            &Message::Resync {
                number: 1,
                lease_s: 9,
                serial: 1,
            }
            .encode(),
        );
        let end = record(
            0,
            &Message::Resynced {
                number: 1,
                flows: 8,
            }
            .encode(),
        );
        let record = record(0x10, message);
        seeds.push([&[0], &resync[..], &record, &end, &[8, 0]].concat());
    }
    for what in [14, 15] {
        let mut events = vec![1];
        for flow in &flows {
            let mut payload = Vec::new();
            build::create(&mut payload, flow, 300);
            events.extend(record(what | 0x20, &payload));
        }
        events.extend([12, 0, 9, 0, 8, 0, 13, 0]);
        seeds.push(events);
    }
    seeds
}

fn sample(number: u8) -> Flow {
    let is_ipv6 = number % 2 == 1;
    let protocol = [6, 17, 1, 132, 33, 47, 6, 17][usize::from(number % 8)];
    let end = |byte: u8| {
        let mut address = [0; 16];
        address[..if is_ipv6 { 16 } else { 4 }].fill(byte);
        address
    };
    let original = Tuple {
        is_ipv6,
        protocol,
        source: end(number + 1),
        destination: end(9),
        ports: [0x9c, 0x41, 0, 80],
    };
    let translated = Tuple {
        destination: end(7),
        ..original.inverse()
    };
    Flow {
        reply: if number > 5 {
            translated
        } else {
            original.inverse()
        },
        original,
        status: 6,
        timeout_s: Some(300),
        mark: u32::from(number / 4),
        tcp: (protocol == 6).then_some(Tcp {
            state: 3,
            scales: [10, 7],
            flags: [0x23, 0x23],
        }),
        ..Flow::default()
    }
}
