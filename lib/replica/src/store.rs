//! The place of the values: the trait that a plugin implements, and the tag in its records.

use std::fmt;
use std::hash::Hash;

use crate::buffer::ValueWriter;
use crate::sink::Sink;
use crate::wire::{Malformed, Reader};

/// Index of a table in [`Config::tables`](crate::Config::tables). The order counts: pending records of earlier tables
/// are sent first, in snapshots as in changes.
pub type Table = usize;

/// Stamp of the last snapshot that named a record. It is local: the peer never chooses it.
pub type Stamp = u8;

/// Key of a record, the same on both nodes, readable by `Display`.
pub trait Key: Clone + Eq + Hash + fmt::Debug + fmt::Display {
    /// Writes the key, the same bytes on both nodes, at most [`KEY_MAX`](crate::wire::KEY_MAX).
    fn write(&self, out: &mut ValueWriter<'_>);

    /// Reads a key.
    ///
    /// # Errors
    /// The peer's bytes are not a key of this table.
    fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed>;
}

/// The replica's data in each record of the store: two bytes, zero in a new record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tag {
    pub(crate) stamp: Stamp,
    pub(crate) flags: u8,
}

impl Tag {
    pub(crate) const SHARED: u8 = 1;
    pub(crate) const CHANGED: u8 = 2;
    pub(crate) const STRAY: u8 = 4;
    pub(crate) const REFUSED: u8 = 8;

    /// Stamp of the last snapshot that named the record.
    pub fn stamp(self) -> Stamp {
        self.stamp
    }

    /// True if the peer has acknowledged the record, in this value or an earlier one.
    pub fn is_shared(self) -> bool {
        self.flags & Self::SHARED != 0
    }

    /// True if this node changed the record since both nodes last had the same value.
    pub fn is_changed(self) -> bool {
        self.flags & Self::CHANGED != 0
    }

    /// Tag of a record that both nodes had in an earlier run of this process: see
    /// [`recall`](crate::Replica::recall).
    pub fn recalled() -> Self {
        Self {
            stamp: 0,
            flags: Self::SHARED,
        }
    }

    /// True if the peer's store refused the record.
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

    /// Notes that both nodes have the same value.
    pub(crate) fn equal(&mut self) {
        self.flags = Self::SHARED;
    }
}

/// Progress of a walk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The sink is full; the walk continues at the cursor.
    More,
    /// Nothing more for now: a dump is in progress. The store's owner calls
    /// [`poll_message`](crate::Replica::poll_message) when there is more.
    Pending,
    /// The last record was pushed.
    Done,
}

/// Result of applying a record of the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applied {
    /// The record is in the store.
    Done,
    /// The record was there already, with the same value.
    Same,
    /// The verdict comes later, by [`verdict`](crate::Replica::verdict) with the token.
    Later,
    /// The store refuses the record: it is full, or the kernel or server behind it refused.
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
    /// Index of the table.
    pub table: Table,
    /// Token of the verdict.
    pub token: Token,
    /// Number of the state at the peer's store.
    pub generation: u32,
    /// True if the state is a list, not single records: all of it is put in force, or nothing if others have changed
    /// the table meanwhile.
    pub is_list: bool,
}

/// Nodes that may change a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Authority {
    /// This node alone: a change of the peer is refused and answered with the value here.
    Ours,
    /// The peer alone.
    Peers,
    /// Both nodes; if they differ, the decider's value counts.
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
    /// The record was deleted.
    Deleted,
    /// The record expired, as the peer's copy will: never sent as a deletion.
    Expired,
}

/// Body of [`Store::stale`] for a store whose cursor is a key. `records` follow the cursor in the order of keys, with
/// true for those that have another stamp.
pub fn stale_of<K: Clone>(
    records: impl Iterator<Item = (K, bool)>,
    at: &mut Option<K>,
    limit: usize,
    keys: &mut Vec<K>,
) -> bool {
    let mut examined = 0;
    for (key, is_stale) in records.take(limit) {
        if is_stale {
            keys.push(key.clone());
        }
        *at = Some(key);
        examined += 1;
    }
    examined < limit
}

/// The place of the records of all tables.
///
/// The replica calls these methods from within its own and never keeps a record. The owner reports records that the
/// store drops or adds by itself with [`changed`](crate::Replica::changed), but not the effects of
/// [`apply`](Self::apply) and [`delete`](Self::delete).
pub trait Store {
    /// Key of a record. Tables with different keys share an enum.
    type Key: Key;
    /// Position in a table: a key, or the number of a bucket. The default is the beginning.
    type Cursor: Default + fmt::Debug;

    /// Incarnation of the table: absence is a deletion only within it. None: the table does not exist, or is not read
    /// yet.
    ///
    /// Examples: for a set the boot and the handles of table and set; for a file device, inode and generation; for a
    /// table of the kernel the boot. When it changes, records of the old incarnation are forgotten without `changed`,
    /// and those of the new one have a new [`Tag`] before `incarnation` returns the new number.
    fn incarnation(&self, table: Table) -> Option<u64>;

    /// Number of records, for people.
    fn len(&self, table: Table) -> usize;

    /// Pushes records to the sink from the cursor on, until the sink is full ([`Sink::record`] returns false) or
    /// nothing is left. Each record that exists during the whole walk is pushed once; others may be.
    fn snapshot(
        &mut self,
        table: Table,
        at: &mut Self::Cursor,
        sink: &mut Sink<'_, Self::Key>,
    ) -> Step;

    /// Writes a record's value; false if no record has that key.
    fn encode(&mut self, table: Table, key: &Self::Key, out: &mut ValueWriter<'_>) -> bool;

    /// Puts a record of the peer. A new record has a new tag, an existing one keeps its tag.
    ///
    /// # Errors
    /// The bytes are not a value of this table.
    fn apply(
        &mut self,
        table: Table,
        key: &Self::Key,
        value: &[u8],
        token: Token,
    ) -> Result<Applied, Malformed>;

    /// Deletes a record, if it exists.
    fn delete(&mut self, table: Table, key: &Self::Key);

    /// A record's tag; None if the record does not exist.
    fn tag(&mut self, table: Table, key: &Self::Key) -> Option<&mut Tag>;

    /// True if the record here equals this value, apart from parts that change with time alone.
    fn holds(&self, table: Table, key: &Self::Key, value: &[u8]) -> bool;

    /// Digest of a record's value, the same on both nodes if [`holds`](Self::holds) would be true; None: the record is
    /// always sent by value.
    fn digest(&self, table: Table, key: &Self::Key) -> Option<u64>;

    /// Appends keys of records whose stamp is not `stamp`, from the cursor on; examines at most `limit` records. Returns
    /// true if the end was reached.
    fn stale(
        &mut self,
        table: Table,
        stamp: Stamp,
        at: &mut Self::Cursor,
        limit: usize,
        keys: &mut Vec<Self::Key>,
    ) -> bool;

    /// Writes what has to match on both nodes before records are exchanged: a set's type, the kernel's layout. Up to 1
    /// kB.
    fn preface(&self, _table: Table, _out: &mut ValueWriter<'_>) {}

    /// Checks whether the peer's preface is acceptable; the error is a sentence without the table's name.
    ///
    /// # Errors
    /// The preface is not acceptable.
    fn check_preface(&mut self, _table: Table, _preface: &[u8]) -> Result<(), String> {
        Ok(())
    }

    /// True if the peer's offered value wins over the record here, or over its absence, for values that tell which one
    /// is later. The decider calls it for each offered record that differs. None: flags and ages of changes decide, and
    /// the loss of a value is counted as a conflict.
    fn prefers(&mut self, _table: Table, _key: &Self::Key, _offered: &[u8]) -> Option<bool> {
        None
    }

    /// Nodes that may change a record; the record need not exist.
    fn authority(&self, _table: Table, _key: &Self::Key) -> Authority {
        Authority::Both
    }

    /// Treatment of a backup's own changes.
    fn strays(&self, _table: Table) -> Strays {
        Strays::Undo
    }

    /// Number of records that may be applied now. Below [`RECORDS_MAX`](crate::wire::RECORDS_MAX) the owner stops
    /// reading ([`can_receive`](crate::Replica::can_receive)), and the full channel slows the peer down. This delays
    /// messages and bounds no rate: the SDK delivers one that has waited for 40 ms.
    fn room(&self) -> usize {
        usize::MAX
    }

    /// Number of records that the store has but the owner could not write to their place: they count as refused here.
    fn refused(&self, _table: Table) -> u32 {
        0
    }

    /// Reason outside the replica why the table is not in sync, as a sentence without the table's name.
    fn out_of_sync_reason(&self, _table: Table) -> Option<String> {
        None
    }

    /// True if the table accepts whole states only: records of the peer wait in the store until
    /// [`commit`](Self::commit) or [`abandon`](Self::abandon), and the store's other methods already show them.
    fn takes_whole_states(&self, _table: Table) -> bool {
        false
    }

    /// True if the records are a complete state: not half of a change, nor of a reading.
    fn is_complete_state(&self, _table: Table) -> bool {
        true
    }

    /// True if the store has all changes by others, as far as can be known: no list is put in force before.
    fn has_all_changes(&self, _table: Table) -> bool {
        true
    }

    /// Number of the present state, for people.
    fn generation(&self) -> u32 {
        0
    }

    /// Digest of all records in force, the same on both nodes if the [`digest`](Self::digest) of each record is.
    /// Records that expire do not count.
    fn state_digest(&self, _table: Table) -> u64 {
        0
    }

    /// Digest of all records as if the waiting ones were in force.
    fn staged_digest(&self, _table: Table) -> u64 {
        0
    }

    /// True if the table is one list as a whole: the decider takes no single record that the other node offers, no
    /// absence there deletes a record here, and nothing is put in force whose digest is not the decider's.
    fn is_list(&self, _table: Table) -> bool {
        false
    }

    /// Notes that the peer's COMMIT calls the table a list.
    fn set_list(&mut self, _table: Table) {}

    /// Puts the waiting records of these tables in force, all at once. The verdict on each comes by its token, after
    /// those of its records.
    fn commit(&mut self, _commits: &[Commit]) {}

    /// Drops the waiting records: the records in force stay. Returns the tokens of the dropped records. `is_cut` says
    /// that the end of the state did not arrive, which people have to know.
    fn abandon(&mut self, _table: Table, _is_cut: bool) -> Vec<Token> {
        Vec::new()
    }

    /// Writes the newest value of a key on the lane of newest values; false if there is none.
    fn encode_latest(
        &mut self,
        _table: Table,
        _key: &Self::Key,
        _out: &mut ValueWriter<'_>,
    ) -> bool {
        false
    }

    /// Takes a newest value of the peer.
    ///
    /// # Errors
    /// The bytes are not a value of this table.
    fn apply_latest(
        &mut self,
        _table: Table,
        _key: &Self::Key,
        _value: &[u8],
    ) -> Result<(), Malformed> {
        Ok(())
    }
}
