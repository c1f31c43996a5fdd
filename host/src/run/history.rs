//! History of role changes: each is an event, and is kept over restarts with the quality of both nodes.

use std::time::{Duration, Instant};

use spared_control::{Answer, Request};
use spared_pair::{Fitness, History, RoleChange, history};
use spared_process::clock;
use spared_state::history::Store;
use spared_worker::message::{Cause, Role};

use super::core::Core;
use super::requests::{Asker, Asking, Question, STATUS_TIMEOUT};
use crate::events::{Kind, Notice};

/// Changes that `sparectl history` shows.
const SHOWN_MAX: usize = 100;
/// Failing checks kept with a change, for each node.
const FAILING_MAX: usize = 3;
/// Least time between two writes.
const GATHER: Duration = Duration::from_millis(100);
/// Longest wait for the disk when the daemon ends.
const PATIENCE: Duration = Duration::from_secs(1);

/// History of this node.
#[derive(Debug)]
pub struct Memory {
    history: History,
    store: Store,
    /// Time of the next write. None: nothing new.
    due: Option<Instant>,
    /// Time of the last write.
    written: Option<Instant>,
    /// Last fitness that the peer reported.
    peer: Option<Fitness>,
}

/// History of the peer. None until it has answered.
pub type There = Option<Vec<RoleChange>>;

impl Memory {
    /// Reads the history of earlier runs.
    pub fn new(store: Store, node: &str) -> Self {
        let mut history = store.read();
        let own = Fitness {
            node: node.to_owned(),
            quality: 100,
            ..Fitness::default()
        };
        let is_new = history.handle_start(&clock::now_ms(), &own);
        Self {
            due: is_new.then(Instant::now),
            history,
            store,
            written: None,
            peer: None,
        }
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

    /// Reason why what is remembered would be lost by a restart.
    pub fn fault(&self) -> Option<String> {
        self.store.fault()
    }

    /// Nothing is remembered from now on.
    pub fn close(mut self) {
        if self.due.is_some() {
            self.store.write(&self.history);
        }
        self.store.flush(PATIENCE);
    }

    fn push(&mut self, change: RoleChange) {
        self.history.push(change);
        self.plan_write();
    }

    fn complete(&mut self, peer: &Fitness) {
        if self.history.handle_peer_fitness(&clock::now_ms(), peer) {
            self.plan_write();
        }
    }

    fn plan_write(&mut self) {
        // a single change is written at once, changes in quick succession together
        let now = Instant::now();
        let due = self.written.map_or(now, |at| now.max(at + GATHER));
        self.due.get_or_insert(due);
    }
}

impl Core {
    /// Records that a group changed its role.
    pub(super) fn record_change(&mut self, group: String, from: Role, to: Role, cause: Cause) {
        let (mut own, mut peer) = (self.fitness(), self.peer_fitness());
        for fitness in [&mut own].into_iter().chain(&mut peer) {
            fitness.failing.truncate(FAILING_MAX);
        }
        let change = RoleChange {
            at: clock::now_ms(),
            group,
            from,
            ..RoleChange::new(to, cause, own, peer)
        };
        let text = format!("{} -> {}: {}", from.word(), to.word(), change.why);
        let notice = Notice::new(Kind::Role, text).of_group(&change.group);
        self.events.record(notice.because(&change.reason));
        self.memory.push(change);
    }

    /// Fitness of this node.
    pub(super) fn fitness(&self) -> Fitness {
        Fitness {
            node: self.setup.host.node.clone(),
            quality: self.quality.number(),
            failing: self.quality.failing(),
            said: None,
        }
    }

    /// Last reported fitness of the peer.
    pub(super) fn peer_fitness(&self) -> Option<Fitness> {
        let known = self.memory.peer.as_ref();
        let known = known.filter(|it| self.pair_name() == Some(&it.node));
        known.cloned()
    }

    /// Takes the fitness from the peer's newest facts.
    pub(super) fn note_peer_fitness(&mut self) {
        let Some(facts) = self.pair.peer.facts() else {
            return;
        };
        let mut peer = Fitness {
            node: self.peer_name().unwrap_or_default().to_owned(),
            quality: facts.quality,
            failing: facts.failing.clone(),
            said: Some(clock::now()),
        };
        self.memory.peer = Some(peer.clone());
        peer.failing.truncate(FAILING_MAX);
        self.memory.complete(&peer);
    }

    // ---- requests

    /// History of this node alone, as the peer asks for it.
    pub(super) fn own_history(&self) -> Answer {
        Answer::History {
            changes: self.memory.changes().to_vec(),
            silent: None,
        }
    }

    pub(super) fn ask_history(&mut self, now: Instant, asker: Asker) {
        self.ask_both(now, Question::new(asker, Asking::History(None)));
    }

    // Asks the peer for its history too.
    pub(super) fn ask_both(&mut self, now: Instant, mut question: Question) {
        question.there = self.ask_peer(now + STATUS_TIMEOUT, &Request::OwnHistory);
        self.await_answers(now, question);
    }

    pub(super) fn history(&self, there: There) -> Answer {
        let peer = self.pair_name().filter(|_| there.is_none());
        let silent = peer.map(str::to_owned);
        let own = self.memory.changes();
        let changes = history::merge(own, there.unwrap_or_default(), Some(SHOWN_MAX));
        Answer::History { changes, silent }
    }
}
