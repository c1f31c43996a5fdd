//! What the active node sends of a server: commits as they come, and all of it to whoever asks.
//!
//! Messages carry what is so when they are made: a lease that changed twice is sent once.

use std::collections::{BTreeSet, VecDeque};

use super::store::Store;
use crate::lease::{Key, Lease};
use crate::wire::{About, MESSAGE_MAX, RECORD_MAX, RECORDS_MAX, Record};

/// Beyond, several are acknowledged as one.
const UNACKED_MAX: usize = 1_024;

#[derive(Debug, Default)]
pub struct Sender {
    /// The peer wants what changes.
    subscribed: bool,
    snapshot_due: bool,
    snapshot: Option<Snapshot>,
    /// Changed here, and not told.
    dirty: BTreeSet<Key>,
    identity: bool,
    /// When the oldest of those was committed.
    since_ms: Option<i64>,
    epoch: u32,
    serial: u64,
    /// On their way: serials, and when the oldest change in them was committed.
    unacked: VecDeque<(u64, i64)>,
    /// Everything, for people.
    pub listing: Option<(u32, Cursor)>,
}

#[derive(Debug)]
struct Snapshot {
    epoch: u32,
    cursor: Cursor,
}

/// How far a book was said: its leases, then what is gone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cursor {
    after: Option<Key>,
    in_gone: bool,
    pub done: bool,
}

impl Sender {
    /// The roles changed, or the link did.
    pub fn reset(&mut self) {
        let listing = self.listing.take();
        let (epoch, serial) = (self.epoch, self.serial);
        *self = Self {
            listing,
            epoch,
            serial,
            ..Self::default()
        };
    }

    pub fn handle_request(&mut self) {
        (self.subscribed, self.snapshot_due) = (true, true);
    }

    pub fn tell(&mut self, now_ms: i64, key: Key) {
        if self.subscribed {
            self.dirty.insert(key);
            self.since_ms.get_or_insert(now_ms);
        }
    }

    pub fn tell_identity(&mut self, now_ms: i64) {
        if self.subscribed {
            self.identity = true;
            self.since_ms.get_or_insert(now_ms);
        }
    }

    pub fn handle_ack(&mut self, serial: u64) {
        while self.unacked.front().is_some_and(|(it, _)| *it <= serial) {
            self.unacked.pop_front();
        }
    }

    /// Everything was said.
    pub fn is_idle(&self) -> bool {
        !self.snapshot_due && self.snapshot.is_none() && self.dirty.is_empty() && !self.identity
    }

    /// How long the oldest commit is not known to the peer.
    pub fn behind_ms(&self, now_ms: i64) -> Option<u64> {
        let sent_ms = self.unacked.front().map(|(_, since_ms)| *since_ms);
        let since_ms = sent_ms.or(self.since_ms).unwrap_or(now_ms);
        let behind_ms = now_ms.saturating_sub(since_ms).max(0).unsigned_abs();
        self.subscribed.then_some(behind_ms)
    }

    #[cfg(test)]
    pub fn unacked(&self) -> usize {
        self.unacked.len()
    }

    pub fn next_serial(&mut self, since_ms: i64) -> u64 {
        self.serial += 1;
        let is_full = self.unacked.len() >= UNACKED_MAX;
        match self.unacked.back_mut().filter(|_| is_full) {
            Some((last, _)) => *last = self.serial,
            None => self.unacked.push_back((self.serial, since_ms)),
        }
        self.serial
    }
}

impl Store {
    /// What the active node has to say next.
    pub fn next_gift(&mut self, now_ms: i64) -> Option<About> {
        if !self.sender.subscribed || !self.facts.known {
            return None;
        }
        if std::mem::take(&mut self.sender.snapshot_due) {
            return Some(self.begin());
        }
        if std::mem::take(&mut self.sender.identity) {
            if let Some(identity) = self.book.identity() {
                return Some(About::Identity(identity.clone()));
            }
        }
        if !self.sender.dirty.is_empty() {
            return Some(self.next_changes(now_ms));
        }
        self.sender.since_ms = None;
        let mut snapshot = self.sender.snapshot.take()?;
        if snapshot.cursor.done {
            let serial = self.sender.next_serial(now_ms);
            return Some(About::End {
                epoch: snapshot.epoch,
                serial,
                leases: self.book.len() as u64,
            });
        }
        let records = self.portion(now_ms, &mut snapshot.cursor, |_| true);
        self.sender.snapshot = Some(snapshot);
        Some(About::Part(records))
    }

    fn begin(&mut self) -> About {
        self.sender.dirty.clear();
        self.sender.identity = false;
        self.sender.epoch = self.sender.epoch.wrapping_add(1);
        self.sender.snapshot = Some(Snapshot {
            epoch: self.sender.epoch,
            cursor: Cursor::default(),
        });
        About::Begin {
            epoch: self.sender.epoch,
            leases: self.book.len() as u64,
            identity: self.book.identity().cloned(),
        }
    }

    fn next_changes(&mut self, now_ms: i64) -> About {
        let (mut records, mut room) = (Vec::new(), Room::default());
        while !room.is_full() {
            let Some(key) = self.sender.dirty.pop_first() else {
                break;
            };
            let record = match self.book.get(&key) {
                Some(lease) => Record::put(now_ms, lease),
                None => Record::gone(now_ms, key, self.book.gone_ms(&key).unwrap_or(now_ms)),
            };
            room.take(&record);
            records.push(record);
        }
        let since_ms = self.sender.since_ms.unwrap_or(now_ms);
        let serial = self.sender.next_serial(since_ms);
        About::Changes {
            serial,
            waited_ms: now_ms.saturating_sub(since_ms).max(0).unsigned_abs(),
            leases: self.book.len() as u64,
            records,
        }
    }

    /// The next records of the book; marks the cursor done with the last.
    pub fn portion(
        &self,
        now_ms: i64,
        cursor: &mut Cursor,
        wanted: impl Fn(&Lease) -> bool,
    ) -> Vec<Record> {
        let (mut records, mut room) = (Vec::new(), Room::default());
        if !cursor.in_gone {
            for lease in self.book.leases_after(cursor.after) {
                if room.is_full() {
                    return records;
                }
                cursor.after = Some(lease.key);
                if wanted(lease) {
                    let record = Record::put(now_ms, lease);
                    room.take(&record);
                    records.push(record);
                }
            }
            *cursor = Cursor {
                in_gone: true,
                ..Cursor::default()
            };
        }
        for (key, gone_ms) in self.book.gone_after(cursor.after) {
            if room.is_full() {
                return records;
            }
            cursor.after = Some(key);
            let record = Record::gone(now_ms, key, gone_ms);
            room.take(&record);
            records.push(record);
        }
        cursor.done = true;
        records
    }
}

/// What is left of a message.
#[derive(Debug, Default)]
struct Room {
    bytes: usize,
    records: usize,
}

impl Room {
    // a message also has a head: names, an identity
    const BYTES: usize = MESSAGE_MAX - RECORD_MAX - 1_000;

    fn take(&mut self, record: &Record) {
        self.bytes += record.len_max();
        self.records += 1;
    }

    fn is_full(&self) -> bool {
        self.bytes >= Self::BYTES || self.records >= RECORDS_MAX
    }
}
