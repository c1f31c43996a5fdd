//! Staged records: those of a state of the peer that has no end yet. They are put in force as a whole, or dropped.

use std::collections::btree_map::Entry as Place;
use std::collections::{BTreeMap, BTreeSet};

use spared_replica::{Commit, Token};

use super::entry::Entry;
use super::notes::Note;
use super::pending::Write;
use super::set::Set;
use super::table::Table;
use super::verdicts::Tokens;
use crate::element::{Element, Key};

/// Number of elements from which on a dropped change is reported.
const WORTH: usize = 2;

/// Records of the peer, by key; None: deleted.
#[derive(Debug, Default)]
pub(super) struct StagedRecords {
    records: BTreeMap<Key, Option<Entry>>,
    tokens: Vec<(Key, Token)>,
}

impl StagedRecords {
    /// Takes an element of the peer; false if the kernel already has it, as the table shows.
    pub fn take(&mut self, now_ns: u64, element: Element, token: Token, table: &Table) -> bool {
        let key = element.key.clone();
        let tag_of = |entry: Option<&Entry>| entry.map(|it| it.tag).unwrap_or_default();
        match self.records.entry(key.clone()) {
            Place::Vacant(place) => {
                let known = table.get(&key);
                let held = known.filter(|it| !it.waits && !it.is_over(now_ns));
                if held.is_some_and(|it| it.is_same(now_ns, &element)) {
                    return false;
                }
                let mut entry = Entry::new(now_ns, element);
                entry.tag = tag_of(known);
                place.insert(Some(entry));
            }
            Place::Occupied(mut place) => {
                let mut entry = Entry::new(now_ns, element);
                entry.tag = tag_of(place.get().as_ref());
                place.insert(Some(entry));
            }
        }
        self.tokens.push((key, token));
        true
    }

    /// Takes a deletion of the peer; `is_known` is true if the table has the key.
    pub fn handle_deletion(&mut self, key: &Key, is_known: bool) {
        if is_known {
            drop(self.records.insert(key.clone(), None))
        } else {
            drop(self.records.remove(key))
        }
    }

    /// The records of a state that has ended, and the tokens of the verdicts that are due when they are written.
    pub fn into_parts(self) -> (BTreeMap<Key, Option<Entry>>, Tokens) {
        let mut tokens = Tokens::default();
        for (key, token) in self.tokens {
            match self.records.get(&key) {
                Some(Some(_)) => tokens.push_record(key, token),
                // the peer deleted the record afterwards
                _ => tokens.push_state(token),
            }
        }
        (self.records, tokens)
    }

    /// Tokens of a state that is dropped.
    pub fn into_tokens(self) -> Vec<Token> {
        self.tokens.into_iter().map(|(_, token)| token).collect()
    }

    pub fn get(&self, key: &Key) -> Option<&Option<Entry>> {
        if self.records.is_empty() {
            None
        } else {
            self.records.get(key)
        }
    }

    pub fn get_mut(&mut self, key: &Key) -> Option<&mut Option<Entry>> {
        if self.records.is_empty() {
            None
        } else {
            self.records.get_mut(key)
        }
    }

    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Digest of the table as if the records were in it.
    pub fn sum_with(&self, table: &Table) -> u64 {
        table.sum_with(self.records.len(), self.records.iter())
    }
}

impl Set {
    /// Element as last sent by the peer, or else as it is here.
    pub(super) fn shown(&self, key: &Key) -> Option<&Entry> {
        match self.staged.get(key) {
            Some(entry) => entry.as_ref(),
            None => self.table.get(key),
        }
    }

    pub(super) fn shown_mut(&mut self, key: &Key) -> Option<&mut Entry> {
        match self.staged.get_mut(key) {
            Some(entry) => entry.as_mut(),
            None => self.table.get_mut(key),
        }
    }

    /// Takes an element of the peer; false if the kernel already has it.
    pub(super) fn take(&mut self, now_ns: u64, element: Element, token: Token) -> bool {
        self.staged.take(now_ns, element, token, &self.table)
    }

    /// Takes a deletion of the peer.
    pub(super) fn let_go(&mut self, key: &Key) {
        let is_known = self.table.get(key).is_some();
        self.staged.handle_deletion(key, is_known);
    }

    /// Digest of the table as if the waiting records were in it.
    pub fn staged_sum(&self) -> u64 {
        self.staged.sum_with(&self.table)
    }

    /// Puts the waiting records in force: all of them are written next.
    pub(super) fn put_in_force(&mut self, commit: &Commit) {
        let (records, mut tokens) = std::mem::take(&mut self.staged).into_parts();
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
        let staged = std::mem::take(&mut self.staged);
        let count = staged.len();
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
        staged.into_tokens()
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
