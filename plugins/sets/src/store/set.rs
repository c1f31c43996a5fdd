//! One set: which of the kernel's it is, how far it is read, and what is to be written into it.
//!
//! A set that a ruleset makes anew is another one to the kernel, by its handles. To the peer it is
//! the same while this process runs: what the new one lacks is written into it again
//! ([`Reload::Refill`]), or was deleted ([`Reload::Flush`]).

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

/// A set that is created again in two steps is waited for; then it is gone.
const GRACE_NS: u64 = 2 * SECOND;
/// An element that ends so soon was not deleted, but ended.
const TICKS_NS: u64 = 100 * MS;
/// A reading that took longer is not repeated only to be certain.
const REPEAT_NS: u64 = SECOND;

/// Changes of a set in this node's kernel, for the replica.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct News {
    pub key: Key,
    pub change: Change,
    /// A ruleset named it when it made the set anew, or it was added while this node was active: a
    /// backup offers it.
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
    /// Errno of what the kernel refused last, until nothing is refused.
    pub trouble: Option<i32>,
    /// The sentence that was said of it last.
    pub said: Option<String>,
    /// Changes of a backup are offered for now.
    pub is_offering: bool,
    /// The set is filled by lists: one takes the place of another, and none is merged with another.
    pub is_list: bool,
    /// For people, to be said.
    pub notes: Vec<Note>,
    /// The peer's number of the state that is in force.
    pub(super) generation: Option<u32>,
    /// What the peer has sent and not ended.
    pub(super) incoming: Incoming,
    /// Keys whose entry, or absence, is to be written, all at once; and whether these are a list.
    pub(super) queue: BTreeSet<Key>,
    pub(super) writes_list: bool,
    /// Verdicts that are due then: of records, and of what needs nothing more.
    pub(super) tokens: Vec<(Key, Token)>,
    pub(super) ends: Vec<Token>,
    /// The same of states that change nothing, and of lists that others have overtaken.
    pub settled: Vec<Token>,
    pub outdated: Vec<Token>,
    /// Keys of records that the peer deleted before they were written.
    pub(super) withdrawn: BTreeSet<Key>,
    /// Entries of a list in place of which another is to be written.
    pub(super) before: BTreeMap<Key, Option<Entry>>,
    /// Digest of the list that others loaded here last, while the peer may not have it.
    pub untold_list: Option<u64>,
    /// What the kernel refused a list for, until it takes one.
    pub(super) refusal: Option<(Key, i32)>,
    /// Keys that the kernel has and that wait to be deleted.
    pub(super) deleting: BTreeSet<Key>,
    /// Changes of a transaction without an end, and of those before that the peer has no room for.
    pub(super) open: Changes,
    pub(super) kept: Option<Changes>,
    /// The transaction created the set.
    pub(super) is_remade: bool,
    /// A reading did not find elements that may be gone: the next one tells.
    is_missing: bool,
    /// A reading found what no notification had told: it may be half of a transaction.
    unsure: bool,
    /// The kernel's generation behind it.
    unsure_until: Option<u32>,
    pub(super) refill: Option<Refill>,
    /// Verdicts on what is not to be written any more are owed.
    dropped: Vec<Token>,
    origin: Origin,
    /// Incarnation for the replica; None: not read yet.
    life: Option<u64>,
    shape: Option<Shape>,
    handles: Option<Handles>,
    /// Time since which the kernel does not have it.
    away_since_ns: Option<u64>,
    is_gone: bool,
    /// Made anew, and not read since.
    is_new: bool,
    /// Intervals that came: told after those that went, which they may overlap.
    held: Vec<News>,
    metered: Metered,
}

/// Elements that stay on this node, see [`Element::metered`].
#[derive(Debug, Default)]
struct Metered {
    /// Of the last reading, and so far of the one that goes on.
    count: usize,
    listed: usize,
    is_said: bool,
}

/// A sentence for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    Warn(String),
    Event(String),
}

/// For people.
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

    /// What the replica knows it by.
    pub fn incarnation(&self) -> Option<u64> {
        self.life.filter(|_| !self.is_gone)
    }

    /// Whether it is known what the kernel has.
    pub fn is_ready(&self) -> bool {
        self.incarnation().is_some()
    }

    /// The kernel does not have it for now.
    pub fn is_away(&self) -> bool {
        self.away_since_ns.is_some()
    }

    /// The kernel's refusal, as a sentence without the set's name.
    pub fn trouble(&self) -> Option<String> {
        self.trouble.map(|errno| Trouble(errno).to_string())
    }

    /// Made anew, and not whole yet.
    pub fn is_refilling(&self) -> bool {
        self.life.is_some() && (self.is_new || self.refill.is_some() || self.is_away())
    }

    /// The kernel has the set.
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

    /// The kernel does not have it, or none that can be followed.
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

    /// A write met no set: it is read again, and what was to be written waits.
    pub fn set_away(&mut self, now_ns: u64) {
        self.away_since_ns.get_or_insert(now_ns);
        self.reads.hurry(now_ns);
    }

    /// Nothing is known any more.
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

    /// Waiting changes are no longer written; their values stay known.
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

    /// Changes that will not be written.
    pub fn take_dropped(&mut self) -> Vec<Token> {
        std::mem::take(&mut self.dropped)
    }

    /// Elements that the kernel listed, or that somebody else added.
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

    /// Keys that somebody else deleted.
    pub fn observe_deletions(&mut self, now_ns: u64, keys: Vec<Key>, news: &mut Vec<News>) {
        self.reads.dirty = true;
        for key in keys {
            if let Some(entry) = self.table.get_mut(&key).filter(|it| it.waits) {
                // what waits is newer
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
        let change = match entry.is_over(now_ns.saturating_add(TICKS_NS)) {
            true => Change::Ended,
            false => Change::Deleted,
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

    /// A reading ended; what it lacks is looked for in slices.
    pub fn end_reading(&mut self, reading: Option<Reading>) {
        self.table.end_reading();
        if let Some(reading) = reading {
            self.metered.count = self.metered.listed;
            self.unsure_until = Some(reading.generation);
            self.is_missing = false;
        }
        self.reads.end(reading);
    }

    /// Elements that are not replicated because a rule gave them a limit.
    pub fn left_out(&self) -> usize {
        self.metered.count
    }

    /// Whether there are such and nobody was told; once.
    pub fn tells_left_out(&mut self) -> bool {
        self.metered.count > 0 && !std::mem::replace(&mut self.metered.is_said, true)
    }

    /// Goes on with that.
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
                // it is still to be written
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
        match cursor.done {
            true => self.end_scan(reading, news),
            false => self.reads.scan = Some((reading, cursor)),
        }
    }

    fn end_scan(&mut self, reading: Reading, news: &mut Vec<News>) {
        self.reads.drains = false;
        if self.life.is_none() {
            // elements that a dump passed over would count as deleted
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

    /// Absence is a deletion within a life: the set's own, or, if it is not certain that all of it
    /// was read, this process's.
    fn begin_life(&mut self, is_certain: bool) {
        let handles = self.handles.unwrap_or_default();
        let run = if is_certain { 0 } else { self.origin.run };
        let numbers = [self.origin.boot, handles.table, handles.set, run];
        let bytes = numbers.map(u64::to_be_bytes);
        self.life = Some(digest(&[&bytes[0], &bytes[1], &bytes[2], &bytes[3]]));
    }

    /// Whether the entries are a state that others made: not half of a transaction, nor of a reading.
    pub fn is_exact(&self) -> bool {
        self.is_known() && !self.unsure && !self.is_new && !self.is_away() && !self.is_half_taken()
    }

    /// Whether all that others did is here, or was told and is kept back; else a reading shows it.
    pub fn is_known(&self) -> bool {
        let reads = &self.reads;
        let is_part = self.is_missing || (self.is_list && reads.is_scanning());
        !is_part && !reads.is_doubted() && !reads.is_unread() && !reads.is_urgent()
    }

    /// Notifications up to the kernel's generation `heard` were handled (None: none is known). Returns whether
    /// a list may have taken the place of another that no notification told.
    pub fn make_sure(&mut self, heard: Option<u32>) -> bool {
        let is_over = !self.reads.running && !self.reads.is_scanning();
        let is_heard = match (heard, self.unsure_until) {
            (Some(heard), Some(until)) => heard.wrapping_sub(until) < 1 << 31,
            _ => true,
        };
        // what is kept back may belong to what a reading found
        let is_sure = self.unsure && is_over && is_heard && self.kept.is_none();
        self.unsure &= !is_sure;
        is_sure && self.is_list
    }

    /// Time of the next reading, after a reading or an attempt.
    pub fn read_again(&mut self, now_ns: u64, poll_ns: u64) {
        let waits = self.is_away() && !self.is_gone;
        self.reads.plan(now_ns, poll_ns, waits);
    }
}
