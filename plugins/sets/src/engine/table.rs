//! The elements of a set, as this node's kernel has them.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use crate::element::{Element, Key, Life};

/// Lives that differ by less are the same: the kernel's ticks, and the way between the nodes.
const SLACK_MS: u64 = 2_000;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub life: Option<Until>,
    /// When it ends as far as the peer knows.
    told_ends_ms: u64,
    extra: Option<Box<Extra>>,
    /// The mark of the snapshot in which the peer had it last; 0 where it never did.
    pub mark: u32,
    /// The reading in which the kernel had it last.
    seen: u32,
    /// Readings in a row without it.
    misses: u8,
}

/// What most elements have not.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Extra {
    data: Box<[u8]>,
    comment: Box<[u8]>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Until {
    pub timeout_ms: u64,
    pub ends_ms: u64,
}

/// What a look at an element brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Observed {
    New,
    Changed,
    Same,
}

/// How a reading ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// It was one answer of the kernel, and nothing changed meanwhile: what it lacks is gone. Longer
    /// ones may pass over elements while others come and go.
    pub certain: bool,
    /// What the reading took of the processor.
    pub spent_ms: u64,
}

#[derive(Debug, Default)]
pub struct Table {
    entries: BTreeMap<Key, Entry>,
    /// The number of the reading.
    round: u32,
    reading: bool,
    /// Deleted while it goes on: what is still on its way from the kernel is old.
    gone: BTreeSet<Key>,
    /// Of a set that has gone: to free a million entries takes its time.
    old: BTreeMap<Key, Entry>,
}

impl Table {
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn clear(&mut self) {
        let entries = std::mem::take(&mut self.entries);
        if self.old.is_empty() {
            self.old = entries;
        }
        self.gone.clear();
    }

    /// Whether [`dispose`](Self::dispose) has something to do.
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

    pub fn begin_reading(&mut self) {
        self.round = self.round.wrapping_add(1);
        self.reading = true;
        self.gone.clear();
    }

    pub fn end_reading(&mut self) {
        self.reading = false;
        self.gone.clear();
    }

    /// Whether a reading that goes on has to pass over what the kernel still lists.
    pub fn is_gone(&self, key: &Key) -> bool {
        self.gone.contains(key)
    }

    pub fn get(&self, key: &Key) -> Option<&Entry> {
        self.entries.get(key)
    }

    pub fn get_mut(&mut self, key: &Key) -> Option<&mut Entry> {
        self.entries.get_mut(key)
    }

    /// An element that the kernel has.
    pub fn see(&mut self, now_ms: u64, element: Element) -> Observed {
        let Some(entry) = self.entries.get_mut(&element.key) else {
            self.put(now_ms, element, 0);
            return Observed::New;
        };
        entry.seen = self.round;
        entry.misses = 0;
        let same = entry.holds(&element) && entry.lives_as_told(now_ms, element.life);
        entry.life = element.life.map(|life| life.until(now_ms));
        if same {
            return Observed::Same;
        }
        entry.extra = extra(element.data, element.comment);
        Observed::Changed
    }

    /// Writes an element down as it is about to be in the kernel.
    pub fn put(&mut self, now_ms: u64, element: Element, mark: u32) {
        self.gone.remove(&element.key);
        let life = element.life.map(|life| life.until(now_ms));
        let entry = Entry {
            life,
            told_ends_ms: life.map_or(0, |life| life.ends_ms),
            extra: extra(element.data, element.comment),
            mark,
            seen: self.round,
            misses: 0,
        };
        self.entries.insert(element.key, entry);
    }

    pub fn remove(&mut self, key: &Key) -> Option<Entry> {
        if self.reading {
            self.gone.insert(key.clone());
        }
        self.entries.remove(key)
    }

    /// The element as it is now, for the peer, who is told of it; None where it is not there any
    /// more.
    pub fn tell(&mut self, now_ms: u64, key: &Key) -> Option<Element> {
        let entry = self.entries.get_mut(key)?;
        entry.told_ends_ms = entry.life.map_or(0, |life| life.ends_ms);
        entry.element(now_ms, key)
    }

    /// The key after `after`, in order; the first where there is none.
    pub fn next(&self, after: Option<&Key>) -> Option<&Key> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let mut range = self.entries.range((from, Bound::Unbounded));
        range.next().map(|(key, _)| key)
    }

    /// Goes on through `limit` entries and takes out those that `ends` wants, with their keys.
    pub fn scan(
        &mut self,
        cursor: &mut Cursor,
        limit: usize,
        mut ends: impl FnMut(&mut Entry) -> bool,
    ) -> Vec<(Key, Entry)> {
        let from = cursor
            .after
            .take()
            .map_or(Bound::Unbounded, Bound::Excluded);
        let mut found = Vec::new();
        let mut last = None;
        let range = self.entries.range_mut((from, Bound::Unbounded));
        for (position, (key, entry)) in range.enumerate() {
            if position == limit {
                cursor.after = last;
                break;
            }
            if ends(entry) {
                found.push(key.clone());
            }
            if position + 1 == limit {
                last = Some(key.clone());
            }
        }
        cursor.done = cursor.after.is_none();
        let removed = found.into_iter().map(|key| {
            let entry = self.entries.remove(&key);
            (key, entry)
        });
        removed
            .filter_map(|(key, entry)| Some((key, entry?)))
            .collect()
    }

    /// For [`scan`](Self::scan) after a reading: whether an entry is not in the kernel any more.
    pub fn is_missing(&self, reading: Reading) -> impl Fn(&mut Entry) -> bool + use<> {
        let round = self.round;
        move |entry| {
            if entry.seen == round {
                return false;
            }
            entry.misses = entry.misses.saturating_add(1);
            reading.certain || entry.misses >= 2
        }
    }
}

/// How far a scan is.
#[derive(Clone, Debug, Default)]
pub struct Cursor {
    after: Option<Key>,
    pub done: bool,
}

impl Entry {
    /// Whether the kernel has let it go by itself; a tick too early is right.
    pub fn is_over(&self, now_ms: u64) -> bool {
        self.life.is_some_and(|life| life.ends_ms <= now_ms)
    }

    /// The same but for its life.
    pub fn holds(&self, element: &Element) -> bool {
        let (data, comment): (&[u8], &[u8]) = match &self.extra {
            Some(extra) => (&extra.data, &extra.comment),
            None => (&[], &[]),
        };
        data == &*element.data && comment == &*element.comment
    }

    /// Whether a life that the peer has for it is as good as this one.
    pub fn lives_as(&self, now_ms: u64, other: Option<Life>) -> bool {
        let ends_ms = self.life.map_or(0, |life| life.ends_ms);
        self.is_near(now_ms, other, ends_ms, |slack_ms| slack_ms)
    }

    /// Whether the peer need not hear of this life. More patient than
    /// [`lives_as`](Self::lives_as): what is told has to count there.
    fn lives_as_told(&self, now_ms: u64, other: Option<Life>) -> bool {
        let more = |slack_ms| slack_ms + slack_ms / 4;
        self.is_near(now_ms, other, self.told_ends_ms, more)
    }

    fn is_near(
        &self,
        now_ms: u64,
        other: Option<Life>,
        ends_ms: u64,
        patience: impl Fn(u64) -> u64,
    ) -> bool {
        match (self.life, other) {
            (None, None) => true,
            (Some(own), Some(other)) if own.timeout_ms == other.timeout_ms => {
                let other_ends_ms = other.until(now_ms).ends_ms;
                ends_ms.abs_diff(other_ends_ms) < patience(slack_ms(own.timeout_ms))
            }
            _ => false,
        }
    }

    fn element(&self, now_ms: u64, key: &Key) -> Option<Element> {
        let life = match self.life {
            Some(life) => Some(life.left(now_ms)?),
            None => None,
        };
        let (data, comment) = match &self.extra {
            Some(extra) => (extra.data.clone(), extra.comment.clone()),
            None => Default::default(),
        };
        Some(Element {
            key: key.clone(),
            life,
            data,
            comment,
        })
    }
}

impl Life {
    fn until(self, now_ms: u64) -> Until {
        Until {
            timeout_ms: self.timeout_ms,
            ends_ms: now_ms.saturating_add(self.left_ms),
        }
    }
}

impl Until {
    fn left(self, now_ms: u64) -> Option<Life> {
        let left_ms = self.ends_ms.checked_sub(now_ms).filter(|left| *left > 0)?;
        Some(Life {
            timeout_ms: self.timeout_ms.max(left_ms),
            left_ms,
        })
    }
}

/// 2 s or 5 %, and never so much that a busy element's short life ends before it is told on.
fn slack_ms(timeout_ms: u64) -> u64 {
    SLACK_MS.max(timeout_ms / 20).min(timeout_ms / 4).max(1)
}

fn extra(data: Box<[u8]>, comment: Box<[u8]>) -> Option<Box<Extra>> {
    let empty = data.is_empty() && comment.is_empty();
    (!empty).then(|| Box::new(Extra { data, comment }))
}
