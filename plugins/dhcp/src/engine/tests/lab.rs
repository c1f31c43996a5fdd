//! Test bed: both nodes, the channel between them, and the host.

use super::*;

pub struct Lab {
    pub clock: spared_sim::Clock,
    pub random: Random,
    pub nodes: [Machine; 2],
    /// Channels from node 0 to 1, and back.
    pub channels: [Channel<Vec<u8>>; 2],
    pub linked: bool,
    pub runs: u64,
}

pub fn channels(delay_ms: u64) -> [Channel<Vec<u8>>; 2] {
    [(); 2].map(|()| {
        let mut channel = Channel::ordered(delay_ms * MS, usize::MAX);
        channel.cut();
        channel
    })
}

impl Lab {
    /// A pair that is not linked, both nodes backup, no server running. The clocks are hours apart.
    pub fn new(settings: Settings) -> Self {
        let clocks = [
            Clock {
                monotonic_ns: 10 * S,
                unix_ns: 1_700_000_000 * S,
            },
            Clock {
                monotonic_ns: 900 * HOUR,
                unix_ns: 1_700_000_000 * S + HOUR,
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

    /// A linked pair: the first node active with its servers running, the other in sync.
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

    pub fn now_ns(&self) -> i64 {
        signed(self.clock.now_ns())
    }

    pub fn link(&mut self) {
        self.linked = true;
        let now_ns = self.now_ns();
        for (node, channel) in self.nodes.iter_mut().zip(&mut self.channels) {
            channel.link();
            node.engine.handle_up(node.at(now_ns).now_ns());
        }
        self.settle();
    }

    pub fn cut(&mut self) {
        self.linked = false;
        let lab_ns = self.now_ns();
        for (node, channel) in self.nodes.iter_mut().zip(&mut self.channels) {
            channel.cut();
            let now_ns = node.at(lab_ns).now_ns();
            node.engine.handle_down(now_ns);
        }
        self.settle();
    }

    /// Sets a role as the host does; returns the ticket.
    pub fn tell_role(&mut self, node: usize, active: bool) -> u64 {
        let lab_ns = self.now_ns();
        let node = &mut self.nodes[node];
        let now_ns = node.at(lab_ns).now_ns();
        node.ticket += 1;
        let ticket = node.ticket;
        node.engine.handle_role(now_ns, ticket, "office", active);
        self.settle();
        ticket
    }

    /// Makes a node active, and then starts its servers.
    pub fn activate(&mut self, node: usize) {
        let ticket = self.tell_role(node, true);
        assert!(self.nodes[node].is_done(ticket), "the role is not done");
        for server in 0..self.nodes[node].servers.len() {
            self.start(node, server);
        }
    }

    /// Stops a node's servers, and then takes its role.
    pub fn deactivate(&mut self, node: usize) {
        for server in 0..self.nodes[node].servers.len() {
            if !self.nodes[node].settings.servers[server].warm {
                self.stop(node, server);
            }
        }
        let ticket = self.tell_role(node, false);
        assert!(self.nodes[node].is_done(ticket), "the role is not done");
    }

    /// Switches over as the host does.
    pub fn switch_over(&mut self, from: usize) {
        self.drain(from);
        let to = 1 - from;
        let ticket = self.tell_role(to, true);
        self.run(S / 5);
        self.deactivate(from);
        assert!(self.nodes[to].is_done(ticket), "the role is not done");
        for server in 0..self.nodes[to].servers.len() {
            self.start(to, server);
        }
    }

    pub fn drain(&mut self, node: usize) {
        let now_ns = self.nodes[node].at(self.now_ns()).now_ns();
        self.nodes[node].engine.start_drain(now_ns);
        self.settle();
        // the peer has to confirm that it has everything
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
        let clock = self.nodes[node].at(self.now_ns());
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

    /// Lets a node's server grant a client an address for ten minutes.
    pub fn commit(&mut self, node: usize, number: u16, who: u8) {
        self.commit_for(node, number, who, Some(600));
    }

    pub fn commit_for(&mut self, node: usize, number: u16, who: u8, valid_s: Option<u32>) {
        let clock = self.nodes[node].at(self.now_ns());
        let lease = self.lease_for(node, number, who, valid_s);
        let fake = &mut self.nodes[node].servers[0];
        fake.put(clock, &lease);
        fake.events.push_back(fake.stamp());
        fake.events
            .push_back(Event::Changes(vec![Change::Put(lease)]));
        self.settle();
    }

    /// Lease as a node's server would grant it now.
    pub fn lease_for(&self, node: usize, number: u16, who: u8, valid_s: Option<u32>) -> Lease {
        let clock = self.nodes[node].at(self.now_ns());
        let valid_ns = valid_s.map(|valid_s| i64::from(valid_s) * S);
        Lease {
            key: key(number),
            client: client(who),
            hostname: format!("host{who}").into_bytes(),
            state: State::Leased,
            valid_s: match self.nodes[node].settings.servers[0].format {
                Format::Dnsmasq if valid_s.is_some() => 0,
                _ => valid_s.unwrap_or(u32::MAX),
            },
            preferred_s: 0,
            expires_ns: valid_ns.map(|valid_ns| clock.monotonic_ns + valid_ns),
            committed_ns: clock.monotonic_ns,
            extra: BTreeMap::from([("subnet_id".to_owned(), "1".to_owned())]),
        }
    }

    /// Releases a lease as Kea does, which writes the time when it was granted.
    pub fn release(&mut self, node: usize, number: u16) {
        let clock = self.nodes[node].at(self.now_ns());
        let fake = &mut self.nodes[node].servers[0];
        let given = fake.leases(clock).remove(&key(number));
        let committed_ns = given.map_or(clock.monotonic_ns, |it| it.committed_ns);
        fake.remove(&key(number));
        let gone = Change::Gone {
            key: key(number),
            committed_ns,
        };
        fake.events.push_back(fake.stamp());
        fake.events.push_back(Event::Changes(vec![gone]));
        self.settle();
    }

    /// Restarts the plugin; if `killed`, without its orderly end.
    pub fn restart(&mut self, node: usize, killed: bool, active: bool) {
        let now_ns = self.now_ns();
        self.runs += 1;
        let it = &mut self.nodes[node];
        let clock = it.at(now_ns);
        if !killed {
            it.engine.handle_stop(clock.now_ns());
            while it.act(now_ns) {}
        }
        let (settings, copies) = (it.settings.clone(), it.copies.clone());
        it.engine = machine::engine(clock.now_ns(), &settings, self.runs, &copies);
        it.in_sync = (false, String::new());
        for fake in &mut it.servers {
            fake.events.clear();
            fake.tell_all(clock);
        }
        // the servers' reports come first
        it.act(now_ns);
        it.ticket += 1;
        let ticket = it.ticket;
        it.engine
            .handle_role(clock.now_ns(), ticket, "office", active);
        // channels end with the process
        if self.linked {
            self.cut();
            self.link();
        }
        self.settle();
    }

    /// Handles everything that is due without time passing.
    pub fn settle(&mut self) {
        for _ in 0..100_000 {
            if !self.turn() {
                return;
            }
        }
        panic!("it never comes to rest");
    }

    pub fn turn(&mut self) -> bool {
        let now_ns = self.now_ns();
        let mut busy = false;
        for from in [0, 1] {
            busy |= self.nodes[from].act(now_ns);
            for message in self.nodes[from].speak(now_ns) {
                busy = true;
                // a channel that is down accepts nothing
                let _ = self.channels[from].send(self.clock.now_ns(), &mut self.random, message);
            }
            if let Some(bytes) = self.channels[from].receive(self.clock.now_ns()) {
                let to = &mut self.nodes[1 - from];
                let now_ns = to.at(now_ns).now_ns();
                to.engine.handle_message(now_ns, &bytes).expect("a message");
                busy = true;
            }
        }
        busy
    }

    pub fn run(&mut self, time_ns: i64) {
        self.settle();
        let end_ns = self.now_ns() + time_ns;
        while self.now_ns() < end_ns {
            // in between nothing happens except by the engines' timers
            let now_ns = self.now_ns();
            let arrives = self.channels.iter().filter_map(Channel::next_at).min();
            let arrives_ns = arrives.map_or(i64::MAX, signed);
            let wants = |node: &Machine| {
                let now_ns = node.at(now_ns).now_ns();
                let timeout_ns = signed(node.engine.next_timeout(now_ns));
                timeout_ns.saturating_sub(node.clock.monotonic_ns)
            };
            let next_ns = wants(&self.nodes[0]).min(wants(&self.nodes[1]));
            let next_ns = next_ns.min(arrives_ns).clamp(now_ns + 1, end_ns);
            self.clock.move_to(next_ns.unsigned_abs());
            self.settle();
        }
    }

    /// Client and remaining seconds of an address in the engine.
    pub fn lease(&self, node: usize, number: u16) -> Option<(Client, i64)> {
        let now_ns = self.nodes[node].at(self.now_ns()).monotonic_ns;
        let lease = self.nodes[node].engine.tables.servers[0]
            .book
            .get(&key(number))?;
        let left_ns = lease.expires_ns.map_or(i64::MAX, |it| it - now_ns);
        Some((lease.client.clone(), left_ns / S))
    }

    pub fn has(&self, node: usize, number: u16) -> bool {
        self.lease(node, number).is_some()
    }

    /// Client and remaining seconds of an address in the server's file.
    pub fn filed(&self, node: usize, number: u16) -> Option<(Client, i64)> {
        let it = &self.nodes[node];
        let clock = it.at(self.now_ns());
        let (lease, ends_s, _) = it.servers[0].file.as_ref()?.get(&key(number))?;
        Some((
            lease.client.clone(),
            ends_s - clock.unix_s(clock.monotonic_ns),
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
        match self.nodes[node].row(self.now_ns(), row) {
            Value::Number(number) | Value::Counter(number) => number,
            other => panic!("{row} is {other:?}"),
        }
    }

    pub fn text(&self, node: usize, row: &str) -> String {
        match self.nodes[node].row(self.now_ns(), row) {
            Value::Text(text) => text,
            other => panic!("{row} is {other:?}"),
        }
    }
}
