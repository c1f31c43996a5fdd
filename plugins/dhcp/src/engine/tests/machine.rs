//! One simulated node: an engine and its servers.

use super::*;

pub struct Machine {
    pub engine: Engine,
    pub settings: Settings,
    pub servers: Vec<Fake>,
    /// Monotonic time and time of day at the lab's time zero.
    pub clock: Clock,
    pub copies: Vec<Option<CompleteCopy>>,
    /// Messages that it has sent.
    pub messages: Vec<Vec<u8>>,
    pub done: Vec<u64>,
    pub answers: Vec<Result<Difference, String>>,
    pub events: Vec<String>,
    pub warned: Vec<String>,
    pub in_sync: (bool, String),
    pub ticket: u64,
}

/// Creates the engine of a run. Its key for the replica is scrambled, so that either of two runs
/// may have the greater one.
pub fn engine(
    now_ns: u64,
    settings: &Settings,
    run: u64,
    copies: &[Option<CompleteCopy>],
) -> Engine {
    let node = run.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let names = settings.servers.iter().map(|server| server.name.as_str());
    let config = Config::new(run, node, names);
    Engine::new(now_ns, settings.clone(), config, copies)
}

impl Machine {
    pub fn new(now_ns: i64, clock: Clock, settings: Settings, run: u64) -> Self {
        let mut servers: Vec<Fake> = settings.servers.iter().map(|_| Fake::new()).collect();
        let begun = Clock {
            monotonic_ns: clock.monotonic_ns + now_ns,
            unix_ns: clock.unix_ns + now_ns,
        };
        for (server, settings) in servers.iter_mut().zip(&settings.servers) {
            server.changed_s = (settings.format == Format::Dnsmasq).then_some(0);
            server.tell_all(begun);
        }
        Self {
            engine: engine(begun.now_ns(), &settings, run, &[]),
            copies: vec![None; settings.servers.len()],
            settings,
            servers,
            clock,
            messages: Vec::new(),
            done: Vec::new(),
            answers: Vec::new(),
            events: Vec::new(),
            warned: Vec::new(),
            in_sync: (false, String::new()),
            ticket: 0,
        }
    }

    pub fn at(&self, now_ns: i64) -> Clock {
        Clock {
            monotonic_ns: self.clock.monotonic_ns + now_ns,
            unix_ns: self.clock.unix_ns + now_ns,
        }
    }

    /// Does everything that is due now. Returns false if there was nothing.
    pub fn act(&mut self, now_ns: i64) -> bool {
        let clock = self.at(now_ns);
        let mut busy = false;
        if self.engine.next_timeout(clock.now_ns()) <= clock.now_ns() {
            self.engine.handle_timeout(clock.now_ns());
            busy = true;
        }
        while let Some(action) = self.engine.next_action() {
            busy = true;
            match action {
                Action::Command { server, command } => self.servers[server].obey(clock, command),
                Action::Done { ticket } => self.done.push(ticket),
                Action::Answer(found) => self.answers.push(found),
                Action::RememberCopy { server, copy } => self.copies[server] = copy,
                Action::Warn(text) => self.warned.push(text),
                Action::Event(text) => self.events.push(text),
            }
        }
        for server in 0..self.servers.len() {
            while let Some(event) = self.servers[server].events.pop_front() {
                busy = true;
                self.engine.handle_event(clock.now_ns(), server, event);
            }
        }
        let why = self.engine.readiness().err();
        self.in_sync = (why.is_none(), why.unwrap_or_default());
        busy
    }

    /// Returns the messages to send; the replica may find more to do.
    pub fn speak(&mut self, now_ns: i64) -> Vec<Vec<u8>> {
        let now_ns = self.at(now_ns).now_ns();
        let mut messages = Vec::new();
        while let Some(message) = self.engine.poll_message(now_ns) {
            messages.push(message.to_vec());
            self.engine.message_sent();
        }
        let limit = spared_replica::wire::MESSAGE_MAX;
        assert!(messages.iter().all(|it| it.len() <= limit));
        self.messages.extend(messages.iter().cloned());
        messages
    }

    /// Number of the replica's messages of that kind.
    pub fn sent(&self, kind: u8) -> usize {
        self.messages.iter().filter(|it| it[0] == kind).count()
    }

    pub fn is_done(&self, ticket: u64) -> bool {
        self.done.contains(&ticket)
    }

    pub fn row(&self, now_ns: i64, name: &str) -> Value {
        let rows = self.engine.rows(self.at(now_ns).now_ns());
        let row = rows.iter().find(|(key, _)| key == name);
        row.unwrap_or_else(|| panic!("no row {name}: {rows:?}"))
            .1
            .clone()
    }
}
