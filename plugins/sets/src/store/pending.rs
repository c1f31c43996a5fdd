//! Changes of states in force that are still to be written into the kernel, all at once.

use std::collections::{BTreeMap, BTreeSet};

use spared_replica::Token;

use super::entry::Entry;
use super::verdicts::Tokens;
use crate::element::Key;

/// Changes that are written, or dropped, together.
#[derive(Debug, Default)]
pub(super) struct Write {
    /// Keys whose entry, or absence, is to be written.
    pub keys: BTreeSet<Key>,
    /// True if they are a list.
    pub is_list: bool,
    /// Tokens of verdicts that are due then.
    pub tokens: Tokens,
    /// Keys of records that the peer deleted before they were written.
    pub withdrawn: BTreeSet<Key>,
    /// Entries that the records replace.
    pub before: BTreeMap<Key, Option<Entry>>,
}

#[derive(Debug, Default)]
pub(super) struct Pending {
    next: Write,
    /// Keys that the kernel has and that wait to be deleted.
    deleting: BTreeSet<Key>,
}

impl Pending {
    /// Takes the changes of a state of the peer.
    pub fn put(&mut self, mut write: Write) {
        self.next.is_list |= write.is_list;
        // entries from before all of these changes are older
        write.before.append(&mut self.next.before);
        self.next.before = write.before;
        self.next.keys.append(&mut write.keys);
        self.next.withdrawn.append(&mut write.withdrawn);
        self.next.tokens.append(write.tokens);
    }

    /// Handles a deletion by the peer; `is_there` is true if the kernel may have the element.
    pub fn handle_deletion(&mut self, key: &Key, is_there: bool) {
        if is_there {
            self.deleting.insert(key.clone());
        }
        if self.next.keys.contains(key) {
            self.next.withdrawn.insert(key.clone());
        }
    }

    /// Takes all changes, to write or to drop them; keys that wait to be deleted stay noted until
    /// [`end_deletion`](Self::end_deletion).
    pub fn take(&mut self) -> Write {
        std::mem::take(&mut self.next)
    }

    /// True if the kernel has the key and is to delete it; it then no longer waits for that.
    pub fn end_deletion(&mut self, key: &Key) -> bool {
        !self.deleting.is_empty() && self.deleting.remove(key)
    }

    /// Keys that the kernel has and that wait to be deleted.
    pub fn deleting(&self) -> &BTreeSet<Key> {
        &self.deleting
    }

    /// Handles that a key was not written because the kernel does not have the set.
    pub fn put_back(&mut self, key: &Key, is_deletion: bool) {
        self.next.keys.insert(key.clone());
        if is_deletion {
            self.deleting.insert(key.clone());
        }
    }

    /// Handles that a record was not written for that reason.
    pub fn put_back_record(&mut self, key: Key, token: Token) {
        self.next.tokens.push_record(key, token);
    }

    /// Handles that a state was not written for that reason.
    pub fn put_back_state(
        &mut self,
        tokens: Tokens,
        before: BTreeMap<Key, Option<Entry>>,
        is_list: bool,
    ) {
        self.next.tokens.append(tokens);
        self.next.before.extend(before);
        self.next.is_list |= is_list;
    }

    /// Number of keys that wait.
    pub fn waiting(&self) -> usize {
        self.next.keys.len()
    }

    /// True if no key waits and no verdict is due.
    pub fn is_empty(&self) -> bool {
        self.next.keys.is_empty() && self.next.tokens.is_empty()
    }

    pub fn is_list(&self) -> bool {
        self.next.is_list
    }

    /// Number of entries that were replaced and for which `counts` is true.
    pub fn count_before(&self, counts: impl Fn(&Key, &Option<Entry>) -> bool) -> usize {
        let before = self.next.before.iter();
        before.filter(|(key, old)| counts(key, old)).count()
    }
}
