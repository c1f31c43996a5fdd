//! Two nodes over virtual time: the tests are their servers, the channel between them, and the
//! host. The nodes' clocks have nothing to do with each other.

mod fake;
mod faults;
mod files;
mod follow;
mod random;
mod roles;

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;

use super::*;
use crate::config::Server;
use crate::format::Format;
use crate::lease::{Change, Client, Clock, Key, Kind, Lease, Set, State};
use fake::Fake;

const S: i64 = 1_000;
const HOUR: i64 = 3_600 * S;

fn key(number: u16) -> Key {
    let [high, low] = number.to_be_bytes();
    Key {
        kind: Kind::V4,
        address: IpAddr::from([10, 0, high, low]),
        prefix: 32,
    }
}

fn client(number: u8) -> Client {
    Client {
        hardware_type: 1,
        hardware: vec![2, 0, 0, 0, 0, number],
        id: vec![1, number],
        iaid: 0,
    }
}

type Rows = Result<Vec<(String, Value)>, String>;

struct Node {
    engine: Engine,
    settings: Settings,
    servers: Vec<Fake>,
    /// Monotonic time and time of day at the pair's zero.
    clock: Clock,
    lineage: Vec<Option<u64>>,
    /// On their way to the peer, and when they are there.
    sent: VecDeque<(i64, Vec<u8>)>,
    delay_ms: i64,
    messages: Vec<Message>,
    done: Vec<u64>,
    answers: Vec<(Rows, bool)>,
    events: Vec<String>,
    warned: Vec<String>,
    in_sync: (bool, String),
    ticket: u64,
}

struct Pair {
    now_ms: i64,
    nodes: [Node; 2],
    linked: bool,
    lives: u64,
}

fn server(name: &str) -> Server {
    Server {
        name: name.to_owned(),
        format: Format::Kea4,
        config: "/etc/kea/kea-dhcp4.conf".into(),
        leases: None,
        socket: None,
        server_id: None,
        bus_name: None,
        bus: None,
        warm: false,
        allow_empty: false,
    }
}

fn settings() -> Settings {
    Settings {
        servers: vec![server("kea4")],
        ..Settings::default()
    }
}

impl Node {
    fn new(now_ms: i64, clock: Clock, settings: Settings, life: u64) -> Self {
        let mut servers: Vec<Fake> = settings.servers.iter().map(|_| Fake::new()).collect();
        let begun = Clock {
            monotonic_ms: clock.monotonic_ms + now_ms,
            unix_ms: clock.unix_ms + now_ms,
        };
        for (server, settings) in servers.iter_mut().zip(&settings.servers) {
            server.changed_s = (settings.format == Format::Dnsmasq).then_some(0);
            server.tell_all(begun);
        }
        Self {
            engine: Engine::new(begun.monotonic_ms, settings.clone(), life, &[]),
            lineage: vec![None; settings.servers.len()],
            settings,
            servers,
            clock,
            sent: VecDeque::new(),
            delay_ms: 0,
            messages: Vec::new(),
            done: Vec::new(),
            answers: Vec::new(),
            events: Vec::new(),
            warned: Vec::new(),
            in_sync: (false, String::new()),
            ticket: 0,
        }
    }

    fn at(&self, now_ms: i64) -> Clock {
        Clock {
            monotonic_ms: self.clock.monotonic_ms + now_ms,
            unix_ms: self.clock.unix_ms + now_ms,
        }
    }

    /// What is to be done now; false where nothing was.
    fn act(&mut self, now_ms: i64) -> bool {
        let clock = self.at(now_ms);
        let mut busy = false;
        if self.engine.next_timeout() <= clock.monotonic_ms {
            self.engine.handle_timeout(clock.monotonic_ms);
            busy = true;
        }
        while let Some(action) = self.engine.poll_action() {
            busy = true;
            match action {
                Action::Command { server, command } => self.servers[server].obey(clock, command),
                Action::Done { ticket } => self.done.push(ticket),
                Action::Answer {
                    rows, attention, ..
                } => self.answers.push((rows, attention)),
                Action::InSync { yes, why } => self.in_sync = (yes, why),
                Action::Lineage { server, life } => self.lineage[server] = life,
                Action::Warn(text) => self.warned.push(text),
                Action::Event(text) => self.events.push(text),
            }
        }
        for server in 0..self.servers.len() {
            while let Some(event) = self.servers[server].events.pop_front() {
                busy = true;
                self.engine.handle_event(clock.monotonic_ms, server, event);
            }
        }
        while let Some(bytes) = self.engine.poll_message(clock.monotonic_ms) {
            busy = true;
            assert!(bytes.len() <= crate::wire::MESSAGE_MAX, "{}", bytes.len());
            self.messages
                .push(Message::parse(&bytes).expect("our own message"));
            self.sent.push_back((now_ms + self.delay_ms, bytes));
        }
        busy
    }

    fn is_done(&self, ticket: u64) -> bool {
        self.done.contains(&ticket)
    }

    fn row(&self, now_ms: i64, name: &str) -> Value {
        let rows = self.engine.rows(self.at(now_ms).monotonic_ms);
        let row = rows.iter().find(|(key, _)| key == name);
        row.unwrap_or_else(|| panic!("no row {name}: {rows:?}"))
            .1
            .clone()
    }
}

impl Pair {
    /// Not linked, both backup, nothing runs. The clocks are hours apart.
    fn new(settings: Settings) -> Self {
        let clocks = [
            Clock {
                monotonic_ms: 10 * S,
                unix_ms: 1_700_000_000 * S,
            },
            Clock {
                monotonic_ms: 900 * HOUR,
                unix_ms: 1_700_000_000 * S + HOUR,
            },
        ];
        let mut pair = Self {
            now_ms: 0,
            nodes: [
                Node::new(0, clocks[0], settings.clone(), 1),
                Node::new(0, clocks[1], settings, 2),
            ],
            linked: false,
            lives: 2,
        };
        pair.settle();
        pair
    }

    /// Linked, the first active, its servers running, the other in sync.
    fn settled_with(settings: Settings) -> Self {
        let mut pair = Self::new(settings);
        pair.link();
        pair.activate(0);
        pair.run(3 * S);
        assert!(pair.nodes[1].in_sync.0, "{:?}", pair.nodes[1].in_sync);
        assert!(pair.nodes[0].in_sync.0, "{:?}", pair.nodes[0].in_sync);
        pair
    }

    fn settled() -> Self {
        Self::settled_with(settings())
    }

    fn link(&mut self) {
        self.linked = true;
        for node in &mut self.nodes {
            let now_ms = node.at(self.now_ms).monotonic_ms;
            node.engine.handle_up(now_ms);
        }
        self.settle();
    }

    fn cut(&mut self) {
        self.linked = false;
        for node in &mut self.nodes {
            node.sent.clear();
            let now_ms = node.at(self.now_ms).monotonic_ms;
            node.engine.handle_down(now_ms);
        }
        self.settle();
    }

    /// The host tells; a ticket.
    fn tell_role(&mut self, node: usize, active: bool) -> u64 {
        let node = &mut self.nodes[node];
        let now_ms = node.at(self.now_ms).monotonic_ms;
        node.ticket += 1;
        let ticket = node.ticket;
        if node.engine.handle_role(now_ms, ticket, "office", active) {
            node.done.push(ticket);
        }
        self.settle();
        ticket
    }

    /// Its role comes, and then its servers start.
    fn activate(&mut self, node: usize) {
        let ticket = self.tell_role(node, true);
        assert!(self.nodes[node].is_done(ticket), "the role is not done");
        for server in 0..self.nodes[node].servers.len() {
            self.start(node, server);
        }
    }

    /// Its servers stop, and then its role goes.
    fn deactivate(&mut self, node: usize) {
        for server in 0..self.nodes[node].servers.len() {
            if !self.nodes[node].settings.servers[server].warm {
                self.stop(node, server);
            }
        }
        let ticket = self.tell_role(node, false);
        assert!(self.nodes[node].is_done(ticket), "the role is not done");
    }

    /// Planned, as the host does it.
    fn switch_over(&mut self, from: usize) {
        self.drain(from);
        let to = 1 - from;
        let ticket = self.tell_role(to, true);
        self.run(200);
        self.deactivate(from);
        assert!(self.nodes[to].is_done(ticket), "the role is not done");
        for server in 0..self.nodes[to].servers.len() {
            self.start(to, server);
        }
    }

    fn drain(&mut self, node: usize) {
        let node = &mut self.nodes[node];
        let now_ms = node.at(self.now_ms).monotonic_ms;
        node.ticket += 1;
        let ticket = node.ticket;
        let done = node.engine.handle_drain(now_ms, ticket);
        self.settle();
        let node = self.nodes.iter().any(|node| node.is_done(ticket));
        assert!(done || node, "the drain is not done");
    }

    fn start(&mut self, node: usize, server: usize) {
        let fake = &mut self.nodes[node].servers[server];
        if fake.file.is_none() {
            fake.file = Some(BTreeMap::new());
            fake.events.push_back(Event::Fault(None));
        }
        self.run_server(node, server, true);
    }

    fn stop(&mut self, node: usize, server: usize) {
        self.run_server(node, server, false);
    }

    fn run_server(&mut self, node: usize, server: usize, runs: bool) {
        let fake = &mut self.nodes[node].servers[server];
        if fake.runs != runs {
            fake.runs = runs;
            let live = fake.live && runs;
            fake.silent = false;
            fake.events.push_back(Event::Runs { runs, live });
        }
        self.settle();
    }

    /// A server of a node gives a client an address, for ten minutes.
    fn commit(&mut self, node: usize, number: u16, who: u8) {
        self.commit_for(node, number, who, Some(600));
    }

    fn commit_for(&mut self, node: usize, number: u16, who: u8, valid_s: Option<u32>) {
        let clock = self.nodes[node].at(self.now_ms);
        let valid_ms = valid_s.map(|valid_s| i64::from(valid_s) * S);
        let lease = Lease {
            key: key(number),
            client: client(who),
            hostname: format!("host{who}").into_bytes(),
            state: State::Leased,
            valid_s: match self.nodes[node].settings.servers[0].format {
                Format::Dnsmasq if valid_s.is_some() => 0,
                _ => valid_s.unwrap_or(u32::MAX),
            },
            preferred_s: 0,
            expires_ms: valid_ms.map(|valid_ms| clock.monotonic_ms + valid_ms),
            committed_ms: clock.monotonic_ms,
            extra: BTreeMap::from([("subnet_id".to_owned(), "1".to_owned())]),
        };
        let fake = &mut self.nodes[node].servers[0];
        fake.put(clock, &lease);
        fake.events
            .push_back(Event::Changes(vec![Change::Put(lease)]));
        self.settle();
    }

    fn release(&mut self, node: usize, number: u16) {
        let committed_ms = self.nodes[node].at(self.now_ms).monotonic_ms;
        let fake = &mut self.nodes[node].servers[0];
        fake.file().remove(&key(number));
        let gone = Change::Gone {
            key: key(number),
            committed_ms,
        };
        fake.events.push_back(Event::Changes(vec![gone]));
        self.settle();
    }

    /// The plugin ends and begins: `killed` without a word.
    fn restart(&mut self, node: usize, killed: bool, active: bool) {
        let it = &mut self.nodes[node];
        let clock = it.at(self.now_ms);
        if !killed {
            it.engine.handle_stop(clock.monotonic_ms);
            it.act(self.now_ms);
        }
        self.lives += 1;
        let (settings, lineage) = (it.settings.clone(), it.lineage.clone());
        it.engine = Engine::new(clock.monotonic_ms, settings, self.lives, &lineage);
        it.in_sync = (false, String::new());
        it.sent.clear();
        for fake in &mut it.servers {
            fake.events.clear();
            fake.tell_all(clock);
        }
        // what the servers say comes first
        it.act(self.now_ms);
        it.ticket += 1;
        let ticket = it.ticket;
        if it
            .engine
            .handle_role(clock.monotonic_ms, ticket, "office", active)
        {
            it.done.push(ticket);
        }
        // channels end with the process
        if self.linked {
            self.cut();
            self.link();
        }
        self.settle();
    }

    /// Everything that happens without time passing.
    fn settle(&mut self) {
        for _ in 0..100_000 {
            let mut busy = false;
            for from in [0, 1] {
                busy |= self.nodes[from].act(self.now_ms);
                if !self.linked {
                    self.nodes[from].sent.clear();
                }
                let due = |(due_ms, _): &(i64, Vec<u8>)| *due_ms <= self.now_ms;
                let sent = &mut self.nodes[from].sent;
                if let Some((_, bytes)) = sent
                    .front()
                    .is_some_and(due)
                    .then(|| sent.pop_front())
                    .flatten()
                {
                    let to = &mut self.nodes[1 - from];
                    let now_ms = to.at(self.now_ms).monotonic_ms;
                    to.engine.handle_message(now_ms, &bytes).expect("a message");
                    busy = true;
                }
            }
            if !busy {
                return;
            }
        }
        panic!("it never comes to rest");
    }

    fn run(&mut self, time_ms: i64) {
        self.settle();
        let end_ms = self.now_ms + time_ms;
        while self.now_ms < end_ms {
            // nothing happens by itself between, but what the engines ask for
            let next = |node: &Node| {
                let timeout_ms = node.engine.next_timeout();
                let due_ms = node.sent.front().map_or(i64::MAX, |(due_ms, _)| *due_ms);
                due_ms.min(timeout_ms.saturating_sub(node.clock.monotonic_ms))
            };
            let next_ms = next(&self.nodes[0]).min(next(&self.nodes[1]));
            self.now_ms = next_ms.clamp(self.now_ms + 1, end_ms);
            self.settle();
        }
    }

    /// Who has an address in the engine, and for how many seconds.
    fn lease(&self, node: usize, number: u16) -> Option<(Client, i64)> {
        let now_ms = self.nodes[node].at(self.now_ms).monotonic_ms;
        let lease = self.nodes[node].engine.stores[0].book.get(&key(number))?;
        let left_ms = lease.expires_ms.map_or(i64::MAX, |it| it - now_ms);
        Some((lease.client.clone(), left_ms / S))
    }

    fn has(&self, node: usize, number: u16) -> bool {
        self.lease(node, number).is_some()
    }

    /// Who has an address in the server's file, and for how many seconds.
    fn filed(&self, node: usize, number: u16) -> Option<(Client, i64)> {
        let it = &self.nodes[node];
        let clock = it.at(self.now_ms);
        let (lease, ends_s, _) = it.servers[0].file.as_ref()?.get(&key(number))?;
        Some((
            lease.client.clone(),
            ends_s - clock.unix_s(clock.monotonic_ms),
        ))
    }

    fn clients(&self, node: usize) -> BTreeMap<Key, Client> {
        let book = &self.nodes[node].engine.stores[0].book;
        let leases = book.leases_after(None);
        leases
            .map(|lease| (lease.key, lease.client.clone()))
            .collect()
    }

    fn filed_clients(&self, node: usize) -> BTreeMap<Key, Client> {
        let filed = self.nodes[node].servers[0].file.iter().flatten();
        filed
            .map(|(key, (lease, ..))| (*key, lease.client.clone()))
            .collect()
    }

    fn assert_equal(&self) {
        assert_eq!(self.clients(0), self.clients(1));
    }

    fn number(&self, node: usize, row: &str) -> u64 {
        match self.nodes[node].row(self.now_ms, row) {
            Value::Number(number) => number,
            Value::Text(text) => panic!("{row} is {text:?}"),
        }
    }

    fn text(&self, node: usize, row: &str) -> String {
        match self.nodes[node].row(self.now_ms, row) {
            Value::Text(text) => text,
            Value::Number(number) => panic!("{row} is {number}"),
        }
    }
}
