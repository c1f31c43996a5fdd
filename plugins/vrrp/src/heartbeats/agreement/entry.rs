//! Runs that claim to be the peer's, and the state of the agreement with each.

use super::budget::Class;
use super::secret::Half;
use super::{ASK_AGAIN_NS, PAUSE_NS};
use crate::wire::offer::{Offer, Public, Signature};

/// Number of runs of each class that are kept.
pub const RUNS_MAX: usize = 4;

/// A run that claims to be the peer's.
#[derive(Debug)]
pub struct Entry {
    pub run: u64,
    class: Class,
    heard_ns: u64,
    /// Time at which something authentic was received from it.
    pub alive_ns: u64,
    /// Time since which it asks for an agreement, without anything authentic.
    called_ns: Option<u64>,
    /// Number of the offer that was made or answered.
    pub number: u64,
    /// This node's half; None while the run's first offer is being verified.
    pub half: Option<Half>,
    /// The peer's authentic half: keys were agreed.
    pub theirs: Option<Public>,
    /// This node's offer or answer, once it was signed.
    pub frame: Option<Vec<u8>>,
    pub signing: Option<Asked>,
    pub check: Option<Check>,
    /// Time of the next repetition of the offer, and number of repetitions left.
    pub again_ns: Option<u64>,
    pub repeats: u32,
    pub sent_ns: u64,
}

/// A pending request.
#[derive(Debug)]
pub struct Asked {
    pub ticket: u64,
    again_ns: u64,
}

/// A signature that is being verified.
#[derive(Debug)]
pub struct Check {
    pub asked: Asked,
    pub offer: Offer,
    pub signature: Signature,
    pub tries: u32,
}

impl Asked {
    pub fn new(ticket: u64, now_ns: u64) -> Asked {
        Asked {
            ticket,
            again_ns: now_ns.saturating_add(ASK_AGAIN_NS),
        }
    }

    pub fn is(&self, ticket: u64) -> bool {
        self.ticket == ticket
    }

    /// Returns true if no answer came in time, and restarts the time limit.
    pub fn again(&mut self, now_ns: u64) -> bool {
        let due = now_ns >= self.again_ns;
        if due {
            self.again_ns = now_ns.saturating_add(ASK_AGAIN_NS);
        }
        due
    }
}

impl Entry {
    pub fn new(run: u64, class: Class, now_ns: u64) -> Entry {
        Entry {
            run,
            class,
            heard_ns: now_ns,
            alive_ns: now_ns,
            called_ns: None,
            number: 0,
            half: None,
            theirs: None,
            frame: None,
            signing: None,
            check: None,
            again_ns: None,
            repeats: 0,
            sent_ns: 0,
        }
    }

    pub fn hear(&mut self, now_ns: u64, class: Class) {
        self.heard_ns = now_ns;
        self.class = self.class.max(class);
    }

    /// Takes note that it asks for an agreement. The time restarts after something authentic, or
    /// after a pause.
    pub fn call(&mut self, now_ns: u64, pause_ns: u64) {
        let is_over = now_ns >= self.heard_ns.saturating_add(pause_ns);
        let is_first = |since_ns: u64| since_ns <= self.alive_ns || is_over;
        if self.called_ns.is_none_or(is_first) {
            self.called_ns = Some(now_ns);
        }
    }

    /// Returns true if it has asked for that long: it has lost the agreed keys.
    pub fn has_called_for(&self, now_ns: u64, span_ns: u64) -> bool {
        let long = |since_ns: u64| now_ns >= since_ns.saturating_add(span_ns);
        self.called_ns.is_some_and(long)
    }

    /// Returns true if keys were agreed, and nothing is received under them.
    pub fn is_stale(&self, now_ns: u64, silence_ns: u64) -> bool {
        self.theirs.is_some() && now_ns >= self.alive_ns.saturating_add(silence_ns)
    }

    /// Returns true for an offer without an answer whose repetitions have ended.
    pub fn may_go_again(&self, now_ns: u64) -> bool {
        let paused = now_ns >= self.sent_ns.saturating_add(PAUSE_NS);
        self.theirs.is_none() && self.frame.is_some() && self.repeats == 0 && paused
    }

    /// Returns the answer again, for a repeated offer.
    pub fn answer_again(&mut self, now_ns: u64) -> Option<&[u8]> {
        if now_ns < self.sent_ns.saturating_add(PAUSE_NS / 2) {
            return None;
        }
        self.sent_ns = now_ns;
        self.frame.as_deref()
    }

    /// Returns this node's half as it is signed and sent.
    pub fn own_offer(&self, own_run: u64) -> Option<Offer> {
        Some(Offer {
            from: own_run,
            to: self.run,
            number: self.number,
            public: self.half.as_ref()?.public,
        })
    }

    pub fn next_timeout(&self) -> Option<u64> {
        let signing = self.signing.as_ref().map(|asked| asked.again_ns);
        let check = self.check.as_ref().map(|check| check.asked.again_ns);
        let times = [self.again_ns, signing, check];
        times.into_iter().flatten().min()
    }
}

/// Table of these runs.
#[derive(Debug, Default)]
pub struct Table {
    entries: Vec<Entry>,
}

impl Table {
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter()
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Entry> {
        self.entries.iter_mut()
    }

    pub fn get_mut(&mut self, place: usize) -> Option<&mut Entry> {
        self.entries.get_mut(place)
    }

    pub fn find(&mut self, run: u64) -> Option<&mut Entry> {
        self.entries.iter_mut().find(|entry| entry.run == run)
    }

    pub fn take(&mut self, run: u64) -> Option<Entry> {
        let place = self.entries.iter().position(|entry| entry.run == run)?;
        Some(self.entries.swap_remove(place))
    }

    pub fn remove(&mut self, run: u64) {
        self.entries.retain(|entry| entry.run != run);
    }

    /// Adds an entry in place of one of the same run. If its class has too many, the one without
    /// agreed keys that was heard least recently is removed.
    pub fn insert(&mut self, entry: Entry, current: Option<u64>) {
        self.remove(entry.run);
        let class = entry.class;
        self.entries.push(entry);
        let alike = || self.entries.iter().filter(|one| one.class == class);
        if alike().count() <= RUNS_MAX {
            return;
        }
        let rank = |one: &&Entry| {
            let is_current = current == Some(one.run);
            (is_current, one.theirs.is_some(), one.heard_ns)
        };
        let least = alike().take(RUNS_MAX).min_by_key(rank).map(|one| one.run);
        if let Some(run) = least {
            self.remove(run);
        }
    }
}
