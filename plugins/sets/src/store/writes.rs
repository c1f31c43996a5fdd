//! Batches of changes for the kernel, and their results.
//!
//! Keys are queued, not values: the present value is written. All pending changes of all sets are one batch, which the
//! kernel takes in one transaction.

use std::collections::{BTreeSet, HashMap};

use spared_replica::Token;

use super::entry::Entry;
use super::set::{Note, Set};
use super::table::Cursor;
use crate::SECOND;
use crate::element::{Element, Key};
use crate::error::Trouble;

/// Maximum number of keys in a batch for a set that was created again.
const BATCH: usize = 1_000;
/// Number of entries that are examined for such a batch.
const LOOKS: usize = 10;

const ENOENT: i32 = 2;
const EBUSY: i32 = 16;
const EEXIST: i32 = 17;
/// Pause in ns before refused elements are written again; doubled each time.
const PAUSE_NS: u64 = SECOND;
const PAUSE_MAX_NS: u64 = 60 * SECOND;

/// Change of one key of a set. A deletion and an addition happen at once: there is no moment without the element.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edit {
    pub key: Key,
    pub delete: bool,
    pub add: Option<Element>,
}

/// Changes that are written in one transaction.
#[derive(Debug)]
pub struct Batch {
    pub parts: Vec<Part>,
}

/// Edits of one set, with the verdicts that wait for them.
#[derive(Debug)]
pub struct Part {
    pub set: usize,
    pub edits: Vec<Edit>,
    /// True if one list replaces another: all of it is written, or nothing.
    pub is_list: bool,
    /// The list has all that the set will have: what was there can be flushed.
    pub is_whole: bool,
    /// True if others have changed the set since: a list is then not written.
    pub is_outdated: bool,
    tokens: Vec<(Key, Token)>,
    ends: Vec<Token>,
    before: Vec<(Key, Option<Entry>)>,
    /// Keys that disappeared although the peer did not delete them, for records that contain them.
    lost: BTreeSet<Key>,
    refill: Option<Refill>,
}

impl Part {
    /// Creates a part for which no verdict waits.
    pub fn new(set: usize, edits: Vec<Edit>, is_list: bool) -> Self {
        Self {
            set,
            edits,
            is_list,
            is_whole: false,
            is_outdated: false,
            tokens: Vec::new(),
            ends: Vec::new(),
            before: Vec::new(),
            lost: BTreeSet::new(),
            refill: None,
        }
    }
}

/// The kernel's answer to a batch.
#[derive(Debug, Default)]
pub struct Written {
    /// Elements that were left out: set, key and errno.
    pub refused: Vec<(usize, Key, i32)>,
    /// Lists that were left out as a whole, each with the element that caused it.
    pub rejected: Vec<(usize, Key, i32)>,
    /// Sets whose lists were left out because others changed the set meanwhile.
    pub outdated: Vec<usize>,
}

/// Passes through the elements that a set created again lacks. Refused elements stay known and are tried again: there
/// may be no peer that has them.
#[derive(Debug)]
pub(super) struct Refill {
    cursor: Cursor,
    due_ns: u64,
    pause_ns: u64,
    /// Numbers of elements refused in this pass, and in the one before.
    refused: u32,
    before: u32,
}

impl Default for Refill {
    fn default() -> Self {
        Self {
            cursor: Cursor::default(),
            due_ns: 0,
            pause_ns: PAUSE_NS,
            refused: 0,
            before: 0,
        }
    }
}

impl Refill {
    /// Returns the refill, with another pass if elements have to be tried again; None if it is complete.
    fn go_on(mut self, now_ns: u64) -> Option<Self> {
        if !self.cursor.done {
            return Some(self);
        }
        let again = Self {
            cursor: Cursor::default(),
            due_ns: now_ns.saturating_add(self.pause_ns),
            pause_ns: (self.pause_ns * 2).min(PAUSE_MAX_NS),
            refused: 0,
            before: std::mem::take(&mut self.refused),
        };
        (again.before > 0).then_some(again)
    }
}

/// Result of a part of a batch.
#[derive(Debug, Default)]
pub struct Outcome {
    pub verdicts: Vec<(Token, bool)>,
    /// True if the set is to be looked for again.
    pub is_away: bool,
    /// Errno of a refusal.
    pub refused: Option<i32>,
    /// Tokens that waited for a list that is outdated.
    pub outdated: Vec<Token>,
}

impl Set {
    /// True if something can be written now.
    pub fn has_writes(&self) -> bool {
        !self.is_away() && (self.has_queue() || self.refill.is_some())
    }

    fn has_queue(&self) -> bool {
        !self.queue.is_empty() || !self.tokens.is_empty() || !self.ends.is_empty()
    }

    /// Time when refused elements are written again.
    pub fn retry_due(&self) -> Option<u64> {
        let refill = self.refill.as_ref().filter(|_| !self.is_away());
        refill.map(|refill| refill.due_ns)
    }

    /// Number of known elements that the kernel refused.
    pub(super) fn refused(&self) -> u32 {
        let refill = self.refill.as_ref();
        refill.map_or(0, |refill| refill.refused.max(refill.before))
    }

    /// Part with all pending changes of the set.
    pub(super) fn poll_part(&mut self, now_ns: u64, set: usize) -> Option<Part> {
        if self.is_away() || !self.has_queue() {
            return None;
        }
        let edits = Vec::with_capacity(self.queue.len());
        let is_list = std::mem::take(&mut self.writes_list);
        let mut part = Part {
            tokens: std::mem::take(&mut self.tokens),
            ends: std::mem::take(&mut self.ends),
            before: std::mem::take(&mut self.before).into_iter().collect(),
            ..Part::new(set, edits, is_list)
        };
        let mut gone = self.compose(now_ns, &mut part.edits);
        let withdrawn = std::mem::take(&mut self.withdrawn);
        gone.retain(|key| !withdrawn.contains(key));
        part.lost = gone;
        part.is_outdated = part.is_list && (self.is_overtaken() || !self.is_known());
        part.is_whole = part.is_list && self.is_whole(&part.edits);
        Some(part)
    }

    /// True if nothing stays of what the set has, as far as is known.
    fn is_whole(&self, edits: &[Edit]) -> bool {
        let added = edits.iter().filter(|it| it.add.is_some()).count();
        added == self.table.len() && edits.len() > added && self.is_exact() && !self.has_others()
    }

    /// Part with a portion of the elements that the set had before it was created again and lacks now.
    pub(super) fn poll_refill(&mut self, now_ns: u64, set: usize) -> Option<Part> {
        if self.is_away() {
            return None;
        }
        let mut refill = self.refill.take_if(|it| it.due_ns <= now_ns)?;
        let number = self.table.number;
        let lacks = |it: &mut Entry| it.written != number && !it.waits && !it.is_over(now_ns);
        let mut keys = Vec::new();
        for _ in 0..LOOKS {
            keys = self.table.scan(&mut refill.cursor, BATCH, lacks);
            if !keys.is_empty() || refill.cursor.done {
                break;
            }
        }
        let edits = keys.into_iter().map(|key| {
            let entry = self.table.get(&key);
            let add = entry.map(|entry| entry.element(now_ns, &key));
            let delete = false;
            Edit { key, delete, add }
        });
        let refill = Some(refill);
        let part = Part::new(set, edits.collect(), false);
        Some(Part { refill, ..part })
    }

    /// Makes edits of the keys that wait, in their order; returns those that are gone.
    fn compose(&mut self, now_ns: u64, edits: &mut Vec<Edit>) -> BTreeSet<Key> {
        let number = self.table.number;
        let queue = std::mem::take(&mut self.queue);
        let mut entries = self.table.finder(queue.len());
        let mut gone = Vec::new();
        for key in queue {
            let was_there = !self.deleting.is_empty() && self.deleting.remove(&key);
            let Some(entry) = entries.find(&key) else {
                gone.push(key.clone());
                if was_there {
                    let (delete, add) = (true, None);
                    edits.push(Edit { key, delete, add });
                }
                continue;
            };
            if std::mem::take(&mut entry.waits) {
                let delete = was_there || entry.written == number;
                let add = Some(entry.element(now_ns, &key));
                edits.push(Edit { key, delete, add });
            }
        }
        // built at once of what is in order
        gone.into_iter().collect()
    }

    /// Handles the kernel's result of a part: all but the refused changes are applied.
    pub(super) fn finish(&mut self, now_ns: u64, mut part: Part, written: &Written) -> Outcome {
        let is_here = |it: &&(usize, Key, i32)| it.0 == part.set;
        if let Some((_, key, errno)) = written.rejected.iter().find(is_here) {
            return self.finish_rejected(part, key.clone(), *errno);
        }
        if written.outdated.contains(&part.set) {
            return self.finish_outdated(part);
        }
        let mut outcome = Outcome::default();
        let (number, round) = (self.table.number, self.table.round);
        let refused = written.refused.iter().filter(is_here);
        let refused: HashMap<&Key, i32> = refused.map(|(_, key, errno)| (key, *errno)).collect();
        if !part.edits.is_empty() {
            self.counters.changed_ns = Some(now_ns);
            self.reads.expect(self.table.len());
        }
        let mut entries = self.table.finder(part.edits.len());
        for edit in &part.edits {
            let is_refused = !refused.is_empty() && refused.contains_key(&edit.key);
            if let Some(entry) = entries.find(&edit.key).filter(|_| !is_refused) {
                (entry.written, entry.seen, entry.misses) = (number, round, 0);
            }
        }
        for edit in part.edits.iter().filter(|_| !refused.is_empty()) {
            match refused.get(&edit.key).copied() {
                None => {}
                Some(ENOENT) => {
                    outcome.is_away = true;
                    self.restore(edit);
                }
                Some(EBUSY | EEXIST) if part.refill.is_some() => self.reads.touch(now_ns, false),
                Some(errno) => {
                    outcome.refused = Some(errno);
                    match &mut part.refill {
                        Some(refill) => refill.refused = refill.refused.saturating_add(1),
                        None => drop(self.table.remove(&edit.key)),
                    }
                }
            }
        }
        if let Some(refill) = part.refill.take() {
            self.refill = if outcome.is_away {
                Some(Refill::default())
            } else {
                refill.go_on(now_ns)
            };
        } else if !outcome.is_away {
            self.refusal = None;
        }
        if outcome.is_away {
            self.set_away(now_ns);
            self.ends.append(&mut part.ends);
            self.before.extend(part.before);
            self.writes_list |= part.is_list;
        }
        self.settle(outcome, part.tokens, part.ends, &part.lost, &refused)
    }

    /// Handles a list that the kernel refused: the one before it stays.
    fn finish_rejected(&mut self, part: Part, key: Key, errno: i32) -> Outcome {
        self.revert(part.before);
        let refusal = Some((key.clone(), errno));
        if self.refusal != refusal {
            self.notes.push(Note::Warn(format!(
                "set {}: the peer's list is not in force here, because the set {} (element {key}): the list before it stays, with {} elements",
                self.name,
                Trouble(errno),
                self.table.len()
            )));
            self.refusal = refusal;
        }
        let tokens = part.tokens.into_iter().map(|(_, token)| (token, false));
        let ends = part.ends.into_iter().map(|token| (token, false));
        Outcome {
            verdicts: tokens.chain(ends).collect(),
            refused: Some(errno),
            ..Outcome::default()
        }
    }

    /// Handles a list that is outdated, because others have changed the set: it refers to a replaced state.
    fn finish_outdated(&mut self, part: Part) -> Outcome {
        self.revert(part.before);
        let tokens = part.tokens.into_iter().map(|(_, token)| token);
        Outcome {
            outdated: tokens.chain(part.ends).collect(),
            ..Outcome::default()
        }
    }

    /// Queues an edit that was not written again, until the set is back.
    fn restore(&mut self, edit: &Edit) {
        self.queue.insert(edit.key.clone());
        if edit.add.is_none() {
            self.deleting.insert(edit.key.clone());
        }
        if let Some(entry) = self.table.get_mut(&edit.key) {
            (entry.written, entry.waits) = (0, true);
        }
    }

    fn settle(
        &mut self,
        mut outcome: Outcome,
        tokens: Vec<(Key, Token)>,
        ends: Vec<Token>,
        lost: &BTreeSet<Key>,
        refused: &HashMap<&Key, i32>,
    ) -> Outcome {
        for (key, token) in tokens {
            match refused.get(&key) {
                Some(&ENOENT) => self.tokens.push((key, token)),
                found => {
                    let is_applied = found.is_none() && !lost.contains(&key);
                    outcome.verdicts.push((token, is_applied));
                }
            }
        }
        outcome
            .verdicts
            .extend(ends.into_iter().map(|token| (token, true)));
        outcome
    }
}
