//! Changes made on this node: they are sent, undone, or collide with a write of the peer's value.

use crate::outbox::SendReason;
use crate::planted_fault::PlantedFault;
use crate::session::{Replica, has_same_version};
use crate::store::{Authority, Change, Store, Strays, Tag};
use crate::table::{PendingWrite, TableState};
use crate::wire::how;

impl<S: Store> Replica<S> {
    /// Reports a change on this node that the replica did not make. The store must have made it already: the record
    /// exists, or is gone.
    pub fn changed(
        &mut self,
        now_ns: u64,
        store: &mut S,
        index: usize,
        key: &S::Key,
        change: Change,
    ) {
        self.changed_together(now_ns, store, index, [(key, change)].into_iter());
    }

    /// Reports changes of records that changed together.
    pub fn changed_together<'k>(
        &mut self,
        now_ns: u64,
        store: &mut S,
        index: usize,
        changes: impl Iterator<Item = (&'k S::Key, Change)>,
    ) where
        S::Key: 'k,
    {
        self.report_counts_soon();
        // a new incarnation of the store is not a change of the old one
        self.refresh(store);
        for (key, change) in changes {
            self.note_changed(now_ns, store, index, key, change);
        }
    }

    fn note_changed(
        &mut self,
        now_ns: u64,
        store: &mut S,
        index: usize,
        key: &S::Key,
        change: Change,
    ) {
        let sends_changes = self.sends_changes(index);
        let Some(table) = self.tables.get_mut(index) else {
            return;
        };
        let change = match change {
            Change::Expired if PlantedFault::ExpiryDeletes.is_planted() => Change::Deleted,
            change => change,
        };
        let undoes_changes = self.serial_pair.is_on() && table.undoes_strays();
        let undoes_changes = undoes_changes && store.strays(index) == Strays::Undo;
        if undoes_changes && store.authority(index, key) != Authority::Ours {
            return table.note_stray(store, index, key, change);
        }
        let why = match change {
            Change::Put => SendReason::Put,
            Change::Deleted => SendReason::Deleted,
            Change::Expired => {
                table.changes.expire(key);
                table.offline.note_expired(key.clone());
                return;
            }
        };
        table.offline.forget_expired(key);
        if why == SendReason::Put {
            table.offline.forget_deletion(key);
        }
        table.note_touched(key);
        if let Some(tag) = store.tag(index, key) {
            tag.set(Tag::CHANGED);
            tag.clear(Tag::STRAY | Tag::REFUSED);
            tag.stamp = table.stamp;
        }
        if sends_changes {
            table.changes.note(now_ns, key, why);
            self.limit_changes(index);
        } else if why == SendReason::Put {
            table.offline.note_change(now_ns, key);
        } else {
            table.offline.forget_change(key);
            table.offline.note_deletion(key);
        }
    }

    /// True if changes of a table are to be sent: the peer has the table, or has not yet said which tables it has.
    /// Otherwise they are handled as without a channel.
    pub(crate) fn sends_changes(&self, index: usize) -> bool {
        let is_common = || has_same_version(&self.peer) && self.is_common(index);
        self.channel.is_up && (self.peer.is_none() || is_common())
    }

    /// True if a change made here now would be undone.
    pub(crate) fn undoes_changes(&self, store: &S, index: usize) -> bool {
        let table = self.tables.get(index).filter(|_| self.serial_pair.is_on());
        let undoes_changes = table.is_some_and(TableState::undoes_strays);
        undoes_changes && store.strays(index) == Strays::Undo
    }

    /// Compares the whole table on both nodes if more changes are pending than are remembered individually.
    pub(crate) fn limit_changes(&mut self, index: usize) {
        let table = &mut self.tables[index];
        if table.changes.pending.len() > self.config.changes_max {
            table.changes.clear();
            let (name, limit) = (&table.config.name, self.config.changes_max);
            let text =
                format!("{name}: more than {limit} changes wait: the whole table is compared");
            self.push_event(text);
            self.new_serial();
        }
    }
}

impl<S: Store> TableState<S> {
    /// True if the other node alone is active.
    fn undoes_strays(&self) -> bool {
        !self.role.is_decider && self.role.one_active && self.is_common()
    }

    /// Notes that a backup changed a record of the active node: requests the active node's value.
    fn note_stray(&mut self, store: &mut S, index: usize, key: &S::Key, change: Change) {
        match change {
            Change::Put => {
                if let Some(tag) = store.tag(index, key) {
                    tag.clear(Tag::REFUSED);
                    tag.set(Tag::STRAY);
                }
            }
            Change::Deleted => self.offline.note_stray(),
            Change::Expired => return self.offline.note_expired(key.clone()),
        }
        // an earlier change of that key would block the answer
        self.changes.remove(key);
        self.pair.requests.note(how::SEND, key);
    }

    /// Handles that nothing of this table is sent from now on: pending changes are remembered as made while the nodes are
    /// apart.
    pub(crate) fn detach(&mut self) {
        for (key, pending) in std::mem::take(&mut self.changes.pending) {
            match pending.why {
                SendReason::Put => self.offline.note_change(pending.changed_ns, &key),
                SendReason::Deleted => self.offline.note_deletion(&key),
                _ => {}
            }
        }
        self.changes.clear();
        self.latest.clear();
    }

    /// Notes that this node changed a record.
    fn note_touched(&mut self, key: &S::Key) {
        if !self.pair.pending_writes.is_empty() {
            if let Some(write) = self.pair.pending_writes.get_mut(key) {
                write.is_touched = true;
            }
        }
    }

    /// Handles a verdict; true if the record was changed while the write was pending and no other write is pending.
    pub(crate) fn end_write(&mut self, key: &S::Key) -> bool {
        let Some(write) = self.pair.pending_writes.get_mut(key) else {
            return false;
        };
        write.count -= 1;
        let PendingWrite { count, is_touched } = *write;
        if count == 0 {
            self.pair.pending_writes.remove(key);
        }
        count == 0 && is_touched
    }

    /// Repairs a record after a write of the peer's value and a change of this node collided in the store, in an
    /// unknown order: the decider's value wins.
    pub(crate) fn repair(&mut self, now_ns: u64, store: &mut S, index: usize, key: &S::Key) {
        let tag = store.tag(index, key);
        if self.role.is_decider {
            let asked = self.changes.pending.get(key);
            if asked.is_some_and(|it| it.why == SendReason::Answer) {
                return self.changes.note(now_ns, key, SendReason::Answer);
            }
            let why = if tag.is_some() {
                SendReason::Put
            } else {
                SendReason::Deleted
            };
            if let Some(tag) = tag {
                tag.set(Tag::CHANGED);
            }
            return self.changes.note(now_ns, key, why);
        }
        self.changes.remove(key);
        if let Some(tag) = tag {
            tag.clear(Tag::REFUSED);
            tag.set(Tag::STRAY);
        }
        self.pair.requests.note(how::SEND, key);
    }
}
