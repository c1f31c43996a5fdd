//! Keeps the history in memory with the peer's fitness, and decides when it is written.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use spared_verdict::{ChangeNumbers, Fitness, GroupFacts, History, Role, RoleChange};

use crate::history::Store;

/// Shortest time between two writes.
const GATHER: Duration = Duration::from_millis(100);
/// Longest wait for the disk when the daemon ends.
const PATIENCE: Duration = Duration::from_secs(1);

/// History of this node in memory.
#[derive(Debug)]
pub struct Memory {
    history: History,
    store: Store,
    /// Time of the next write; None if nothing is new.
    due: Option<Instant>,
    /// Time of the last write.
    written: Option<Instant>,
    /// Last fitness that the peer reported.
    peer: Option<Fitness>,
    /// Numbers of this node's last changes by group, and of the peer's, which stay when it is gone.
    own_numbers: BTreeMap<String, ChangeNumbers>,
    peer_numbers: BTreeMap<String, ChangeNumbers>,
    /// Groups that were active here at the end of the previous run, if it was in the same boot.
    inherited: BTreeSet<String>,
}

impl Memory {
    /// Reads the history of earlier runs. `at` is the time in readable form, and `boot` is the kernel's id of this
    /// boot.
    pub fn new(store: Store, node: &str, now: Instant, at: &str, boot: &str) -> Self {
        let mut history = store.read();
        let own = Fitness {
            node: node.to_owned(),
            quality: 100,
            ..Fitness::default()
        };
        let ended = history.handle_start(at, &own);
        let ran_on = history.handle_boot(boot);
        Self {
            own_numbers: history.numbers(),
            peer_numbers: BTreeMap::new(),
            due: (!ended.is_empty() || !ran_on).then_some(now),
            inherited: if ran_on { ended } else { BTreeSet::new() },
            history,
            store,
            written: None,
            peer: None,
        }
    }

    /// Takes the groups that were active here when the previous run ended abnormally.
    pub fn take_inherited(&mut self) -> BTreeSet<String> {
        std::mem::take(&mut self.inherited)
    }

    pub fn changes(&self) -> &[RoleChange] {
        self.history.changes()
    }

    pub fn next_timeout(&self) -> Option<Instant> {
        self.due
    }

    pub fn handle_timeout(&mut self, now: Instant) {
        if self.due.is_some_and(|due| now >= due) {
            self.due = None;
            self.written = Some(now);
            self.store.write(&self.history);
        }
    }

    /// Returns the reason why a restart would lose the history.
    pub fn fault(&self) -> Option<String> {
        self.store.fault()
    }

    /// Writes the history at the end of the daemon.
    pub fn close(mut self) {
        if self.due.is_some() {
            self.store.write(&self.history);
        }
        self.store.flush(PATIENCE);
    }

    /// Number of a change of this node that comes now.
    pub fn number(&self, group: &str, from: Role, to: Role) -> Option<u64> {
        let peer = self.peer_numbers.get(group).copied();
        self.numbers(group).next(peer.unwrap_or_default(), from, to)
    }

    /// Numbers of this node's last changes.
    pub fn numbers(&self, group: &str) -> ChangeNumbers {
        self.own_numbers.get(group).copied().unwrap_or_default()
    }

    /// Handles the numbers in the peer's newest facts.
    pub fn handle_peer_numbers(&mut self, groups: &[GroupFacts]) {
        let numbers = groups.iter().map(|it| (it.name.clone(), it.changes));
        self.peer_numbers = numbers.collect();
    }

    pub fn push(&mut self, now: Instant, change: RoleChange) {
        if let Some(number) = change.number {
            let own = self.own_numbers.entry(change.group.clone());
            own.or_default().note(number, change.to);
        }
        self.history.push(change);
        self.plan_write(now);
    }

    /// Returns the last fitness that the peer reported, whichever node it was.
    pub fn peer(&self) -> Option<&Fitness> {
        self.peer.as_ref()
    }

    /// Handles the fitness from the peer's newest facts.
    pub fn handle_peer(&mut self, now: Instant, at: &str, peer: Fitness) {
        self.peer = Some(peer.clone());
        if self.history.handle_peer_fitness(at, &peer.brief()) {
            self.plan_write(now);
        }
    }

    fn plan_write(&mut self, now: Instant) {
        // a single change is written at once, and changes in quick succession together
        let due = self.written.map_or(now, |at| now.max(at + GATHER));
        self.due.get_or_insert(due);
    }
}
