//! The farewell of an IKE daemon: what one deletes while it ends, or beside a change of roles, is not
//! the end of a tunnel. It is put back, as on a backup.
//!
//! A daemon that is stopped deletes what it once made, by SPI and selector: after a role went away and
//! came back within that time, these are the SAs and policies that the plugin has just put there. A role
//! that was away for less time than the daemon's stop takes may never have been this plugin's at all.
//! Nobody says that a daemon is being stopped, but one that is answers nobody. So at calm times, policies
//! that it deletes are put back and SAs are not told of as deleted until it has answered once more.

use std::collections::BTreeSet;

use super::{Action, Change, Engine};
use crate::sa::{PolicyId, SaId};

/// After a change of roles, and after the end of the daemon.
const FAREWELL_MS: u64 = 5_000;

/// Who deleted something, as far as the kernel tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deleter {
    /// Time, or somebody whose requests carry no number of a process: `ip xfrm`.
    Other,
    /// Requests of IKE daemons carry the number of their process.
    Daemon,
}

/// What the IKE daemon here shows of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DaemonWord {
    Came,
    /// The answer to [`Action::Greet`].
    Answered,
    Ended,
}

#[derive(Debug, Default)]
pub struct Farewell {
    until_ms: u64,
    /// The same after the end of a daemon: what it made itself is put back, too.
    ended_until_ms: u64,
    is_there: bool,
    /// Put back until the daemon has answered to a greeting: the one under way, and the next.
    asked: Doubts,
    next: Doubts,
}

#[derive(Debug, Default)]
struct Doubts {
    sas: BTreeSet<SaId>,
    policies: BTreeSet<PolicyId>,
}

impl Doubts {
    fn is_empty(&self) -> bool {
        self.sas.is_empty() && self.policies.is_empty()
    }
}

impl Farewell {
    /// Another role begins.
    pub fn begin(&mut self, now_ms: u64) {
        *self = Self {
            until_ms: now_ms + FAREWELL_MS,
            ended_until_ms: self.ended_until_ms,
            is_there: self.is_there,
            ..Self::default()
        };
    }

    pub fn is_under_way(&self, now_ms: u64) -> bool {
        now_ms < self.until_ms
    }
}

impl Engine {
    /// What the IKE daemon here shows of itself.
    pub fn handle_daemon(&mut self, now_ms: u64, word: DaemonWord) {
        match word {
            DaemonWord::Came => {
                // what it deletes is its own
                (self.farewell.is_there, self.farewell.ended_until_ms) = (true, 0);
            }
            DaemonWord::Answered => self.believe(now_ms),
            DaemonWord::Ended => {
                let doubted = [&self.farewell.asked, &self.farewell.next];
                let doubted: Vec<SaId> = doubted.iter().flat_map(|it| &it.sas).copied().collect();
                self.farewell.begin(now_ms);
                self.farewell.is_there = false;
                self.farewell.ended_until_ms = self.farewell.until_ms;
                for id in &doubted {
                    self.make_anew(now_ms, id);
                }
                self.adopt_anew(!doubted.is_empty());
            }
        }
    }

    /// Whether a deletion is to be undone, or doubted.
    fn distrusts(&self, now_ms: u64, by: Deleter, followed: bool) -> bool {
        let farewell = &self.farewell;
        let doubtful = farewell.is_there || self.is_farewell(now_ms, followed);
        self.is_active() && by == Deleter::Daemon && doubtful
    }

    /// Whether a daemon's deletion means nothing.
    fn is_farewell(&self, now_ms: u64, followed: bool) -> bool {
        let farewell = &self.farewell;
        now_ms < farewell.ended_until_ms || (followed && farewell.is_under_way(now_ms))
    }

    /// Keeps an SA that a daemon deleted: in the kernel, or in mind until the daemon has answered; false
    /// where its deletion counts.
    pub(super) fn restore_sa(&mut self, now_ms: u64, id: &SaId, by: Deleter) -> bool {
        let is_ours = self.store.sas.get(id).is_some_and(|it| it.side.is_some());
        let followed = self.installed.contains_key(id);
        if !is_ours || !self.distrusts(now_ms, by, followed) {
            return false;
        }
        if self.is_farewell(now_ms, followed) {
            return self.make_anew(now_ms, id);
        }
        // one of a rekey, in the kernel once more, would be sent with
        self.farewell.next.sas.insert(*id);
        self.greet();
        true
    }

    /// Whether its end waits for an answer of the daemon.
    pub(super) fn is_doubted(&self, id: &SaId) -> bool {
        let farewell = &self.farewell;
        farewell.asked.sas.contains(id) || farewell.next.sas.contains(id)
    }

    fn make_anew(&mut self, now_ms: u64, id: &SaId) -> bool {
        let Some(side) = self.store.sas.get(id).and_then(|it| it.side) else {
            return false;
        };
        self.keep(*id, side);
        self.installed.remove(id);
        self.install(now_ms, false);
        if !self.installed.contains_key(id) {
            // it is worn
            self.store.held.sas.remove(id);
            self.drop_sa(now_ms, id);
            return false;
        }
        self.counters.restored += 1;
        true
    }

    /// Puts a policy of a moving end back; false where its deletion counts.
    pub(super) fn restore_policy(&mut self, now_ms: u64, id: &PolicyId, by: Deleter) -> bool {
        let followed = self.store.put.has(id);
        if !self.distrusts(now_ms, by, followed) {
            return false;
        }
        let Some(known) = self.store.policies.get(id).filter(|it| it.ours) else {
            return false;
        };
        let policy = known.policy.clone();
        self.put_policy(now_ms, Change::PutPolicy(policy));
        self.counters.restored += 1;
        if !self.is_farewell(now_ms, followed) {
            self.farewell.next.policies.insert(*id);
            self.greet();
        }
        true
    }

    /// A reading that falls into a farewell: who deleted what it did not find, nobody knows.
    pub(super) fn restore_unseen_sa(&mut self, now_ms: u64, id: &SaId) -> bool {
        let under_way = self.farewell.is_under_way(now_ms);
        self.is_doubted(id) || under_way && self.restore_sa(now_ms, id, Deleter::Daemon)
    }

    pub(super) fn restore_unseen_policy(&mut self, now_ms: u64, id: &PolicyId) -> bool {
        self.farewell.is_under_way(now_ms) && self.restore_policy(now_ms, id, Deleter::Daemon)
    }

    fn greet(&mut self) {
        if self.farewell.asked.is_empty() && !self.farewell.next.is_empty() {
            self.farewell.asked = std::mem::take(&mut self.farewell.next);
            self.actions.push_back(Action::Greet);
        }
    }

    /// The daemon lives, and meant what it deleted.
    fn believe(&mut self, now_ms: u64) {
        let Doubts { sas, policies } = std::mem::take(&mut self.farewell.asked);
        for id in sas {
            self.installed.remove(&id);
            self.drop_sa(now_ms, &id);
        }
        for id in policies {
            self.store.put.forget(&id);
            self.work.push(Change::DeletePolicy(id));
        }
        self.dirty = true;
        self.greet();
    }
}
