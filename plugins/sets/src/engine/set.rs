//! One set: what the kernel here has, and how far its reading is.

use std::collections::BTreeSet;

use super::receiver::Receiver;
use super::sender::Sender;
use super::table::{Cursor, Entry, Observed, Reading, Table};
use super::{Change, SLICE};
use crate::element::{Element, Key, SetName, Shape};
use crate::error::Hindrance;

/// Reading takes at most a tenth of the processor, however large the set is.
const COST: u64 = 10;
/// At most a third where it is known that something changed.
const COST_TOUCHED: u64 = 2;
/// An element that ends so soon was not deleted, but ended.
const TICKS_MS: u64 = 100;
/// More are not remembered one by one: all is sent again.
const DIRTY_MAX: usize = 1 << 20;

#[derive(Debug)]
pub struct Set {
    pub name: SetName,
    /// None: not read yet, or not to be read.
    pub shape: Option<Shape>,
    pub hindrance: Option<Hindrance>,
    /// The sentence that was said of it last.
    pub said: Option<String>,
    pub table: Table,
    pub reads: Reads,
    pub sender: Sender,
    pub receiver: Receiver,
    pub counters: Counters,
    pub peer: Option<AtPeer>,
    /// The peer is to hear how many elements there are: as many as there are then.
    pub count_due: bool,
    /// Both nodes had the same, and nothing was lost between them since.
    pub shared: bool,
    /// This node was active where the peer could not follow: it has what the peer never heard of.
    pub own: bool,
}

/// When the kernel is asked.
#[derive(Debug, Default)]
pub struct Reads {
    pub due_ms: u64,
    pub running: bool,
    /// Since it began something changed that only another one tells.
    touched: bool,
    /// Others changed elements since it began: a dump passes over some then.
    dirty: bool,
    /// Notifications were lost since the last one in calm.
    doubt: bool,
    scan: Option<(Reading, Cursor)>,
    /// All that the kernel has was seen once.
    pub whole: bool,
    /// What one reading takes of the processor.
    pub cost_ms: u64,
    /// A switchover waits for the next one.
    pub drains: bool,
    count_told: Option<(u64, u64)>,
}

/// For people.
#[derive(Debug, Default)]
pub struct Counters {
    pub added: u64,
    pub deleted: u64,
    pub refused: u64,
    pub changed_ms: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AtPeer {
    pub elements: u64,
    pub refused: u64,
}

/// How this node stands to its peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Roles {
    pub active: bool,
    /// None: it is not there, or has not said.
    pub peer: Option<bool>,
}

impl Roles {
    pub fn is_sender(self) -> bool {
        self.active && self.peer == Some(false)
    }

    pub fn is_receiver(self) -> bool {
        !self.active && self.peer == Some(true)
    }
}

impl Set {
    pub fn new(name: SetName) -> Self {
        Self {
            name,
            shape: None,
            hindrance: None,
            said: None,
            table: Table::default(),
            reads: Reads::default(),
            sender: Sender::default(),
            receiver: Receiver::default(),
            counters: Counters::default(),
            peer: None,
            count_due: false,
            shared: false,
            own: false,
        }
    }

    /// Whether it is known what the kernel has.
    pub fn is_ready(&self) -> bool {
        self.shape.is_some() && self.reads.whole
    }

    /// What a reading, or the lack of one, says of the set itself.
    pub fn handle_shape(&mut self, found: Result<Shape, Hindrance>) {
        match found {
            Ok(shape) => {
                if self.shape.is_some_and(|before| before != shape) {
                    self.forget();
                }
                let ours = !matches!(
                    self.hindrance,
                    None | Some(Hindrance::Shapes(..) | Hindrance::NotConfigured)
                );
                if ours {
                    self.hindrance = None;
                }
                self.shape = Some(shape);
            }
            Err(hindrance) => {
                self.forget();
                self.hindrance = Some(hindrance);
            }
        }
    }

    /// Nothing is known any more; what the peer has is left to it.
    fn forget(&mut self) {
        self.table.clear();
        self.shape = None;
        self.reads.whole = false;
        self.reads.scan = None;
        self.shared = false;
        self.sender.lose();
        self.receiver.lose();
    }

    /// Elements that the kernel listed, or that somebody else added.
    pub fn see(&mut self, now_ms: u64, standing: Roles, elements: Vec<Element>, listed: bool) {
        self.reads.dirty |= !listed;
        for element in elements {
            if listed && self.table.is_gone(&element.key) {
                continue;
            }
            let key = element.key.clone();
            let news = self.table.see(now_ms, element);
            if news != Observed::Same {
                self.counters.added += u64::from(news == Observed::New && self.reads.whole);
                self.note(now_ms, standing, key);
            }
        }
    }

    /// Keys that somebody else deleted.
    pub fn observe_deletions(&mut self, now_ms: u64, standing: Roles, keys: Vec<Key>) {
        self.reads.dirty = true;
        for key in keys {
            if let Some(entry) = self.table.remove(&key) {
                self.lost(now_ms, standing, key, entry.is_over(now_ms + TICKS_MS));
            }
        }
    }

    fn lost(&mut self, now_ms: u64, standing: Roles, key: Key, over: bool) {
        if over {
            return;
        }
        self.counters.deleted += 1;
        // what the active node has is missing here
        self.receiver.short |= standing.is_receiver();
        self.note(now_ms, standing, key);
    }

    /// Something changed here by other hands than ours.
    fn note(&mut self, now_ms: u64, standing: Roles, key: Key) {
        if self.reads.whole {
            self.counters.changed_ms = Some(now_ms);
        }
        if !standing.active || !self.reads.whole {
            return;
        }
        if !(standing.is_sender() && self.sender.subscribed && self.shared) {
            self.own = true;
        }
        if standing.peer.is_some() {
            self.sender.dirty.insert(key);
            if self.sender.dirty.len() > DIRTY_MAX {
                self.sender.dirty = BTreeSet::new();
                self.sender.snapshot_due = true;
            }
        }
    }

    pub fn begin_reading(&mut self) {
        self.reads.running = true;
        self.reads.dirty = false;
        self.table.begin_reading();
    }

    /// A reading ended; what it lacks is looked for in slices.
    pub fn handle_read(&mut self, reading: Option<Reading>) {
        self.reads.running = false;
        self.table.end_reading();
        match reading {
            Some(reading) => {
                self.reads.cost_ms = reading.spent_ms;
                self.reads.scan = Some((reading, Cursor::default()));
            }
            None => self.reads.drains = false,
        }
    }

    pub fn is_being_read(&self) -> bool {
        self.reads.running || self.is_scanning()
    }

    pub fn is_scanning(&self) -> bool {
        self.reads.scan.is_some()
    }

    /// Goes on with it; true when all that the kernel has is known for the first time.
    pub fn scan(&mut self, now_ms: u64, standing: Roles) -> bool {
        let Some((reading, mut cursor)) = self.reads.scan.take() else {
            return false;
        };
        let missing = self.table.is_missing(reading);
        let ends = |entry: &mut Entry| entry.is_over(now_ms) || missing(entry);
        for (key, entry) in self.table.scan(&mut cursor, SLICE, ends) {
            self.lost(now_ms, standing, key, entry.is_over(now_ms + TICKS_MS));
        }
        if !cursor.done {
            self.reads.scan = Some((reading, cursor));
            return false;
        }
        self.reads.drains = false;
        !std::mem::replace(&mut self.reads.whole, true)
    }

    /// When it is to be read again, at the soonest.
    pub fn read_again(&mut self, now_ms: u64, poll_ms: u64) {
        let dirty = std::mem::take(&mut self.reads.dirty);
        let touched = std::mem::take(&mut self.reads.touched);
        self.reads.doubt &= dirty || touched;
        let pause_ms = match touched || self.reads.doubt {
            true => self.reads.cost_ms.saturating_mul(COST_TOUCHED),
            false => poll_ms.max(self.reads.cost_ms.saturating_mul(COST)),
        };
        self.reads.due_ms = now_ms.saturating_add(pause_ms);
    }

    /// Somebody changed it in a way that only a reading tells.
    pub fn read_soon(&mut self, now_ms: u64, lost: bool) {
        self.reads.doubt |= lost;
        self.reads.touched |= self.reads.running;
        let pause_ms = self.reads.cost_ms.saturating_mul(COST_TOUCHED);
        self.reads.due_ms = self.reads.due_ms.min(now_ms.saturating_add(pause_ms));
    }

    /// What the kernel did not take.
    pub fn handle_refused(&mut self, now_ms: u64, refused: Vec<(Key, i32)>) {
        const ENOENT: i32 = 2;
        for (key, errno) in refused {
            self.table.remove(&key);
            if errno == ENOENT {
                // the set itself has gone
                self.reads.due_ms = now_ms;
                continue;
            }
            self.counters.refused += 1;
            self.receiver.refuse(errno);
        }
    }

    /// The change that makes the kernel's element this one; None where it is as good already.
    pub fn adopt(&mut self, now_ms: u64, element: Element, mark: u32) -> Option<Change> {
        let before = self.table.get_mut(&element.key);
        let replaces = before.is_some();
        if let Some(entry) = before.filter(|entry| !entry.is_over(now_ms)) {
            entry.mark = mark;
            if entry.holds(&element) && entry.lives_as(now_ms, element.life) {
                return None;
            }
        }
        self.table.put(now_ms, element.clone(), mark);
        self.counters.added += u64::from(!replaces);
        self.counters.changed_ms = Some(now_ms);
        Some(Change {
            key: element.key.clone(),
            delete: replaces,
            add: Some(element),
        })
    }

    /// The change that takes a key out of the kernel, where it is there.
    pub fn drop_key(&mut self, now_ms: u64, key: Key) -> Option<Change> {
        self.table.remove(&key)?;
        self.counters.deleted += 1;
        self.counters.changed_ms = Some(now_ms);
        Some(Change {
            key,
            delete: true,
            add: None,
        })
    }

    /// How many elements there are, and how many were refused, where the peer does not know.
    pub fn count(&mut self) -> Option<(u64, u64)> {
        let count = (self.table.len() as u64, self.counters.refused);
        let told = self.reads.count_told.replace(count);
        (told != Some(count)).then_some(count)
    }

    /// The peer knows nothing any more.
    pub fn handle_link(&mut self, standing: Roles, up: bool) {
        self.shared = false;
        self.peer = None;
        self.reads.count_told = None;
        self.own |= standing.active;
        self.sender = Sender::default();
        self.receiver.lose();
        self.count_due = up && self.reads.whole;
    }
}
