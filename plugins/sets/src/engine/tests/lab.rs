//! World of the tests: the state that outlives a worker, messages in the channels, and changes by people.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Bound;

use spared_replica::Config;
use spared_replica::wire::{Body, Message, flag};
use spared_sdk::{Engine as _, Role};
use spared_sim::{Channel, Clock, Node, Random};

pub(crate) use crate::MS;
use crate::codec::{Handles, SetInfo};
use crate::config::{Reload, SetSettings, Settings};
use crate::element::{Element, Family, Key, Life, SetName, Shape};
use crate::engine::{Action, Engine, Seen};
use crate::error::Hindrance;
use crate::store::{Batch, Edit, Reading, Written};

pub const S: u64 = crate::SECOND;
/// Limit of events at one moment, beyond which the nodes loop without end.
const TURNS_MAX: usize = 200_000;
const ENOENT: i32 = 2;
const EBUSY: i32 = 16;
const ENFILE: i32 = 23;

pub fn bans() -> SetName {
    SetName {
        family: Family::Inet,
        table: "filter".to_owned(),
        name: "bans".to_owned(),
    }
}

pub fn shape() -> Shape {
    Shape {
        key_type: 7,
        key_len: 4,
        data_len: 0,
        timeouts: true,
        intervals: false,
        metered: false,
    }
}

pub fn settings(reload: Reload) -> Settings {
    let name = bans();
    Settings {
        sets: vec![SetSettings { name, reload }],
        ..Settings::default()
    }
}

pub fn key(number: u32) -> Key {
    Key(number.to_be_bytes().into())
}

/// Element; `life` is its timeout and the rest of it, in seconds.
pub fn element(number: u32, life: Option<(u64, u64)>) -> Element {
    Element {
        key: key(number),
        life: life.map(|(timeout_s, left_s)| Life {
            timeout_ms: timeout_s * 1000,
            left_ms: left_s * 1000,
        }),
        data: Box::default(),
        comment: Box::default(),
        metered: false,
    }
}

/// Report of the kernel to listeners.
pub enum Said {
    Change(Seen),
    /// End of a transaction.
    Generation(u32),
    Lost,
}

/// Kernel of a node, with one set or none.
pub struct Kernel {
    pub shape: Option<Shape>,
    handles: Handles,
    pub elements: BTreeMap<Key, (Element, u64)>,
    pub room: usize,
    events: VecDeque<Said>,
    /// Number of the last transaction.
    pub generation: u32,
    /// Every list that was ever in the set, if they are kept.
    pub lists: Option<Vec<Vec<Key>>>,
    /// Element whose transactions the kernel refuses.
    pub hates: Option<Key>,
    /// Element that the kernel does not delete.
    pub keeps: Option<Key>,
    /// Number of keys that the plugin wrote or deleted.
    pub written: usize,
    reading: Option<Underway>,
    /// Number of elements in one piece.
    pub piece: usize,
    /// True if another thread reads the first piece of a reading at once, before this node writes.
    pub reads_ahead: bool,
    /// True if a reading in several pieces skips some elements, and the next one others.
    pub has_holes: bool,
    /// Time of a reading in ns.
    pub spent_ns: u64,
    readings: usize,
    /// Numbers of next readings that fail at their begin, and at their end.
    pub failing_begins: usize,
    pub failing_ends: usize,
}

/// Reading in progress.
struct Underway {
    /// The set's handles at its start.
    handles: Handles,
    first: Option<Vec<Element>>,
    last: Option<Key>,
    pieces: usize,
}

pub struct Machine {
    pub engine: Engine,
    pub kernel: Kernel,
    pub active: bool,
    pub in_sync: Result<(), String>,
    pub warned: Vec<String>,
    pub events: Vec<String>,
    /// Names of the sets that are filled by lists, as the plugin's folder has them.
    kept_lists: BTreeSet<String>,
    number: u64,
    runs: u64,
}

pub struct Lab {
    pub clock: Clock,
    pub nodes: [Node<Machine>; 2],
    pub channels: [Channel<Vec<u8>>; 2],
    pub random: Random,
    pub linked: bool,
    /// Numbers of records by value, and deletions, that each node sent.
    pub puts: [u64; 2],
    pub settings: Settings,
}

impl Kernel {
    fn new() -> Self {
        Self {
            shape: Some(shape()),
            handles: Handles { table: 1, set: 1 },
            elements: BTreeMap::new(),
            room: usize::MAX,
            events: VecDeque::new(),
            generation: 1,
            lists: None,
            hates: None,
            keeps: None,
            written: 0,
            reading: None,
            piece: usize::MAX,
            reads_ahead: false,
            has_holes: false,
            spent_ns: MS,
            readings: 0,
            failing_begins: 0,
            failing_ends: 0,
        }
    }

    /// Adds an element as packets do, without a notification.
    pub fn insert(&mut self, now_ns: u64, element: Element) {
        let ends = element
            .life
            .map_or(u64::MAX, |life| now_ns + life.left_ms * MS);
        self.elements.insert(element.key.clone(), (element, ends));
    }

    /// Loads a ruleset again, in one transaction, that names these elements.
    pub fn reload(&mut self, now_ns: u64, file: &[Element]) {
        self.remove();
        self.make(now_ns, file);
    }

    /// Deletes the set.
    pub fn remove(&mut self) {
        self.elements.clear();
        self.shape = None;
        self.end(vec![Seen::Remade]);
    }

    /// Creates the set.
    pub fn make(&mut self, now_ns: u64, file: &[Element]) {
        self.shape = Some(shape());
        self.handles.table += 1;
        let mut changes = vec![Seen::Remade];
        for element in file {
            self.insert(now_ns, element.clone());
        }
        if !file.is_empty() {
            changes.push(Seen::Added(file.to_vec()));
        }
        self.end(changes);
    }

    /// Ends a transaction.
    pub fn end(&mut self, changes: Vec<Seen>) {
        self.generation += 1;
        self.events.extend(changes.into_iter().map(Said::Change));
        self.events.push_back(Said::Generation(self.generation));
        self.note_list();
    }

    fn note_list(&mut self) {
        let keys: Vec<Key> = self.elements.keys().cloned().collect();
        if let Some(lists) = &mut self.lists {
            lists.push(keys);
        }
    }

    /// Flushes and adds, in one transaction.
    pub fn replace(&mut self, now_ns: u64, list: &[Element]) {
        if self.shape.is_none() {
            return;
        }
        let old = std::mem::take(&mut self.elements);
        for element in list {
            self.insert(now_ns, element.clone());
        }
        // notifications are read in pieces
        let old: Vec<Key> = old.into_keys().collect();
        let gone = old.chunks(3).map(|keys| Seen::Deleted(keys.to_vec()));
        let came = list.chunks(3).map(|all| Seen::Added(all.to_vec()));
        self.end(gone.chain(came).collect());
    }

    /// Loses all events, as if the socket's buffer was full.
    pub fn lose_events(&mut self) {
        let generation = Said::Generation(self.generation);
        self.events = VecDeque::from([Said::Lost, generation]);
    }

    fn write(&mut self, now_ns: u64, batch: &Batch) -> Written {
        let mut written = Written::default();
        let is_news = |it: &Said| !matches!(it, Said::Generation(_));
        let is_changed = self.events.iter().any(is_news);
        for part in &batch.parts {
            if part.is_list && (part.is_outdated || is_changed) {
                written.outdated.push(part.set);
                continue;
            }
            let before = self.elements.clone();
            if part.is_whole {
                self.elements.clear();
            }
            let refused = self.write_part(now_ns, &part.edits);
            let first = refused.iter().find(|(_, errno)| *errno != ENOENT);
            if let Some((key, errno)) = first.filter(|_| part.is_list) {
                written.rejected.push((part.set, key.clone(), *errno));
                self.elements = before;
                continue;
            }
            let refused = refused.into_iter();
            let refused = refused.map(|(key, errno)| (part.set, key, errno));
            written.refused.extend(refused);
        }
        self.end(Vec::new());
        written
    }

    fn write_part(&mut self, now_ns: u64, edits: &[Edit]) -> Vec<(Key, i32)> {
        let mut refused = Vec::new();
        let mut edits = edits.to_vec();
        edits.sort_by_key(|edit| edit.add.is_some());
        for edit in &edits {
            if self.shape.is_none() {
                if edit.add.is_some() {
                    refused.push((edit.key.clone(), ENOENT));
                }
                continue;
            }
            if edit.delete && self.keeps.as_ref() == Some(&edit.key) {
                refused.push((edit.key.clone(), EBUSY));
                continue;
            }
            let was = if edit.delete {
                self.elements.remove(&edit.key)
            } else {
                None
            };
            let Some(element) = &edit.add else {
                self.written += 1;
                continue;
            };
            if self.elements.contains_key(&edit.key) {
                // the kernel does not change an existing element
                continue;
            }
            let is_hated = self.hates.as_ref() == Some(&edit.key);
            if self.elements.len() >= self.room || is_hated {
                self.elements.extend(was.map(|was| (edit.key.clone(), was)));
                refused.push((edit.key.clone(), ENFILE));
                continue;
            }
            self.written += 1;
            self.insert(now_ns, element.clone());
        }
        refused
    }

    fn expire(&mut self, now_ns: u64) {
        self.elements.retain(|_, (_, ends)| *ends > now_ns);
    }

    fn info(&self) -> Result<SetInfo, Hindrance> {
        let shape = self.shape.ok_or(Hindrance::Missing)?;
        Ok(SetInfo {
            shape,
            default_timeout_ms: 0,
            concatenated: false,
            dynamic: false,
            handles: self.handles,
        })
    }

    /// The set's description; none if the kernel has no time for it, which happens while its tables change all the time.
    fn begin_reading(&mut self) -> Result<SetInfo, Hindrance> {
        if take_one(&mut self.failing_begins) {
            return Err(Hindrance::Kernel(std::io::Error::other("busy")));
        }
        self.info()
    }

    fn without_holes(&self, mut found: Vec<Element>) -> Vec<Element> {
        let passes_over = |it: &Element| {
            let last = it.key.0.last().copied().unwrap_or(0);
            (usize::from(last) + self.readings) % 7 == 0
        };
        if self.has_holes && self.piece < self.elements.len() {
            found.retain(|it| !passes_over(it));
        }
        found
    }

    fn piece(&self, now_ns: u64, after: Option<&Key>) -> Vec<Element> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let all = self.elements.range((from, Bound::Unbounded));
        all.take(self.piece)
            .map(|(_, (element, ends))| {
                let mut element = element.clone();
                if let Some(life) = &mut element.life {
                    life.left_ms = ends.saturating_sub(now_ns) / MS;
                }
                element
            })
            .collect()
    }
}

impl Machine {
    fn new(now_ns: u64, settings: &Settings, number: u64, runs: u64) -> Self {
        let names = settings.names().into_iter().map(|it| it.to_string());
        let names: Vec<String> = names.collect();
        let tables = names.iter().map(String::as_str);
        let config = Config::new(number * 1000 + runs, number, tables);
        let boot = format!("boot {number}");
        Self {
            engine: Engine::new(now_ns, settings.clone(), config, &boot),
            kernel: Kernel::new(),
            active: false,
            in_sync: Ok(()),
            warned: Vec::new(),
            events: Vec::new(),
            kept_lists: BTreeSet::new(),
            number,
            runs,
        }
    }

    /// Handles one report of the kernel: a notification, or a step of a reading.
    pub fn hear(&mut self, now_ns: u64) -> bool {
        self.kernel.expire(now_ns);
        let event = self.kernel.events.pop_front();
        match event {
            Some(Said::Change(seen)) => self.engine.handle_event(now_ns, 0, seen),
            Some(Said::Generation(number)) => self.engine.handle_generation(now_ns, number),
            Some(Said::Lost) => self.engine.handle_loss(now_ns),
            None => return self.read(now_ns),
        }
        true
    }

    fn read(&mut self, now_ns: u64) -> bool {
        let Some(mut reading) = self.kernel.reading.take() else {
            return false;
        };
        let first = reading.first.take();
        let found = first.unwrap_or_else(|| self.kernel.piece(now_ns, reading.last.as_ref()));
        if self.kernel.shape.is_some() && !found.is_empty() {
            reading.last = found.last().map(|it| it.key.clone());
            reading.pieces += 1;
            let found = self.kernel.without_holes(found);
            self.engine.handle_elements(now_ns, 0, found);
            self.kernel.reading = Some(reading);
            return true;
        }
        let same = self.kernel.shape.is_some() && reading.handles == self.kernel.handles;
        let ended = Reading {
            certain: reading.pieces <= 1,
            spent_ns: self.kernel.spent_ns,
            generation: self.kernel.generation,
        };
        self.kernel.readings += 1;
        let is_read = same && !take_one(&mut self.kernel.failing_ends);
        self.engine.handle_read(now_ns, 0, is_read.then_some(ended));
        true
    }

    fn act(&mut self, now_ns: u64) -> bool {
        let mut busy = false;
        while let Some(action) = self.engine.poll_action(now_ns) {
            busy = true;
            match action {
                Action::Read(_) => {
                    let info = self.kernel.begin_reading();
                    let is_ahead = self.kernel.reads_ahead && self.kernel.events.is_empty();
                    let first = is_ahead.then(|| self.kernel.piece(now_ns, None));
                    self.kernel.reading = info.as_ref().ok().map(|it| Underway {
                        handles: it.handles,
                        first,
                        last: None,
                        pieces: 0,
                    });
                    self.engine.handle_info(now_ns, 0, info);
                }
                Action::Write(batch) => {
                    let written = self.kernel.write(now_ns, &batch);
                    self.engine.handle_written(now_ns, batch, &written);
                    break;
                }
                Action::KeepLists(names) => self.kept_lists = names,
                Action::Warn(text) => self.warned.push(text),
                Action::Event(text) => self.events.push(text),
            }
        }
        self.in_sync = self.engine.in_sync().expect("it always says");
        busy
    }
}

impl Lab {
    pub fn new(seed: u64, settings: Settings) -> Self {
        let clock = Clock::at(1_000 * S);
        let numbers = if seed % 2 == 0 { [1, 2] } else { [2, 1] };
        let machine = |number| Machine::new(clock.now_ns(), &settings, number, 0);
        Self {
            nodes: numbers.map(|number| Node::new(machine(number))),
            clock,
            channels: [(); 2].map(|()| Channel::ordered(2 * MS, 2)),
            random: Random::new(seed),
            linked: false,
            puts: [0; 2],
            settings,
        }
    }

    /// A lab that is linked and in sync, with the first node active.
    pub fn in_sync() -> Self {
        Self::in_sync_with(Reload::Refill)
    }

    pub fn in_sync_with(reload: Reload) -> Self {
        let mut lab = Self::new(0, settings(reload));
        lab.role(0, true);
        lab.link();
        lab.run(3 * S);
        lab.assert_in_sync();
        lab
    }

    pub fn now_ns(&self) -> u64 {
        self.clock.now_ns()
    }

    pub fn machine(&self, node: usize) -> &Machine {
        self.nodes[node].engine().expect("no node is dead for long")
    }

    pub fn at(&mut self, node: usize) -> &mut Machine {
        self.nodes[node].running().expect("the node runs")
    }

    pub fn kernel(&mut self, node: usize) -> &mut Kernel {
        &mut self.at(node).kernel
    }

    // ---- changes by people and packets

    /// Adds an element as nft does, with a notification.
    pub fn add(&mut self, node: usize, element: Element) {
        let now_ns = self.now_ns();
        let kernel = self.kernel(node);
        if kernel.shape.is_some() {
            kernel.insert(now_ns, element.clone());
            kernel.end(vec![Seen::Added(vec![element])]);
        }
    }

    pub fn delete(&mut self, node: usize, number: u32) {
        self.delete_all(node, vec![key(number)]);
    }

    /// Flushes the set by name.
    pub fn flush(&mut self, node: usize) {
        let keys = self.kernel(node).elements.keys().cloned().collect();
        self.delete_all(node, keys);
    }

    fn delete_all(&mut self, node: usize, keys: Vec<Key>) {
        let kernel = self.kernel(node);
        let had = |key: &Key| kernel.elements.remove(key).is_some();
        let keys: Vec<Key> = keys.into_iter().filter(had).collect();
        if !keys.is_empty() {
            kernel.end(vec![Seen::Deleted(keys)]);
        }
    }

    /// Adds elements, then deletes some, in one transaction; notifications are read in pieces.
    pub fn add_and_delete(&mut self, node: usize, added: &[Element], gone: Vec<Key>) {
        let now_ns = self.now_ns();
        let kernel = self.kernel(node);
        for element in added {
            kernel.insert(now_ns, element.clone());
        }
        kernel.elements.retain(|key, _| !gone.contains(key));
        let added = added.chunks(3).map(|all| Seen::Added(all.to_vec()));
        let mut changes: Vec<Seen> = added.collect();
        if !gone.is_empty() {
            changes.push(Seen::Deleted(gone));
        }
        kernel.end(changes);
    }

    pub fn insert(&mut self, node: usize, element: Element) {
        let now_ns = self.now_ns();
        self.kernel(node).insert(now_ns, element);
    }

    /// Flushes and adds, in one transaction.
    pub fn replace(&mut self, node: usize, list: &[Element]) {
        let now_ns = self.now_ns();
        self.kernel(node).replace(now_ns, list);
    }

    pub fn reload(&mut self, node: usize, file: &[Element]) {
        let now_ns = self.now_ns();
        self.kernel(node).reload(now_ns, file);
    }

    pub fn role(&mut self, node: usize, active: bool) {
        let now_ns = self.now_ns();
        let machine = self.at(node);
        machine.active = active;
        machine
            .engine
            .handle_role(now_ns, "office", role_of(active));
    }

    pub fn switch(&mut self, from: usize) {
        self.role(from, false);
        self.role(1 - from, true);
    }

    pub fn link(&mut self) {
        let now_ns = self.now_ns();
        self.linked = true;
        for node in [0, 1] {
            self.channels[node].link();
            self.at(node).engine.handle_up(now_ns, 1);
        }
    }

    pub fn cut(&mut self) {
        let now_ns = self.now_ns();
        self.linked = false;
        for node in [0, 1] {
            self.channels[node].cut();
            let machine = self.at(node);
            machine.engine.handle_down(now_ns);
        }
    }

    /// Restarts the worker; the kernel stays, and its notifications meanwhile are lost.
    pub fn restart(&mut self, node: usize) {
        let (now_ns, was_linked) = (self.now_ns(), self.linked);
        self.cut();
        let old = self.nodes[node].die().expect("it runs");
        let mut new = Machine::new(now_ns, &self.settings, old.number, old.runs + 1);
        new.kernel = old.kernel;
        new.kernel.events.clear();
        new.kernel.reading = None;
        let generation = new.kernel.generation;
        new.engine.handle_generation(now_ns, generation);
        new.active = old.active;
        new.engine.recall_lists(&old.kept_lists);
        new.kept_lists = old.kept_lists;
        new.engine
            .handle_role(now_ns, "office", role_of(old.active));
        self.nodes[node].start(new);
        if was_linked {
            self.link();
        }
    }

    // ---- time

    pub fn run(&mut self, span_ns: u64) {
        let end = self.now_ns() + span_ns;
        let mut turns = 0;
        loop {
            while self.turn() {
                turns += 1;
                assert!(turns < TURNS_MAX, "turns in a circle at {}", self.now_ns());
            }
            let next = self.next_at();
            if next > self.now_ns() {
                turns = 0;
            }
            if next > end {
                return self.clock.move_to(end);
            }
            self.clock.move_to(next);
        }
    }

    fn next_at(&mut self) -> u64 {
        let now_ns = self.now_ns();
        let mut next = u64::MAX;
        for node in [0, 1] {
            let arrives = self.channels[1 - node].next_at();
            let machine = self.at(node);
            let arrives = arrives.filter(|_| machine.engine.wants_message());
            let timeout = machine.engine.next_timeout(now_ns);
            next = timeout.into_iter().chain(arrives).fold(next, u64::min);
        }
        next.max(now_ns)
    }

    /// Lets each node handle one event; false if nothing happened.
    fn turn(&mut self) -> bool {
        let mut busy = false;
        for node in [0, 1] {
            busy |= self.receive(node);
            let now_ns = self.now_ns();
            let machine = self.at(node);
            busy |= machine.hear(now_ns);
            if machine
                .engine
                .next_timeout(now_ns)
                .is_some_and(|at| at <= now_ns)
            {
                machine.engine.handle_timeout(now_ns);
                busy = true;
            }
            busy |= machine.act(now_ns);
            busy |= self.send(node);
        }
        busy
    }

    fn receive(&mut self, node: usize) -> bool {
        let now_ns = self.now_ns();
        if !self.at(node).engine.wants_message() {
            return false;
        }
        let Some(message) = self.channels[1 - node].receive(now_ns) else {
            return false;
        };
        let _ = self.at(node).engine.handle_message(now_ns, &message);
        true
    }

    fn send(&mut self, node: usize) -> bool {
        let now_ns = self.now_ns();
        let machine = self.nodes[node].running().expect("the node runs");
        let Some(message) = machine.engine.poll_message(now_ns).map(<[u8]>::to_vec) else {
            return false;
        };
        let count = puts(&message);
        let sent = self.channels[node].send(now_ns, &mut self.random, message);
        if sent.is_ok() {
            machine.engine.message_sent(now_ns);
            self.puts[node] += count;
        }
        sent.is_ok()
    }

    // ---- invariants

    pub fn has(&self, node: usize, number: u32) -> bool {
        self.machine(node)
            .kernel
            .elements
            .contains_key(&key(number))
    }

    pub fn keys(&self, node: usize) -> Vec<Key> {
        self.machine(node).kernel.elements.keys().cloned().collect()
    }

    pub fn count(&self, node: usize) -> usize {
        self.machine(node).kernel.elements.len()
    }

    /// Seconds left of an element, rounded up.
    pub fn left_s(&self, node: usize, number: u32) -> Option<u64> {
        let (element, ends) = self.machine(node).kernel.elements.get(&key(number))?;
        element.life?;
        Some((ends - self.now_ns()).div_ceil(S))
    }

    pub fn assert_in_sync(&self) {
        for node in [0, 1] {
            assert_eq!(self.machine(node).in_sync, Ok(()), "node {node}");
            let rows = self.row(node, "inet filter bans.state");
            let is_alone = self.machine(node).active && !self.linked;
            let in_sync = spared_sdk::Value::Text("in sync".to_owned());
            assert!(is_alone || rows == Some(in_sync), "node {node}: {rows:?}");
        }
        assert_eq!(self.keys(0), self.keys(1));
    }

    pub fn row(&self, node: usize, wanted: &str) -> Option<spared_sdk::Value> {
        let rows = self.machine(node).engine.rows(self.now_ns());
        let found = rows.into_iter().find(|(key, _)| key == wanted);
        found.map(|(_, value)| value)
    }
}

/// Number of records by value and deletions in a message.
/// Takes one of what is left; false if nothing is.
fn take_one(left: &mut usize) -> bool {
    let is_some = *left > 0;
    *left = left.saturating_sub(1);
    is_some
}

fn puts(message: &[u8]) -> u64 {
    let message = Message::parse(message).expect("an engine says what is a message");
    match message.body {
        Body::Offer(records) | Body::Records(records) => {
            records.filter(|it| !it.has(flag::SAME)).count() as u64
        }
        _ => 0,
    }
}

pub fn role_of(active: bool) -> Role {
    if active { Role::Active } else { Role::Backup }
}
