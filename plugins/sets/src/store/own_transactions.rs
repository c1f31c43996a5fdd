//! Changes of a set in this node's kernel, from the beginning of a transaction to its end: they count together, and for
//! each key the last one.

use std::collections::BTreeMap;

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

    pub fn is_more(&self) -> bool {
        self.is_list || self.keys.len() > 1 || self.added + self.deleted > 1
    }

    pub fn is_list(&self) -> bool {
        self.is_list
    }

    fn names(&self, key: &Key) -> bool {
        !self.keys.is_empty() && self.keys.contains_key(key)
    }

    /// True if all changes are additions that are already in the table.
    fn is_taken(&self) -> bool {
        self.taken.is_some() && self.keys.is_empty()
    }

    /// Notes if the transaction replaces a list.
    fn judge(&mut self, length: usize) {
        let length = self.taken.unwrap_or(length);
        self.is_list |= is_replaced(length, self.added, self.deleted);
    }

    fn merge(&mut self, later: Self) {
        self.keys.extend(later.keys);
        self.is_list |= later.is_list;
        self.taken = self.taken.or(later.taken);
    }

    /// Elements that were added, and keys that were deleted.
    pub fn into_parts(self) -> (Vec<Element>, Vec<Key>) {
        let (mut added, mut deleted) = (Vec::new(), Vec::new());
        for (key, element) in self.keys {
            match element {
                Some(element) => added.push(element),
                None => deleted.push(key),
            }
        }
        (added, deleted)
    }
}

/// True if one list replaces another: most of `length` elements are deleted, and others added.
pub(super) fn is_replaced(length: usize, added: usize, deleted: usize) -> bool {
    added > 0 && deleted > 0 && deleted * 2 >= length
}

/// The transaction without an end, and earlier ones that are held back until the peer can take them.
#[derive(Debug, Default)]
pub(super) struct OwnTransactions {
    open: Changes,
    kept: Option<Changes>,
    /// True if the open one created the set.
    is_remade: bool,
}

impl OwnTransactions {
    /// A transaction that has created the set: it, and earlier ones, reported nothing of this set before.
    pub fn remade() -> Self {
        Self {
            is_remade: true,
            ..Self::default()
        }
    }

    /// Lets the first additions of the transaction be in the table of `length` elements at once.
    pub fn let_in(&mut self, length: usize) {
        self.open.taken = Some(length);
    }

    /// Takes added elements. Returns those that go into the table at once, which happens while the transaction only
    /// adds, unless a list of the peer waits to be written (`is_list_pending`).
    pub fn handle_added(
        &mut self,
        elements: Vec<Element>,
        is_list_pending: bool,
    ) -> Option<Vec<Element>> {
        self.open.added += elements.len();
        if self.open.is_taken() && !is_list_pending {
            return Some(elements);
        }
        let keys = elements.into_iter().map(|it| (it.key.clone(), Some(it)));
        self.open.keys.extend(keys);
        None
    }

    pub fn handle_deleted(&mut self, keys: Vec<Key>) {
        self.open.deleted += keys.len();
        self.open.keys.extend(keys.into_iter().map(|it| (it, None)));
    }

    /// Takes numbers of elements that only a reading shows.
    pub fn handle_touched(&mut self, added: usize, deleted: usize) {
        self.open.added += added;
        self.open.deleted += deleted;
    }

    /// Ends the transaction; returns true if the table of `length` elements already has all of it.
    pub fn handle_end(&mut self, length: usize) -> bool {
        self.is_remade = false;
        let mut open = std::mem::take(&mut self.open);
        if open.is_empty() {
            return false;
        }
        open.judge(length);
        if open.is_taken() {
            return true;
        }
        match &mut self.kept {
            Some(kept) => kept.merge(open),
            None => self.kept = Some(open),
        }
        false
    }

    /// Takes the changes that were held back.
    pub fn take_kept(&mut self) -> Option<Changes> {
        self.kept.take()
    }

    pub fn has_kept(&self) -> bool {
        self.kept.is_some()
    }

    /// True if changes are held back, and not too many.
    pub fn has_few_kept(&self) -> bool {
        let kept = self.kept.as_ref();
        kept.is_some_and(|it| it.keys.len() <= KEPT_MAX)
    }

    pub fn is_remade(&self) -> bool {
        self.is_remade
    }

    /// True if the additions of the open transaction are already in the table.
    pub fn is_taking(&self) -> bool {
        self.open.taken.is_some()
    }

    /// True if a part of a transaction is in the table.
    pub fn is_half_taken(&self) -> bool {
        let kept = self.kept.as_ref();
        self.is_taking() || kept.is_some_and(|it| it.taken.is_some())
    }

    /// True if more than one element was changed, and the table does not have these changes yet: a list of the peer
    /// would then not be whole.
    pub fn has_several(&self) -> bool {
        let kept = self.kept.as_ref();
        self.open.is_more() || kept.is_some_and(Changes::is_more)
    }

    /// True if anything was changed that the table has not taken.
    pub fn has_changes(&self) -> bool {
        !self.open.is_empty() || self.kept.is_some()
    }

    /// True if a transaction is newer for a key than a reading.
    pub fn names(&self, key: &Key) -> bool {
        self.open.names(key) || self.kept.as_ref().is_some_and(|it| it.names(key))
    }
}
