//! A store for a plain table: values by key, in memory. For plugins whose records live nowhere else, such as input from
//! people or programs.
//!
//! ```
//! use spared_replica::map::Map;
//! use spared_replica::{Change, Config, Replica};
//!
//! let mut guests: Map<String, String> = Map::new(77).limited_to(1_000);
//! let mut replica = Replica::new(Config::new(77, 1, ["guests"]));
//!
//! // a change is made in the map, then told
//! let key = "02:00:00:00:00:07".to_owned();
//! guests.put(key.clone(), "Anna".to_owned()).unwrap();
//! replica.changed(1_000_000_000, &mut guests, 0, &key, Change::Put);
//!
//! // what the peer changed is found by its key
//! assert_eq!(guests.poll_update(), None);
//! assert_eq!(guests.get(&key).map(String::as_str), Some("Anna"));
//! ```
//!
//! The map lives as long as its process: after a restart it is empty, and the peer fills it. Records that both nodes
//! lose at once are lost.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::Bound;

use crate::buffer::ValueWriter;
use crate::sink::Sink;
use crate::store::{Applied, Key, Stamp, Step, Store, Strays, Table, Tag, Token, stale_of};
use crate::wire::{KEY_MAX, Malformed, Reader, VALUE_MAX};

/// Value of a [`Map`].
pub trait MapValue: Clone + PartialEq + fmt::Debug {
    /// Writes the value, the same bytes on both nodes, at most [`VALUE_MAX`].
    fn write(&self, out: &mut ValueWriter<'_>);

    /// Reads a value.
    ///
    /// # Errors
    /// The bytes are not a value.
    fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed>;
}

/// Table, in the order of its keys.
#[derive(Clone, Debug)]
pub struct Map<K = String, V = String> {
    records: BTreeMap<K, Record<V>>,
    /// Keys that the peer changed, until the owner polls them.
    updates: BTreeSet<K>,
    incarnation: u64,
    limit: usize,
    strays: Strays,
}

#[derive(Clone, Debug)]
struct Record<V> {
    value: V,
    tag: Tag,
}

/// Reason why a record cannot be put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PutError {
    /// The table is full.
    Full(usize),
    /// The key cannot be sent to the peer.
    Key,
    /// The value cannot be sent to the peer.
    Value,
}

impl<K: Key + Ord, V: MapValue> Map<K, V> {
    /// Creates an empty map with an incarnation that no earlier map had, such as a random number.
    pub fn new(incarnation: u64) -> Self {
        Self {
            records: BTreeMap::new(),
            updates: BTreeSet::new(),
            incarnation,
            limit: usize::MAX,
            strays: Strays::Undo,
        }
    }

    /// Limits the number of records.
    pub fn limited_to(mut self, limit: usize) -> Self {
        self.limit = limit;
        self
    }

    /// Lets changes of a backup count like any other; otherwise they are undone.
    pub fn with_changes_of_backups(mut self) -> Self {
        self.strays = Strays::Offer;
        self
    }

    /// Puts a record; call [`Replica::changed`](crate::Replica::changed) after it.
    ///
    /// # Errors
    /// Nothing is put: [`PutError`].
    pub fn put(&mut self, key: K, value: V) -> Result<(), PutError> {
        let bytes = written(KEY_MAX, |out| key.write(out)).filter(|bytes| !bytes.is_empty());
        let back = bytes.and_then(|bytes| whole(&bytes, K::read));
        if back.as_ref() != Some(&key) {
            return Err(PutError::Key);
        }
        let bytes = written(VALUE_MAX, |out| value.write(out));
        let back = bytes.and_then(|bytes| whole(&bytes, V::read));
        if back.as_ref() != Some(&value) {
            return Err(PutError::Value);
        }
        if self.fits(&key) {
            self.write(key, value)
        } else {
            return Err(PutError::Full(self.limit));
        }
        Ok(())
    }

    /// Removes a record; false if it is not there. Call
    /// [`Replica::changed`](crate::Replica::changed) after it.
    pub fn remove(&mut self, key: &K) -> bool {
        self.records.remove(key).is_some()
    }

    /// Value of a record.
    pub fn get(&self, key: &K) -> Option<&V> {
        self.records.get(key).map(|it| &it.value)
    }

    /// All records.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.records.iter().map(|(key, it)| (key, &it.value))
    }

    /// Number of records.
    pub fn count(&self) -> usize {
        self.records.len()
    }

    /// True if no more records fit.
    pub fn is_full(&self) -> bool {
        self.records.len() >= self.limit
    }

    /// Returns a key whose record the peer put, changed or deleted; the map has its present value. A key is returned
    /// once, however often it was changed meanwhile.
    pub fn poll_update(&mut self) -> Option<K> {
        self.updates.pop_first()
    }

    fn fits(&self, key: &K) -> bool {
        self.records.len() < self.limit || self.records.contains_key(key)
    }

    fn write(&mut self, key: K, value: V) {
        match self.records.get_mut(&key) {
            Some(record) => record.value = value,
            None => {
                let tag = Tag::default();
                self.records.insert(key, Record { value, tag });
            }
        }
    }
}

impl<K: Key + Ord, V: MapValue> Store for Map<K, V> {
    type Key = K;
    type Cursor = Option<K>;

    fn incarnation(&self, _table: Table) -> Option<u64> {
        Some(self.incarnation)
    }

    fn len(&self, _table: Table) -> usize {
        self.records.len()
    }

    fn snapshot(&mut self, _table: Table, at: &mut Option<K>, sink: &mut Sink<'_, K>) -> Step {
        let from = at.clone();
        let begin = from.as_ref().map_or(Bound::Unbounded, Bound::Excluded);
        let mut last: Option<&K> = None;
        for (key, record) in self.records.range_mut((begin, Bound::Unbounded)) {
            let (value, tag) = (&record.value, &mut record.tag);
            if !sink.record(key, tag, Some(digest(value)), |out| value.write(out)) {
                *at = last.cloned().or(from);
                return Step::More;
            }
            last = Some(key);
        }
        Step::Done
    }

    fn encode(&mut self, _table: Table, key: &K, out: &mut ValueWriter<'_>) -> bool {
        let record = self.records.get(key);
        record.map(|it| it.value.write(out)).is_some()
    }

    fn apply(
        &mut self,
        _table: Table,
        key: &K,
        value: &[u8],
        _token: Token,
    ) -> Result<Applied, Malformed> {
        let mut reader = Reader(value);
        let value = V::read(&mut reader)?;
        if !reader.0.is_empty() {
            return Err(Malformed::Long);
        }
        if !self.fits(key) {
            return Ok(Applied::Refused);
        }
        self.write(key.clone(), value);
        self.updates.insert(key.clone());
        Ok(Applied::Done)
    }

    fn delete(&mut self, _table: Table, key: &K) {
        if self.remove(key) {
            self.updates.insert(key.clone());
        }
    }

    fn tag(&mut self, _table: Table, key: &K) -> Option<&mut Tag> {
        self.records.get_mut(key).map(|it| &mut it.tag)
    }

    fn holds(&self, _table: Table, key: &K, value: &[u8]) -> bool {
        let value = whole(value, V::read);
        value.is_some_and(|value| self.get(key) == Some(&value))
    }

    fn digest(&self, _table: Table, key: &K) -> Option<u64> {
        self.get(key).map(digest)
    }

    fn stale(
        &mut self,
        _table: Table,
        stamp: Stamp,
        at: &mut Option<K>,
        limit: usize,
        keys: &mut Vec<K>,
    ) -> bool {
        let from = at.clone();
        let begin = from.as_ref().map_or(Bound::Unbounded, Bound::Excluded);
        let records = self.records.range((begin, Bound::Unbounded));
        let records = records.map(|(key, it)| (key.clone(), it.tag.stamp() != stamp));
        stale_of(records, at, limit, keys)
    }

    fn strays(&self, _table: Table) -> Strays {
        self.strays
    }
}

/// Bytes of a key or a value; None if they are too many.
fn written(limit: usize, write: impl FnOnce(&mut ValueWriter<'_>)) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    ValueWriter::write_to(&mut bytes, limit, write).then_some(bytes)
}

/// Reads a value that must take all of the bytes.
fn whole<T>(bytes: &[u8], read: fn(&mut Reader<'_>) -> Result<T, Malformed>) -> Option<T> {
    let mut reader = Reader(bytes);
    let value = read(&mut reader).ok()?;
    reader.0.is_empty().then_some(value)
}

/// FNV-1a digest: the same in all builds, which std does not promise for its hashes. A forged collision is no attack:
/// the sender could have sent the same value directly.
fn digest<V: MapValue>(value: &V) -> u64 {
    let bytes = written(VALUE_MAX, |out| value.write(out)).unwrap_or_default();
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, step)
}

impl fmt::Display for PutError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full(limit) => write!(f, "the table is full: it may have {limit} records"),
            Self::Key => write!(
                f,
                "the key is empty, longer than {KEY_MAX} bytes, or has control characters"
            ),
            Self::Value => write!(f, "the value is longer than {VALUE_MAX} bytes"),
        }
    }
}

impl std::error::Error for PutError {}

impl Key for String {
    fn write(&self, out: &mut ValueWriter<'_>) {
        out.put(self.as_bytes());
    }

    /// Reads the key, without control characters: printed text must not control terminals.
    fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let text = text(reader).ok_or(Malformed::Field("key"))?;
        if text.chars().any(char::is_control) {
            Err(Malformed::Field("key"))
        } else {
            Ok(text)
        }
    }
}

impl MapValue for String {
    fn write(&self, out: &mut ValueWriter<'_>) {
        out.put(self.as_bytes());
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        text(reader).ok_or(Malformed::Field("value"))
    }
}

fn text(reader: &mut Reader<'_>) -> Option<String> {
    String::from_utf8(reader.rest().to_vec()).ok()
}

impl MapValue for Vec<u8> {
    fn write(&self, out: &mut ValueWriter<'_>) {
        out.put(self);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(reader.rest().to_vec())
    }
}

impl MapValue for u64 {
    fn write(&self, out: &mut ValueWriter<'_>) {
        out.u64(*self);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        reader.u64()
    }
}
