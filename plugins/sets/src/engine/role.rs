//! The switchover that waits until everything is told, and what the host hears of synchrony.

use spared_replica::Now;
use spared_sdk::Trouble;

use super::{Action, Engine, MS};
use crate::store::Set;

/// Time for which changes in transit do not count as missing.
const PATIENCE: Now = 1_000 * MS;

/// Progress of the drain before a switchover.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Draining {
    #[default]
    Idle,
    /// Reads elements that packets added first.
    Reading,
    /// The peer is asked whether it has all.
    Asked,
}

/// Whether this node has what it needs to be active, and why not.
#[derive(Debug)]
pub struct Synchrony {
    pub verdict: Result<(), String>,
    /// Time since which something is missing.
    lacks: Option<Now>,
}

impl Default for Synchrony {
    fn default() -> Self {
        Self {
            verdict: Err("the peer has not said hello yet".to_owned()),
            lacks: None,
        }
    }
}

impl Synchrony {
    /// Time when a missing part is reported.
    pub fn due(&self) -> Option<Now> {
        self.lacks.map(|since| since.saturating_add(PATIENCE))
    }

    fn judge(&mut self, now: Now, found: Result<(), String>) {
        let since = match (&found, &self.verdict) {
            (Err(_), Ok(())) => *self.lacks.get_or_insert(now),
            _ => 0,
        };
        if since == 0 || now.saturating_sub(since) >= PATIENCE {
            (self.lacks, self.verdict) = (None, found);
        }
    }
}

impl Engine {
    pub(super) fn is_active(&self) -> bool {
        !self.active_groups.is_empty()
    }

    /// Before a switchover: what the packets added since the last reading is read and sent, too, where
    /// that is quick.
    pub(super) fn begin_drain(&mut self, now: Now, deadline: Now) {
        let now_ms = self.at(now);
        let left_ms = (deadline / MS).saturating_sub(now_ms);
        for set in self.store.all.iter_mut().filter(|_| self.up) {
            if set.is_ready() && !set.is_away() && set.reads.cost_ms < left_ms / 8 {
                set.reads.drains = true;
                set.reads.due_ms = now_ms;
            }
        }
        self.draining = Draining::Reading;
        self.drain_if_read();
    }

    /// Asks the peer once all was read.
    pub(super) fn drain_if_read(&mut self) {
        let reads = |set: &Set| set.reads.drains;
        if self.draining == Draining::Reading && !self.store.all.iter().any(reads) {
            self.replica.start_drain();
            self.draining = Draining::Asked;
        }
    }

    /// Nobody else has anything that this node could lack.
    fn is_active_alone(&self) -> bool {
        let peer = self.replica.peer_groups();
        self.is_active() && peer.is_none_or(|groups| groups.is_empty())
    }

    /// Faults of an active node; those of a backup are in its sync state.
    pub(super) fn troubles(&self) -> Vec<Trouble> {
        let sets = self.store.all.iter().filter(|_| self.is_active_alone());
        let troubles =
            sets.filter_map(|set| Some(Trouble::new(set.name.to_string(), set.said.clone()?)));
        troubles.collect()
    }

    /// Says what changed for the host and for people.
    pub(super) fn review(&mut self, now: Now) {
        for set in &mut self.store.all {
            self.actions.extend(say_hindrance(set));
        }
        while let Some(text) = self.replica.poll_event() {
            self.actions.push_back(Action::Warn(text));
        }
        let found = match self.is_active_alone() {
            true => Ok(()),
            false => self.replica.ready(&self.store),
        };
        self.synchrony.judge(now, found);
    }
}

/// A sentence if something hinders, once; and one when nothing does any more.
fn say_hindrance(set: &mut Set) -> Option<Action> {
    let why = set.hindrance.as_ref().map(ToString::to_string);
    let why = why.or_else(|| set.trouble());
    if why == set.said {
        return None;
    }
    set.said.clone_from(&why);
    let name = &set.name;
    Some(match why {
        Some(why) => Action::Warn(format!("set {name} {why}")),
        None => Action::Event(format!("set {name}: recovered")),
    })
}
