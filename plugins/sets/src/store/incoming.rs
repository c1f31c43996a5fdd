//! Records of the peer whose state has no end yet. They are put in force as a whole, or dropped.

use std::collections::btree_map::Entry as Place;
use std::collections::{BTreeMap, BTreeSet};

use spared_replica::{Commit, Token};

use super::entry::Entry;
use super::set::{Note, Set};
use crate::element::{Element, Key};

/// Number of elements from which on a dropped change is reported.
const WORTH: usize = 2;

/// Records of the peer, by key; None: deleted.
#[derive(Debug, Default)]
pub(super) struct Incoming {
    records: BTreeMap<Key, Option<Entry>>,
    tokens: Vec<(Key, Token)>,
}

impl Incoming {
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

    pub fn drain_tokens(&mut self) -> Vec<Token> {
        self.records = BTreeMap::new();
        let tokens = std::mem::take(&mut self.tokens);
        tokens.into_iter().map(|(_, token)| token).collect()
    }
}

impl Set {
    /// Element as last sent by the peer, or else as it is here.
    pub(super) fn shown(&self, key: &Key) -> Option<&Entry> {
        match self.incoming.get(key) {
            Some(entry) => entry.as_ref(),
            None => self.table.get(key),
        }
    }

    pub(super) fn shown_mut(&mut self, key: &Key) -> Option<&mut Entry> {
        match self.incoming.get_mut(key) {
            Some(entry) => entry.as_mut(),
            None => self.table.get_mut(key),
        }
    }

    /// Takes an element of the peer; false if the kernel already has it.
    pub(super) fn take(&mut self, now_ns: u64, element: Element, token: Token) -> bool {
        let key = element.key.clone();
        let tag_of = |entry: Option<&Entry>| entry.map(|it| it.tag).unwrap_or_default();
        match self.incoming.records.entry(key.clone()) {
            Place::Vacant(place) => {
                let known = self.table.get(&key);
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
        self.incoming.tokens.push((key, token));
        true
    }

    /// Takes a deletion of the peer.
    pub(super) fn let_go(&mut self, key: &Key) {
        if self.table.get(key).is_some() {
            drop(self.incoming.records.insert(key.clone(), None))
        } else {
            drop(self.incoming.records.remove(key))
        }
    }

    /// Digest of the table as if the waiting records were in it.
    pub fn staged_sum(&self) -> u64 {
        let records = &self.incoming.records;
        self.table.sum_with(records.len(), records.iter())
    }

    /// Puts the waiting records in force: all of them are written next.
    pub(super) fn put_in_force(&mut self, commit: &Commit) {
        let incoming = std::mem::take(&mut self.incoming);
        self.generation = Some(commit.generation);
        if incoming.records.is_empty() && self.queue.is_empty() {
            let tokens = incoming.tokens.into_iter().map(|(_, token)| token);
            self.settled.extend(tokens);
            return self.settled.push(commit.token);
        }
        self.writes_list |= commit.is_list;
        for (key, token) in incoming.tokens {
            match incoming.records.get(&key) {
                Some(Some(_)) => self.tokens.push((key, token)),
                // the peer deleted the record afterwards
                _ => self.ends.push(token),
            }
        }
        let length = self.table.len();
        let is_own = self.untold_list.take() == Some(self.table.sum());
        // in the order of the keys, so that the trees are built at once
        let mut keys: BTreeSet<Key> = incoming.records.keys().cloned().collect();
        let is_list = self.is_list;
        let olds = incoming.records.into_iter().filter_map(|(key, entry)| {
            let old = match entry {
                Some(entry) => self.replace(&key, entry),
                None => self.withdraw(&key),
            };
            is_list.then_some((key, old))
        });
        let mut olds: BTreeMap<Key, Option<Entry>> = olds.collect();
        // entries from before all of these changes are older
        olds.append(&mut self.before);
        self.before = olds;
        self.queue.append(&mut keys);
        self.ends.push(commit.token);
        if is_own {
            self.note_replaced(length);
        }
    }

    /// Reports that the peer's list replaces a list of `length` elements that others loaded here and that the peer
    /// never had: the role moved before it was sent, or this node was not active.
    fn note_replaced(&mut self, length: usize) {
        let gone = self.before.iter();
        let gone = gone.filter(|(key, old)| old.is_some() && self.table.get(key).is_none());
        if gone.count() * 2 >= length.max(1) {
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
        self.counters.added += u64::from(old.is_none());
        old
    }

    fn withdraw(&mut self, key: &Key) -> Option<Entry> {
        let old = self.table.remove(key)?;
        self.counters.deleted += 1;
        // a set created again may have it already
        if old.written != 0 || old.waits {
            self.deleting.insert(key.clone());
        }
        if self.queue.contains(key) {
            self.withdrawn.insert(key.clone());
        }
        Some(old)
    }

    /// Drops the waiting records, because the pair has ended, or another list holds.
    pub(super) fn abandon(&mut self, is_cut: bool) -> Vec<Token> {
        let count = self.incoming.records.len();
        if is_cut && count >= WORTH {
            let generation = match self.generation {
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
        self.incoming.drain_tokens()
    }

    /// Drops a list of the peer that was not written yet, because others changed the set: it refers to a replaced
    /// state.
    pub(super) fn drop_list(&mut self) {
        let before = std::mem::take(&mut self.before).into_iter();
        self.revert(before.collect());
        let tokens = std::mem::take(&mut self.tokens).into_iter();
        self.outdated.extend(tokens.map(|(_, token)| token));
        self.outdated.append(&mut self.ends);
        self.queue = BTreeSet::new();
        self.withdrawn = BTreeSet::new();
        self.writes_list = false;
    }

    /// Restores the entries before a list that the kernel refused because of one element: the kernel still has them.
    pub(super) fn revert(&mut self, before: Vec<(Key, Option<Entry>)>) {
        for (key, old) in before {
            self.deleting.remove(&key);
            match old {
                Some(old) => drop(self.table.insert(key, old)),
                None => drop(self.table.take(&key)),
            }
        }
    }
}
