//! Changes of a set in this node's kernel, from the beginning of a transaction to its end: they count together, and for
//! each key the last one.

use std::collections::BTreeMap;

use super::set::{News, Set};
use crate::element::{Element, Key};

/// Maximum number of keys whose changes are held back.
const KEPT_MAX: usize = 1 << 20;

/// Changes by key; None: deleted.
#[derive(Debug, Default)]
pub(super) struct Changes {
    keys: BTreeMap<Key, Option<Element>>,
    /// Numbers of added and deleted elements, including those that exist again.
    added: usize,
    deleted: usize,
    /// True if one list replaces another.
    is_list: bool,
    /// Number of elements before, if the first additions are already in the table: the rest belongs to them.
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

    /// Notes if the transaction replaces a list: it deletes most of a set and adds to it.
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
    /// Notes elements that others added. If a transaction only adds, the elements are in the table at once, so that
    /// most of them are sent when it ends, unless the state before it is held back (`is_busy`).
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

    /// Notes elements that others deleted.
    pub fn note_deleted(&mut self, keys: Vec<Key>) {
        self.reads.dirty = true;
        self.open.deleted += keys.len();
        self.open.keys.extend(keys.into_iter().map(|it| (it, None)));
    }

    /// Notes added or deleted ends of intervals: only a reading shows the intervals.
    pub fn note_touched(&mut self, now_ns: u64, added: usize, deleted: usize) {
        self.open.added += added;
        self.open.deleted += deleted;
        self.reads.touch_unread(now_ns);
    }

    /// Notes that the set was created or deleted: what the transaction reported of the old one is void.
    pub fn note_remade(&mut self, now_ns: u64) {
        (self.open, self.kept) = (Changes::default(), None);
        self.is_remade = true;
        self.reads.hurry(now_ns);
    }

    /// Notes the loss of notifications: a reading compares everything.
    pub fn note_loss_of_events(&mut self, now_ns: u64) {
        (self.open, self.kept) = (Changes::default(), None);
        self.is_remade = false;
        self.reads.touch(now_ns, true);
    }

    /// True if the transaction created the set, so that its changes are handled as they arrive.
    pub fn is_remade(&self) -> bool {
        self.is_remade
    }

    /// Ends the transaction.
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

    /// True if changes are held back; not if they are too many, or if the set's state is not exact anyway.
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

    /// Puts the changes that were held back into the table. Returns true if one list replaced another.
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

    /// True if the additions of the transaction are already in the table.
    pub fn is_taking(&self) -> bool {
        self.open.taken.is_some()
    }

    /// True if a part of a transaction is in the table.
    pub(super) fn is_half_taken(&self) -> bool {
        let kept = self.kept.as_ref();
        self.open.taken.is_some() || kept.is_some_and(|it| it.taken.is_some())
    }

    /// True if others changed more than one element of the set, and the table does not have these changes yet: a list
    /// of the peer would then not be whole.
    pub(super) fn is_overtaken(&self) -> bool {
        let kept = self.kept.as_ref();
        self.open.is_more() || kept.is_some_and(Changes::is_more)
    }

    /// True if others changed anything that the table has not taken.
    pub(super) fn has_others(&self) -> bool {
        !self.open.is_empty() || self.kept.is_some()
    }

    /// True if a transaction is newer for a key than a reading.
    pub(super) fn is_changing(&self, key: &Key) -> bool {
        self.open.names(key) || self.kept.as_ref().is_some_and(|it| it.names(key))
    }
}
