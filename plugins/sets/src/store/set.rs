//! One set: which of the kernel's sets it is, the progress of reading it, and the changes to be written into it.
//!
//! For the kernel, a set that a ruleset creates again is a new one with new handles. For the peer it stays the same
//! while this process runs: the elements that the new one lacks are added again ([`Reload::Refill`]), or count as
//! deleted ([`Reload::Flush`]).

use spared_replica::{Change, Token};

use super::certainty::Certainty;
use super::condition::Condition;
use super::counters::Counters;
use super::entry::Entry;
use super::incarnation::Incarnation;
use super::metered::Metered;
use super::notes::Notes;
use super::own_transactions::OwnTransactions;
use super::pending::Pending;
use super::presence::Presence;
use super::reads::{Reading, Reads};
use super::staged_records::StagedRecords;
use super::table::{Observed, Table};
use super::verdicts::Verdicts;
use super::{Origin, SLICE};
use crate::codec::SetInfo;
use crate::config::Reload;
use crate::element::{Element, Key, SetName, Shape};
use crate::error::Hindrance;
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
    pub condition: Condition,
    pub notes: Notes,
    /// The kernel's set.
    presence: Presence,
    pub(super) incarnation: Incarnation,
    certainty: Certainty,
    metered: Metered,
    /// Changes by others that the table does not have yet.
    pub(super) transactions: OwnTransactions,
    /// Records of the peer: those whose state has not ended, those that are to be written, and their verdicts.
    pub(super) staged: StagedRecords,
    pub(super) pending: Pending,
    pub(super) verdicts: Verdicts,
}

impl Set {
    pub fn new(name: SetName, reload: Reload, now_ns: u64) -> Self {
        Self {
            name,
            reload,
            table: Table::default(),
            reads: Reads::new(now_ns),
            counters: Counters::default(),
            condition: Condition::default(),
            notes: Notes::default(),
            presence: Presence::default(),
            incarnation: Incarnation::default(),
            certainty: Certainty::default(),
            metered: Metered::default(),
            transactions: OwnTransactions::default(),
            staged: StagedRecords::default(),
            pending: Pending::default(),
            verdicts: Verdicts::default(),
        }
    }

    pub fn shape(&self) -> Option<Shape> {
        self.presence.shape()
    }

    /// Incarnation for the replica.
    pub fn incarnation(&self) -> Option<u64> {
        let number = self.incarnation.number();
        number.filter(|_| !self.presence.is_gone())
    }

    /// True if the kernel's elements are known.
    pub fn is_ready(&self) -> bool {
        self.incarnation().is_some()
    }

    /// True if the kernel does not have the set at present.
    pub fn is_away(&self) -> bool {
        self.presence.is_away()
    }

    /// True if the set was created again, and is not whole yet.
    pub fn is_refilling(&self) -> bool {
        let incarnation = &self.incarnation;
        let is_part = incarnation.is_new() || incarnation.refill().is_some() || self.is_away();
        incarnation.is_begun() && is_part
    }

    /// True if the set is filled by lists.
    pub fn is_list(&self) -> bool {
        self.incarnation.is_list()
    }

    /// Notes that the set is filled by lists.
    pub fn take_list(&mut self) {
        self.incarnation.handle_list();
    }

    /// Takes the kernel's description of the set.
    pub fn find(&mut self, info: &SetInfo) {
        if self.shape().is_some_and(|before| before != info.shape) {
            self.forget();
        }
        if self.incarnation.handle_handles(info.handles) {
            self.table.number = self.table.number.wrapping_add(1).max(1);
        }
        self.presence.handle_found(info.shape);
        self.condition.handle_found();
    }

    /// Notes that the kernel does not have the set, or one that cannot be replicated.
    pub fn miss(&mut self, now_ns: u64, hindrance: Hindrance) {
        self.reads.stop_scan();
        let away_ns = self.presence.handle_missing(now_ns);
        match hindrance {
            Hindrance::Missing | Hindrance::Kernel(_) => {
                if self.is_ready() && away_ns < GRACE_NS {
                    return;
                }
                if self.reload == Reload::Flush {
                    self.forget();
                }
            }
            _ => self.forget(),
        }
        self.presence.handle_gone();
        self.condition.handle_hindrance(hindrance);
        self.drop_writes();
    }

    /// Notes that a write found no set: the set is read again, and pending changes wait.
    pub fn set_away(&mut self, now_ns: u64) {
        self.presence.handle_missing(now_ns);
        self.reads.hurry(now_ns);
    }

    /// Forgets everything about the set.
    fn forget(&mut self) {
        self.drop_writes();
        self.table.clear();
        self.reads.handle_forgotten();
        self.incarnation = Incarnation::default();
    }

    /// Drops what the peer sent and the kernel does not have; the values of states in force stay known.
    fn drop_writes(&mut self) {
        let staged = std::mem::take(&mut self.staged);
        self.verdicts.drop_staged(staged.into_tokens());
        self.drop_pending();
    }

    /// Drops what is in force and was not written yet: the kernel may have other values, or none.
    pub(super) fn drop_pending(&mut self) {
        let pending = std::mem::take(&mut self.pending).take();
        self.verdicts.drop_pending(pending.tokens);
        for key in pending.keys {
            if let Some(entry) = self.table.get_mut(&key) {
                (entry.waits, entry.written) = (false, 0);
            }
        }
    }

    /// Returns the tokens of states that changed nothing.
    pub fn take_settled(&mut self) -> Vec<Token> {
        self.verdicts.take_settled()
    }

    /// Returns the tokens of dropped writes.
    pub fn take_dropped(&mut self) -> Vec<Token> {
        self.verdicts.take_dropped()
    }

    /// Returns the tokens of lists that became outdated because others changed the set.
    pub fn take_outdated(&mut self) -> Vec<Token> {
        self.verdicts.take_outdated()
    }

    /// Takes elements that the kernel listed, or that others added.
    pub fn see(&mut self, now_ns: u64, elements: Vec<Element>, listed: bool, news: &mut Vec<News>) {
        if !listed {
            self.reads.handle_change();
        }
        let waits = listed && self.shape().is_some_and(|shape| shape.intervals);
        // single elements of a list that gives way would make a mixture of two
        let is_offered = !self.is_list()
            && (self.incarnation.is_new() || self.reads.is_urgent() || self.reads.is_late());
        for element in elements {
            if listed && element.metered {
                self.metered.handle_listed();
            }
            let key = element.key.clone();
            if listed && self.transactions.names(&key) {
                continue;
            }
            let observed = self.table.see(now_ns, element, listed);
            if observed == Observed::Same {
                continue;
            }
            if listed {
                self.certainty.handle_found();
            }
            if !self.incarnation.is_begun() {
                continue;
            }
            if observed == Observed::New {
                self.counters.count_added();
            }
            if observed == Observed::New && listed {
                self.certainty.handle_added();
            }
            self.counters.note_changed(now_ns);
            let one = News {
                key,
                change: Change::Put,
                is_offered: is_offered && observed == Observed::New,
            };
            if waits {
                self.incarnation.hold(one);
            } else {
                news.push(one);
            }
        }
    }

    /// Takes keys that others deleted.
    pub fn observe_deletions(&mut self, now_ns: u64, keys: Vec<Key>, news: &mut Vec<News>) {
        self.reads.handle_change();
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
        if !self.incarnation.is_begun() {
            return;
        }
        let change = if entry.is_over(now_ns.saturating_add(TICKS_NS)) {
            Change::Expired
        } else {
            Change::Deleted
        };
        if change == Change::Deleted {
            self.counters.count_deleted();
            self.counters.note_changed(now_ns);
        }
        news.push(News {
            key,
            change,
            is_offered: false,
        });
    }

    pub fn begin_reading(&mut self) {
        let (length, is_after_loss) = (self.table.len(), self.reads.is_doubted());
        self.certainty.begin_reading(length, is_after_loss);
        self.reads.begin();
        self.table.begin_reading(self.pending.deleting());
        self.metered.begin_reading();
    }

    /// Ends a reading; the elements that it lacks are then searched for in slices.
    pub fn end_reading(&mut self, reading: Option<Reading>) {
        self.table.end_reading();
        if let Some(reading) = reading {
            self.metered.end_reading();
            self.certainty.handle_read(reading.generation);
        } else {
            self.certainty.fail_reading();
        }
        self.reads.end(reading);
    }

    /// Number of elements that are not replicated because a rule gave them a limit.
    pub fn left_out(&self) -> usize {
        self.metered.count()
    }

    /// True once if there are such elements and this was not reported yet.
    pub fn tells_left_out(&mut self) -> bool {
        self.metered.tell()
    }

    /// Continues the search for missing elements.
    pub fn scan(&mut self, now_ns: u64, origin: Origin, news: &mut Vec<News>) {
        let Some((reading, mut cursor)) = self.reads.take_scan() else {
            return;
        };
        let (round, number) = (self.table.round, self.table.number);
        let is_refilling = self.incarnation.refill().is_some();
        let (is_new, keeps) = (self.incarnation.is_new(), self.reload == Reload::Refill);
        let (mut absent, mut has_missing) = (0, false);
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
            absent += 1;
            entry.misses = entry.misses.saturating_add(1);
            let is_gone = reading.certain || entry.misses >= 2;
            has_missing |= !is_gone;
            is_gone
        };
        for key in self.table.scan(&mut cursor, SLICE, ends) {
            if self.transactions.names(&key) {
                continue;
            }
            self.certainty.handle_found();
            if let Some(entry) = self.table.remove(&key) {
                self.note_loss(now_ns, key, &entry, news);
            }
        }
        self.certainty.handle_absent(absent, has_missing);
        if cursor.done {
            self.end_scan(now_ns, reading, origin, news)
        } else {
            self.reads.go_on(reading, cursor)
        }
    }

    fn end_scan(&mut self, now_ns: u64, reading: Reading, origin: Origin, news: &mut Vec<News>) {
        self.reads.end_drain();
        if self.incarnation.is_begun() {
            if self.certainty.is_replaced() {
                self.incarnation.handle_list();
            }
            if self.certainty.end_comparison(self.is_list()) {
                self.reads.touch(now_ns, false);
            }
            self.incarnation.handle_read(self.reload);
        } else {
            // elements that a dump skipped would count as deleted
            let is_slow = reading.spent_ns > REPEAT_NS;
            let is_certain = reading.certain || (self.reads.count() >= 2 && !is_slow);
            if is_certain || is_slow {
                self.incarnation.begin(origin, is_certain);
                // a list may have replaced another while it was not known what a notification is about
                if self.certainty.end_comparison(true) {
                    self.reads.touch(now_ns, false);
                }
            } else {
                self.reads.repeat();
            }
        }
        self.presence.handle_read(self.incarnation.is_begun());
        self.incarnation.release(news);
    }

    /// True if the entries are a complete state: not half of a transaction, nor of a reading.
    pub fn is_exact(&self) -> bool {
        let is_part = self.incarnation.is_new() || self.transactions.is_half_taken();
        self.is_known() && !self.certainty.is_unsure() && !self.is_away() && !is_part
    }

    /// True if all changes by others are here, or were reported and are held back; otherwise a reading shows them.
    pub fn is_known(&self) -> bool {
        let reads = &self.reads;
        let is_part = self.certainty.is_missing() || (self.is_list() && reads.is_scanning());
        !is_part && !reads.is_doubted() && !reads.is_unread() && !reads.is_urgent()
    }

    /// Takes the kernel's generation up to which notifications were handled (None: not known). Returns true if a list
    /// may have replaced another without a notification.
    pub fn make_sure(&mut self, heard: Option<u32>) -> bool {
        let is_over = !self.reads.is_running() && !self.reads.is_scanning();
        // changes that are held back may belong to those that a reading found
        let is_sure = is_over && !self.has_kept() && self.certainty.make_sure(heard);
        is_sure && self.is_list()
    }

    /// Plans the next reading, after a reading or an attempt.
    pub fn read_again(&mut self, now_ns: u64, poll_ns: u64) {
        let is_gone = self.is_away() && self.presence.is_gone();
        self.reads.plan(now_ns, poll_ns, is_gone);
    }
}
