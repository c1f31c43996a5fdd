//! Two nodes, two channels, one clock; the invariants are checked after each event.

use std::collections::BTreeSet;

use spared_sim::{Channel, Clock, Node, Random};

use super::watch::{KEYS, Watch};
use crate::toy::{Number, Toy};
use crate::{Change, Config, Replica, Tag};

pub const MS: u64 = 1_000_000;
pub const S: u64 = 1_000 * MS;
const TABLES: [&str; 2] = ["first", "second"];
/// Limit of events at one moment, beyond which the nodes loop without end.
const TURNS_MAX: usize = 20_000;

/// A running process, and the table that outlives it.
pub struct Machine {
    pub replica: Replica<Toy>,
    pub store: Toy,
    pub active: bool,
    runs: u64,
    key: u64,
}

pub struct Lab {
    pub clock: Clock,
    pub nodes: [Node<Machine>; 2],
    /// Channels from node 0 to 1, and back.
    pub channels: [Channel<Vec<u8>>; 2],
    pub random: Random,
    pub linked: bool,
    /// True if somebody changes records without a report: "in sync" cannot be right then.
    pub unseen: bool,
    pub watch: Watch,
    pub changes_max: usize,
    /// Numbers of messages that each node sent, by kind.
    pub sent: [[u64; 16]; 2],
    /// Numbers of records that each node sent by value.
    pub puts: [u64; 2],
    /// Messages that wait for the channel, by node.
    made: [Vec<u8>; 2],
    lives: u64,
    version: u32,
}

impl Lab {
    pub fn new(seed: u64) -> Self {
        let keys = if seed % 2 == 0 { [1, 2] } else { [2, 1] };
        let machine = |key| {
            let mut store = Toy::new(TABLES.len());
            store.is_watched = true;
            Machine {
                replica: Replica::new(Config::new(key * 100, key, TABLES)),
                store,
                active: false,
                runs: key * 100,
                key,
            }
        };
        Self {
            clock: Clock::at(1_000 * S),
            nodes: keys.map(|key| Node::new(machine(key))),
            channels: [(); 2].map(|()| Channel::ordered(2 * MS, 2)),
            random: Random::new(seed),
            linked: false,
            unseen: false,
            watch: Watch::default(),
            changes_max: 262_144,
            sent: [[0; 16]; 2],
            puts: [0; 2],
            made: [Vec::new(), Vec::new()],
            lives: 1,
            version: 0,
        }
    }

    /// A lab that is linked and in sync, with the first node active.
    pub fn in_sync() -> Self {
        let mut lab = Self::new(0);
        lab.role(0, true);
        lab.link();
        lab.run(S);
        lab.assert_in_sync();
        lab
    }

    pub fn now_ns(&self) -> u64 {
        self.clock.now_ns()
    }

    pub fn machine(&self, node: usize) -> &Machine {
        self.nodes[node]
            .engine()
            .expect("no node of the lab is dead for long")
    }

    pub fn machine_mut(&mut self, node: usize) -> Option<&mut Machine> {
        self.nodes[node].running()
    }

    pub fn store(&mut self, node: usize) -> &mut Toy {
        &mut self.nodes[node].running().expect("the node runs").store
    }

    pub fn get(&self, node: usize, key: u32) -> Option<u32> {
        self.machine(node).store.get(0, key)
    }

    pub fn records(&self, node: usize, table: usize) -> Vec<(u32, u32)> {
        let records = self.machine(node).store.tables[table].iter();
        records.map(|(key, entry)| (key.0, entry.value)).collect()
    }

    /// Returns a value that no record had before.
    pub fn next_value(&mut self) -> u32 {
        self.version += 1;
        self.version
    }

    // ---- changes by people

    pub fn put(&mut self, node: usize, table: usize, key: u32) -> u32 {
        let (now_ns, value) = (self.now_ns(), self.next_value());
        if let Some(it) = self.nodes[node].running() {
            it.store.put(table, key, value);
            let is_stray = it.replica.undoes_changes(&it.store, table);
            self.watch.put(node, table, key, &it.store, is_stray);
            it.replica
                .changed(now_ns, &mut it.store, table, &Number(key), Change::Put);
        }
        value
    }

    pub fn delete(&mut self, node: usize, table: usize, key: u32) {
        let now_ns = self.now_ns();
        if let Some(it) = self.nodes[node].running() {
            if it.store.remove(table, key) {
                self.watch.delete(node, table, key);
                it.replica
                    .changed(now_ns, &mut it.store, table, &Number(key), Change::Deleted);
            }
        }
    }

    pub fn end(&mut self, node: usize, table: usize, key: u32) {
        let now_ns = self.now_ns();
        if let Some(it) = self.nodes[node].running() {
            let value = it.store.get(table, key);
            if it.store.remove(table, key) {
                self.watch.end(table, key, value);
                it.replica
                    .changed(now_ns, &mut it.store, table, &Number(key), Change::Expired);
            }
        }
    }

    /// Puts a key on the lane of newest values.
    pub fn latest(&mut self, node: usize, table: usize, key: u32) {
        if let Some(it) = self.nodes[node].running() {
            it.replica.latest(table, Number(key));
        }
    }

    pub fn role(&mut self, node: usize, active: bool) {
        if let Some(it) = self.nodes[node].running() {
            it.active = active;
            if let Some(owns) = &mut it.store.owns_all {
                *owns = active;
            }
            it.replica.handle_groups(groups(active));
        }
    }

    /// Gives all records to the active node alone. From now on there is at most one.
    pub fn own_by_role(&mut self) {
        for node in [0, 1] {
            let active = self.machine(node).active;
            self.store(node).owns_all = Some(active);
        }
        self.watch.owned = 0..KEYS;
    }

    pub fn cut(&mut self) {
        self.linked = false;
        for node in [0, 1] {
            self.channels[node].cut();
            // a stopped process finds the channel gone when it continues
            self.nodes[node].resume();
            if let Some(it) = self.nodes[node].running() {
                it.replica.handle_down(&mut it.store);
            }
        }
        self.check();
    }

    pub fn link(&mut self) {
        self.linked = true;
        for node in [0, 1] {
            self.channels[node].link();
            self.nodes[node].resume();
            if let Some(it) = self.nodes[node].running() {
                it.replica.handle_up(&mut it.store);
            }
        }
    }

    /// Kills the process and starts it again; the channel is lost with it.
    pub fn restart(&mut self, node: usize) {
        self.cut();
        let Some(mut it) = self.nodes[node].die() else {
            return;
        };
        it.store.restart();
        it.runs += 1;
        let mut config = Config::new(it.runs, it.key, TABLES);
        config.changes_max = self.changes_max;
        it.replica = Replica::new(config);
        it.replica.handle_groups(groups(it.active));
        self.nodes[node].start(it);
        self.watch.restart();
    }

    /// Creates a table again.
    pub fn flush(&mut self, node: usize, table: usize) {
        self.lives += 1;
        if let Some(it) = self.nodes[node].running() {
            it.store.flush(table, self.lives);
            self.watch.flush(node, table);
        }
    }

    /// Gives a table the state that a new process finds: the same records, in another incarnation.
    pub fn flush_and_fill(&mut self, node: usize, table: usize) {
        let records = self.records(node, table);
        self.flush(node, table);
        for (key, value) in records {
            self.store(node).put(table, key, value);
        }
    }

    /// Recalls the last run of the process, before it is linked.
    pub fn recall(&mut self, node: usize, table: usize, incarnation: u64) {
        if let Some(it) = self.nodes[node].running() {
            it.replica.recall(table, incarnation);
            let records = it.store.tables[table].values_mut();
            records.for_each(|entry| entry.tag = Tag::recalled());
        }
    }

    /// Ends pending writes of a slow store.
    pub fn finish(&mut self, node: usize, count: usize) {
        let now_ns = self.now_ns();
        for _ in 0..count {
            let Some(it) = self.nodes[node].running() else {
                return;
            };
            let waits = it.store.writes.first().copied();
            if let Some((token, is_applied)) = it.store.finish() {
                self.watch.applied(node, &mut it.store);
                if let Some(write) = waits {
                    self.watch.finish(node, write.table, write.key.0);
                }
                it.replica.verdict(now_ns, &mut it.store, token, is_applied);
            }
            self.check();
        }
    }

    /// Damages a message in the channel, if there is one.
    pub fn damage(&mut self, node: usize) {
        let pick = self.random.number();
        if let Some(message) = self.channels[node].iter_mut().next() {
            let at = pick as usize % message.len().max(1);
            match pick % 3 {
                0 => message.truncate(at),
                1 if !message.is_empty() => message[0] = 200,
                _ => message.push(7),
            }
        }
    }

    // ---- time

    /// Lets a span pass, with all events in it.
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
                self.clock.move_to(end);
                return;
            }
            self.clock.move_to(next);
        }
    }

    fn next_at(&mut self) -> u64 {
        let now_ns = self.now_ns();
        let mut next = u64::MAX;
        for node in [0, 1] {
            let Some(it) = self.nodes[node].running() else {
                continue;
            };
            let timeout = it.replica.next_timeout(now_ns);
            let arrives = self.channels[1 - node].next_at();
            let arrives = arrives.filter(|_| it.replica.can_receive(&it.store));
            next = timeout.into_iter().chain(arrives).fold(next, u64::min);
        }
        next.max(now_ns)
    }

    /// One event of each node; false if nothing happened.
    fn turn(&mut self) -> bool {
        let mut busy = false;
        for node in [0, 1] {
            busy |= self.receive(node);
            self.timeout(node);
            busy |= self.send(node);
            self.check();
        }
        busy
    }

    fn receive(&mut self, node: usize) -> bool {
        let now_ns = self.now_ns();
        let Some(it) = self.nodes[node].running() else {
            return false;
        };
        if !it.replica.can_receive(&it.store) {
            return false;
        }
        let Some(message) = self.channels[1 - node].receive(now_ns) else {
            return false;
        };
        self.watch.received(node, &message);
        let _ = it.replica.handle_message(now_ns, &mut it.store, &message);
        while it.replica.poll_event().is_some() {}
        self.watch.applied(node, &mut it.store);
        true
    }

    fn timeout(&mut self, node: usize) {
        let now_ns = self.now_ns();
        if let Some(it) = self.nodes[node].running() {
            if it
                .replica
                .next_timeout(now_ns)
                .is_some_and(|at| at <= now_ns)
            {
                it.replica.handle_timeout(now_ns, &mut it.store);
                self.watch.applied(node, &mut it.store);
            }
        }
    }

    fn send(&mut self, node: usize) -> bool {
        let now_ns = self.now_ns();
        let Some(it) = self.nodes[node].running() else {
            return false;
        };
        let Some(message) = it.replica.poll_message(now_ns, &mut it.store) else {
            self.watch.applied(node, &mut it.store);
            return false;
        };
        let message = message.to_vec();
        self.watch.applied(node, &mut it.store);
        // judged when it is made, because it may wait for long
        if self.made[node] != message {
            let owns_all = it.store.owns_all == Some(true);
            self.puts[node] += self.watch.made(node, owns_all, &message);
            self.made[node].clone_from(&message);
        }
        let kind = usize::from(message[0] % 16);
        let taken = self.channels[node].send(now_ns, &mut self.random, message);
        if taken.is_err() {
            return false;
        }
        it.replica.sent();
        self.made[node].clear();
        self.sent[node][kind] += 1;
        true
    }

    // ---- invariants

    fn check(&mut self) {
        for node in [0, 1] {
            if let Some(it) = self.nodes[node].running() {
                self.watch.applied(node, &mut it.store);
            }
            let waiting = self.machine(node).replica.snapshots_waiting();
            assert!(waiting <= 1, "R1: {waiting} snapshots wait at node {node}");
        }
        let in_sync = |node| {
            let it: &Machine = self.machine(node);
            it.replica.in_sync(&it.store).is_ok()
        };
        let all = in_sync(0) && in_sync(1);
        // each refuses what the other changes
        let both_own = [0, 1]
            .iter()
            .all(|node| self.machine(*node).store.owns_all == Some(true));
        if all && !self.unseen && !both_own {
            for table in 0..TABLES.len() {
                let records =
                    [0, 1].map(|node| self.watch.lasting(table, self.records(node, table)));
                assert_eq!(
                    records[0], records[1],
                    "R4: in sync, and table {table} differs"
                );
            }
        }
        if let [Some(one), Some(other)] = self.nodes.each_ref().map(Node::engine) {
            self.watch.forget_equal(&[&one.store, &other.store], all);
        }
    }

    pub fn assert_in_sync(&self) {
        for node in [0, 1] {
            let it = self.machine(node);
            assert_eq!(it.replica.in_sync(&it.store), Ok(()), "node {node}");
            assert_eq!(it.replica.behind_ms(self.now_ns()), 0);
        }
        for table in 0..TABLES.len() {
            assert_eq!(
                self.records(0, table),
                self.records(1, table),
                "table {table}"
            );
        }
    }

    /// Ends all faults: everything works from now on, and nobody changes anything.
    pub fn heal(&mut self) {
        for node in [0, 1] {
            self.nodes[node].resume();
            self.store(node).capacity = usize::MAX;
            self.store(node).is_slow = false;
            self.finish(node, 10_000);
            self.role(node, node == 0);
        }
        if !self.linked {
            self.link();
        }
        self.run(200 * S);
        for (table, key) in self.watch.ended() {
            self.end(0, table, key);
            self.end(1, table, key);
        }
        for node in [0, 1] {
            for table in 0..TABLES.len() {
                if let Some(it) = self.machine_mut(node) {
                    it.replica.resync(table);
                }
            }
        }
        self.run(100 * S);
        self.assert_in_sync();
        self.watch.assert_all_there(&self.machine(0).store);
    }
}

fn groups(active: bool) -> BTreeSet<String> {
    let groups = active.then(|| "office".to_owned());
    groups.into_iter().collect()
}
