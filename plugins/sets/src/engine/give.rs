//! What the active node sends of a set: changes as they come, and all of it to whoever asks.
//!
//! Messages carry what is so when they are made: a key that changed twice is sent once.

use std::collections::{BTreeSet, VecDeque};

use super::set::Set;
use crate::element::{Element, Key};
use crate::wire::{About, ELEMENT_MAX, MESSAGE_MAX, element_len};

/// The kernel of the twin takes them in one callback.
const ELEMENTS_MAX: usize = 1000;

#[derive(Debug, Default)]
pub struct Give {
    /// The twin wants what changes.
    pub subscribed: bool,
    /// It wants everything, as soon as everything is known.
    pub want_full: bool,
    snapshot: Option<Snapshot>,
    /// The twin, active as well, said what did not count: it has not what is here.
    pub clash: bool,
    /// The twin knows that there is no such set here.
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

impl Give {
    /// The set has gone: when it is back, the twin gets all of it.
    pub fn lose(&mut self) {
        self.want_full |= self.subscribed;
        self.snapshot = None;
        self.dirty.clear();
    }

    pub fn is_idle(&self) -> bool {
        !self.want_full && self.snapshot.is_none() && self.dirty.is_empty()
    }
}

impl Set {
    /// What the active node has to say next; nothing where it has said everything.
    pub fn next_gift(&mut self, now_ms: u64, epoch: &mut u32) -> VecDeque<About> {
        let mut out = VecDeque::new();
        if !self.give.subscribed {
            return out;
        }
        let Some(shape) = self.shape.filter(|_| self.reads.whole) else {
            if self.hindrance.is_some() && !std::mem::replace(&mut self.give.absent, true) {
                out.push_back(About::Absent { configured: true });
            }
            return out;
        };
        if std::mem::take(&mut self.give.want_full) {
            *epoch = epoch.wrapping_add(1).max(1);
            self.give.dirty.clear();
            self.give.absent = false;
            self.give.snapshot = Some(Snapshot {
                epoch: *epoch,
                after: None,
            });
            out.push_back(About::Begin {
                epoch: *epoch,
                elements: self.table.len() as u64,
                shape,
            });
        } else if !self.give.dirty.is_empty() {
            // of intervals that overlap the old one has to go first, and a reading finds it last
            if !(shape.intervals && self.is_being_read()) {
                self.put_changes(now_ms, &mut out);
            }
        } else if let Some(mut snapshot) = self.give.snapshot.take() {
            let (elements, done) = self.portion(now_ms, &mut snapshot.after);
            out.push_back(About::Elements(elements));
            if done {
                out.push_back(About::End {
                    epoch: snapshot.epoch,
                });
            } else {
                self.give.snapshot = Some(snapshot);
            }
        }
        out
    }

    fn put_changes(&mut self, now_ms: u64, out: &mut VecDeque<About>) {
        let (mut elements, mut keys, mut room) = (Vec::new(), Vec::new(), Room::default());
        while !room.is_full() {
            let Some(key) = self.give.dirty.pop_first() else {
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
    /// where it has offered everything.
    pub fn next_offer(&mut self, now_ms: u64) -> Option<About> {
        let mut after = self.take.offer.take()?;
        let (elements, done) = self.portion(now_ms, &mut after);
        if done {
            self.own = false;
            self.take.want = Some(true);
        } else {
            self.take.offer = Some(after);
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
