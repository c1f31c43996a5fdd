//! Elements of a set, and the readings that found them.

use std::cmp::Ordering;
use std::collections::btree_map::{Entry as Place, IterMut};
use std::collections::{BTreeMap, BTreeSet};
use std::iter::Peekable;
use std::ops::Bound;

use super::entry::Entry;
use crate::element::{Element, Key};

/// Result of comparing an element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Observed {
    New,
    Changed,
    Same,
}

/// Share of the entries, as one in `SHARE`, above which all are walked through instead of each being looked up.
const SHARE: usize = 8;

#[derive(Debug, Default)]
pub struct Table {
    entries: BTreeMap<Key, Entry>,
    /// Sum of the entries' weights: a digest of all, independent of their order.
    sum: u64,
    /// Number of the last reading.
    pub round: u32,
    /// Number of the kernel's set: a new one each time that the set is created again.
    pub number: u32,
    reading: bool,
    /// Keys deleted during a reading: elements that it still lists are outdated.
    gone: BTreeSet<Key>,
    /// Entries of a deleted set, freed in parts: freeing a million takes time.
    old: BTreeMap<Key, Entry>,
}

/// Finds entries by keys that come in order.
pub enum Finder<'t> {
    InOrder(Peekable<IterMut<'t, Key, Entry>>),
    Each(&'t mut BTreeMap<Key, Entry>),
}

impl<'t> Finder<'t> {
    pub fn find(&mut self, key: &Key) -> Option<&mut Entry> {
        match self {
            Self::InOrder(entries) => find(entries, key),
            Self::Each(entries) => entries.get_mut(key),
        }
    }
}

/// The value of a key in what is left of a walk in order of the keys, which goes on behind it.
fn find<'k, V>(rest: &mut Peekable<impl Iterator<Item = (&'k Key, V)>>, key: &Key) -> Option<V> {
    loop {
        match rest.peek()?.0.cmp(key) {
            Ordering::Less => drop(rest.next()),
            Ordering::Equal => return rest.next().map(|(_, value)| value),
            Ordering::Greater => return None,
        }
    }
}

/// Progress of a scan.
#[derive(Clone, Debug, Default)]
pub struct Cursor {
    after: Option<Key>,
    pub done: bool,
}

impl Table {
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Digest of all entries.
    pub fn sum(&self) -> u64 {
        self.sum
    }

    pub fn clear(&mut self) {
        let entries = std::mem::take(&mut self.entries);
        self.sum = 0;
        if self.old.is_empty() {
            self.old = entries;
        }
        self.gone.clear();
    }

    /// True if [`dispose`](Self::dispose) has work to do.
    pub fn is_untidy(&self) -> bool {
        !self.old.is_empty()
    }

    pub fn dispose(&mut self, limit: usize) {
        for _ in 0..limit {
            if self.old.pop_first().is_none() {
                break;
            }
        }
    }

    /// Begins a reading, which may still list keys that wait to be deleted.
    pub fn begin_reading(&mut self, deleting: &BTreeSet<Key>) {
        self.round = self.round.wrapping_add(1).max(1);
        self.reading = true;
        self.gone.clone_from(deleting);
    }

    pub fn end_reading(&mut self) {
        self.reading = false;
        self.gone.clear();
    }

    pub fn get(&self, key: &Key) -> Option<&Entry> {
        self.entries.get(key)
    }

    pub fn get_mut(&mut self, key: &Key) -> Option<&mut Entry> {
        self.entries.get_mut(key)
    }

    /// For so many keys.
    pub fn finder(&mut self, count: usize) -> Finder<'_> {
        if self.is_share(count) {
            Finder::InOrder(self.entries.iter_mut().peekable())
        } else {
            Finder::Each(&mut self.entries)
        }
    }

    fn is_share(&self, count: usize) -> bool {
        count.saturating_mul(SHARE) > self.entries.len()
    }

    /// The digest as if these, which come in order of the keys, were in it; None: deleted.
    pub fn sum_with<'r>(
        &self,
        count: usize,
        records: impl Iterator<Item = (&'r Key, &'r Option<Entry>)>,
    ) -> u64 {
        let is_share = self.is_share(count);
        let mut entries = self.entries.iter().peekable();
        records.fold(self.sum, |sum, (key, entry)| {
            let old = if is_share {
                find(&mut entries, key)
            } else {
                self.entries.get(key)
            };
            let weight = |entry: &Entry| entry.weight(key);
            let (old, new) = (old.map_or(0, weight), entry.as_ref().map_or(0, weight));
            sum.wrapping_sub(old).wrapping_add(new)
        })
    }

    /// Takes an element that the kernel has, from a reading or a notification.
    pub fn see(&mut self, now_ns: u64, mut element: Element, listed: bool) -> Observed {
        if listed && !self.gone.is_empty() && self.gone.contains(&element.key) {
            return Observed::Same;
        }
        let (round, number) = (self.round, self.number);
        let Some(entry) = self.entries.get_mut(&element.key) else {
            if element.metered {
                return Observed::Same;
            }
            let key = element.key.clone();
            self.gone.remove(&key);
            let mut entry = Entry::new(now_ns, element);
            (entry.seen, entry.written) = (round, number);
            self.sum = self.sum.wrapping_add(entry.weight(&key));
            self.entries.insert(key, entry);
            return Observed::New;
        };
        // a write or a notification during the reading is newer than the reading
        let is_older = listed && entry.seen == round;
        if is_older || entry.waits {
            return Observed::Same;
        }
        (entry.seen, entry.written, entry.misses) = (round, number, 0);
        if element.metered {
            // the kernel does not change an existing element that is added again
            return Observed::Same;
        }
        let key = std::mem::take(&mut element.key);
        let before = entry.weight(&key);
        if entry.see(now_ns, element) {
            let gain = entry.weight(&key).wrapping_sub(before);
            self.sum = self.sum.wrapping_add(gain);
            Observed::Changed
        } else {
            Observed::Same
        }
    }

    /// Removes an entry whose key is put again at once, so that it does not count as deleted.
    pub fn take(&mut self, key: &Key) -> Option<Entry> {
        let entry = self.entries.remove(key)?;
        self.sum = self.sum.wrapping_sub(entry.weight(key));
        Some(entry)
    }

    /// Inserts an entry; returns the one that it replaces.
    pub fn insert(&mut self, key: Key, mut entry: Entry) -> Option<Entry> {
        if !self.gone.is_empty() {
            self.gone.remove(&key);
        }
        entry.seen = self.round;
        let gain = entry.weight(&key);
        let old = self.entries.insert(key.clone(), entry);
        let loss = old.as_ref().map_or(0, |old| old.weight(&key));
        self.sum = self.sum.wrapping_add(gain).wrapping_sub(loss);
        old
    }

    /// Puts an entry that is still to be written: the kernel has what it has.
    pub fn put(&mut self, key: Key, mut entry: Entry) -> Option<Entry> {
        if !self.gone.is_empty() {
            self.gone.remove(&key);
        }
        entry.seen = self.round;
        self.sum = self.sum.wrapping_add(entry.weight(&key));
        match self.entries.entry(key) {
            Place::Vacant(place) => {
                entry.written = 0;
                place.insert(entry);
                None
            }
            Place::Occupied(mut place) => {
                entry.written = place.get().written;
                let loss = place.get().weight(place.key());
                self.sum = self.sum.wrapping_sub(loss);
                Some(place.insert(entry))
            }
        }
    }

    pub fn remove(&mut self, key: &Key) -> Option<Entry> {
        if self.reading {
            self.gone.insert(key.clone());
        }
        self.take(key)
    }

    /// Entries after a key, in order.
    pub fn range(&self, after: Option<&Key>) -> impl Iterator<Item = (&Key, &Entry)> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.entries.range((from, Bound::Unbounded))
    }

    pub fn range_mut(&mut self, after: Option<&Key>) -> impl Iterator<Item = (&Key, &mut Entry)> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.entries.range_mut((from, Bound::Unbounded))
    }

    /// Continues through `limit` entries; returns the keys for which `wants` is true.
    pub fn scan(
        &mut self,
        cursor: &mut Cursor,
        limit: usize,
        mut wants: impl FnMut(&mut Entry) -> bool,
    ) -> Vec<Key> {
        let after = cursor.after.take();
        let (mut found, mut last, mut count) = (Vec::new(), None, 0);
        for (key, entry) in self.range_mut(after.as_ref()) {
            if count == limit {
                cursor.after = last;
                break;
            }
            count += 1;
            if wants(entry) {
                found.push(key.clone());
            }
            if count == limit {
                last = Some(key.clone());
            }
        }
        cursor.done = cursor.after.is_none();
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::element::Life;

    fn element(left_ms: u64) -> Element {
        let timeout_ms = 100_000;
        Element {
            key: Key([1, 2, 3, 4].into()),
            life: Some(Life {
                timeout_ms,
                left_ms,
            }),
            data: Box::default(),
            comment: Box::default(),
            metered: false,
        }
    }

    #[test]
    fn what_a_reading_lists_is_older_than_what_came_while_it_went_on() {
        let mut table = Table::default();
        assert_eq!(table.see(0, element(90_000), true), Observed::New);
        table.begin_reading(&BTreeSet::new());
        assert_eq!(table.see(0, element(60_000), false), Observed::Changed);
        assert_eq!(table.see(0, element(90_000), true), Observed::Same);
        let key = element(1).key;
        table.insert(key.clone(), Entry::new(0, element(30_000)));
        assert_eq!(table.see(0, element(90_000), true), Observed::Same);
        table.remove(&key);
        assert_eq!(table.see(0, element(90_000), true), Observed::Same);
        table.end_reading();
        table.begin_reading(&BTreeSet::new());
        assert_eq!(table.see(0, element(90_000), true), Observed::New);
    }

    #[test]
    fn what_waits_to_be_written_is_newer_than_what_the_kernel_shows() {
        let mut table = Table::default();
        let mut entry = Entry::new(0, element(30_000));
        entry.waits = true;
        let key = element(1).key;
        table.insert(key.clone(), entry);
        table.begin_reading(&BTreeSet::new());
        assert_eq!(table.see(0, element(90_000), true), Observed::Same);
        let left = table.get(&key).map(|entry| entry.element(0, &key).life);
        assert_eq!(left, Some(element(30_000).life));
    }
}
