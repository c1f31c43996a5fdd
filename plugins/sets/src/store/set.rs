//! One set: which of the kernel's sets it is, the progress of reading it, and the changes to be written into it.
//!
//! For the kernel, a set that a ruleset creates again is a new one with new handles. For the peer it stays the same
//! while this process runs: the elements that the new one lacks are added again ([`Reload::Refill`]), or count as
//! deleted ([`Reload::Flush`]).

use std::collections::{BTreeMap, BTreeSet};

use spared_replica::{Change, Token};

use super::changes::Changes;
use super::entry::{Entry, digest};
use super::incoming::Incoming;
use super::reads::{Reading, Reads};
use super::table::{Observed, Table};
use super::writes::Refill;
use super::{Origin, SLICE};
use crate::codec::{Handles, SetInfo};
use crate::config::Reload;
use crate::element::{Element, Key, SetName, Shape};
use crate::error::{Hindrance, Trouble};
use crate::{MS, SECOND};

/// Time in ns to wait for a set that is created again in two steps; after that it counts as gone.
const GRACE_NS: u64 = 2 * SECOND;
/// Time in ns to its end below which an element that disappears has expired, and was not deleted.
const TICKS_NS: u64 = 100 * MS;
/// Time in ns above which a reading is not repeated only to be certain.
const REPEAT_NS: u64 = SECOND;

/// Change of a set in this node's kernel, for the replica.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct News {
    pub key: Key,
    pub change: Change,
    /// True if a ruleset named the element when it created the set again, or if it was added while this node was
    /// active: a backup then offers it.
    pub is_offered: bool,
}

#[derive(Debug)]
pub struct Set {
    pub name: SetName,
    pub reload: Reload,
    pub table: Table,
    pub reads: Reads,
    pub counters: Counters,
    pub hindrance: Option<Hindrance>,
    /// Errno of the last refusal by the kernel, until nothing is refused.
    pub trouble: Option<i32>,
    /// Sentence that was last reported about the set.
    pub said: Option<String>,
    /// True while a backup's changes are offered.
    pub is_offering: bool,
    /// True if the set is filled by lists: one replaces another, and none is merged with another.
    pub is_list: bool,
    /// Sentences to report to people.
    pub notes: Vec<Note>,
    /// The peer's number of the state in force.
    pub(super) generation: Option<u32>,
    /// Records of the peer whose state has not ended.
    pub(super) incoming: Incoming,
    /// Keys whose entry, or absence, is to be written, all at once; the flag is true if they are a list.
    pub(super) queue: BTreeSet<Key>,
    pub(super) writes_list: bool,
    /// Tokens of verdicts that are due then: on records, and on states that need nothing more.
    pub(super) tokens: Vec<(Key, Token)>,
    pub(super) ends: Vec<Token>,
    /// Tokens of states that change nothing, and of lists that became outdated because others changed the set.
    pub settled: Vec<Token>,
    pub outdated: Vec<Token>,
    /// Keys of records that the peer deleted before they were written.
    pub(super) withdrawn: BTreeSet<Key>,
    /// Entries that the records to be written replace.
    pub(super) before: BTreeMap<Key, Option<Entry>>,
    /// Digest of the list that others last loaded here, while the peer may not have it.
    pub untold_list: Option<u64>,
    /// Reason of the kernel's refusal of a list, until it accepts one.
    pub(super) refusal: Option<(Key, i32)>,
    /// Keys that the kernel has and that wait to be deleted.
    pub(super) deleting: BTreeSet<Key>,
    /// Changes of a transaction without an end, and earlier ones that are held back until the peer can take them.
    pub(super) open: Changes,
    pub(super) kept: Option<Changes>,
    /// True if the transaction created the set.
    pub(super) is_remade: bool,
    /// True if a reading did not find elements that may be gone: the next one decides.
    is_missing: bool,
    /// True if a reading found changes without notifications: they may be half of a transaction.
    unsure: bool,
    /// The kernel's generation after that reading.
    unsure_until: Option<u32>,
    pub(super) refill: Option<Refill>,
    /// Tokens of pending writes that were dropped and are owed a verdict.
    dropped: Vec<Token>,
    origin: Origin,
    /// Incarnation for the replica; None: not read yet.
    life: Option<u64>,
    shape: Option<Shape>,
    handles: Option<Handles>,
    /// Time since which the kernel does not have the set.
    away_since_ns: Option<u64>,
    is_gone: bool,
    /// True if the set was created again, and not read since.
    is_new: bool,
    /// Intervals that were added: reported after the deleted ones, which they may overlap.
    held: Vec<News>,
    metered: Metered,
}

/// Number of elements that stay on this node, see [`Element::metered`].
#[derive(Debug, Default)]
struct Metered {
    /// Numbers in the last reading, and so far in the present one.
    count: usize,
    listed: usize,
    is_said: bool,
}

/// Sentence for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    Warn(String),
    Event(String),
}

/// Counters for people.
#[derive(Debug, Default)]
pub struct Counters {
    pub added: u64,
    pub deleted: u64,
    pub changed_ns: Option<u64>,
}

impl Set {
    pub fn new(name: SetName, reload: Reload, origin: Origin, now_ns: u64) -> Self {
        Self {
            name,
            reload,
            table: Table::default(),
            reads: Reads::new(now_ns),
            counters: Counters::default(),
            hindrance: None,
            trouble: None,
            said: None,
            is_offering: false,
            is_list: false,
            notes: Vec::new(),
            generation: None,
            incoming: Incoming::default(),
            queue: BTreeSet::new(),
            writes_list: false,
            tokens: Vec::new(),
            ends: Vec::new(),
            settled: Vec::new(),
            outdated: Vec::new(),
            withdrawn: BTreeSet::new(),
            before: BTreeMap::new(),
            untold_list: None,
            refusal: None,
            deleting: BTreeSet::new(),
            open: Changes::default(),
            kept: None,
            is_remade: false,
            is_missing: false,
            unsure: false,
            unsure_until: None,
            refill: None,
            dropped: Vec::new(),
            origin,
            life: None,
            shape: None,
            handles: None,
            away_since_ns: None,
            is_gone: false,
            is_new: false,
            held: Vec::new(),
            metered: Metered::default(),
        }
    }

    pub fn shape(&self) -> Option<Shape> {
        self.shape
    }

    /// Incarnation for the replica.
    pub fn incarnation(&self) -> Option<u64> {
        self.life.filter(|_| !self.is_gone)
    }

    /// True if the kernel's elements are known.
    pub fn is_ready(&self) -> bool {
        self.incarnation().is_some()
    }

    /// True if the kernel does not have the set at present.
    pub fn is_away(&self) -> bool {
        self.away_since_ns.is_some()
    }

    /// The kernel's refusal, as a sentence without the set's name.
    pub fn trouble(&self) -> Option<String> {
        self.trouble.map(|errno| Trouble(errno).to_string())
    }

    /// True if the set was created again, and is not whole yet.
    pub fn is_refilling(&self) -> bool {
        self.life.is_some() && (self.is_new || self.refill.is_some() || self.is_away())
    }

    /// Takes the kernel's description of the set.
    pub fn find(&mut self, info: &SetInfo) {
        if self.shape.is_some_and(|before| before != info.shape) {
            self.forget();
        }
        if self.handles != Some(info.handles) {
            self.handles = Some(info.handles);
            self.table.number = self.table.number.wrapping_add(1).max(1);
            self.is_new = self.life.is_some();
            self.refill = None;
        }
        self.shape = Some(info.shape);
        self.hindrance = None;
        self.away_since_ns = None;
    }

    /// Notes that the kernel does not have the set, or one that cannot be replicated.
    pub fn miss(&mut self, now_ns: u64, hindrance: Hindrance) {
        self.reads.scan = None;
        let since_ns = *self.away_since_ns.get_or_insert(now_ns);
        let is_known = self.life.is_some() && !self.is_gone;
        match hindrance {
            Hindrance::Missing | Hindrance::Kernel(_) => {
                if is_known && now_ns.saturating_sub(since_ns) < GRACE_NS {
                    return;
                }
                if self.reload == Reload::Flush {
                    self.forget();
                }
            }
            _ => self.forget(),
        }
        self.is_gone = true;
        self.hindrance = Some(hindrance);
        self.drop_queue();
    }

    /// Notes that a write found no set: the set is read again, and pending changes wait.
    pub fn set_away(&mut self, now_ns: u64) {
        self.away_since_ns.get_or_insert(now_ns);
        self.reads.hurry(now_ns);
    }

    /// Forgets everything about the set.
    fn forget(&mut self) {
        self.drop_queue();
        self.table.clear();
        self.reads.scan = None;
        self.reads.count = 0;
        self.held = Vec::new();
        self.refill = None;
        self.handles = None;
        self.is_new = false;
        self.life = None;
        (self.is_list, self.generation) = (false, None);
    }

    /// Drops pending writes; their values stay known.
    fn drop_queue(&mut self) {
        self.deleting = BTreeSet::new();
        self.withdrawn = BTreeSet::new();
        self.before = BTreeMap::new();
        self.writes_list = false;
        self.dropped.extend(self.incoming.drain_tokens());
        self.dropped.append(&mut self.ends);
        let tokens = std::mem::take(&mut self.tokens);
        self.dropped
            .extend(tokens.into_iter().map(|(_, token)| token));
        for key in std::mem::take(&mut self.queue) {
            if let Some(entry) = self.table.get_mut(&key) {
                (entry.waits, entry.written) = (false, 0);
            }
        }
    }

    /// Returns the tokens of dropped writes.
    pub fn take_dropped(&mut self) -> Vec<Token> {
        std::mem::take(&mut self.dropped)
    }

    /// Takes elements that the kernel listed, or that others added.
    pub fn see(&mut self, now_ns: u64, elements: Vec<Element>, listed: bool, news: &mut Vec<News>) {
        self.reads.dirty |= !listed;
        let waits = listed && self.shape.is_some_and(|shape| shape.intervals);
        let is_offered = self.is_new || self.reads.is_urgent() || self.reads.is_late();
        for element in elements {
            self.metered.listed += usize::from(listed && element.metered);
            let key = element.key.clone();
            if listed && self.is_changing(&key) {
                continue;
            }
            let observed = self.table.see(now_ns, element, listed);
            self.unsure |= listed && observed != Observed::Same;
            if observed == Observed::Same || self.life.is_none() {
                continue;
            }
            self.counters.added += u64::from(observed == Observed::New);
            self.counters.changed_ns = Some(now_ns);
            let one = News {
                key,
                change: Change::Put,
                is_offered: is_offered && observed == Observed::New,
            };
            if waits {
                self.held.push(one);
            } else {
                news.push(one);
            }
        }
    }

    /// Takes keys that others deleted.
    pub fn observe_deletions(&mut self, now_ns: u64, keys: Vec<Key>, news: &mut Vec<News>) {
        self.reads.dirty = true;
        for key in keys {
            if let Some(entry) = self.table.get_mut(&key).filter(|it| it.waits) {
                // the pending value is newer
                entry.written = 0;
                continue;
            }
            if let Some(entry) = self.table.remove(&key) {
                self.note_loss(now_ns, key, &entry, news);
            }
        }
    }

    fn note_loss(&mut self, now_ns: u64, key: Key, entry: &Entry, news: &mut Vec<News>) {
        if self.life.is_none() {
            return;
        }
        let change = if entry.is_over(now_ns.saturating_add(TICKS_NS)) {
            Change::Ended
        } else {
            Change::Deleted
        };
        if change == Change::Deleted {
            self.counters.deleted += 1;
            self.counters.changed_ns = Some(now_ns);
        }
        news.push(News {
            key,
            change,
            is_offered: false,
        });
    }

    pub fn begin_reading(&mut self) {
        self.reads.begin();
        self.table.begin_reading();
        self.metered.listed = 0;
    }

    /// Ends a reading; the elements that it lacks are then searched for in slices.
    pub fn end_reading(&mut self, reading: Option<Reading>) {
        self.table.end_reading();
        if let Some(reading) = reading {
            self.metered.count = self.metered.listed;
            self.unsure_until = Some(reading.generation);
            self.is_missing = false;
        }
        self.reads.end(reading);
    }

    /// Number of elements that are not replicated because a rule gave them a limit.
    pub fn left_out(&self) -> usize {
        self.metered.count
    }

    /// True once if there are such elements and this was not reported yet.
    pub fn tells_left_out(&mut self) -> bool {
        self.metered.count > 0 && !std::mem::replace(&mut self.metered.is_said, true)
    }

    /// Continues the search for missing elements.
    pub fn scan(&mut self, now_ns: u64, news: &mut Vec<News>) {
        let Some((reading, mut cursor)) = self.reads.scan.take() else {
            return;
        };
        let (round, number) = (self.table.round, self.table.number);
        let is_refilling = self.refill.is_some();
        let (is_new, keeps) = (self.is_new, self.reload == Reload::Refill);
        let mut is_missing = false;
        let ends = |entry: &mut Entry| {
            if entry.waits {
                return false;
            }
            if entry.is_over(now_ns) {
                return true;
            }
            if entry.seen == round {
                return false;
            }
            if is_new {
                return !keeps;
            }
            if is_refilling && entry.written != number {
                // still to be written
                return false;
            }
            entry.misses = entry.misses.saturating_add(1);
            let is_gone = reading.certain || entry.misses >= 2;
            is_missing |= !is_gone;
            is_gone
        };
        for key in self.table.scan(&mut cursor, SLICE, ends) {
            if self.is_changing(&key) {
                continue;
            }
            self.unsure = true;
            if let Some(entry) = self.table.remove(&key) {
                self.note_loss(now_ns, key, &entry, news);
            }
        }
        if is_missing && self.is_list {
            self.is_missing = true;
            self.reads.touch(now_ns, false);
        }
        if cursor.done {
            self.end_scan(reading, news)
        } else {
            self.reads.scan = Some((reading, cursor))
        }
    }

    fn end_scan(&mut self, reading: Reading, news: &mut Vec<News>) {
        self.reads.drains = false;
        if self.life.is_none() {
            // elements that a dump skipped would count as deleted
            let is_slow = reading.spent_ns > REPEAT_NS;
            let is_certain = reading.certain || (self.reads.count >= 2 && !is_slow);
            if is_certain || is_slow {
                self.begin_life(is_certain);
            } else {
                self.reads.repeat();
            }
        } else if std::mem::take(&mut self.is_new) && self.reload == Reload::Refill {
            self.refill = Some(Refill::default());
        }
        self.is_gone = self.life.is_none();
        news.append(&mut self.held);
    }

    /// Begins an incarnation, within which absence is a deletion: the set's own, or, if the reading may have skipped
    /// elements, this process's.
    fn begin_life(&mut self, is_certain: bool) {
        let handles = self.handles.unwrap_or_default();
        let run = if is_certain { 0 } else { self.origin.run };
        let numbers = [self.origin.boot, handles.table, handles.set, run];
        let bytes = numbers.map(u64::to_be_bytes);
        self.life = Some(digest(&[&bytes[0], &bytes[1], &bytes[2], &bytes[3]]));
    }

    /// True if the entries are a complete state: not half of a transaction, nor of a reading.
    pub fn is_exact(&self) -> bool {
        self.is_known() && !self.unsure && !self.is_new && !self.is_away() && !self.is_half_taken()
    }

    /// True if all changes by others are here, or were reported and are held back; otherwise a reading shows them.
    pub fn is_known(&self) -> bool {
        let reads = &self.reads;
        let is_part = self.is_missing || (self.is_list && reads.is_scanning());
        !is_part && !reads.is_doubted() && !reads.is_unread() && !reads.is_urgent()
    }

    /// Takes the kernel's generation up to which notifications were handled (None: not known). Returns true if a list
    /// may have replaced another without a notification.
    pub fn make_sure(&mut self, heard: Option<u32>) -> bool {
        let is_over = !self.reads.running && !self.reads.is_scanning();
        let is_heard = match (heard, self.unsure_until) {
            (Some(heard), Some(until)) => heard.wrapping_sub(until) < 1 << 31,
            _ => true,
        };
        // changes that are held back may belong to those that a reading found
        let is_sure = self.unsure && is_over && is_heard && self.kept.is_none();
        self.unsure &= !is_sure;
        is_sure && self.is_list
    }

    /// Plans the next reading, after a reading or an attempt.
    pub fn read_again(&mut self, now_ns: u64, poll_ns: u64) {
        let waits = self.is_away() && !self.is_gone;
        self.reads.plan(now_ns, poll_ns, waits);
    }
}
