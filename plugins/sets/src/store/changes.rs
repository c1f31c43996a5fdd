//! Changes of a set by others, as notifications report them, and the loss of notifications.

use super::own_transactions::OwnTransactions;
use super::set::{News, Set};
use crate::element::{Element, Key};

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
        self.reads.handle_change();
        if !self.transactions.has_changes() && !is_busy && self.is_exact() {
            self.transactions.let_in(self.table.len());
        }
        let is_list_pending = self.pending.is_list();
        if let Some(elements) = self.transactions.handle_added(elements, is_list_pending) {
            self.see(now_ns, elements, false, news);
        }
    }

    /// Notes elements that others deleted.
    pub fn note_deleted(&mut self, keys: Vec<Key>) {
        self.reads.handle_change();
        self.transactions.handle_deleted(keys);
    }

    /// Notes added or deleted ends of intervals: only a reading shows the intervals.
    pub fn note_touched(&mut self, now_ns: u64, added: usize, deleted: usize) {
        self.transactions.handle_touched(added, deleted);
        self.reads.touch_unread(now_ns);
    }

    /// Notes that the set was created or deleted: what the transaction reported of the old one is void.
    pub fn note_remade(&mut self, now_ns: u64) {
        self.transactions = OwnTransactions::remade();
        self.reads.hurry(now_ns);
    }

    /// Notes the loss of notifications: a reading compares everything.
    pub fn note_loss_of_events(&mut self, now_ns: u64) {
        self.transactions = OwnTransactions::default();
        self.reads.touch(now_ns, true);
    }

    /// True if the transaction created the set, so that its changes are handled as they arrive.
    pub fn is_remade(&self) -> bool {
        self.transactions.is_remade()
    }

    /// Ends the transaction.
    pub fn end_transaction(&mut self) {
        let length = self.table.len();
        if self.transactions.handle_end(length) {
            self.reads.expect(length);
        }
    }

    /// True if changes are held back; not if they are too many, or if the set's state is not exact anyway.
    pub fn is_kept(&self) -> bool {
        self.transactions.has_few_kept() && self.is_exact()
    }

    pub fn has_kept(&self) -> bool {
        self.transactions.has_kept()
    }

    /// Puts the changes that were held back into the table. Returns true if one list replaced another.
    pub fn take_kept(&mut self, now_ns: u64, news: &mut Vec<News>) -> bool {
        let Some(kept) = self.transactions.take_kept() else {
            return false;
        };
        if self.pending.is_list() && kept.is_more() {
            self.drop_list();
        }
        let is_list = kept.is_list();
        if is_list {
            // before the peer is offered anything of it
            self.incarnation.handle_list();
            self.drop_records(now_ns);
        }
        let (added, deleted) = kept.into_parts();
        self.observe_deletions(now_ns, deleted, news);
        self.see(now_ns, added, false, news);
        self.reads.expect(self.table.len());
        if is_list {
            self.notes.handle_loaded(self.table.sum());
        }
        is_list
    }

    /// Drops single records of the peer that were not written before a list came: they do not refer to it. Readings show
    /// what the kernel has of them.
    fn drop_records(&mut self, now_ns: u64) {
        if self.pending.waiting() > 0 {
            self.drop_pending();
            self.reads.touch(now_ns, true);
        }
    }

    /// True if the additions of the transaction are already in the table.
    pub fn is_taking(&self) -> bool {
        self.transactions.is_taking()
    }
}
