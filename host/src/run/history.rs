//! History of role changes: each is an event, and is kept over restarts with the quality of both nodes.

use std::time::Instant;

use spared_control::{Answer, Request};
use spared_pair::{Fitness, RoleChange, history};
use spared_process::clock;
use spared_requests::questions::{Asker, Asking, Question, STATUS_TIMEOUT, There};
use spared_worker::message::{Cause, Role};

use super::core::Core;
use crate::events::{Kind, Notice};

/// Changes that `sparectl history` shows.
const SHOWN_MAX: usize = 100;

impl Core {
    /// Records that a group changed its role.
    pub(super) fn record_change(&mut self, group: String, from: Role, to: Role, cause: Cause) {
        let own = self.fitness().brief();
        let peer = self.peer_fitness().map(Fitness::brief);
        let change = RoleChange {
            at: clock::now_ms(),
            group,
            from,
            ..RoleChange::new(to, cause, own, peer)
        };
        let text = format!("{} -> {}: {}", from.word(), to.word(), change.why);
        let notice = Notice::new(Kind::Role, text).of_group(&change.group);
        self.events.record(notice.because(&change.reason));
        self.memory.push(Instant::now(), change);
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
        let known = self.memory.peer();
        let known = known.filter(|it| self.pair_name() == Some(&it.node));
        known.cloned()
    }

    /// Takes the fitness from the peer's newest facts.
    pub(super) fn note_peer_fitness(&mut self) {
        let Some(facts) = self.pair.peer.facts() else {
            return;
        };
        let peer = Fitness {
            node: self.peer_name().unwrap_or_default().to_owned(),
            quality: facts.quality,
            failing: facts.failing.clone(),
            said: Some(clock::now()),
        };
        self.memory
            .handle_peer(Instant::now(), &clock::now_ms(), peer);
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
    pub(super) fn ask_both(&mut self, now: Instant, question: Question) {
        let there = self.ask_peer(now + STATUS_TIMEOUT, &Request::OwnHistory);
        self.await_answers(now, question.asks_peer(there));
    }

    pub(super) fn history(&self, there: There) -> Answer {
        let peer = self.pair_name().filter(|_| there.is_none());
        let silent = peer.map(str::to_owned);
        let own = self.memory.changes();
        let changes = history::merge(own, there.unwrap_or_default(), Some(SHOWN_MAX));
        Answer::History { changes, silent }
    }
}
