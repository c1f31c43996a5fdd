//! Handling of a follower's offer: the decider decides on each record before it sends its snapshot.

use crate::inbox::Slot;
use crate::merge::{Decision, OwnRecord, decide};
use crate::outbox::SendReason;
use crate::receiver::read_key;
use crate::session::Replica;
use crate::store::{Authority, Store, Table, Tag};
use crate::table::{Phase, TableState};
use crate::wire::{Malformed, Record, Records, flag};

impl<S: Store> Replica<S> {
    pub(crate) fn handle_offer(
        &mut self,
        now_ns: u64,
        store: &mut S,
        index: usize,
        records: Records<'_>,
    ) -> Result<(), Malformed> {
        if !matches!(self.tables[index].pair.phase, Phase::AwaitingOffer) {
            return Err(Malformed::Order("OFFER"));
        }
        for record in records {
            if record.has(flag::SAME | flag::GONE) {
                return Err(Malformed::Field("flag"));
            }
            let key = read_key::<S>(&record)?;
            let slot = self.decide_record(now_ns, store, index, &key, &record)?;
            self.push_slot(index, slot);
        }
        Ok(())
    }

    fn decide_record(
        &mut self,
        now_ns: u64,
        store: &mut S,
        index: usize,
        key: &S::Key,
        record: &Record<'_>,
    ) -> Result<Slot<S::Key>, Malformed> {
        let table = &mut self.tables[index];
        let pending = table.changes.pending.get(key);
        // a deletion that is still to be sent is not among those made while the nodes were apart
        let is_deleted = pending.is_some_and(|it| it.why == SendReason::Deleted);
        let pending = pending.map(|it| it.changed_ns);
        let changed_ns = pending.or_else(|| table.offline.changed_ns(key));
        let tag = store.tag(index, key).copied();
        let both = store.authority(index, key) == Authority::Both;
        let is_deleted = is_deleted || table.was_deleted(key);
        if tag.is_none() && both && !record.has(flag::CHANGED) && is_deleted {
            return Ok(Slot::Done);
        }
        let is_list = store.is_list(index);
        let here = tag.map(|tag| OwnRecord {
            tag,
            is_equal: store.holds(index, key, record.value),
            age_ms: changed_ns.map(|at_ns| now_ns.saturating_sub(at_ns) / 1_000_000),
        });
        let authority = store.authority(index, key);
        let is_equal = here.as_ref().is_some_and(|here| here.is_equal);
        let preferred = match authority {
            Authority::Both if !is_equal => store.prefers(index, key, record.value),
            _ => None,
        };
        let (decision, costs) = match preferred {
            _ if is_list && !is_equal => (Decision::Keep, record.has(flag::CHANGED)),
            Some(true) => (Decision::Take, false),
            Some(false) => (Decision::Keep, false),
            None => decide(here, record, authority),
        };
        if costs {
            table.note_conflict(key, decision == Decision::Take);
        }
        match decision {
            Decision::Take => return self.put(now_ns, store, index, key, record.value),
            Decision::Equal => {
                table.changes.supersede(key);
                if let Some(tag) = store.tag(index, key) {
                    tag.equal();
                    tag.stamp = table.stamp;
                }
            }
            Decision::Keep => {
                if let Some(tag) = store.tag(index, key) {
                    tag.clear(Tag::SHARED);
                }
            }
        }
        Ok(Slot::Done)
    }

    pub(crate) fn handle_offered(
        &mut self,
        now_ns: u64,
        store: &mut S,
        index: usize,
    ) -> Result<(), Malformed> {
        let limit = self.config.changes_max;
        let table = &mut self.tables[index];
        match table.pair.phase {
            Phase::AwaitingOffer => {
                table.pair.phase = Phase::BeginDue;
                table.queue_offline_changes(now_ns, store, index, limit);
                table.pair.last_offered = self.inbox.processed;
                if let Some(count) = table.conflicts.take_unreported() {
                    let name = table.config.name.clone();
                    self.push_event(format!(
                        "{name}: {count} records had two values; one of each was kept"
                    ));
                }
                Ok(())
            }
            _ => Err(Malformed::Order("OFFERED")),
        }
    }
}

impl<S: Store> TableState<S> {
    /// Sends changes made while the nodes were apart before the rest of the table, which takes long if it is large.
    /// Otherwise a channel that is lost again and again before its end would delay them forever.
    fn queue_offline_changes(&mut self, now_ns: u64, store: &mut S, index: Table, limit: usize) {
        let is_changed = |store: &mut S, key: &S::Key| {
            let tag = store.tag(index, key);
            tag.is_some_and(|tag| tag.is_changed())
        };
        let puts = self
            .offline
            .changes()
            .filter(|(key, _)| is_changed(store, key));
        let mut puts: Vec<(u64, S::Key)> = puts.map(|(key, at_ns)| (*at_ns, key.clone())).collect();
        puts.sort_by_key(|(at_ns, _)| *at_ns);
        let room = limit.saturating_sub(self.changes.pending.len());
        for (at_ns, key) in puts.into_iter().take(room) {
            self.changes.note(at_ns, &key, SendReason::Put);
        }
        let known = self
            .offline
            .deleted()
            .filter(|_| !self.shared_flags.are_outdated);
        let gone = known.filter(|key| store.tag(index, key).is_none());
        let gone: Vec<S::Key> = gone.cloned().collect();
        let room = limit.saturating_sub(self.changes.pending.len());
        for key in gone.into_iter().take(room) {
            self.changes.note(now_ns, &key, SendReason::Deleted);
        }
    }
}
