//! Both nodes, the channel between them, and the host.

use super::*;

pub struct Lab {
    pub clock: spared_sim::Clock,
    pub random: Random,
    pub nodes: [Machine; 2],
    /// From node 0 to 1, and back.
    pub channels: [Channel<Vec<u8>>; 2],
    pub linked: bool,
    pub runs: u64,
}

pub fn channels(delay_ms: u64) -> [Channel<Vec<u8>>; 2] {
    [(); 2].map(|()| {
        let mut channel = Channel::ordered(delay_ms * NS, usize::MAX);
        channel.cut();
        channel
    })
}

impl Lab {
    /// Not linked, both backup, nothing runs. The clocks are hours apart.
    pub fn new(settings: Settings) -> Self {
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
        let mut lab = Self {
            clock: spared_sim::Clock::default(),
            random: Random::new(0),
            nodes: [
                Machine::new(0, clocks[0], settings.clone(), 1),
                Machine::new(0, clocks[1], settings, 2),
            ],
            channels: channels(0),
            linked: false,
            runs: 2,
        };
        lab.settle();
        lab
    }

    /// Linked, the first active, its servers running, the other in sync.
    pub fn settled_with(settings: Settings) -> Self {
        let mut lab = Self::new(settings);
        lab.link();
        lab.activate(0);
        lab.run(3 * S);
        assert!(lab.nodes[1].in_sync.0, "{:?}", lab.nodes[1].in_sync);
        assert!(lab.nodes[0].in_sync.0, "{:?}", lab.nodes[0].in_sync);
        lab
    }

    pub fn settled() -> Self {
        Self::settled_with(settings())
    }

    pub fn now_ms(&self) -> i64 {
        (self.clock.now_ns() / NS) as i64
    }

    pub fn link(&mut self) {
        self.linked = true;
        let now_ms = self.now_ms();
        for (node, channel) in self.nodes.iter_mut().zip(&mut self.channels) {
            channel.link();
            node.engine.handle_up(node.at(now_ms).monotonic_ms);
        }
        self.settle();
    }

    pub fn cut(&mut self) {
        self.linked = false;
        let now = self.now_ms();
        for (node, channel) in self.nodes.iter_mut().zip(&mut self.channels) {
            channel.cut();
            let now_ms = node.at(now).monotonic_ms;
            node.engine.handle_down(now_ms);
        }
        self.settle();
    }

    /// The host tells; a ticket.
    pub fn tell_role(&mut self, node: usize, active: bool) -> u64 {
        let now = self.now_ms();
        let node = &mut self.nodes[node];
        let now_ms = node.at(now).monotonic_ms;
        node.ticket += 1;
        let ticket = node.ticket;
        node.engine.handle_role(now_ms, ticket, "office", active);
        self.settle();
        ticket
    }

    /// Its role comes, and then its servers start.
    pub fn activate(&mut self, node: usize) {
        let ticket = self.tell_role(node, true);
        assert!(self.nodes[node].is_done(ticket), "the role is not done");
        for server in 0..self.nodes[node].servers.len() {
            self.start(node, server);
        }
    }

    /// Its servers stop, and then its role goes.
    pub fn deactivate(&mut self, node: usize) {
        for server in 0..self.nodes[node].servers.len() {
            if !self.nodes[node].settings.servers[server].warm {
                self.stop(node, server);
            }
        }
        let ticket = self.tell_role(node, false);
        assert!(self.nodes[node].is_done(ticket), "the role is not done");
    }

    /// Planned, as the host does it.
    pub fn switch_over(&mut self, from: usize) {
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

    pub fn drain(&mut self, node: usize) {
        let now_ms = self.nodes[node].at(self.now_ms()).monotonic_ms;
        self.nodes[node].engine.start_drain(now_ms);
        self.settle();
        // the peer has to say that it has everything
        for _ in 0..4 {
            if self.nodes[node].engine.is_drained() {
                return;
            }
            self.run(S);
        }
        panic!("the drain is not done");
    }

    pub fn start(&mut self, node: usize, server: usize) {
        let fake = &mut self.nodes[node].servers[server];
        if fake.file.is_none() {
            fake.file = Some(BTreeMap::new());
            fake.events.push_back(Event::Fault(None));
        }
        self.run_server(node, server, true);
    }

    pub fn stop(&mut self, node: usize, server: usize) {
        self.run_server(node, server, false);
    }

    pub fn run_server(&mut self, node: usize, server: usize, runs: bool) {
        let clock = self.nodes[node].at(self.now_ms());
        let fake = &mut self.nodes[node].servers[server];
        if fake.runs != runs {
            fake.runs = runs;
            let live = fake.live && runs;
            fake.silent = false;
            fake.events.push_back(Event::Runs { runs, live });
            if !runs {
                fake.forget(clock);
            }
        }
        self.settle();
    }

    /// A server of a node gives a client an address, for ten minutes.
    pub fn commit(&mut self, node: usize, number: u16, who: u8) {
        self.commit_for(node, number, who, Some(600));
    }

    pub fn commit_for(&mut self, node: usize, number: u16, who: u8, valid_s: Option<u32>) {
        let clock = self.nodes[node].at(self.now_ms());
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

    pub fn release(&mut self, node: usize, number: u16) {
        let committed_ms = self.nodes[node].at(self.now_ms()).monotonic_ms;
        let fake = &mut self.nodes[node].servers[0];
        fake.remove(&key(number));
        let gone = Change::Gone {
            key: key(number),
            committed_ms,
        };
        fake.events.push_back(Event::Changes(vec![gone]));
        self.settle();
    }

    /// The plugin ends and begins: `killed` without a word.
    pub fn restart(&mut self, node: usize, killed: bool, active: bool) {
        let now_ms = self.now_ms();
        self.runs += 1;
        let it = &mut self.nodes[node];
        let clock = it.at(now_ms);
        if !killed {
            it.engine.handle_stop(clock.monotonic_ms);
            it.act(now_ms);
        }
        let (settings, lineage) = (it.settings.clone(), it.lineage.clone());
        it.engine = machine::engine(clock.monotonic_ms, &settings, self.runs, &lineage);
        it.in_sync = (false, String::new());
        for fake in &mut it.servers {
            fake.events.clear();
            fake.tell_all(clock);
        }
        // what the servers say comes first
        it.act(now_ms);
        it.ticket += 1;
        let ticket = it.ticket;
        it.engine
            .handle_role(clock.monotonic_ms, ticket, "office", active);
        // channels end with the process
        if self.linked {
            self.cut();
            self.link();
        }
        self.settle();
    }

    /// Everything that happens without time passing.
    pub fn settle(&mut self) {
        for _ in 0..100_000 {
            if !self.turn() {
                return;
            }
        }
        panic!("it never comes to rest");
    }

    pub fn turn(&mut self) -> bool {
        let (now_ns, now_ms) = (self.clock.now_ns(), self.now_ms());
        let mut busy = false;
        for from in [0, 1] {
            busy |= self.nodes[from].act(now_ms);
            for message in self.nodes[from].speak(now_ms) {
                busy = true;
                // a channel that is down takes nothing
                let _ = self.channels[from].send(now_ns, &mut self.random, message);
            }
            if let Some(bytes) = self.channels[from].receive(now_ns) {
                let to = &mut self.nodes[1 - from];
                let now_ms = to.at(now_ms).monotonic_ms;
                to.engine.handle_message(now_ms, &bytes).expect("a message");
                busy = true;
            }
        }
        busy
    }

    pub fn run(&mut self, time_ms: i64) {
        self.settle();
        let end_ms = self.now_ms() + time_ms;
        while self.now_ms() < end_ms {
            // nothing happens by itself between, but what the engines ask for
            let now_ms = self.now_ms();
            let arrives = self.channels.iter().filter_map(Channel::next_at).min();
            let arrives_ms = arrives.map_or(i64::MAX, |at| at.div_ceil(NS) as i64);
            let wants = |node: &Machine| {
                let now_ms = node.at(now_ms).monotonic_ms;
                let timeout_ms = node.engine.next_timeout(now_ms);
                timeout_ms.saturating_sub(node.clock.monotonic_ms)
            };
            let next_ms = wants(&self.nodes[0]).min(wants(&self.nodes[1]));
            let next_ms = next_ms.min(arrives_ms).clamp(now_ms + 1, end_ms);
            self.clock.move_to(next_ms.unsigned_abs() * NS);
            self.settle();
        }
    }

    /// Who has an address in the engine, and for how many seconds.
    pub fn lease(&self, node: usize, number: u16) -> Option<(Client, i64)> {
        let now_ms = self.nodes[node].at(self.now_ms()).monotonic_ms;
        let lease = self.nodes[node].engine.tables.servers[0]
            .book
            .get(&key(number))?;
        let left_ms = lease.expires_ms.map_or(i64::MAX, |it| it - now_ms);
        Some((lease.client.clone(), left_ms / S))
    }

    pub fn has(&self, node: usize, number: u16) -> bool {
        self.lease(node, number).is_some()
    }

    /// Who has an address in the server's file, and for how many seconds.
    pub fn filed(&self, node: usize, number: u16) -> Option<(Client, i64)> {
        let it = &self.nodes[node];
        let clock = it.at(self.now_ms());
        let (lease, ends_s, _) = it.servers[0].file.as_ref()?.get(&key(number))?;
        Some((
            lease.client.clone(),
            ends_s - clock.unix_s(clock.monotonic_ms),
        ))
    }

    pub fn clients(&self, node: usize) -> BTreeMap<Key, Client> {
        let book = &self.nodes[node].engine.tables.servers[0].book;
        let entries = book.entries_after(None);
        entries
            .map(|(key, entry)| (*key, entry.lease.client.clone()))
            .collect()
    }

    pub fn filed_clients(&self, node: usize) -> BTreeMap<Key, Client> {
        let filed = self.nodes[node].servers[0].file.iter().flatten();
        filed
            .map(|(key, (lease, ..))| (*key, lease.client.clone()))
            .collect()
    }

    pub fn assert_equal(&self) {
        assert_eq!(self.clients(0), self.clients(1));
    }

    pub fn number(&self, node: usize, row: &str) -> u64 {
        match self.nodes[node].row(self.now_ms(), row) {
            Value::Number(number) | Value::Counter(number) => number,
            other => panic!("{row} is {other:?}"),
        }
    }

    pub fn text(&self, node: usize, row: &str) -> String {
        match self.nodes[node].row(self.now_ms(), row) {
            Value::Text(text) => text,
            other => panic!("{row} is {other:?}"),
        }
    }
}
