//! The elements of all sets in this node's kernel, which the replica keeps equal.
//!
//! One table of the replica is one set. A record of the peer is in the store at once and in the kernel with the next
//! batch ([`Sets::poll_batch`]), whose result is the verdict ([`Sets::finish`]).

mod certainty;
mod changes;
mod condition;
mod counters;
mod doubt;
mod entry;
mod incarnation;
mod mark;
mod metered;
mod notes;
mod own_transactions;
mod pending;
mod presence;
mod reads;
mod refill;
mod schedule;
mod set;
mod staged_records;
mod table;
mod verdicts;
mod writes;

use spared_replica::wire::RECORDS_MAX;
use spared_replica::{
    Applied, Commit, Malformed, Reader, Sink, Stamp, Step, Store, Strays, Tag, Token, ValueWriter,
    stale_of,
};

pub use crate::element::Key;
use crate::element::Shape;
use crate::wire;
use entry::Entry;

pub use entry::digest;
pub use notes::Note;
pub use reads::Reading;
pub use set::{News, Set};
pub use writes::{Batch, Edit, Outcome, Part, Written};

/// Maximum number of entries of one set that are examined in one call.
const SLICE: usize = 10_000;
/// Number of records waiting to be written beyond which the peer has to wait.
const WAITING_MAX: usize = 8 * RECORDS_MAX;

/// Numbers that distinguish this node's sets from others with the same handles.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// Identifies the kernel's run and the network namespace.
    pub boot: u64,
    /// Identifies this process.
    pub run: u64,
}

/// All sets, in the order of the file.
#[derive(Debug)]
pub struct Sets {
    pub all: Vec<Set>,
    origin: Origin,
    /// Time of the present call.
    pub now_ns: u64,
    /// Generation of the kernel up to which the sets have all changes.
    pub generation: u32,
    /// Set whose changes are offered, on a backup.
    offered: Option<usize>,
}

impl Sets {
    pub fn new(now_ns: u64, all: Vec<Set>, origin: Origin) -> Self {
        Self {
            all,
            origin,
            now_ns,
            generation: 0,
            offered: None,
        }
    }

    /// Continues the search for elements that a reading of a set lacked.
    pub fn scan(&mut self, index: usize) -> Vec<News> {
        let mut news = Vec::new();
        if let Some(set) = self.all.get_mut(index) {
            set.scan(self.now_ns, self.origin, &mut news);
        }
        news
    }

    /// Lets the replica offer the changes of this set, or of none, to the peer.
    pub fn offer(&mut self, set: Option<usize>) {
        self.offered = set;
    }

    /// Next batch for the kernel: the pending changes of all sets, or a portion of the elements that a set created
    /// again lacks.
    pub fn poll_batch(&mut self) -> Option<Batch> {
        let now_ns = self.now_ns;
        let sets = self.all.iter_mut().enumerate();
        let parts = sets.filter_map(|(index, set)| set.poll_part(now_ns, index));
        let parts: Vec<Part> = parts.collect();
        if !parts.is_empty() {
            return Some(Batch { parts });
        }
        let mut sets = self.all.iter_mut().enumerate();
        let part = sets.find_map(|(index, set)| set.poll_refill(now_ns, index))?;
        let parts = vec![part];
        Some(Batch { parts })
    }

    /// Handles the kernel's result of a part of a batch.
    pub fn finish(&mut self, part: Part, written: &Written) -> Outcome {
        let now_ns = self.now_ns;
        match self.all.get_mut(part.set) {
            Some(set) => set.finish(now_ns, part, written),
            None => Outcome::default(),
        }
    }

    pub fn has_writes(&self) -> bool {
        self.all.iter().any(Set::has_writes)
    }
}

impl Store for Sets {
    type Key = Key;
    type Cursor = Option<Key>;

    fn incarnation(&self, table: usize) -> Option<u64> {
        self.all.get(table)?.incarnation()
    }

    fn len(&self, table: usize) -> usize {
        self.all.get(table).map_or(0, |set| set.table.len())
    }

    fn snapshot(&mut self, table: usize, at: &mut Option<Key>, sink: &mut Sink<'_, Key>) -> Step {
        let now_ns = self.now_ns;
        let Some(set) = self.all.get_mut(table) else {
            return Step::Done;
        };
        let (mut last, mut step) = (None, Step::Done);
        // a list is sent as a whole: the peer's deletions count once they are in force
        let is_list = set.is_list();
        for (key, entry) in set.table.range_mut(at.as_ref()) {
            let is_gone = !is_list && set.staged.get(key).is_some_and(Option::is_none);
            if !is_gone && !entry.is_over(now_ns) {
                let (mut tag, digest) = (entry.tag, Some(entry.digest()));
                let taken = sink.record(key, &mut tag, digest, |out| entry.encode(now_ns, out));
                entry.tag = tag;
                if !taken {
                    step = Step::More;
                    break;
                }
            }
            last = Some(key);
        }
        let last = last.cloned();
        if last.is_some() {
            *at = last;
        }
        step
    }

    fn encode(&mut self, table: usize, key: &Key, out: &mut ValueWriter<'_>) -> bool {
        let now_ns = self.now_ns;
        let Some(set) = self.all.get_mut(table) else {
            return false;
        };
        // a change here is newer than a received record
        let entry = match set.table.get_mut(key) {
            Some(entry) => Some(entry),
            None => set.staged.get_mut(key).and_then(Option::as_mut),
        };
        entry.map(|entry| entry.encode(now_ns, out)).is_some()
    }

    fn apply(
        &mut self,
        table: usize,
        key: &Key,
        value: &[u8],
        token: Token,
    ) -> Result<Applied, Malformed> {
        let now_ns = self.now_ns;
        let element = wire::decode(key, value)?;
        let Some(set) = self.all.get_mut(table) else {
            return Ok(Applied::Refused);
        };
        if !set.shape().is_some_and(|shape| shape.fits(key)) {
            return Err(Malformed::Field("key"));
        }
        Ok(if set.take(now_ns, element, token) {
            Applied::Later
        } else {
            Applied::Same
        })
    }

    fn delete(&mut self, table: usize, key: &Key) {
        if let Some(set) = self.all.get_mut(table) {
            set.let_go(key);
        }
    }

    fn tag(&mut self, table: usize, key: &Key) -> Option<&mut Tag> {
        let entry = self.all.get_mut(table)?.shown_mut(key)?;
        Some(&mut entry.tag)
    }

    fn holds(&self, table: usize, key: &Key, value: &[u8]) -> bool {
        let entry = self.entry(table, key);
        let element = wire::decode(key, value).ok();
        entry.is_some_and(|entry| element.is_some_and(|it| entry.is_same(self.now_ns, &it)))
    }

    fn digest(&self, table: usize, key: &Key) -> Option<u64> {
        self.entry(table, key).map(Entry::digest)
    }

    fn stale(
        &mut self,
        table: usize,
        stamp: Stamp,
        at: &mut Option<Key>,
        limit: usize,
        keys: &mut Vec<Key>,
    ) -> bool {
        let Some(set) = self.all.get(table) else {
            return true;
        };
        let from = at.clone();
        let records = set.table.range(from.as_ref()).map(|(key, entry)| {
            let is_stale = entry.tag.stamp() != stamp && set.staged.get(key).is_none();
            (key.clone(), is_stale)
        });
        stale_of(records, at, limit, keys)
    }

    fn preface(&self, table: usize, out: &mut ValueWriter<'_>) {
        if let Some(shape) = self.all.get(table).and_then(Set::shape) {
            out.u32(shape.key_type);
            out.u32(shape.key_len);
            out.u32(shape.data_len);
            let (intervals, metered) = (u8::from(shape.intervals), u8::from(shape.metered));
            let list = u8::from(self.is_list(table));
            out.u8(u8::from(shape.timeouts) | intervals << 1 | metered << 2 | list << 3);
        }
    }

    fn check_preface(&mut self, table: usize, preface: &[u8]) -> Result<(), String> {
        let is_list = preface.last().is_some_and(|flags| flags & 8 != 0);
        if let Some(set) = self.all.get_mut(table).filter(|_| is_list) {
            // a restarted worker does not know this yet
            set.take_list();
        }
        let here = self.all.get(table).and_then(Set::shape);
        let there = read_shape(preface).ok();
        match (here, there) {
            (Some(here), Some(there)) if here == there => Ok(()),
            (Some(here), Some(there)) => {
                Err(format!("has keys {here} here and {there} on the peer"))
            }
            _ => Err("has an unknown type".to_owned()),
        }
    }

    fn strays(&self, table: usize) -> Strays {
        if self.offered == Some(table) {
            Strays::Offer
        } else {
            Strays::Undo
        }
    }

    fn takes_whole_states(&self, _table: usize) -> bool {
        true
    }

    fn is_complete_state(&self, table: usize) -> bool {
        self.all.get(table).is_none_or(Set::is_exact)
    }

    fn has_all_changes(&self, table: usize) -> bool {
        self.all.get(table).is_none_or(Set::is_known)
    }

    fn generation(&self) -> u32 {
        self.generation
    }

    fn state_digest(&self, table: usize) -> u64 {
        self.all.get(table).map_or(0, |set| set.table.sum())
    }

    fn staged_digest(&self, table: usize) -> u64 {
        self.all.get(table).map_or(0, Set::staged_sum)
    }

    fn is_list(&self, table: usize) -> bool {
        self.all.get(table).is_some_and(Set::is_list)
    }

    fn set_list(&mut self, table: usize) {
        if let Some(set) = self.all.get_mut(table) {
            set.take_list();
        }
    }

    fn commit(&mut self, commits: &[Commit]) {
        for commit in commits {
            if let Some(set) = self.all.get_mut(commit.table) {
                set.put_in_force(commit);
            }
        }
    }

    fn abandon(&mut self, table: usize, is_cut: bool) -> Vec<Token> {
        let set = self.all.get_mut(table);
        set.map_or_else(Vec::new, |set| set.abandon(is_cut))
    }

    fn room(&self) -> usize {
        let waiting: usize = self.all.iter().map(|set| set.pending.waiting()).sum();
        WAITING_MAX.saturating_sub(waiting)
    }

    fn refused(&self, table: usize) -> u32 {
        self.all.get(table).map_or(0, Set::refused)
    }

    fn out_of_sync_reason(&self, table: usize) -> Option<String> {
        let set = self.all.get(table)?;
        let refills = set.is_refilling();
        let refill = refills.then(|| "was created again: its elements are put back".to_owned());
        set.condition.reason().or(refill)
    }
}

impl Sets {
    /// Entry that has not expired.
    fn entry(&self, table: usize, key: &Key) -> Option<&Entry> {
        let entry = self.all.get(table)?.shown(key)?;
        (!entry.is_over(self.now_ns)).then_some(entry)
    }
}

fn read_shape(preface: &[u8]) -> Result<Shape, Malformed> {
    let mut reader = Reader(preface);
    let (key_type, key_len) = (reader.u32()?, reader.u32()?);
    let (data_len, flags) = (reader.u32()?, reader.u8()?);
    Ok(Shape {
        key_type,
        key_len,
        data_len,
        timeouts: flags & 1 != 0,
        intervals: flags & 2 != 0,
        metered: flags & 4 != 0,
    })
}
