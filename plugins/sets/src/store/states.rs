//! States of the peer: its records wait until one ends, are then put in force, or are dropped.

use std::collections::{BTreeMap, BTreeSet};

use spared_replica::{Commit, Token};

use super::entry::Entry;
use super::notes::Note;
use super::pending::Write;
use super::set::Set;
use crate::element::{Element, Key};

/// Number of elements from which on a dropped change is reported.
const WORTH: usize = 2;

impl Set {
    /// Element as last sent by the peer, or else as it is here.
    pub(super) fn shown(&self, key: &Key) -> Option<&Entry> {
        match self.peer_states.get(key) {
            Some(entry) => entry.as_ref(),
            None => self.table.get(key),
        }
    }

    pub(super) fn shown_mut(&mut self, key: &Key) -> Option<&mut Entry> {
        match self.peer_states.get_mut(key) {
            Some(entry) => entry.as_mut(),
            None => self.table.get_mut(key),
        }
    }

    /// Takes an element of the peer; false if the kernel already has it.
    pub(super) fn take(&mut self, now_ns: u64, element: Element, token: Token) -> bool {
        self.peer_states.take(now_ns, element, token, &self.table)
    }

    /// Takes a deletion of the peer.
    pub(super) fn let_go(&mut self, key: &Key) {
        let is_known = self.table.get(key).is_some();
        self.peer_states.handle_deletion(key, is_known);
    }

    /// Digest of the table as if the waiting records were in it.
    pub fn staged_sum(&self) -> u64 {
        self.peer_states.sum_with(&self.table)
    }

    /// Puts the waiting records in force: all of them are written next.
    pub(super) fn put_in_force(&mut self, commit: &Commit) {
        let (records, mut tokens) = std::mem::take(&mut self.peer_states).into_parts();
        tokens.push_state(commit.token);
        self.incarnation.handle_commit(commit.generation);
        if records.is_empty() && self.pending.waiting() == 0 {
            return self.verdicts.settle(tokens);
        }
        let length = self.table.len();
        let is_own = self.notes.handle_replaced(self.table.sum());
        // in the order of the keys, so that the trees are built at once
        let keys: BTreeSet<Key> = records.keys().cloned().collect();
        let is_list = self.incarnation.is_list();
        let olds = records.into_iter().filter_map(|(key, entry)| {
            let old = match entry {
                Some(entry) => self.replace(&key, entry),
                None => self.withdraw(&key),
            };
            is_list.then_some((key, old))
        });
        let before: BTreeMap<Key, Option<Entry>> = olds.collect();
        self.pending.put(Write {
            keys,
            is_list: commit.is_list,
            tokens,
            before,
            ..Write::default()
        });
        if is_own {
            self.note_replaced(length);
        }
    }

    /// Reports that the peer's list replaces a list of `length` elements that others loaded here and that the peer
    /// never had: the role moved before it was sent, or this node was not active.
    fn note_replaced(&mut self, length: usize) {
        let table = &self.table;
        let is_gone = |key: &Key, old: &Option<Entry>| old.is_some() && table.get(key).is_none();
        if self.pending.count_before(is_gone) * 2 >= length.max(1) {
            self.notes.push(Note::Event(format!(
                "set {}: the list of {length} elements that was loaded here did not reach the peer, whose list \
                 of {} elements replaces it: load it on the node that is active",
                self.name,
                self.table.len()
            )));
        }
    }

    fn replace(&mut self, key: &Key, mut entry: Entry) -> Option<Entry> {
        entry.waits = true;
        let old = self.table.put(key.clone(), entry);
        if old.is_none() {
            self.counters.count_added();
        }
        old
    }

    fn withdraw(&mut self, key: &Key) -> Option<Entry> {
        let old = self.table.remove(key)?;
        self.counters.count_deleted();
        // a set created again may have it already
        let is_there = old.written != 0 || old.waits;
        self.pending.handle_deletion(key, is_there);
        Some(old)
    }

    /// Drops the waiting records, because the pair has ended, or another list holds.
    pub(super) fn abandon(&mut self, is_cut: bool) -> Vec<Token> {
        let peer_states = std::mem::take(&mut self.peer_states);
        let count = peer_states.len();
        if is_cut && count >= WORTH {
            let generation = match self.incarnation.generation() {
                Some(generation) => format!(", generation {generation} of the peer"),
                None => String::new(),
            };
            self.notes.push(Note::Event(format!(
                "set {}: a change of the peer was cut off after {count} elements and is dropped; the list \
                 before it stays in force ({} elements{generation})",
                self.name,
                self.table.len()
            )));
        }
        peer_states.into_tokens()
    }

    /// Drops a list of the peer that was not written yet, because others changed the set: it refers to a replaced
    /// state.
    pub(super) fn drop_list(&mut self) {
        let write = self.pending.take();
        self.revert(write.before);
        self.verdicts.outdate(write.tokens);
    }

    /// Restores the entries before a list that the kernel refused because of one element: the kernel still has them.
    pub(super) fn revert(&mut self, before: BTreeMap<Key, Option<Entry>>) {
        for (key, old) in before {
            self.pending.end_deletion(&key);
            match old {
                Some(old) => drop(self.table.insert(key, old)),
                None => drop(self.table.take(&key)),
            }
        }
    }
}
