//! Findings that this node sees now, and for how long that differs from the book. While the daemons hear each other,
//! each sees those of both nodes.

use std::collections::{BTreeMap, BTreeSet};

use super::book::Book;
use crate::finding::{Key, Texts};

/// Time in ns after the start of the plugin in which no finding ends that was not seen since: the daemon has started as
/// well, and does not know yet what it knew before.
const START_NS: u64 = 30_000_000_000;

/// Findings of a node.
#[derive(Debug)]
pub struct Observed {
    started_ns: u64,
    reviewed_ns: u64,
    node: String,
    own: BTreeMap<Key, Texts>,
    /// True if the last status had all findings.
    is_complete: bool,
    /// True if there was a status since the start.
    has_status: bool,
    /// Findings of the book that were seen since the start.
    seen: BTreeSet<Key>,
    /// Time since which a finding differs from the book.
    differs: BTreeMap<Key, u64>,
}

impl Observed {
    pub fn new(now_ns: u64, node: &str) -> Self {
        Self {
            started_ns: now_ns,
            reviewed_ns: now_ns,
            node: node.to_owned(),
            own: BTreeMap::new(),
            is_complete: false,
            has_status: false,
            seen: BTreeSet::new(),
            differs: BTreeMap::new(),
        }
    }

    /// Takes a status of this node.
    pub fn handle_status(&mut self, own: BTreeMap<Key, Texts>, is_complete: bool) {
        self.own = own;
        (self.is_complete, self.has_status) = (is_complete, true);
    }

    /// Compares what is seen with the book.
    pub fn review(&mut self, now_ns: u64, hears_peer: bool, book: &Book) {
        self.reviewed_ns = now_ns;
        let begun = book.iter().filter(|(_, it)| it.begun());
        let begun: Vec<&Key> = begun.map(|(key, _)| key).collect();
        let is_seen = |key: &&Key| self.texts(key).is_some() || self.seen.contains(*key);
        let seen = begun.iter().copied().filter(is_seen);
        self.seen = seen.cloned().collect();
        let keys: BTreeSet<&Key> = begun.into_iter().chain(self.own.keys()).collect();
        let differs = keys.into_iter().filter(|key| {
            let is_there = self.is_there(now_ns, hears_peer, key);
            is_there.is_some_and(|it| it != book.begun(key))
        });
        let since = |key: &Key| self.differs.get(key).copied().unwrap_or(now_ns);
        self.differs = differs.map(|key| (key.clone(), since(key))).collect();
    }

    /// Changes that have lasted for `delay_ns`: key, true for a begin, and texts of a begin.
    pub fn due(&self, now_ns: u64, delay_ns: u64) -> Vec<(Key, Option<Texts>)> {
        let old = self.differs.iter();
        let old = old.filter(|(_, since)| now_ns >= since.saturating_add(delay_ns));
        old.map(|(key, _)| (key.clone(), self.texts(key))).collect()
    }

    /// Lets a change wait that the book has no room for.
    pub fn postpone(&mut self, now_ns: u64, key: &Key) {
        if let Some(since) = self.differs.get_mut(key) {
            *since = now_ns;
        }
    }

    /// Time at which the next change has lasted for `delay_ns`.
    pub fn next_due(&self, delay_ns: u64) -> Option<u64> {
        let since = self.differs.values().min()?;
        Some(since.saturating_add(delay_ns))
    }

    /// Time at which findings may end after the start, if some are to.
    pub fn next_review(&self, book: &Book) -> Option<u64> {
        let until = self.started_ns.saturating_add(START_NS);
        let is_held = |key: &Key| self.texts(key).is_none() && !self.seen.contains(key);
        let mut begun = book.iter().filter(|(_, it)| it.begun());
        (self.has_status && self.reviewed_ns < until && begun.any(|(key, _)| is_held(key)))
            .then_some(until)
    }

    fn texts(&self, key: &Key) -> Option<Texts> {
        self.own.get(key).cloned()
    }

    /// True if the finding is seen, false if it is over, None if that cannot be known now.
    fn is_there(&self, now_ns: u64, hears_peer: bool, key: &Key) -> Option<bool> {
        if self.own.contains_key(key) {
            return Some(true);
        }
        let is_starting = now_ns < self.started_ns.saturating_add(START_NS);
        let is_held = is_starting && !self.seen.contains(key);
        // a node that is not heard has its faults until it says otherwise
        let is_unheard = !hears_peer && !key.is_known_to(&self.node);
        let is_known = self.has_status && self.is_complete && !is_held && !is_unheard;
        is_known.then_some(false)
    }
}
