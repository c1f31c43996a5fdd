//! Handling of the peer's records: changes, snapshots and requests.

use crate::inbox::Slot;
use crate::outbox::SendReason;
use crate::planted_fault::PlantedFault;
use crate::session::Replica;
use crate::store::{Applied, Authority, Change, Key, Store, Tag, Token};
use crate::table::{Phase, TableState};
use crate::wire::{Body, Head, Keys, Malformed, Reader, Record, Records, flag, how};

impl<S: Store> Replica<S> {
    /// Handles a message of the present pair.
    pub(crate) fn handle_body(
        &mut self,
        now_ns: u64,
        store: &mut S,
        head: Head,
        body: Body<'_>,
    ) -> Result<(), Malformed> {
        let index = |this: &Self| {
            let found = TableState::index_at_peer(&this.tables, head.table);
            found.ok_or(Malformed::Table(head.table))
        };
        let is_known = TableState::index_at_peer(&self.tables, head.table);
        // these messages concern all tables, whatever index their head has
        let is_of_all = matches!(
            body,
            Body::Ack { .. } | Body::Commit { .. } | Body::Drain { .. } | Body::Drained { .. }
        );
        let is_odd = |table: usize| !self.tables[table].is_common();
        if !is_of_all && is_known.is_some_and(is_odd) {
            self.refuse_records(body);
            return Ok(());
        }
        match body {
            Body::Offer(records) => self.handle_offer(now_ns, store, index(self)?, records),
            Body::Offered => self.handle_offered(now_ns, store, index(self)?),
            Body::Begin { number, records } => {
                self.handle_begin(store, index(self)?, number, records)
            }
            Body::Records(records) => {
                self.handle_records(now_ns, store, head, index(self)?, records)
            }
            Body::End { .. } => self.handle_end(now_ns, store, index(self)?),
            Body::Request(keys) => self.handle_request(now_ns, store, index(self)?, keys),
            Body::Ack { applied, ordinals } => self.handle_ack(store, applied, ordinals),
            Body::Latest(records) => {
                let table = index(self)?;
                for record in records {
                    let key = read_key::<S>(&record)?;
                    store.apply_latest(table, &key, record.value)?;
                }
                Ok(())
            }
            Body::Drain { id } => {
                self.drains.handle_peer_drain(now_ns);
                self.inbox.drain = Some((id, self.inbox.processed));
                self.answer_drain();
                Ok(())
            }
            Body::Drained { id } => {
                self.drains.handle_drained(id);
                Ok(())
            }
            Body::Count { records, refused } => {
                let table = index(self)?;
                self.tables[table].counters.peer_counts = Some((records, refused));
                Ok(())
            }
            Body::Commit { generation, tables } => {
                self.handle_commit(now_ns, store, head.applied, generation, &tables)
            }
            Body::Hello(_) | Body::Role(_) | Body::Again { .. } => Ok(()),
        }
    }

    fn handle_records(
        &mut self,
        now_ns: u64,
        store: &mut S,
        head: Head,
        index: usize,
        records: Records<'_>,
    ) -> Result<(), Malformed> {
        for record in records {
            let key = read_key::<S>(&record)?;
            if record.has(flag::SAME) {
                self.handle_same(now_ns, store, index, &key, record.digest());
            } else {
                let handled_at_begin = &mut self.tables[index].transfer.handled_at_begin;
                handled_at_begin.get_or_insert(head.applied);
                let slot = self.handle_change(now_ns, store, head, index, &key, &record)?;
                self.push_slot(index, slot);
            }
        }
        self.limit_changes(index);
        Ok(())
    }

    /// Counts and refuses records of a table that is acceptable to the peer but not here.
    fn refuse_records(&mut self, body: Body<'_>) {
        match body {
            Body::Offer(records) | Body::Records(records) => {
                let counted = records.filter(|record| !record.has(flag::SAME));
                counted.for_each(|_| self.inbox.push(Slot::Refused));
            }
            Body::End { .. } => self.inbox.push(Slot::Done),
            _ => {}
        }
    }

    pub(crate) fn push_slot(&mut self, index: usize, slot: Slot<S::Key>) {
        if matches!(slot, Slot::Refused) {
            let counters = &mut self.tables[index].counters;
            counters.refused_here = counters.refused_here.saturating_add(1);
        }
        self.inbox.push(slot);
    }

    fn handle_change(
        &mut self,
        now_ns: u64,
        store: &mut S,
        head: Head,
        index: usize,
        key: &S::Key,
        record: &Record<'_>,
    ) -> Result<Slot<S::Key>, Malformed> {
        let table = &mut self.tables[index];
        let loses = !PlantedFault::OwnChangeLoses.is_planted();
        let is_own = !table.role.is_decider && table.changes.is_own(key, head.applied);
        table.pair.requests.answer(key);
        table.counters.received += 1;
        if is_own && loses && !record.has(flag::CORRECTION) {
            let ended = table.changes.is_put(key) && store.tag(index, key).is_none();
            if ended && !record.has(flag::GONE) {
                // the own change expired meanwhile: requests the decider's result
                table.pair.requests.note(how::SEND, key);
            }
            return Ok(Slot::Done);
        }
        if store.authority(index, key) == Authority::Ours {
            let same = if record.has(flag::GONE) {
                store.tag(index, key).is_none()
            } else {
                store.holds(index, key, record.value)
            };
            if !same {
                table.counters.denied += 1;
                if !record.has(flag::CORRECTION) {
                    table.changes.note(now_ns, key, SendReason::Correction);
                }
            }
            if let Some(tag) = store.tag(index, key) {
                tag.stamp = table.stamp;
            }
            return Ok(Slot::Done);
        }
        if record.has(flag::GONE) {
            table.changes.supersede(key);
            store.delete(index, key);
            return Ok(Slot::Done);
        }
        self.put(now_ns, store, index, key, record.value)
    }

    /// Puts a record of the peer into the store.
    pub(crate) fn put(
        &mut self,
        now_ns: u64,
        store: &mut S,
        index: usize,
        key: &S::Key,
        value: &[u8],
    ) -> Result<Slot<S::Key>, Malformed> {
        let token = Token {
            pair: self.serial_pair.number(),
            ordinal: self.inbox.next(),
        };
        let applied = store.apply(index, key, value, token)?;
        let table = &mut self.tables[index];
        table.changes.supersede(key);
        table.offline.forget_expired(key);
        table.offline.forget_deletion(key);
        let stamp = table.stamp;
        let tag = store.tag(index, key);
        match applied {
            Applied::Done | Applied::Same => {
                if let Some(tag) = tag {
                    tag.equal();
                    tag.stamp = stamp;
                }
                table.offline.forget_change(key);
                if PlantedFault::Echo.is_planted() {
                    self.changed(now_ns, store, index, key, Change::Put);
                }
                Ok(Slot::Done)
            }
            Applied::Later => {
                if let Some(tag) = tag {
                    tag.stamp = stamp;
                }
                if PlantedFault::AckBeforeVerdict.is_planted() {
                    return Ok(Slot::Done);
                }
                let key = key.clone();
                let writes = &mut table.pair.pending_writes;
                writes.entry(key.clone()).or_default().count += 1;
                Ok(if store.takes_whole_states(index) {
                    Slot::Staged { table: index, key }
                } else {
                    Slot::Pending { table: index, key }
                })
            }
            Applied::Refused => {
                if let Some(tag) = tag {
                    tag.stamp = stamp;
                    tag.clear(Tag::SHARED);
                }
                Ok(Slot::Refused)
            }
        }
    }

    /// Takes the verdict on a record for which the store returned [`Applied::Later`].
    pub fn verdict(&mut self, now_ns: u64, store: &mut S, token: Token, is_applied: bool) {
        self.report_counts_soon();
        if !self.serial_pair.is_current(token.pair) {
            return self.handle_earlier_verdict(now_ns, token, is_applied);
        }
        let Some(slot) = self.inbox.get(token.ordinal) else {
            return;
        };
        let (index, key) = match slot {
            Slot::Pending { table, key } | Slot::Staged { table, key } => (*table, key.clone()),
            Slot::Commit { table } => {
                let table = *table;
                return self.handle_commit_verdict(table, token.ordinal, is_applied);
            }
            _ => return,
        };
        let verdict = if is_applied {
            Slot::Done
        } else {
            Slot::Refused
        };
        self.inbox.resolve(token.ordinal, verdict);
        let table = &mut self.tables[index];
        let is_own = table.changes.pending.contains_key(&key);
        if let Some(tag) = store.tag(index, &key) {
            tag.stamp = table.stamp;
            if !is_applied {
                tag.clear(Tag::SHARED);
            } else if is_own {
                tag.set(Tag::SHARED);
            } else {
                tag.equal();
            }
        }
        let refused = table.counters.refused_here;
        table.counters.refused_here = refused.saturating_add(u32::from(!is_applied));
        if table.end_write(&key) {
            table.repair(now_ns, store, index, &key);
        }
        self.inbox.settle();
        self.begin_prune();
        self.answer_drain();
    }

    /// Handles the verdict on a write of an earlier pair.
    fn handle_earlier_verdict(&mut self, now_ns: u64, token: Token, is_applied: bool) {
        let Some((index, key)) = self.earlier_writes.remove(&token) else {
            return;
        };
        let changes = &mut self.tables[index].changes;
        if is_applied && changes.pending.contains_key(&key) {
            // the pending change is outdated
            changes.note(now_ns, &key, SendReason::Put);
        }
        self.begin_pair_if_due();
    }

    fn handle_same(&mut self, now_ns: u64, store: &mut S, index: usize, key: &S::Key, digest: u64) {
        let table = &mut self.tables[index];
        if table.role.is_decider || !matches!(table.pair.phase, Phase::Receiving) {
            return;
        }
        table.counters.received += 1;
        let is_own = table.changes.pending.contains_key(key);
        let is_here = store.digest(index, key);
        let Some(tag) = store.tag(index, key) else {
            if !is_own {
                let deleted = table.offline.is_deletion(key);
                let how = if deleted { how::DELETED } else { how::SEND };
                table.pair.requests.note(how, key);
            }
            return;
        };
        tag.stamp = table.stamp;
        if is_own {
            return;
        }
        if is_here == Some(digest) {
            tag.equal();
        } else if store.authority(index, key) == Authority::Ours {
            table.changes.note(now_ns, key, SendReason::Correction);
        } else {
            table.pair.requests.note(how::SEND, key);
        }
    }

    fn handle_request(
        &mut self,
        now_ns: u64,
        store: &mut S,
        index: usize,
        keys: Keys<'_>,
    ) -> Result<(), Malformed> {
        let table = &mut self.tables[index];
        if !table.role.is_decider {
            return Err(Malformed::Order("REQUEST"));
        }
        let mut keys = keys.peekable();
        let is_all = |key: Option<&(u8, &[u8])>| key.is_none_or(|(how, _)| *how == how::VALUES);
        if is_all(keys.peek()) {
            table.pair.sends_values_next |= keys.next().is_some();
            table.snapshot_again();
            return Ok(());
        }
        let mut has_deleted = false;
        for (how, key) in keys {
            let mut reader = Reader(key);
            let key = S::Key::read(&mut reader)?;
            let is_ours = store.authority(index, &key) == Authority::Ours;
            let is_own = table.changes.pending.contains_key(&key);
            let tag = store.tag(index, &key).copied();
            let is_equal = tag.is_some_and(|tag| tag.flags == Tag::SHARED);
            let is_equal = is_equal && !store.is_list(index);
            if how == how::DELETED && is_equal && !is_own && !is_ours {
                store.delete(index, &key);
                has_deleted = true;
            }
            table.changes.note(now_ns, &key, SendReason::Answer);
        }
        if has_deleted && store.takes_whole_states(index) {
            self.commit_deletions(store, index);
        }
        self.limit_changes(index);
        Ok(())
    }
}

impl<S: Store> TableState<S> {
    /// Requests one more snapshot; during one, at most one more waits.
    pub(crate) fn snapshot_again(&mut self) {
        match self.pair.phase {
            Phase::Serving => self.pair.phase = Phase::BeginDue,
            Phase::Walking(_) | Phase::EndDue | Phase::BeginDue => {
                self.pair.queued_snapshots = if PlantedFault::SnapshotsQueue.is_planted() {
                    self.pair.queued_snapshots + 1
                } else {
                    1
                };
            }
            _ => {}
        }
    }
}

pub(crate) fn read_key<S: Store>(record: &Record<'_>) -> Result<S::Key, Malformed> {
    let mut reader = Reader(record.key);
    let key = S::Key::read(&mut reader)?;
    match reader.0 {
        [] => Ok(key),
        _ => Err(Malformed::Long),
    }
}
