//! Keeps the history in memory with the peer's fitness, and decides when it is written.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use spared_verdict::history::Urgency;
use spared_verdict::{
    ChangeNumbers, Finding, Fitness, GroupFacts, History, Past, PastQuery, Role, RoleChange,
};

use crate::history::Store;

/// Shortest time between two writes.
const GATHER: Duration = Duration::from_millis(100);
/// Longest time until a finding that comes and goes is written.
const LATE: Duration = Duration::from_secs(60);
/// Interval at which a run that has nothing else to write is noted as alive: after a power cut the time of its end is
/// known so exactly.
const ALIVE: Duration = Duration::from_secs(600);
/// Longest wait for the disk when the daemon ends.
const PATIENCE: Duration = Duration::from_secs(1);

/// Start of a run, in readable form.
#[derive(Clone, Debug)]
pub struct RunStart {
    /// Name of this node.
    pub node: String,
    /// Time of the start.
    pub at: String,
    /// Last time at which the previous run is known to have run, if something else than the history tells.
    pub seen: Option<String>,
    /// Kernel's id of this boot.
    pub boot: String,
}

/// History of this node in memory.
#[derive(Debug)]
pub struct HistoryKeeper {
    history: History,
    store: Store,
    /// Time of the next write.
    due: Instant,
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

impl HistoryKeeper {
    /// Begins a run with the history of earlier ones.
    pub fn new((store, mut history): (Store, History), now: Instant, start: &RunStart) -> Self {
        let own = Fitness {
            node: start.node.clone(),
            quality: 100,
            ..Fitness::default()
        };
        let seen = start.seen.as_deref();
        let inherited = history.handle_start(&start.at, seen, &own, &start.boot);
        Self {
            own_numbers: history.numbers(),
            peer_numbers: BTreeMap::new(),
            due: now,
            inherited,
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

    /// Returns a part of the history, at most about this many bytes as JSON.
    pub fn past(&self, query: &PastQuery, at: &str, bytes_max: usize) -> Past {
        self.history.past(query, at, bytes_max)
    }

    pub fn next_timeout(&self) -> Instant {
        self.due
    }

    /// Writes what has changed. `at` is the time in readable form.
    pub fn handle_timeout(&mut self, now: Instant, at: &str) {
        self.due = now + ALIVE;
        self.written = Some(now);
        self.store.write(self.history.take_changed(at));
    }

    /// Returns the reason why a restart would lose the history.
    pub fn fault(&self) -> Option<String> {
        self.store.fault()
    }

    /// Writes the history at the end of the daemon.
    pub fn close(mut self, at: &str) {
        self.store.write(self.history.take_changed(at));
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
        self.plan_write(now, Urgency::Now);
    }

    /// Returns the last fitness that the peer reported, whichever node it was.
    pub fn peer(&self) -> Option<&Fitness> {
        self.peer.as_ref()
    }

    /// Handles the fitness from the peer's newest facts.
    pub fn handle_peer(&mut self, now: Instant, at: &str, peer: Fitness) {
        self.peer = Some(peer.clone());
        if self.history.handle_peer_fitness(at, &peer.brief()) {
            self.plan_write(now, Urgency::Now);
        }
    }

    /// Handles the findings that last, each with its begin.
    pub fn handle_findings<'f>(
        &mut self,
        now: Instant,
        at: &str,
        lasting: impl IntoIterator<Item = (&'f Finding, &'f str)>,
    ) {
        let urgency = self.history.handle_findings(at, lasting);
        self.plan_write(now, urgency);
    }

    fn plan_write(&mut self, now: Instant, urgency: Urgency) {
        let last = self.written.unwrap_or(now);
        let due = match urgency {
            Urgency::None => return,
            Urgency::Late => now.max(last + LATE),
            // a single change is written at once, and changes in quick succession together
            Urgency::Now if self.written.is_none() => now,
            Urgency::Now => now.max(last + GATHER),
        };
        self.due = self.due.min(due);
    }
}
