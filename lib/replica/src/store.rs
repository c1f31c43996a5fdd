//! The place of the values: the trait that a plugin implements, and the tag in its records.

use std::fmt;
use std::hash::Hash;

use crate::buffer::Value;
use crate::sink::Sink;
use crate::wire::{Malformed, Reader};

/// Index of a table in [`Config::tables`](crate::Config::tables). The order counts: waiting records
/// of earlier tables are sent first, in snapshots as in changes.
pub type Table = usize;

/// A stamp of the last snapshot that named a record. Local: the peer never chooses it.
pub type Mark = u8;

/// Key of a record, the same on both nodes, readable by `Display`.
pub trait Key: Clone + Eq + Hash + fmt::Debug + fmt::Display {
    /// Writes the key, the same bytes on both nodes, at most
    /// [`KEY_MAX`](crate::wire::KEY_MAX).
    fn write(&self, out: &mut Value<'_>);

    /// Reads a key.
    ///
    /// # Errors
    /// The peer's bytes are not a key of this table.
    fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed>;
}

/// The replica's data in each record of the store: two bytes, zero in a new record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tag {
    pub(crate) mark: Mark,
    pub(crate) flags: u8,
}

impl Tag {
    pub(crate) const SHARED: u8 = 1;
    pub(crate) const CHANGED: u8 = 2;
    pub(crate) const STRAY: u8 = 4;
    pub(crate) const REFUSED: u8 = 8;

    /// The stamp.
    pub fn mark(self) -> Mark {
        self.mark
    }

    /// The peer has acknowledged the record, in this value or an earlier one.
    pub fn is_shared(self) -> bool {
        self.flags & Self::SHARED != 0
    }

    /// Changed here since both nodes last had the same.
    pub fn is_changed(self) -> bool {
        self.flags & Self::CHANGED != 0
    }

    /// Tag of a record that both nodes had in an earlier run of this process: see
    /// [`recall`](crate::Replica::recall).
    pub fn recalled() -> Self {
        Self {
            mark: 0,
            flags: Self::SHARED,
        }
    }

    /// The peer's store refused the record.
    pub fn is_refused(self) -> bool {
        self.flags & Self::REFUSED != 0
    }

    pub(crate) fn has(self, flags: u8) -> bool {
        self.flags & flags != 0
    }

    pub(crate) fn set(&mut self, flags: u8) {
        self.flags |= flags;
    }

    pub(crate) fn clear(&mut self, flags: u8) {
        self.flags &= !flags;
    }

    /// Both nodes have the same.
    pub(crate) fn equal(&mut self) {
        self.flags = Self::SHARED;
    }
}

/// Progress of a walk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The sink is full; the walk continues at the cursor.
    More,
    /// Nothing more for now: a dump is under way. The store's owner calls
    /// [`poll_message`](crate::Replica::poll_message) when there is more.
    Pending,
    /// That was the last record.
    Done,
}

/// Result of applying a record of the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applied {
    /// It is in the store.
    Done,
    /// It was there already.
    Same,
    /// The verdict comes later, by [`verdict`](crate::Replica::verdict) with the token.
    Later,
    /// The store refuses it: it is full, or the kernel or server behind it refused.
    Refused,
}

/// Token of a record whose verdict comes later; invalid after the channel went down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Token {
    pub(crate) pair: u64,
    pub(crate) ordinal: u64,
}

/// A whole state of a table, to be put in force at once: [`Store::commit`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Commit {
    /// The table.
    pub table: Table,
    /// Token of the verdict.
    pub token: Token,
    /// The state's number at the peer's store.
    pub generation: u32,
    /// It is a list, not single records: all of it is put in force or nothing, and nothing if others have
    /// changed what is there meanwhile.
    pub is_list: bool,
}

/// Who may change a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Authority {
    /// This node alone: a change of the peer is refused and answered with the value here.
    Ours,
    /// The peer alone.
    Peers,
    /// Either; the decider's order counts.
    Both,
}

/// Treatment of changes that a backup makes by itself while the other node is active.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strays {
    /// They are undone: the active node's value is requested.
    Undo,
    /// They count like any other change.
    Offer,
}

/// A change on this node that the replica did not make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// The record is new, or has another value.
    Put,
    /// Somebody deleted it.
    Deleted,
    /// It expired, as the peer's copy will: never sent as a deletion.
    Ended,
}

/// The place of the records of all tables.
///
/// The replica calls these from within its own methods and never holds a record itself. The owner
/// reports records that the store drops or adds by itself with
/// [`changed`](crate::Replica::changed), but not the effects of [`apply`](Self::apply) and
/// [`delete`](Self::delete).
pub trait Store {
    /// Key of a record. Tables with different keys share an enum.
    type Key: Key;
    /// Position in a table: a key, or the number of a bucket. The default is the beginning.
    type Cursor: Default + fmt::Debug;

    /// Life of the table: absence is a deletion only within it. None: the table is not there, or
    /// not read yet.
    ///
    /// A set: boot, handles of table and set. A file: device, inode, generation. A table of the
    /// kernel: boot. When it changes, records of the old life are forgotten without `changed`, and
    /// those of the new one are there with a new [`Tag`] before `incarnation` returns the new number.
    fn incarnation(&self, table: Table) -> Option<u64>;

    /// Number of records, for people.
    fn len(&self, table: Table) -> usize;

    /// Pushes records to the sink from the cursor on, until the sink is full
    /// ([`Sink::record`] returns false) or nothing is left. Every record that is there from the
    /// walk's beginning to its end is pushed once; others may be.
    fn snapshot(
        &mut self,
        table: Table,
        at: &mut Self::Cursor,
        sink: &mut Sink<'_, Self::Key>,
    ) -> Step;

    /// Writes a record's value; false if there is none with that key.
    fn encode(&mut self, table: Table, key: &Self::Key, out: &mut Value<'_>) -> bool;

    /// Puts a record of the peer. A new record has a new tag, one that was there keeps its tag.
    ///
    /// # Errors
    /// The value is none of this table.
    fn apply(
        &mut self,
        table: Table,
        key: &Self::Key,
        value: &[u8],
        token: Token,
    ) -> Result<Applied, Malformed>;

    /// Deletes a record, if it is there.
    fn delete(&mut self, table: Table, key: &Self::Key);

    /// A record's tag; None if it is not there.
    fn tag(&mut self, table: Table, key: &Self::Key) -> Option<&mut Tag>;

    /// Whether the record there says the same as this value, but for what time alone changes.
    fn holds(&self, table: Table, key: &Self::Key, value: &[u8]) -> bool;

    /// Digest of a record's value, the same on both nodes if [`holds`](Self::holds) would be true;
    /// None: always sent by value.
    fn digest(&self, table: Table, key: &Self::Key) -> Option<u64>;

    /// Appends keys of records whose stamp is not `mark`, from the cursor on; looks at `limit`
    /// records at most. Returns whether the end was reached.
    fn stale(
        &mut self,
        table: Table,
        mark: Mark,
        at: &mut Self::Cursor,
        limit: usize,
        keys: &mut Vec<Self::Key>,
    ) -> bool;

    /// What has to fit on both nodes before records are exchanged: a set's type, the kernel's
    /// layout. Up to 1 kB.
    fn preface(&self, _table: Table, _out: &mut Value<'_>) {}

    /// Whether the peer's preface fits; the error is a sentence without the table's name.
    ///
    /// # Errors
    /// It does not fit.
    fn accept(&mut self, _table: Table, _preface: &[u8]) -> Result<(), String> {
        Ok(())
    }

    /// Whether the peer's offered value wins over the record here or its absence, if the values
    /// themselves tell which is later. Called by the decider for each offered record that differs;
    /// None: flags and ages of changes decide, and the loss of a value is counted as a conflict.
    fn prefers(&mut self, _table: Table, _key: &Self::Key, _offered: &[u8]) -> Option<bool> {
        None
    }

    /// Who may change a record; the key need not be there.
    fn authority(&self, _table: Table, _key: &Self::Key) -> Authority {
        Authority::Both
    }

    /// Treatment of a backup's own changes.
    fn strays(&self, _table: Table) -> Strays {
        Strays::Undo
    }

    /// Records that may be applied now. Below [`RECORDS_MAX`](crate::wire::RECORDS_MAX) the owner
    /// stops to read ([`wants`](crate::Replica::wants)), and the full channel slows the peer down.
    fn room(&self) -> usize {
        usize::MAX
    }

    /// Records that the store has, but whose owner could not write them where they belong: they
    /// count as refused here.
    fn refused(&self, _table: Table) -> u32 {
        0
    }

    /// A reason outside the replica why the table is not in sync, as a sentence without the table's
    /// name.
    fn shortage(&self, _table: Table) -> Option<String> {
        None
    }

    /// Whether the table takes whole states only: records of the peer wait in the store, and are
    /// what its other methods show, until [`commit`](Self::commit) or
    /// [`abandon`](Self::abandon).
    fn is_whole(&self, _table: Table) -> bool {
        false
    }

    /// Whether the records are a state that others made: not half of a change, nor of a reading.
    fn is_exact(&self, _table: Table) -> bool {
        true
    }

    /// Whether the store has all that others did there, as far as it can be told: no list is put in force while
    /// it has not.
    fn is_known(&self, _table: Table) -> bool {
        true
    }

    /// Number of the present state, for people.
    fn generation(&self) -> u32 {
        0
    }

    /// Digest of all records that are in force, the same on both nodes if [`digest`](Self::digest) of each is.
    /// Records that end by themselves do not count.
    fn state(&self, _table: Table) -> u64 {
        0
    }

    /// The same as if what waits were in force.
    fn staged_state(&self, _table: Table) -> u64 {
        0
    }

    /// Whether the table is one list as a whole: the decider takes no single record that the other
    /// node offers, no absence there deletes one, and nothing is put in force whose digest is not the
    /// decider's.
    fn is_list(&self, _table: Table) -> bool {
        false
    }

    /// The peer says that it is one.
    fn take_list(&mut self, _table: Table) {}

    /// Puts in force what waits of these tables, all at once. The verdict on each comes by its token,
    /// after those of its records.
    fn commit(&mut self, _commits: &[Commit]) {}

    /// Drops what waits: what is in force stays. Returns the tokens of the dropped records. `is_cut` says that
    /// its end did not come: people have to know.
    fn abandon(&mut self, _table: Table, _is_cut: bool) -> Vec<Token> {
        Vec::new()
    }

    /// Writes the newest value of the lane "latest only"; false if there is none.
    fn encode_latest(&mut self, _table: Table, _key: &Self::Key, _out: &mut Value<'_>) -> bool {
        false
    }

    /// Takes a newest value of the peer.
    ///
    /// # Errors
    /// The value is none of this table.
    fn apply_latest(
        &mut self,
        _table: Table,
        _key: &Self::Key,
        _value: &[u8],
    ) -> Result<(), Malformed> {
        Ok(())
    }
}
