//! A store in memory: an example to read before writing a store, used by the tests, the bench and the fuzz target.
//!
//! It does what a real store does with its table: it keeps a [`Tag`] in each record, counts its incarnations, refuses
//! records without room, and may give its verdicts later, as a kernel does.

use std::collections::BTreeMap;
use std::collections::HashMap;
use std::fmt;
use std::ops::Bound;

use crate::buffer::ValueWriter;
use crate::sink::Sink;
use crate::store::{
    Applied, Authority, Key, Stamp, Step, Store, Strays, Table, Tag, Token, stale_of,
};
use crate::wire::{Malformed, Reader, VALUE_MAX};

/// Number used as a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Number(pub u32);

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl Key for Number {
    fn write(&self, out: &mut ValueWriter<'_>) {
        out.u32(self.0);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        reader.u32().map(Self)
    }
}

/// One record: a value, and the replica's two bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The value.
    pub value: u32,
    /// Tag that belongs to the replica.
    pub tag: Tag,
}

/// Write whose verdict comes later.
#[derive(Clone, Copy, Debug)]
pub struct Write {
    /// Index of the table.
    pub table: Table,
    /// Key of the record.
    pub key: Number,
    /// Value of the record; None: delete the record.
    pub value: Option<u32>,
    /// Token of the verdict; a deletion has none.
    pub token: Option<Token>,
}

/// Store in memory.
#[derive(Clone, Debug)]
pub struct Toy {
    /// Tables, each in the order of its keys.
    pub tables: Vec<BTreeMap<Number, Entry>>,
    /// Incarnations of the tables; None: the table does not exist.
    pub incarnations: Vec<Option<u64>>,
    /// Maximum number of records in each table.
    pub capacity: usize,
    /// True if verdicts come later.
    pub is_slow: bool,
    /// Writes without a verdict, in order.
    pub writes: Vec<Write>,
    /// Treatment of a backup's own changes.
    pub strays: Strays,
    /// Half-open range of keys that only this node may change.
    pub ours: Option<(u32, u32)>,
    /// True if only this node may change any record, false if only the peer may; None: the keys decide.
    pub owns_all: Option<bool>,
    /// Key whose value is too long to be sent.
    pub long: Option<u32>,
    /// True if the greater value is the later one.
    pub is_counting: bool,
    /// Preface of each table, and whether the peer's has to be the same.
    pub prefaces: Vec<(u8, bool)>,
    /// Keys that the replica deleted, or gave a value, until the owner reads them.
    pub seen: Vec<(Table, Number, Option<u32>)>,
    /// True if `seen` is kept.
    pub is_watched: bool,
    /// True if each table is one list as a whole.
    pub is_list: bool,
    /// Values of the lane of newest values.
    pub latest: HashMap<Number, u32>,
}

impl Toy {
    /// Creates empty tables.
    pub fn new(tables: usize) -> Self {
        Self {
            tables: vec![BTreeMap::new(); tables],
            incarnations: vec![Some(1); tables],
            capacity: usize::MAX,
            is_slow: false,
            writes: Vec::new(),
            strays: Strays::Undo,
            ours: None,
            owns_all: None,
            long: None,
            is_counting: false,
            prefaces: vec![(0, true); tables],
            seen: Vec::new(),
            is_watched: false,
            is_list: false,
            latest: HashMap::new(),
        }
    }

    /// Puts a record as its owner does; the caller then tells the replica.
    pub fn put(&mut self, table: Table, key: u32, value: u32) {
        let tag = Tag::default();
        let new = Entry { value, tag };
        let entry = self.tables[table].entry(Number(key)).or_insert(new);
        entry.value = value;
    }

    /// Removes a record as its owner does.
    pub fn remove(&mut self, table: Table, key: u32) -> bool {
        self.tables[table].remove(&Number(key)).is_some()
    }

    /// Value of a record.
    pub fn get(&self, table: Table, key: u32) -> Option<u32> {
        self.tables[table].get(&Number(key)).map(|it| it.value)
    }

    /// Creates the table again: nothing of its old incarnation is left.
    pub fn flush(&mut self, table: Table, incarnation: u64) {
        self.tables[table].clear();
        self.incarnations[table] = Some(incarnation);
        self.writes.retain(|it| it.table != table);
    }

    /// Simulates a restart of the plugin: the records exist, its knowledge of them does not.
    pub fn restart(&mut self) {
        self.writes.clear();
        for entry in self.tables.iter_mut().flat_map(BTreeMap::values_mut) {
            entry.tag = Tag::default();
        }
    }

    /// Ends the oldest write, and the deletions that wait for it; the caller then tells the replica the verdict.
    pub fn finish(&mut self) -> Option<(Token, bool)> {
        let mut verdict = None;
        while let Some(write) = self.writes.first().copied() {
            if verdict.is_some() && write.token.is_some() {
                break;
            }
            self.writes.remove(0);
            let mut fits = true;
            match write.value {
                None => self.erase(write.table, &write.key),
                Some(value) => {
                    fits = self.fits(write.table, write.key);
                    if fits {
                        self.write(write.table, write.key, value);
                    }
                }
            }
            verdict = verdict.or(write.token.map(|token| (token, fits)));
        }
        verdict
    }

    fn erase(&mut self, table: Table, key: &Number) {
        if self.tables[table].remove(key).is_some() && self.is_watched {
            self.seen.push((table, *key, None));
        }
    }

    fn fits(&self, table: Table, key: Number) -> bool {
        let records = &self.tables[table];
        records.len() < self.capacity || records.contains_key(&key)
    }

    fn write(&mut self, table: Table, key: Number, value: u32) {
        if self.is_watched {
            self.seen.push((table, key, Some(value)));
        }
        self.put(table, key.0, value);
    }
}

fn write_value(value: u32, is_long: bool, out: &mut ValueWriter<'_>) {
    out.u32(value);
    if is_long {
        out.put(&[0; VALUE_MAX]);
    }
}

fn digest(value: u32) -> u64 {
    u64::from(value).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

impl Store for Toy {
    type Key = Number;
    type Cursor = Option<Number>;

    fn incarnation(&self, table: Table) -> Option<u64> {
        self.incarnations[table]
    }

    fn len(&self, table: Table) -> usize {
        self.tables[table].len()
    }

    fn snapshot(
        &mut self,
        table: Table,
        at: &mut Self::Cursor,
        sink: &mut Sink<'_, Number>,
    ) -> Step {
        let begin = at.map_or(Bound::Unbounded, Bound::Excluded);
        for (key, entry) in self.tables[table].range_mut((begin, Bound::Unbounded)) {
            let (value, is_long) = (entry.value, self.long == Some(key.0));
            let taken = sink.record(key, &mut entry.tag, Some(digest(value)), |out| {
                write_value(value, is_long, out);
            });
            if !taken {
                return Step::More;
            }
            *at = Some(*key);
        }
        Step::Done
    }

    fn encode(&mut self, table: Table, key: &Number, out: &mut ValueWriter<'_>) -> bool {
        let entry = self.tables[table].get(key);
        let is_long = self.long == Some(key.0);
        entry
            .map(|entry| write_value(entry.value, is_long, out))
            .is_some()
    }

    fn apply(
        &mut self,
        table: Table,
        key: &Number,
        value: &[u8],
        token: Token,
    ) -> Result<Applied, Malformed> {
        let value = Reader(value).u32()?;
        if self.is_slow {
            let key = *key;
            self.writes.push(Write {
                table,
                key,
                value: Some(value),
                token: Some(token),
            });
            return Ok(Applied::Later);
        }
        if !self.fits(table, *key) {
            return Ok(Applied::Refused);
        }
        self.write(table, *key, value);
        Ok(Applied::Done)
    }

    fn delete(&mut self, table: Table, key: &Number) {
        let waits = |it: &Write| it.table == table && it.key == *key;
        if !self.writes.iter().any(waits) {
            return self.erase(table, key);
        }
        // in the order of the calls
        self.writes.push(Write {
            table,
            key: *key,
            value: None,
            token: None,
        });
    }

    fn tag(&mut self, table: Table, key: &Number) -> Option<&mut Tag> {
        self.tables[table].get_mut(key).map(|it| &mut it.tag)
    }

    fn holds(&self, table: Table, key: &Number, value: &[u8]) -> bool {
        let entry = self.tables[table].get(key);
        entry.is_some_and(|it| it.value.to_be_bytes() == value)
    }

    fn digest(&self, table: Table, key: &Number) -> Option<u64> {
        self.tables[table].get(key).map(|it| digest(it.value))
    }

    fn stale(
        &mut self,
        table: Table,
        stamp: Stamp,
        at: &mut Self::Cursor,
        limit: usize,
        keys: &mut Vec<Number>,
    ) -> bool {
        let begin = at.map_or(Bound::Unbounded, Bound::Excluded);
        let records = self.tables[table].range((begin, Bound::Unbounded));
        let records = records.map(|(key, entry)| (*key, entry.tag.stamp() != stamp));
        stale_of(records, at, limit, keys)
    }

    fn preface(&self, table: Table, out: &mut ValueWriter<'_>) {
        out.u8(self.prefaces[table].0);
    }

    fn check_preface(&mut self, table: Table, preface: &[u8]) -> Result<(), String> {
        let (ours, matters) = self.prefaces[table];
        if matters && preface != [ours] {
            Err(format!(
                "the peer's table is of type {preface:?}, ours of {ours}"
            ))
        } else {
            Ok(())
        }
    }

    fn prefers(&mut self, table: Table, key: &Number, offered: &[u8]) -> Option<bool> {
        let offered = Reader(offered).u32().ok().filter(|_| self.is_counting)?;
        let here = self.tables[table].get(key);
        here.map(|here| offered > here.value)
    }

    fn authority(&self, _table: Table, key: &Number) -> Authority {
        match (self.owns_all, self.ours) {
            (Some(true), _) => Authority::Ours,
            (Some(false), _) => Authority::Peers,
            (None, Some((first, last))) if (first..last).contains(&key.0) => Authority::Ours,
            (None, _) => Authority::Both,
        }
    }

    fn strays(&self, _table: Table) -> Strays {
        self.strays
    }

    fn is_list(&self, _table: Table) -> bool {
        self.is_list
    }

    fn encode_latest(&mut self, _table: Table, key: &Number, out: &mut ValueWriter<'_>) -> bool {
        self.latest.get(key).map(|value| out.u32(*value)).is_some()
    }

    fn apply_latest(&mut self, _table: Table, key: &Number, value: &[u8]) -> Result<(), Malformed> {
        self.latest.insert(*key, Reader(value).u32()?);
        Ok(())
    }
}
