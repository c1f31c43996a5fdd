//! The drain before a switchover, and the sync state that is reported to the daemon.

use spared_sdk::Trouble;

use super::{Action, Engine};
use crate::SECOND;
use crate::store::{Note, Set};

/// Time in ns for which changes in transit do not count as missing.
const PATIENCE_NS: u64 = SECOND;

/// Progress of the drain before a switchover.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Draining {
    #[default]
    Idle,
    /// Elements that packets added are read first, until this time at most.
    Reading(u64),
    /// The peer was asked to confirm everything.
    Asked,
}

impl Draining {
    /// Time until which sets are read.
    pub fn due(&self) -> Option<u64> {
        match self {
            Self::Reading(until_ns) => Some(*until_ns),
            Self::Idle | Self::Asked => None,
        }
    }
}

/// The node's sync state: the data that it needs to be active is here, or the reason why not.
#[derive(Debug)]
pub struct Synchrony {
    pub verdict: Result<(), String>,
    /// Time since which something is missing.
    lacks_since_ns: Option<u64>,
}

impl Default for Synchrony {
    fn default() -> Self {
        Self {
            verdict: Err("the peer has not answered yet".to_owned()),
            lacks_since_ns: None,
        }
    }
}

impl Synchrony {
    /// Time when a missing part is reported.
    pub fn due(&self) -> Option<u64> {
        self.lacks_since_ns
            .map(|since_ns| since_ns.saturating_add(PATIENCE_NS))
    }

    fn judge(&mut self, now_ns: u64, found: Result<(), String>) {
        let since_ns = match (&found, &self.verdict) {
            (Err(_), Ok(())) => *self.lacks_since_ns.get_or_insert(now_ns),
            _ => 0,
        };
        if since_ns == 0 || now_ns.saturating_sub(since_ns) >= PATIENCE_NS {
            (self.lacks_since_ns, self.verdict) = (None, found);
        }
    }
}

impl Engine {
    /// True during a drain, which does not hold changes back.
    pub(super) fn is_draining(&self) -> bool {
        self.draining != Draining::Idle && !spared_sdk::Engine::is_drained(self)
    }

    pub(super) fn is_active(&self) -> bool {
        !self.active_groups.is_empty()
    }

    /// Before a switchover: also reads and sends the elements that packets added since the last reading, if that is
    /// quick. The sets are read one after another: a reading in progress, which may take long, would delay the others.
    pub(super) fn begin_drain(&mut self, now_ns: u64, deadline_ns: u64) {
        self.at(now_ns);
        let left_ns = deadline_ns.saturating_sub(now_ns);
        let sets = self.store.all.iter();
        let running = sets.filter(|set| set.reads.is_running());
        let running_ns: Option<u64> = running.map(|set| set.reads.known_cost()).sum();
        let mut room_ns = running_ns.map_or(0, |ns| (left_ns / 2).saturating_sub(ns));
        for set in self.store.all.iter_mut().filter(|_| self.up) {
            let cost_ns = set.reads.cost_ns();
            let is_quick = cost_ns < room_ns.min(left_ns / 8);
            if is_quick && set.is_ready() && !set.is_away() {
                room_ns -= cost_ns;
                set.reads.begin_drain(now_ns);
            }
        }
        self.draining = Draining::Reading(now_ns.saturating_add(left_ns / 2));
        self.drain_if_read(now_ns);
    }

    /// Asks the peer once everything was read, or when that takes too long.
    pub(super) fn drain_if_read(&mut self, now_ns: u64) {
        let Draining::Reading(until_ns) = self.draining else {
            return;
        };
        let reads = |set: &Set| set.reads.is_awaited();
        if until_ns <= now_ns || !self.store.all.iter().any(reads) {
            self.store
                .all
                .iter_mut()
                .for_each(|set| set.reads.end_drain());
            self.replica.start_drain();
            self.draining = Draining::Asked;
        }
    }

    /// True if no other node has elements that this node could lack.
    fn is_active_alone(&self) -> bool {
        let peer = self.replica.peer_groups();
        self.is_active() && peer.is_none_or(|groups| groups.is_empty())
    }

    /// Findings about sets of an active node; those of a backup are in its sync state.
    pub(super) fn troubles(&self) -> Vec<Trouble> {
        let sets = self.store.all.iter().filter(|_| self.is_active_alone());
        let troubles =
            sets.filter_map(|set| Some(Trouble::new(set.name.to_string(), set.condition.said()?)));
        troubles.collect()
    }

    /// Keeps which sets are filled by lists, if that has changed.
    fn keep_lists(&mut self) {
        let are_lists = self.store.all.iter().map(Set::is_list);
        if !are_lists.clone().eq(self.kept_lists.iter().copied()) {
            self.kept_lists = are_lists.collect();
            let lists = self.store.all.iter().filter(|set| set.is_list());
            let names = lists.map(|set| set.name.to_string()).collect();
            self.actions.push_back(Action::KeepLists(names));
        }
    }

    /// Reports changes to the daemon and to people.
    pub(super) fn review(&mut self, now_ns: u64) {
        for (index, set) in self.store.all.iter_mut().enumerate() {
            if set.notes.has_untold_list() && self.replica.is_acknowledged(index) {
                set.notes.handle_told();
            }
            self.actions.extend(say_hindrance(set));
            self.actions.extend(say_left_out(set));
            self.actions
                .extend(set.notes.drain().map(|note| match note {
                    Note::Warn(text) => Action::Warn(text),
                    Note::Event(text) => Action::Event(text),
                }));
        }
        self.keep_lists();
        while let Some(text) = self.replica.poll_event() {
            self.actions.push_back(Action::Warn(text));
        }
        let found = if self.is_active_alone() {
            Ok(())
        } else {
            self.replica.ready(&self.store)
        };
        self.synchrony.judge(now_ns, found);
    }
}

fn say_left_out(set: &mut Set) -> Option<Action> {
    set.tells_left_out().then(|| {
        Action::Warn(format!(
            "set {} has elements with a limit, a quota or a count of connections that a rule gave \
             them: these are not replicated",
            set.name
        ))
    })
}

/// Sentence about a new hindrance, or about the end of one; None if nothing has changed.
fn say_hindrance(set: &mut Set) -> Option<Action> {
    let name = &set.name;
    Some(match set.condition.poll_change()? {
        Some(why) => Action::Warn(format!("set {name} {why}")),
        None => Action::Event(format!("set {name}: recovered")),
    })
}
