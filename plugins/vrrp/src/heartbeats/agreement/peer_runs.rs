//! Runs that claim to be the peer's, and the state of the agreement with each.

use super::budget::PathClass;
use super::key_share::KeyShare;
use super::{PAUSE_NS, REQUEST_TIMEOUT_NS};
use crate::wire::offer::{Offer, Public, Signature};

/// Number of runs of each class that are kept.
pub const RUNS_MAX: usize = 4;

/// A run that claims to be the peer's.
#[derive(Debug, Default)]
pub struct PeerRun {
    pub run: u64,
    class: PathClass,
    heard_ns: u64,
    /// Time at which something authentic was received from it.
    pub alive_ns: u64,
    /// Time since which it asks for an agreement, without anything authentic.
    requesting_since_ns: Option<u64>,
    /// Number of the offer that was made or answered.
    pub number: u64,
    /// This node's key share; None while the run's first offer is being verified.
    pub own_share: Option<KeyShare>,
    /// The peer's authentic key share: keys were agreed.
    pub peer_share: Option<Public>,
    /// This node's offer or answer, once it was signed.
    pub frame: Option<Vec<u8>>,
    pub signature_request: Option<PendingRequest>,
    pub verification: Option<PendingVerification>,
    /// Time of the next repetition of the offer, and number of repetitions left.
    pub again_ns: Option<u64>,
    pub repeats: u32,
    pub sent_ns: u64,
}

/// A pending request.
#[derive(Debug)]
pub struct PendingRequest {
    pub ticket: u64,
    again_ns: u64,
}

/// A signature that is being verified.
#[derive(Debug)]
pub struct PendingVerification {
    pub request: PendingRequest,
    pub offer: Offer,
    pub signature: Signature,
    pub tries: u32,
}

impl PendingRequest {
    pub fn new(ticket: u64, now_ns: u64) -> PendingRequest {
        PendingRequest {
            ticket,
            again_ns: now_ns.saturating_add(REQUEST_TIMEOUT_NS),
        }
    }

    pub fn is(&self, ticket: u64) -> bool {
        self.ticket == ticket
    }

    /// Returns true if no answer came in time, and restarts the time limit.
    pub fn take_due(&mut self, now_ns: u64) -> bool {
        let due = now_ns >= self.again_ns;
        if due {
            self.again_ns = now_ns.saturating_add(REQUEST_TIMEOUT_NS);
        }
        due
    }
}

impl PeerRun {
    pub fn new(run: u64, class: PathClass, now_ns: u64) -> PeerRun {
        PeerRun {
            run,
            class,
            heard_ns: now_ns,
            alive_ns: now_ns,
            ..Self::default()
        }
    }

    pub fn note_heard(&mut self, now_ns: u64, class: PathClass) {
        self.heard_ns = now_ns;
        self.class = self.class.max(class);
    }

    /// Takes note that it asks for an agreement. The time restarts after something authentic, or
    /// after a pause.
    pub fn note_request(&mut self, now_ns: u64, pause_ns: u64) {
        let is_over = now_ns >= self.heard_ns.saturating_add(pause_ns);
        let is_first = |since_ns: u64| since_ns <= self.alive_ns || is_over;
        if self.requesting_since_ns.is_none_or(is_first) {
            self.requesting_since_ns = Some(now_ns);
        }
    }

    /// Returns true if it has asked for that long: it has lost the agreed keys.
    pub fn has_requested_for(&self, now_ns: u64, span_ns: u64) -> bool {
        let long = |since_ns: u64| now_ns >= since_ns.saturating_add(span_ns);
        self.requesting_since_ns.is_some_and(long)
    }

    /// Returns true if keys were agreed, and nothing is received under them.
    pub fn is_stale(&self, now_ns: u64, silence_ns: u64) -> bool {
        self.peer_share.is_some() && now_ns >= self.alive_ns.saturating_add(silence_ns)
    }

    /// Returns true for an offer without an answer whose repetitions have ended.
    pub fn may_be_repeated(&self, now_ns: u64) -> bool {
        let paused = now_ns >= self.sent_ns.saturating_add(PAUSE_NS);
        self.peer_share.is_none() && self.frame.is_some() && self.repeats == 0 && paused
    }

    /// Returns the answer again, for a repeated offer.
    pub fn repeat_answer(&mut self, now_ns: u64) -> Option<&[u8]> {
        if now_ns < self.sent_ns.saturating_add(PAUSE_NS / 2) {
            return None;
        }
        self.sent_ns = now_ns;
        self.frame.as_deref()
    }

    /// Returns this node's key share as it is signed and sent.
    pub fn own_offer(&self, own_run: u64) -> Option<Offer> {
        Some(Offer {
            from: own_run,
            to: self.run,
            number: self.number,
            public: self.own_share.as_ref()?.public,
        })
    }

    pub fn next_timeout(&self) -> Option<u64> {
        let signature_request = self
            .signature_request
            .as_ref()
            .map(|request| request.again_ns);
        let verification = self
            .verification
            .as_ref()
            .map(|verification| verification.request.again_ns);
        let times = [self.again_ns, signature_request, verification];
        times.into_iter().flatten().min()
    }
}

/// Table of these runs.
#[derive(Debug, Default)]
pub struct PeerRuns {
    entries: Vec<PeerRun>,
}

impl PeerRuns {
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn iter(&self) -> impl Iterator<Item = &PeerRun> {
        self.entries.iter()
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut PeerRun> {
        self.entries.iter_mut()
    }

    pub fn get_mut(&mut self, place: usize) -> Option<&mut PeerRun> {
        self.entries.get_mut(place)
    }

    pub fn find(&mut self, run: u64) -> Option<&mut PeerRun> {
        self.entries.iter_mut().find(|entry| entry.run == run)
    }

    pub fn take(&mut self, run: u64) -> Option<PeerRun> {
        let place = self.entries.iter().position(|entry| entry.run == run)?;
        Some(self.entries.swap_remove(place))
    }

    pub fn remove(&mut self, run: u64) {
        self.entries.retain(|entry| entry.run != run);
    }

    /// Adds an entry in place of one of the same run. If its class has too many, the one without
    /// agreed keys that was heard least recently is removed.
    pub fn insert(&mut self, entry: PeerRun, current: Option<u64>) {
        self.remove(entry.run);
        let class = entry.class;
        self.entries.push(entry);
        let of_class = || self.entries.iter().filter(|one| one.class == class);
        if of_class().count() <= RUNS_MAX {
            return;
        }
        let rank = |one: &&PeerRun| {
            let is_current = current == Some(one.run);
            (is_current, one.peer_share.is_some(), one.heard_ns)
        };
        let least = of_class()
            .take(RUNS_MAX)
            .min_by_key(rank)
            .map(|one| one.run);
        if let Some(run) = least {
            self.remove(run);
        }
    }
}
