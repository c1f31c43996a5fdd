//! Changes of a set in this node's kernel, from the beginning of a transaction to its end: they count
//! together, and the last one of each key.

use std::collections::BTreeMap;

use super::set::{News, Set};
use crate::element::{Element, Key};

/// Keys that are kept back at most.
const KEPT_MAX: usize = 1 << 20;

/// Changes by key; None: deleted.
#[derive(Debug, Default)]
pub(super) struct Changes {
    keys: BTreeMap<Key, Option<Element>>,
    /// Elements that came and went, also those that are there again.
    added: usize,
    deleted: usize,
    /// One list takes the place of another.
    is_list: bool,
    /// What was added first is in the table, which had so many elements before: the rest belongs to it.
    taken: Option<usize>,
}

impl Changes {
    fn is_empty(&self) -> bool {
        self.keys.is_empty() && !self.is_list && self.added == 0 && self.deleted == 0
    }

    fn is_more(&self) -> bool {
        self.is_list || self.keys.len() > 1 || self.added + self.deleted > 1
    }

    pub fn names(&self, key: &Key) -> bool {
        !self.keys.is_empty() && self.keys.contains_key(key)
    }

    /// A transaction that deletes most of a set and adds to it is a list in the place of another.
    fn judge(&mut self, length: usize) {
        let length = self.taken.unwrap_or(length);
        self.is_list |= self.added > 0 && self.deleted > 0 && self.deleted * 2 >= length;
    }

    fn merge(&mut self, later: Self) {
        self.keys.extend(later.keys);
        self.is_list |= later.is_list;
        self.taken = self.taken.or(later.taken);
    }
}

impl Set {
    /// Elements that somebody added. What a transaction only adds is in the table at once, so that much of it is on
    /// its way to the peer when it ends, unless the state before it is kept back (`is_busy`).
    pub fn note_added(
        &mut self,
        now_ns: u64,
        elements: Vec<Element>,
        is_busy: bool,
        news: &mut Vec<News>,
    ) {
        self.reads.dirty = true;
        let is_first = self.open.is_empty() && self.kept.is_none() && !is_busy && self.is_exact();
        if is_first {
            self.open.taken = Some(self.table.len());
        }
        self.open.added += elements.len();
        if self.open.taken.is_some() && self.open.keys.is_empty() && !self.writes_list {
            return self.see(now_ns, elements, false, news);
        }
        let keys = elements.into_iter().map(|it| (it.key.clone(), Some(it)));
        self.open.keys.extend(keys);
    }

    /// Elements that somebody deleted.
    pub fn note_deleted(&mut self, keys: Vec<Key>) {
        self.reads.dirty = true;
        self.open.deleted += keys.len();
        self.open.keys.extend(keys.into_iter().map(|it| (it, None)));
    }

    /// Ends of intervals that came and went: only a reading shows of which.
    pub fn note_touched(&mut self, now_ns: u64, added: usize, deleted: usize) {
        self.open.added += added;
        self.open.deleted += deleted;
        self.reads.touch_unread(now_ns);
    }

    /// The set was created or deleted: what the transaction says of the old one is void.
    pub fn note_remade(&mut self, now_ns: u64) {
        (self.open, self.kept) = (Changes::default(), None);
        self.is_remade = true;
        self.reads.hurry(now_ns);
    }

    /// Notifications were lost: a reading compares everything.
    pub fn note_loss_of_events(&mut self, now_ns: u64) {
        (self.open, self.kept) = (Changes::default(), None);
        self.is_remade = false;
        self.reads.touch(now_ns, true);
    }

    /// Whether a change of this transaction is to be looked at as it comes.
    pub fn is_remade(&self) -> bool {
        self.is_remade
    }

    /// The transaction has ended.
    pub fn end_transaction(&mut self) {
        self.is_remade = false;
        let mut open = std::mem::take(&mut self.open);
        if open.is_empty() {
            return;
        }
        open.judge(self.table.len());
        if open.taken.is_some() && open.keys.is_empty() {
            self.reads.expect(self.table.len());
            return;
        }
        match &mut self.kept {
            Some(kept) => kept.merge(open),
            None => self.kept = Some(open),
        }
    }

    /// Whether changes are kept back; too many, or of a set whose state is not exact anyway, are not.
    pub fn is_kept(&self) -> bool {
        let few = self
            .kept
            .as_ref()
            .is_some_and(|it| it.keys.len() <= KEPT_MAX);
        few && self.is_exact()
    }

    pub fn has_kept(&self) -> bool {
        self.kept.is_some()
    }

    /// The table takes what was kept back. Returns whether one list took the place of another.
    pub fn take_kept(&mut self, now_ns: u64, news: &mut Vec<News>) -> bool {
        let Some(kept) = self.kept.take() else {
            return false;
        };
        if self.writes_list && kept.is_more() {
            self.drop_list();
        }
        let (mut added, mut deleted) = (Vec::new(), Vec::new());
        for (key, element) in kept.keys {
            match element {
                Some(element) => added.push(element),
                None => deleted.push(key),
            }
        }
        self.observe_deletions(now_ns, deleted, news);
        self.see(now_ns, added, false, news);
        self.reads.expect(self.table.len());
        self.is_list |= kept.is_list;
        if kept.is_list {
            self.untold_list = Some(self.table.sum());
        }
        kept.is_list
    }

    /// Whether what the transaction has added is in the table.
    pub fn is_taking(&self) -> bool {
        self.open.taken.is_some()
    }

    /// Whether a transaction is in the table in part.
    pub(super) fn is_half_taken(&self) -> bool {
        let kept = self.kept.as_ref();
        self.open.taken.is_some() || kept.is_some_and(|it| it.taken.is_some())
    }

    /// Whether others changed more than one element of the set, and the table has not taken it: a list of the
    /// peer is no whole one then.
    pub(super) fn is_overtaken(&self) -> bool {
        let kept = self.kept.as_ref();
        self.open.is_more() || kept.is_some_and(Changes::is_more)
    }

    /// Whether a transaction says more of a key than a reading.
    pub(super) fn is_changing(&self, key: &Key) -> bool {
        self.open.names(key) || self.kept.as_ref().is_some_and(|it| it.names(key))
    }
}
