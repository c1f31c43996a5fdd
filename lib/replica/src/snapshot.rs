//! A snapshot on the follower: it stamps records, and deletes stale ones.

use crate::commit::ListRequest;
use crate::inbox::Slot;
use crate::outbox::SendReason;
use crate::planted_fault::PlantedFault;
use crate::session::Replica;
use crate::store::{Authority, Store, Tag};
use crate::table::{Phase, TableState};
use crate::wire::Malformed;

/// Maximum number of records that one call examines to find stale ones.
const SLICE: usize = if cfg!(test) { 3 } else { 10_000 };

impl<S: Store> Replica<S> {
    pub(crate) fn handle_begin(
        &mut self,
        store: &mut S,
        index: usize,
        number: u32,
        records: u64,
    ) -> Result<(), Malformed> {
        let table = &mut self.tables[index];
        if table.role.is_decider
            || matches!(
                table.pair.phase,
                Phase::Idle | Phase::Offering(_) | Phase::OfferDue
            )
        {
            return Err(Malformed::Order("BEGIN"));
        }
        let was_ended = matches!(table.pair.phase, Phase::Pruning(_));
        table.pair.phase = Phase::Receiving;
        if table.transfer.list_request == ListRequest::Requested {
            table.transfer.list_request = ListRequest::Receiving;
        }
        if PlantedFault::StampFromSender.is_planted() {
            table.stamp = number as u8
        } else {
            table.next_stamp()
        }
        table.stamp_own(store, index);
        table.offline.begin_snapshot();
        table.counters.resyncs += 1;
        table.pair.had_snapshot &= table.counters.refused_here == 0;
        table.counters.refused_here = 0;
        table.counters.expected = records;
        table.counters.received = 0;
        table.retry.due_ns = None;
        if was_ended {
            self.begin_prune();
        }
        Ok(())
    }

    pub(crate) fn handle_end(
        &mut self,
        now_ns: u64,
        store: &mut S,
        index: usize,
    ) -> Result<(), Malformed> {
        let table = &mut self.tables[index];
        if !matches!(table.pair.phase, Phase::Receiving) {
            return Err(Malformed::Order("END"));
        }
        table.pair.phase = Phase::Pruning(S::Cursor::default());
        self.inbox.push(Slot::End { table: index });
        self.prune(now_ns, store);
        Ok(())
    }

    /// Begins to delete stale records. The end of a replaced snapshot needs no deletion.
    pub(crate) fn begin_prune(&mut self) {
        while let Some(index) = self.inbox.ended_snapshot() {
            if matches!(self.tables[index].pair.phase, Phase::Pruning(_)) {
                self.sending.is_busy = true;
                return;
            }
            self.inbox.settle_end();
        }
    }

    /// Continues to delete stale records.
    pub(crate) fn prune(&mut self, now_ns: u64, store: &mut S) {
        self.begin_prune();
        let ends = |it: &TableState<S>| matches!(it.pair.phase, Phase::Pruning(_));
        let mut tables = self.tables.iter().enumerate();
        // records that wait for the whole state wait for these deletions, too
        let whole = tables.find(|(index, it)| ends(it) && store.takes_whole_states(*index));
        let whole = whole.map(|(index, _)| index);
        let Some(index) = whole.or_else(|| self.inbox.ended_snapshot()) else {
            return;
        };
        let table = &mut self.tables[index];
        let Phase::Pruning(cursor) = &mut table.pair.phase else {
            return;
        };
        let mut keys = Vec::new();
        let done = store.stale(index, table.stamp, cursor, SLICE, &mut keys);
        table.delete_stale(now_ns, store, index, keys);
        if done {
            table.pair.phase = Phase::Following;
            table.pair.had_snapshot = true;
            table.offline.end_snapshot();
            // of a whole state it is not known yet whether it will be refused
            if whole.is_none() && table.counters.refused_here == 0 {
                table.retry.reset();
            }
            self.garbage.handle_success();
            match whole {
                Some(_) => self.inbox.settle_end_of(index),
                None => self.inbox.settle_end(),
            }
            self.begin_prune();
            self.decide_held(now_ns, store, index);
            self.answer_drain();
        } else {
            self.sending.is_busy = true;
        }
    }

    /// Makes the planted fault take effect when the channel goes down during a snapshot.
    pub(crate) fn prune_all(&mut self, store: &mut S) {
        for (index, table) in self.tables.iter_mut().enumerate() {
            if matches!(table.pair.phase, Phase::Receiving) {
                let (mut keys, mut at) = (Vec::new(), S::Cursor::default());
                while !store.stale(index, table.stamp, &mut at, SLICE, &mut keys) {}
                table.delete_stale(0, store, index, keys);
            }
        }
    }
}

impl<S: Store> TableState<S> {
    /// Stamps this node's own changes: the decider's snapshot may lack them although they are not stale.
    fn stamp_own(&mut self, store: &mut S, index: usize) {
        for key in self.changes.pending.keys() {
            if let Some(tag) = store.tag(index, key) {
                tag.stamp = self.stamp;
            }
        }
    }

    fn delete_stale(&mut self, now_ns: u64, store: &mut S, index: usize, keys: Vec<S::Key>) {
        for key in keys {
            if self.changes.pending.contains_key(&key) {
                continue;
            }
            let tag = store.tag(index, &key).copied().unwrap_or_default();
            if tag.has(Tag::REFUSED) && !tag.has(Tag::STRAY) && !self.transfer.is_list {
                // the decider has no room for the record: it is kept here
                continue;
            }
            match store.authority(index, &key) {
                Authority::Ours => self.changes.note(now_ns, &key, SendReason::Correction),
                _ => store.delete(index, &key),
            }
        }
    }
}
