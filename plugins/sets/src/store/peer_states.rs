//! Records of the peer whose state has no end yet. They are put in force as a whole, or dropped.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry as Place;

use spared_replica::Token;

use super::entry::Entry;
use super::table::Table;
use super::verdicts::Tokens;
use crate::element::{Element, Key};

/// Records of the peer, by key; None: deleted.
#[derive(Debug, Default)]
pub(super) struct PeerStates {
    records: BTreeMap<Key, Option<Entry>>,
    tokens: Vec<(Key, Token)>,
}

impl PeerStates {
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
