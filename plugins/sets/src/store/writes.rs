//! Batches of changes for the kernel, and their results.
//!
//! Keys are queued, not values: the present value is written. All pending changes of all sets are one batch, which the
//! kernel takes in one transaction.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use spared_replica::Token;

use super::entry::Entry;
use super::notes::Note;
use super::refill::Refill;
use super::set::Set;
use super::verdicts::Tokens;
use crate::element::{Element, Key};
use crate::error::Trouble;

const ENOENT: i32 = 2;
const EBUSY: i32 = 16;
const EEXIST: i32 = 17;

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
    tokens: Tokens,
    before: BTreeMap<Key, Option<Entry>>,
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
            tokens: Tokens::default(),
            before: BTreeMap::new(),
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
        self.has_pending() || (!self.is_away() && self.incarnation.refill().is_some())
    }

    /// True if changes of the peer are to be written at once.
    pub fn has_pending(&self) -> bool {
        !self.is_away() && !self.pending.is_empty()
    }

    /// Time when refused elements are written again.
    pub fn retry_due(&self) -> Option<u64> {
        let refill = self.incarnation.refill().filter(|_| !self.is_away());
        refill.map(Refill::due_ns)
    }

    /// Number of known elements that the kernel refused.
    pub(super) fn refused(&self) -> u32 {
        self.incarnation.refill().map_or(0, Refill::refused)
    }

    /// Part with all pending changes of the set.
    pub(super) fn poll_part(&mut self, now_ns: u64, set: usize) -> Option<Part> {
        if !self.has_pending() {
            return None;
        }
        let write = self.pending.take();
        let edits = Vec::with_capacity(write.keys.len());
        let mut part = Part {
            tokens: write.tokens,
            before: write.before,
            ..Part::new(set, edits, write.is_list)
        };
        let mut gone = self.compose(now_ns, write.keys, &mut part.edits);
        gone.retain(|key| !write.withdrawn.contains(key));
        part.lost = gone;
        let is_overtaken = self.transactions.has_several();
        part.is_outdated = part.is_list && (is_overtaken || !self.is_known());
        part.is_whole = part.is_list && self.is_whole(&part.edits);
        Some(part)
    }

    /// True if nothing stays of what the set has, as far as is known.
    fn is_whole(&self, edits: &[Edit]) -> bool {
        let added = edits.iter().filter(|it| it.add.is_some()).count();
        let is_all = added == self.table.len() && edits.len() > added;
        is_all && self.is_exact() && !self.transactions.has_changes()
    }

    /// Part with a portion of the elements that the set had before it was created again and lacks now.
    pub(super) fn poll_refill(&mut self, now_ns: u64, set: usize) -> Option<Part> {
        if self.is_away() {
            return None;
        }
        let mut refill = self.incarnation.take_refill(now_ns)?;
        let keys = refill.poll_keys(now_ns, &mut self.table);
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

    /// Makes edits of keys, in their order; returns those that are gone.
    fn compose(
        &mut self,
        now_ns: u64,
        keys: BTreeSet<Key>,
        edits: &mut Vec<Edit>,
    ) -> BTreeSet<Key> {
        let number = self.table.number;
        let mut entries = self.table.finder(keys.len());
        let mut gone = Vec::new();
        for key in keys {
            let was_there = self.pending.end_deletion(&key);
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
            return self.finish_rejected(part, key, *errno);
        }
        if written.outdated.contains(&part.set) {
            return self.finish_outdated(part);
        }
        let refused = written.refused.iter().filter(is_here);
        let refused: HashMap<&Key, i32> = refused.map(|(_, key, errno)| (key, *errno)).collect();
        if !part.edits.is_empty() {
            self.counters.note_changed(now_ns);
            self.reads.expect(self.table.len());
        }
        self.note_written(&part.edits, &refused);
        let mut outcome = Outcome::default();
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
                        Some(refill) => refill.handle_refused(),
                        None => drop(self.table.remove(&edit.key)),
                    }
                }
            }
        }
        if let Some(refill) = part.refill.take() {
            self.incarnation.set_refill(if outcome.is_away {
                Some(Refill::default())
            } else {
                refill.go_on(now_ns)
            });
        } else if !outcome.is_away {
            self.notes.handle_accepted();
        }
        if outcome.is_away {
            self.set_away(now_ns);
            let states = part.tokens.take_states();
            self.pending
                .put_back_state(states, part.before, part.is_list);
        }
        self.settle(outcome, part.tokens, &part.lost, &refused)
    }

    /// Notes the entries that the kernel has now.
    fn note_written(&mut self, edits: &[Edit], refused: &HashMap<&Key, i32>) {
        let (number, round) = (self.table.number, self.table.round);
        let mut entries = self.table.finder(edits.len());
        for edit in edits {
            let is_refused = !refused.is_empty() && refused.contains_key(&edit.key);
            if let Some(entry) = entries.find(&edit.key).filter(|_| !is_refused) {
                (entry.written, entry.seen, entry.misses) = (number, round, 0);
            }
        }
    }

    /// Handles a list that the kernel refused: the one before it stays.
    fn finish_rejected(&mut self, part: Part, key: &Key, errno: i32) -> Outcome {
        self.revert(part.before);
        if self.notes.handle_rejected(key, errno) {
            self.notes.push(Note::Warn(format!(
                "set {}: the peer's list is not in force here, because the set {} (element {key}): the list before it stays, with {} elements",
                self.name,
                Trouble(errno),
                self.table.len()
            )));
        }
        let tokens = part.tokens.into_all().map(|token| (token, false));
        Outcome {
            verdicts: tokens.collect(),
            refused: Some(errno),
            ..Outcome::default()
        }
    }

    /// Handles a list that is outdated, because others have changed the set: it refers to a replaced state.
    fn finish_outdated(&mut self, part: Part) -> Outcome {
        self.revert(part.before);
        Outcome {
            outdated: part.tokens.into_all().collect(),
            ..Outcome::default()
        }
    }

    /// Queues an edit that was not written again, until the set is back.
    fn restore(&mut self, edit: &Edit) {
        self.pending.put_back(&edit.key, edit.add.is_none());
        if let Some(entry) = self.table.get_mut(&edit.key) {
            (entry.written, entry.waits) = (0, true);
        }
    }

    fn settle(
        &mut self,
        mut outcome: Outcome,
        tokens: Tokens,
        lost: &BTreeSet<Key>,
        refused: &HashMap<&Key, i32>,
    ) -> Outcome {
        let (records, states) = tokens.into_parts();
        for (key, token) in records {
            match refused.get(&key) {
                Some(&ENOENT) => self.pending.put_back_record(key, token),
                found => {
                    let is_applied = found.is_none() && !lost.contains(&key);
                    outcome.verdicts.push((token, is_applied));
                }
            }
        }
        let states = states.into_iter().map(|token| (token, true));
        outcome.verdicts.extend(states);
        outcome
    }
}
