//! Batches of changes for the kernel, and their results.
//!
//! Keys wait, not values: the present value is written.

use std::collections::HashMap;

use spared_replica::Token;

use super::set::{Item, Set};
use super::table::Cursor;
use crate::SECOND;
use crate::element::{Element, Key};

/// Keys of one batch.
const BATCH: usize = 1_000;
/// Entries that are looked at for a batch of what a set made anew lacks.
const LOOKS: usize = 10;

const ENOENT: i32 = 2;
const EBUSY: i32 = 16;
const EEXIST: i32 = 17;
/// Pause before what the kernel refused is written again: doubled each time.
const PAUSE_NS: u64 = SECOND;
const PAUSE_MAX_NS: u64 = 60 * SECOND;

/// One key of a set. Both happen at once: there is no moment without the element.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edit {
    pub key: Key,
    pub delete: bool,
    pub add: Option<Element>,
}

/// Edits of one set, in their order, and the verdicts that wait for them.
#[derive(Debug)]
pub struct Batch {
    pub set: usize,
    pub edits: Vec<Edit>,
    items: Vec<Item>,
    /// Keys of `items` that are gone although nobody deleted them.
    lost: Vec<Key>,
    refill: Option<Refill>,
}

/// Passes through what a set made anew lacks. What the kernel refuses stays known and is tried again:
/// there may be no peer that has it.
#[derive(Debug)]
pub(super) struct Refill {
    cursor: Cursor,
    due_ns: u64,
    pause_ns: u64,
    /// Refused in this pass, and in the one before.
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
    /// What has to be tried again is at the end of the pass; None: nothing has.
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

/// Result of a batch.
#[derive(Debug, Default)]
pub struct Outcome {
    pub verdicts: Vec<(Token, bool)>,
    /// The set is to be asked for.
    pub is_away: bool,
    /// Errno of what was refused.
    pub refused: Option<i32>,
}

impl Set {
    /// Has a key's entry, or its absence, written.
    pub(super) fn push(&mut self, key: &Key, token: Option<Token>) {
        let key = key.clone();
        self.queue.push_back(Item { key, token });
    }

    /// Whether something can be written now.
    pub fn has_writes(&self) -> bool {
        !self.is_away() && (!self.queue.is_empty() || self.refill.is_some())
    }

    /// Time when what the kernel refused is written again.
    pub fn retry_due(&self) -> Option<u64> {
        let refill = self.refill.as_ref().filter(|_| !self.is_away());
        refill.map(|refill| refill.due_ns)
    }

    /// Elements that are known and that the kernel refused.
    pub(super) fn refused(&self) -> u32 {
        let refill = self.refill.as_ref();
        refill.map_or(0, |refill| refill.refused.max(refill.before))
    }

    /// The next batch.
    pub(super) fn poll_batch(&mut self, now_ns: u64, set: usize) -> Option<Batch> {
        if self.is_away() {
            return None;
        }
        let mut batch = Batch {
            set,
            edits: Vec::new(),
            items: Vec::new(),
            lost: Vec::new(),
            refill: None,
        };
        if self.queue.is_empty() {
            let refill = self.refill.take_if(|it| it.due_ns <= now_ns)?;
            self.refill_batch(now_ns, &mut batch, refill);
        }
        while batch.items.len() < BATCH {
            let Some(item) = self.queue.pop_front() else {
                break;
            };
            self.compose(now_ns, &mut batch, &item);
            batch.items.push(item);
        }
        Some(batch)
    }

    /// Elements that the set had before it was created again and does not have now.
    fn refill_batch(&mut self, now_ns: u64, batch: &mut Batch, mut refill: Refill) {
        let number = self.table.number;
        let lacks =
            |it: &mut super::entry::Entry| it.written != number && !it.waits && !it.is_over(now_ns);
        let mut keys = Vec::new();
        for _ in 0..LOOKS {
            keys = self.table.scan(&mut refill.cursor, BATCH, lacks);
            if !keys.is_empty() || refill.cursor.done {
                break;
            }
        }
        batch.refill = Some(refill);
        for key in keys {
            let entry = self.table.get(&key);
            let add = entry.map(|entry| entry.element(now_ns, &key));
            batch.edits.push(Edit {
                key,
                delete: false,
                add,
            });
        }
    }

    fn compose(&mut self, now_ns: u64, batch: &mut Batch, item: &Item) {
        let number = self.table.number;
        let was_there = !self.deleting.is_empty() && self.deleting.remove(&item.key);
        let Some(entry) = self.table.get_mut(&item.key) else {
            if was_there {
                batch.edits.push(Edit {
                    key: item.key.clone(),
                    delete: true,
                    add: None,
                });
            } else if item.token.is_some() && !batch.edits.iter().any(|it| it.key == item.key) {
                batch.lost.push(item.key.clone());
            }
            return;
        };
        if std::mem::take(&mut entry.waits) {
            batch.edits.push(Edit {
                key: item.key.clone(),
                delete: was_there || entry.written == number,
                add: Some(entry.element(now_ns, &item.key)),
            });
        }
    }

    /// Result of a batch in the kernel: all but the refused changes are applied.
    pub(super) fn finish(
        &mut self,
        now_ns: u64,
        mut batch: Batch,
        refused: Vec<(Key, i32)>,
    ) -> Outcome {
        let mut outcome = Outcome::default();
        let (number, round) = (self.table.number, self.table.round);
        let refused: HashMap<Key, i32> = refused.into_iter().collect();
        if !batch.edits.is_empty() {
            self.counters.changed_ns = Some(now_ns);
        }
        for edit in &batch.edits {
            match refused.get(&edit.key).copied() {
                None => {
                    if let Some(entry) = self.table.get_mut(&edit.key) {
                        (entry.written, entry.seen, entry.misses) = (number, round, 0);
                    }
                }
                Some(ENOENT) => {
                    outcome.is_away = true;
                    self.restore(edit);
                }
                Some(EBUSY | EEXIST) if batch.refill.is_some() => self.reads.touch(now_ns, false),
                Some(errno) => {
                    outcome.refused = Some(errno);
                    match &mut batch.refill {
                        Some(refill) => refill.refused = refill.refused.saturating_add(1),
                        None => drop(self.table.remove(&edit.key)),
                    }
                }
            }
        }
        if outcome.is_away {
            self.set_away(now_ns);
        }
        if let Some(refill) = batch.refill.take() {
            self.refill = match outcome.is_away {
                true => Some(Refill::default()),
                false => refill.go_on(now_ns),
            };
        }
        self.settle_items(batch, outcome, &refused)
    }

    /// Not written, and due once the set is back.
    fn restore(&mut self, edit: &Edit) {
        if edit.add.is_none() {
            self.deleting.insert(edit.key.clone());
        }
        if let Some(entry) = self.table.get_mut(&edit.key) {
            entry.written = 0;
        }
    }

    fn settle_items(
        &mut self,
        batch: Batch,
        mut outcome: Outcome,
        refused: &HashMap<Key, i32>,
    ) -> Outcome {
        let mut waiting = Vec::new();
        for item in batch.items {
            match refused.get(&item.key) {
                Some(&ENOENT) => waiting.push(item),
                found => {
                    let is_applied = found.is_none() && !batch.lost.contains(&item.key);
                    let verdict = item.token.map(|token| (token, is_applied));
                    outcome.verdicts.extend(verdict);
                }
            }
        }
        for item in waiting.into_iter().rev() {
            if let Some(entry) = self.table.get_mut(&item.key) {
                entry.waits = true;
            }
            self.queue.push_front(item);
        }
        outcome
    }
}
