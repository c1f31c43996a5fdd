//! Destination of a store's records: decides for each record whether it is sent, and in which form.

use std::collections::{HashMap, VecDeque};

use crate::buffer::{Outgoing, ValueWriter};
use crate::offline::OfflineChanges;
use crate::outbox::{InFlight, Pending};
use crate::store::{Key, Stamp, Tag};
use crate::table::PendingWrite;
use crate::wire::{RECORDS_MAX, flag};

/// Maximum number of records examined by one call, sent or not. Small in tests, so that small tables need many calls.
const SLICE: usize = if cfg!(test) { 4 } else { 10_000 };
/// Maximum number of records by value in one message.
const PUTS: usize = if cfg!(test) { 3 } else { RECORDS_MAX };

/// Purpose of the walk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Walk {
    /// The follower's offer: records that the decider may not know.
    Offer,
    /// The decider's snapshot: all records.
    Snapshot,
}

/// Destination of records in [`Store::snapshot`](crate::Store::snapshot).
pub struct Sink<'a, K> {
    pub(crate) walk: Walk,
    pub(crate) now_ns: u64,
    pub(crate) table: usize,
    pub(crate) out: &'a mut Outgoing,
    pub(crate) in_flight: &'a mut VecDeque<InFlight<K>>,
    pub(crate) pending: &'a mut HashMap<K, Pending>,
    pub(crate) offline: &'a OfflineChanges<K>,
    /// Keys to which values of the peer are being written.
    pub(crate) pending_writes: &'a HashMap<K, PendingWrite>,
    /// Ordinal of the first record put.
    pub(crate) first_ordinal: u64,
    /// True if the flags refer to another incarnation of the peer.
    pub(crate) are_flags_outdated: bool,
    /// Stamp of records that this pair made equal: their flags refer to the peer's present incarnation.
    pub(crate) stamp: Stamp,
    /// Numbers of records examined and put by value.
    pub(crate) seen: usize,
    pub(crate) puts: usize,
    pub(crate) too_long: &'a mut u64,
}

impl<K: Key> Sink<'_, K> {
    /// Takes the next record; false if the sink is full: the same record must come first next time.
    ///
    /// `digest` is the result of [`Store::digest`](crate::Store::digest). `encode` writes the value
    /// and is only called if the value is sent.
    pub fn record(
        &mut self,
        key: &K,
        tag: &mut Tag,
        digest: Option<u64>,
        encode: impl FnOnce(&mut ValueWriter<'_>),
    ) -> bool {
        if self.seen >= SLICE || self.puts >= PUTS || !self.out.fits_record() {
            return false;
        }
        self.seen += 1;
        if self.are_flags_outdated && tag.stamp != self.stamp {
            tag.clear(Tag::SHARED);
        }
        if self.walk == Walk::Snapshot && self.pending_writes.contains_key(key) {
            // the peer's own value is about to be written
            return true;
        }
        let equal = tag.flags == Tag::SHARED;
        match (self.walk, digest) {
            (Walk::Offer, _) if equal || tag.has(Tag::STRAY) => {}
            (Walk::Snapshot, Some(digest)) if equal => self.same(key, digest),
            _ => self.put(key, *tag, encode),
        }
        true
    }

    fn same(&mut self, key: &K, digest: u64) {
        let offset = self.out.offset();
        self.out.put_flags(flag::SAME, None);
        if self.out.put_key(|out| key.write(out)) {
            self.out.put(&digest.to_be_bytes());
            self.out.count();
        } else {
            self.out.truncate(offset);
        }
    }

    fn put(&mut self, key: &K, tag: Tag, encode: impl FnOnce(&mut ValueWriter<'_>)) {
        let (mut flags, mut age_ms) = (0, None);
        if self.walk == Walk::Offer {
            flags |= if tag.is_shared() { flag::SHARED } else { 0 };
            flags |= if tag.is_changed() { flag::CHANGED } else { 0 };
            age_ms = self.age_ms(key);
        }
        let offset = self.out.offset();
        self.out.put_flags(flags, age_ms);
        let fits = self.out.put_key(|out| key.write(out)) && self.out.put_value(encode);
        if !fits {
            self.out.truncate(offset);
            *self.too_long += 1;
            return;
        }
        self.out.count();
        let ordinal = self.first_ordinal + self.puts as u64;
        self.puts += 1;
        if self.walk == Walk::Offer && !self.pending.is_empty() {
            // the change is sent with the offer
            if let Some(pending) = self.pending.get_mut(key).filter(|it| it.is_put()) {
                (pending.dirty, pending.ordinal) = (false, ordinal);
            }
        }
        self.in_flight.push_back(InFlight::Record {
            table: self.table,
            key: key.clone(),
            since_ns: self.now_ns,
        });
    }

    fn age_ms(&self, key: &K) -> Option<u32> {
        let pending = self.pending.get(key).map(|it| it.since_ns);
        let since_ns = pending.or_else(|| self.offline.changed_ns(key))?;
        u32::try_from(self.now_ns.saturating_sub(since_ns) / 1_000_000).ok()
    }
}
