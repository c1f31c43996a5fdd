//! What the active node sends of a set: changes as they come, and all of it to whoever asks.
//!
//! Messages carry what is so when they are made: a key that changed twice is sent once.

use std::collections::{BTreeSet, VecDeque};

use super::set::Set;
use crate::element::{Element, Key};
use crate::wire::{About, ELEMENT_MAX, MESSAGE_MAX, element_len};

/// The kernel of the peer takes them in one callback.
const ELEMENTS_MAX: usize = 1000;

#[derive(Debug, Default)]
pub struct Sender {
    /// The peer wants what changes.
    pub subscribed: bool,
    /// It wants everything, as soon as everything is known.
    pub snapshot_due: bool,
    snapshot: Option<Snapshot>,
    /// Of the last snapshot; 0 before the first. Another set may be further.
    epoch: u32,
    /// The peer, active as well, said what did not count: it has not what is here.
    pub split_brain: bool,
    /// The peer knows that there is no such set here.
    absent: bool,
    /// Changed here, and not told.
    pub dirty: BTreeSet<Key>,
}

/// How far everything is sent.
#[derive(Debug)]
struct Snapshot {
    epoch: u32,
    after: Option<Key>,
}

impl Sender {
    /// The set has gone: when it is back, the peer gets all of it.
    pub fn lose(&mut self) {
        self.snapshot_due |= self.subscribed;
        self.snapshot = None;
        self.dirty.clear();
    }

    /// Whether an answer of the backup is to the last snapshot.
    pub fn is_last(&self, epoch: u32) -> bool {
        epoch != 0 && epoch == self.epoch
    }

    pub fn is_idle(&self) -> bool {
        !self.snapshot_due && self.snapshot.is_none() && self.dirty.is_empty()
    }
}

impl Set {
    /// What the active node has to say next; nothing where it has said everything.
    pub fn next_gift(&mut self, now_ms: u64, epoch: &mut u32) -> VecDeque<About> {
        let mut out = VecDeque::new();
        if !self.sender.subscribed {
            return out;
        }
        let Some(shape) = self.shape.filter(|_| self.reads.whole) else {
            if self.hindrance.is_some() && !std::mem::replace(&mut self.sender.absent, true) {
                out.push_back(About::Absent { configured: true });
            }
            return out;
        };
        if std::mem::take(&mut self.sender.snapshot_due) {
            *epoch = epoch.wrapping_add(1).max(1);
            self.sender.dirty.clear();
            self.sender.absent = false;
            self.sender.epoch = *epoch;
            self.sender.snapshot = Some(Snapshot {
                epoch: *epoch,
                after: None,
            });
            out.push_back(About::Begin {
                epoch: *epoch,
                elements: self.table.len() as u64,
                shape,
            });
        } else if !self.sender.dirty.is_empty() {
            // of intervals that overlap the old one has to go first, and a reading finds it last
            if !(shape.intervals && self.is_being_read()) {
                self.put_changes(now_ms, &mut out);
            }
        } else if let Some(mut snapshot) = self.sender.snapshot.take() {
            let (elements, done) = self.portion(now_ms, &mut snapshot.after);
            out.push_back(About::Elements(elements));
            if done {
                out.push_back(About::End {
                    epoch: snapshot.epoch,
                });
            } else {
                self.sender.snapshot = Some(snapshot);
            }
        }
        out
    }

    fn put_changes(&mut self, now_ms: u64, out: &mut VecDeque<About>) {
        let (mut elements, mut keys, mut room) = (Vec::new(), Vec::new(), Room::default());
        while !room.is_full() {
            let Some(key) = self.sender.dirty.pop_first() else {
                break;
            };
            match self.table.tell(now_ms, &key) {
                Some(element) => {
                    room.take(element_len(&element));
                    elements.push(element);
                }
                None => {
                    room.take(1 + key.0.len());
                    keys.push(key);
                }
            }
        }
        if !keys.is_empty() {
            out.push_back(About::Delete(keys));
        }
        if !elements.is_empty() {
            out.push_back(About::Elements(elements));
        }
    }

    /// The next elements after a key, and whether they are the last.
    fn portion(&mut self, now_ms: u64, after: &mut Option<Key>) -> (Vec<Element>, bool) {
        let (mut elements, mut room) = (Vec::new(), Room::default());
        while !room.is_full() {
            let Some(key) = self.table.next(after.as_ref()).cloned() else {
                return (elements, true);
            };
            if let Some(element) = self.table.tell(now_ms, &key) {
                room.take(element_len(&element));
                elements.push(element);
            }
            *after = Some(key);
        }
        (elements, false)
    }

    /// What a node that was active alone has to offer, before it takes what the other has; nothing
    /// where it has offered everything, or the other has not told how many it has: one that has not
    /// read its set could not take them.
    pub fn next_offer(&mut self, now_ms: u64) -> Option<About> {
        self.peer?;
        let mut after = self.receiver.offer.take()?;
        let (elements, done) = self.portion(now_ms, &mut after);
        if done {
            self.own = false;
            self.receiver.request = Some(true);
        } else {
            self.receiver.offer = Some(after);
        }
        Some(About::Offer(elements))
    }
}

/// What a message has room for.
#[derive(Default)]
struct Room {
    bytes: usize,
    count: usize,
}

impl Room {
    /// A set's name is in front.
    const BYTES: usize = MESSAGE_MAX - ELEMENT_MAX - 600;

    fn take(&mut self, bytes: usize) {
        self.bytes += bytes;
        self.count += 1;
    }

    fn is_full(&self) -> bool {
        self.bytes >= Self::BYTES || self.count >= ELEMENTS_MAX
    }
}
