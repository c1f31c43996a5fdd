//! Observer that knows who changed which record, so that each message and each write of a replica can be judged.
//!
//! Any node may change keys below [`FREE`]. The others are *precious*: one node alone puts them (node 0 the even ones),
//! and they are never deleted and never expire. So a replica may never delete one, and never restore an older value.

use std::collections::{BTreeSet, HashMap};
use std::ops::Range;

use crate::toy::{Number, Toy};
use crate::wire::{Body, Message, flag};

pub const FREE: u32 = 6;
pub const KEYS: u32 = 12;

type Place = (usize, u32);

#[derive(Default)]
pub struct Watch {
    /// Records that each node may send without a request: they were changed there, or requested.
    reasons: [BTreeSet<Place>; 2],
    gone_reasons: [BTreeSet<Place>; 2],
    /// Requested records that each node has not sent since: it owes an answer, whatever it received meanwhile.
    requested: [BTreeSet<Place>; 2],
    /// Tables whose snapshot that node is sending.
    in_snapshot: [BTreeSet<usize>; 2],
    ended: BTreeSet<Place>,
    /// Values that expired on one node and may still be on their way to the other.
    ended_values: BTreeSet<u32>,
    /// Records of which nobody can know the newer value.
    doubtful: BTreeSet<Place>,
    values: [HashMap<Place, u32>; 2],
    ever: BTreeSet<Place>,
    flushed: bool,
    /// Keys of which one node alone may change each record.
    pub owned: Range<u32>,
}

impl Watch {
    pub fn put(&mut self, node: usize, table: usize, key: u32, store: &Toy, is_stray: bool) {
        let place = (table, key);
        self.reasons[node].insert(place);
        if !is_stray {
            // an earlier deletion is still sent
            self.gone_reasons[node].remove(&place);
        }
        self.ended.remove(&place);
        self.ever.insert(place);
        self.values[node].extend(store.get(table, key).map(|value| (place, value)));
        let waits = |it: &crate::toy::Write| (it.table, it.key.0) == place;
        if store.writes.iter().any(waits) {
            self.doubtful.insert(place);
        }
    }

    pub fn delete(&mut self, node: usize, table: usize, key: u32) {
        self.reasons[node].insert((table, key));
        self.gone_reasons[node].insert((table, key));
        self.values[node].remove(&(table, key));
    }

    pub fn end(&mut self, table: usize, key: u32, value: Option<u32>) {
        self.ended_values.extend(value);
        self.ended.insert((table, key));
        for values in &mut self.values {
            values.remove(&(table, key));
        }
    }

    pub fn restart(&mut self) {
        for table in 0..2 {
            self.doubtful.extend((0..KEYS).map(|key| (table, key)));
        }
    }

    pub fn flush(&mut self, node: usize, table: usize) {
        self.flushed = true;
        self.values[node].retain(|place, _| place.0 != table);
    }

    pub fn finish(&mut self, node: usize, table: usize, key: u32) {
        self.reasons[node].insert((table, key));
        self.gone_reasons[node].insert((table, key));
    }

    /// Forgets doubts about records that are equal on both nodes.
    pub fn forget_equal(&mut self, stores: &[&Toy; 2], in_sync: bool) {
        let differs = |(table, key): &Place| {
            stores[0].get(*table, *key) != stores[1].get(*table, *key)
                || stores.iter().any(|it| !it.writes.is_empty())
        };
        // other writes may be in progress
        if in_sync {
            self.doubtful.retain(differs);
            self.ended.retain(differs);
        }
    }

    /// Judges what the replica did to the store since the last call.
    pub fn applied(&mut self, node: usize, store: &mut Toy) {
        for (table, Number(key), value) in std::mem::take(&mut store.seen) {
            let place = (table, key);
            if value.is_none() && (FREE..KEYS).contains(&key) {
                panic!("R2: node {node} deletes {place:?}, which nobody deleted");
            }
            let known = self.values[node].remove(&place);
            if let Some(value) = value {
                if self.ended_values.contains(&value) {
                    self.ended.insert(place);
                }
                let older = known.is_some_and(|known| known > value);
                let doubtful = self.doubtful.contains(&place);
                assert!(
                    !older || doubtful || key < FREE,
                    "node {node} puts {value} back over {known:?} at {place:?}"
                );
                self.values[node].insert(place, value);
                self.reasons[node].remove(&place);
            }
        }
    }

    pub fn received(&mut self, node: usize, message: &[u8]) {
        let Ok(message) = Message::parse(message) else {
            return;
        };
        let table = usize::from(message.head.table);
        match message.body {
            Body::Request(keys) => {
                for (_, key) in keys {
                    let place = (table, number(key));
                    self.requested[node].insert(place);
                    self.gone_reasons[node].insert(place);
                }
            }
            Body::Records(records) => {
                // a refused change is answered
                for record in records.filter(|it| !it.has(flag::SAME)) {
                    let place = (table, number(record.key));
                    if self.owned.contains(&place.1) {
                        self.reasons[node].insert(place);
                        self.gone_reasons[node].insert(place);
                    }
                }
            }
            _ => {}
        }
    }

    /// Judges a message of a node; returns the number of values in it. An owner of all records answers also what a
    /// snapshot does not name.
    pub fn made(&mut self, node: usize, owns_all: bool, message: &[u8]) -> u64 {
        let message = Message::parse(message).expect("a replica writes what it reads");
        let table = usize::from(message.head.table);
        let mut puts = 0;
        match message.body {
            Body::Role(_) => self.in_snapshot[node].clear(),
            Body::Begin { .. } => drop(self.in_snapshot[node].insert(table)),
            Body::End { .. } => drop(self.in_snapshot[node].remove(&table)),
            Body::Offer(records) => puts += records.count() as u64,
            Body::Records(records) => {
                let walks = self.in_snapshot[node].contains(&table);
                for record in records.filter(|it| !it.has(flag::SAME)) {
                    let place = (table, number(record.key));
                    let gone = record.has(flag::GONE);
                    puts += u64::from(!gone);
                    let is_requested = self.requested[node].remove(&place);
                    let known = if gone {
                        self.gone_reasons[node].contains(&place)
                    } else {
                        walks || is_requested || self.reasons[node].contains(&place)
                    };
                    let what = if gone { "deletion" } else { "value" };
                    assert!(
                        known || owns_all,
                        "R5: node {node} sends a {what} of {place:?} unasked"
                    );
                }
            }
            _ => {}
        }
        puts
    }

    /// Records without those that expired on one node alone.
    pub fn lasting(&self, table: usize, records: Vec<(u32, u32)>) -> Vec<(u32, u32)> {
        let lasts = |(key, _): &(u32, u32)| !self.ended.contains(&(table, *key));
        records.into_iter().filter(lasts).collect()
    }

    pub fn ended(&self) -> Vec<Place> {
        self.ended.iter().copied().collect()
    }

    /// Checks that every precious key exists, if no table was created again.
    pub fn assert_all_there(&self, store: &Toy) {
        for (table, key) in &self.ever {
            let lost = *key >= FREE && !self.flushed && store.get(*table, *key).is_none();
            assert!(!lost, "table {table} has lost key {key}");
        }
    }
}

fn number(key: &[u8]) -> u32 {
    key.try_into().map_or(u32::MAX, u32::from_be_bytes)
}
