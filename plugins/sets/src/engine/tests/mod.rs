//! Two nodes over virtual time: the tests are their kernels, the channel between them, and the host.

use std::collections::{BTreeMap, VecDeque};

use super::*;
use crate::element::{Family, Life};
use crate::wire::{About, MESSAGE_MAX};

mod bounds;
mod faults;
mod follow;
mod roles;

const S: u64 = 1_000;

fn bans() -> SetName {
    SetName {
        family: Family::Inet,
        table: "filter".to_owned(),
        name: "bans".to_owned(),
    }
}

fn shape() -> Shape {
    Shape {
        key_type: 7,
        key_len: 4,
        data_len: 0,
        timeouts: true,
        intervals: false,
    }
}

fn key(number: u32) -> Key {
    Key(number.to_be_bytes().into())
}

/// Life as timeout and what is left, in ms.
fn element(number: u32, life: Option<(u64, u64)>) -> Element {
    Element {
        key: key(number),
        life: life.map(|(timeout_ms, left_ms)| Life {
            timeout_ms,
            left_ms,
        }),
        data: Box::default(),
        comment: Box::default(),
    }
}

/// The one set of a node's kernel.
struct Kernel {
    shape: Option<Shape>,
    /// Timeout and end.
    elements: BTreeMap<Key, Option<(u64, u64)>>,
    room: usize,
    /// Changes that the plugin made.
    written: usize,
    reads: usize,
}

struct Node {
    engine: Engine,
    kernel: Kernel,
    in_sync: (bool, String),
    warned: Vec<String>,
    /// On their way to the peer.
    sent: VecDeque<Vec<u8>>,
    /// A reading that its kernel has not begun, and whether it begins them.
    unread: Option<usize>,
    reads: bool,
    /// How many messages the channel takes.
    room: usize,
    /// Of all messages, by kind.
    kinds: Vec<u8>,
    bytes: usize,
}

struct Pair {
    now_ms: u64,
    nodes: [Node; 2],
    linked: bool,
    /// What is sent is under way.
    slow: bool,
}

impl Node {
    fn new(now_ms: u64) -> Self {
        let settings = Settings {
            sets: vec![bans()],
            ..Settings::default()
        };
        Self {
            engine: Engine::new(now_ms, settings),
            kernel: Kernel {
                shape: Some(shape()),
                elements: BTreeMap::new(),
                room: usize::MAX,
                written: 0,
                reads: 0,
            },
            in_sync: (false, String::new()),
            warned: Vec::new(),
            sent: VecDeque::new(),
            unread: None,
            reads: true,
            room: usize::MAX,
            kinds: Vec::new(),
            bytes: 0,
        }
    }

    /// As a packet adds it: nobody is told.
    fn insert(&mut self, now_ms: u64, element: Element) {
        let life = element.life.map(|it| (it.timeout_ms, now_ms + it.left_ms));
        self.kernel.elements.insert(element.key, life);
    }

    /// The kernel begins the reading that waits, and all that come.
    fn begin_reads(&mut self, now_ms: u64) {
        self.reads = true;
        if let Some(set) = self.unread.take() {
            self.read(now_ms, set);
        }
    }

    /// As `nft` adds it.
    fn add(&mut self, now_ms: u64, element: Element) {
        self.insert(now_ms, element.clone());
        self.engine.handle_added(now_ms, 0, vec![element]);
    }

    fn delete(&mut self, now_ms: u64, number: u32) {
        self.kernel.elements.remove(&key(number));
        self.engine.handle_deleted(now_ms, 0, vec![key(number)]);
    }

    fn has(&self, number: u32) -> bool {
        self.kernel.elements.contains_key(&key(number))
    }

    fn act(&mut self, now_ms: u64) {
        while let Some(action) = self.engine.poll_action() {
            match action {
                Action::Read { set } if self.reads => self.read(now_ms, set),
                Action::Read { set } => self.unread = Some(set),
                Action::Write { set, changes } => self.write(now_ms, set, changes),
                Action::InSync { yes, why } => self.in_sync = (yes, why),
                Action::Warn(text) => self.warned.push(text),
                Action::Event(_) => {}
            }
        }
        while self.sent.len() < self.room {
            let Some(message) = self.engine.poll_message(now_ms) else {
                break;
            };
            assert!(message.len() <= MESSAGE_MAX);
            self.kinds.push(message[0]);
            self.bytes += message.len();
            self.sent.push_back(message);
        }
    }

    fn read(&mut self, now_ms: u64, set: usize) {
        self.kernel.reads += 1;
        let Some(shape) = self.kernel.shape else {
            return self
                .engine
                .handle_shape(now_ms, set, Err(Hindrance::Missing));
        };
        self.engine.handle_shape(now_ms, set, Ok(shape));
        let elements = self.kernel.elements.iter();
        let elements = elements.map(|(key, life)| Element {
            key: key.clone(),
            life: life.map(|(timeout_ms, ends_ms)| Life {
                timeout_ms,
                left_ms: ends_ms - now_ms,
            }),
            data: Box::default(),
            comment: Box::default(),
        });
        let elements = elements.collect();
        self.engine.handle_elements(now_ms, set, elements);
        let reading = Reading {
            certain: true,
            spent_ms: 1,
        };
        self.engine.handle_read(now_ms, set, Some(reading));
    }

    fn write(&mut self, now_ms: u64, set: usize, changes: Vec<Change>) {
        let mut refused = Vec::new();
        for change in changes {
            if change.delete {
                self.kernel.elements.remove(&change.key);
            }
            if self.kernel.shape.is_none() {
                refused.push((change.key, 2));
                continue;
            }
            self.kernel.written += 1;
            if let Some(element) = change.add {
                if self.kernel.elements.len() >= self.kernel.room {
                    refused.push((change.key, 23));
                    continue;
                }
                self.insert(now_ms, element);
            }
        }
        if !refused.is_empty() {
            self.engine.handle_refused(now_ms, set, refused);
        }
    }
}

impl Pair {
    fn new() -> Self {
        Self {
            now_ms: S,
            nodes: [Node::new(S), Node::new(S)],
            linked: false,
            slow: false,
        }
    }

    /// Linked, the first active, both in sync.
    fn settled() -> Self {
        let mut pair = Self::new();
        pair.link();
        pair.role(0, true);
        pair.run(3 * S);
        assert!(pair.nodes[1].in_sync.0, "{:?}", pair.nodes[1].in_sync);
        pair
    }

    fn link(&mut self) {
        self.linked = true;
        for node in &mut self.nodes {
            node.engine.handle_up();
        }
        self.settle();
    }

    fn cut(&mut self) {
        self.linked = false;
        for node in &mut self.nodes {
            node.sent.clear();
            node.engine.handle_down();
        }
        self.settle();
    }

    fn role(&mut self, node: usize, active: bool) {
        let now_ms = self.now_ms;
        let engine = &mut self.nodes[node].engine;
        engine.handle_role(now_ms, "office", active);
        self.settle();
    }

    /// The first gives the role away, the second has it.
    fn switch(&mut self, from: usize) {
        self.role(from, false);
        self.role(1 - from, true);
    }

    /// Everything that happens without time passing.
    fn settle(&mut self) {
        for _ in 0..10_000 {
            let now_ms = self.now_ms;
            let mut quiet = true;
            for from in [0, 1] {
                let node = &mut self.nodes[from];
                if node.engine.next_timeout() <= now_ms {
                    node.engine.handle_timeout(now_ms);
                    quiet = false;
                }
                node.act(now_ms);
                if !self.linked {
                    node.sent.clear();
                }
                if self.slow {
                    continue;
                }
                if let Some(message) = self.nodes[from].sent.pop_front() {
                    let to = &mut self.nodes[1 - from];
                    to.engine
                        .handle_message(now_ms, &message)
                        .expect("a message");
                    to.act(now_ms);
                    quiet = false;
                }
            }
            if quiet {
                return;
            }
        }
        panic!("it never comes to rest");
    }

    fn run(&mut self, time_ms: u64) {
        self.settle();
        let end_ms = self.now_ms + time_ms;
        while self.now_ms < end_ms {
            self.now_ms += 100;
            let now_ms = self.now_ms;
            for node in &mut self.nodes {
                let elements = &mut node.kernel.elements;
                elements.retain(|_, life| life.is_none_or(|(_, ends_ms)| ends_ms > now_ms));
            }
            self.settle();
        }
    }

    fn insert(&mut self, node: usize, element: Element) {
        self.nodes[node].insert(self.now_ms, element);
    }

    fn add(&mut self, node: usize, element: Element) {
        self.nodes[node].add(self.now_ms, element);
        self.settle();
    }

    fn delete(&mut self, node: usize, number: u32) {
        self.nodes[node].delete(self.now_ms, number);
        self.settle();
    }

    /// What is left of an element's life.
    fn left_ms(&self, node: usize, number: u32) -> Option<u64> {
        let life = self.nodes[node].kernel.elements.get(&key(number))?;
        life.map(|(_, ends_ms)| ends_ms - self.now_ms)
    }

    fn keys(&self, node: usize) -> Vec<&Key> {
        self.nodes[node].kernel.elements.keys().collect()
    }

    fn assert_equal(&self) {
        assert_eq!(self.keys(0), self.keys(1));
    }

    /// Messages with elements, from a node, until now.
    fn gifts(&self, node: usize) -> usize {
        let kinds = self.nodes[node].kinds.iter();
        kinds.filter(|kind| matches!(kind, 4..=6)).count()
    }
}
