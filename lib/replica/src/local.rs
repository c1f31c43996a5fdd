//! Changes made on this node: they are sent, undone, or collide with a write of the peer's value.

use crate::fault::Fault;
use crate::outbox::Why;
use crate::session::{Replica, peer_speaks};
use crate::store::{Authority, Change, Store, Strays, Tag};
use crate::table::TableState;
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
        self.recount();
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
        let tells = self.tells(index);
        let Some(table) = self.tables.get_mut(index) else {
            return;
        };
        let change = match change {
            Change::Ended if Fault::EndedDeletes.is_planted() => Change::Deleted,
            change => change,
        };
        let undoes = self.pairing.is_on() && table.undoes_strays();
        let undoes = undoes && store.strays(index) == Strays::Undo;
        if undoes && store.authority(index, key) != Authority::Ours {
            return table.note_stray(store, index, key, change);
        }
        let why = match change {
            Change::Put => Why::Put,
            Change::Deleted => Why::Deleted,
            Change::Ended => {
                table.changes.end(key);
                table.apart.note_ended(key.clone());
                return;
            }
        };
        table.apart.forget_end(key);
        if why == Why::Put {
            table.apart.forget_deletion(key);
        }
        table.touch(key);
        if let Some(tag) = store.tag(index, key) {
            tag.set(Tag::CHANGED);
            tag.clear(Tag::STRAY | Tag::REFUSED);
            tag.mark = table.mark;
        }
        if tells {
            table.changes.note(now_ns, key, why);
            self.bound_changes(index);
        } else if why == Why::Put {
            table.apart.note_age(now_ns, key);
        } else {
            table.apart.forget_age(key);
            table.apart.note_deletion(key);
        }
    }

    /// True if changes of a table are to be sent: the peer has the table, or has not yet said which tables it has.
    /// Otherwise they are handled as without a channel.
    pub(crate) fn tells(&self, index: usize) -> bool {
        let is_common = || peer_speaks(&self.peer) && self.is_common(index);
        self.channel.is_up && (self.peer.is_none() || is_common())
    }

    /// True if a change made here now would be undone.
    pub(crate) fn undoes(&self, store: &S, index: usize) -> bool {
        let table = self.tables.get(index).filter(|_| self.pairing.is_on());
        let undoes = table.is_some_and(TableState::undoes_strays);
        undoes && store.strays(index) == Strays::Undo
    }

    /// Compares the whole table on both nodes if more changes are pending than are remembered individually.
    pub(crate) fn bound_changes(&mut self, index: usize) {
        let table = &mut self.tables[index];
        if table.changes.pending.len() > self.config.changes_max {
            table.changes.clear();
            let (name, limit) = (&table.config.name, self.config.changes_max);
            let text =
                format!("{name}: more than {limit} changes wait: the whole table is compared");
            self.tell(text);
            self.bump();
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
            Change::Deleted => self.apart.note_stray(),
            Change::Ended => return self.apart.note_ended(key.clone()),
        }
        // an earlier change of that key would block the answer
        self.changes.remove(key);
        self.pair.wants.note(how::SEND, key);
    }

    /// Remembers pending changes as made while the nodes are apart, because nothing of this table is sent now.
    pub(crate) fn part(&mut self) {
        for (key, pending) in std::mem::take(&mut self.changes.pending) {
            match pending.why {
                Why::Put => self.apart.note_age(pending.changed_ns, &key),
                Why::Deleted => self.apart.note_deletion(&key),
                _ => {}
            }
        }
        self.changes.clear();
        self.latest.clear();
    }

    /// Notes that this node changed a record.
    fn touch(&mut self, key: &S::Key) {
        if !self.pair.open.is_empty() {
            if let Some(open) = self.pair.open.get_mut(key) {
                open.1 = true;
            }
        }
    }

    /// Handles a verdict; true if the record was changed while the write was pending and no other write is pending.
    pub(crate) fn close(&mut self, key: &S::Key) -> bool {
        let Some(open) = self.pair.open.get_mut(key) else {
            return false;
        };
        open.0 -= 1;
        let (left, touched) = *open;
        if left == 0 {
            self.pair.open.remove(key);
        }
        left == 0 && touched
    }

    /// Repairs a record after a write of the peer's value and a change of this node collided in the store, in an
    /// unknown order: the decider's value wins.
    pub(crate) fn repair(&mut self, now_ns: u64, store: &mut S, index: usize, key: &S::Key) {
        let tag = store.tag(index, key);
        if self.role.is_decider {
            let asked = self.changes.pending.get(key);
            if asked.is_some_and(|it| it.why == Why::Answer) {
                return self.changes.note(now_ns, key, Why::Answer);
            }
            let why = if tag.is_some() {
                Why::Put
            } else {
                Why::Deleted
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
        self.pair.wants.note(how::SEND, key);
    }
}
