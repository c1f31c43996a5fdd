//! The bytes between the nodes. Every number is in network byte order; times are milliseconds ago,
//! never dates.
//!
//! Each message begins with the same head:
//!
//! ```text
//!   0       1       2       3       4                               8
//! +-------+-------+---------------+-------------------------------+
//! | kind  | table |    records    |            serial             |
//! +-------+-------+---------------+-------------------------------+
//! |           answers             |                               .
//! +-------------------------------+           applied             .
//! .                               |  body ...
//! +-------------------------------+
//! ```
//!
//! *records* counts what the body repeats (records, keys, ordinals, tables, groups): a body cut
//! between two of them is no message. *serial* is the sender's last ROLE, *answers* the receiver's last ROLE that the sender has read:
//! together the pair. *applied* counts the receiver's counted records that the sender has handled in
//! this pair. Bodies:
//!
//! ```text
//!  1 HELLO     version 16, run 64, node 64, (table 8, incarnation 64, name n 8 ..., preface n 16 ...) ...
//!  2 ROLE      (group n 8 ...) ...                     active groups of the sender
//!  3 OFFER     record ...                              counted; follower to decider
//!  4 OFFERED                                           the offer has ended
//!  5 BEGIN     number 32, records 64                   decider to follower
//!  6 RECORDS   record ...                              counted but for SAME; snapshot and live, either way
//!  7 END       number 32                               counted
//!  8 REQUEST   (how 8, key n 8 ...) ...                how: 0 send it, 1 deleted here, 2 the table by value,
//!                                                      alone and without a key; nothing: the table
//!  9 ACK       applied 64, ordinal 64 ...          verdicts so far; ordinals that were refused, ascending
//! 10 LATEST    record ...                              not counted
//! 11 DRAIN     id 32
//! 12 DRAINED   id 32
//! 13 AGAIN     garbage 32                              messages dropped since the channel is up
//! 14 COUNT     records 64, refused 32                  for people
//! 15 COMMIT    generation 32, (table 8, flags 8, digest 64) ...   counted for each table: all of it was sent, up to
//!                                                      a whole state; the digest of all records
//!
//! record
//! +-------+------------------+-------+---------+---------+-----------+
//! | flags | age ms 32 if AGE | key n | key ... | value n | value ... |
//! +-------+------------------+-------+---------+---------+-----------+
//!     8                          8               16 bits
//!   flags: 1 SHARED, 2 CHANGED, 4 AGE, 8 GONE (no value), 16 SAME (a digest of 64 bits as value,
//!          without its length), 32 CORRECTION (an answer to a refused change: never answered)
//!
//! flags of a table in COMMIT: 1 REPLACED (one list takes the place of another), 2 PART (more than fits was sent: it
//!          counts without the rest), 4 LIST (the table is one list as a whole), 8 ASKING (the sender has asked for all)
//! ```
//!
//! The parser takes any bytes without a panic: [`Message::parse`]. A message that parses consists of
//! its own bytes: what [`Message`] says is all that was in it.

mod reader;

use std::fmt;

pub use reader::Reader;

/// Bytes of the longest message; the channel takes 64 KiB.
pub const MESSAGE_MAX: usize = 60_000;
/// Bytes of the longest key.
pub const KEY_MAX: usize = 255;
/// Bytes of the longest value.
pub const VALUE_MAX: usize = 8_192;
/// Counted records of one message at most: what a store takes in one go.
pub const RECORDS_MAX: usize = 1_024;
/// First byte of messages that a plugin may send beside the replica's: no kind of the replica's is
/// ever as great.
pub const OWN: u8 = 128;
/// Version of the protocol, in HELLO.
pub const VERSION: u16 = 1;

pub(crate) const HEAD: usize = 20;

/// Flags of a record on the wire.
pub mod flag {
    /// The receiver has acknowledged the record.
    pub const SHARED: u8 = 1;
    /// Changed by the sender's node since it was last equal.
    pub const CHANGED: u8 = 2;
    /// The age of the change is there.
    pub const AGE: u8 = 4;
    /// The record is deleted; there is no value.
    pub const GONE: u8 = 8;
    /// The value is a digest.
    pub const SAME: u8 = 16;
    /// An answer to a change that was refused.
    pub const CORRECTION: u8 = 32;
    pub(super) const ALL: u8 = 63;
}

/// Flags of a table in COMMIT.
pub mod commit {
    /// The records take the place of what was there, as one list.
    pub const REPLACED: u8 = 1;
    /// More was sent than may be on its way: it counts without the rest.
    pub const PART: u8 = 2;
    /// The table is one list as a whole.
    pub const LIST: u8 = 4;
    /// The sender has asked for all of the receiver's records: its own do not refer to them.
    pub const ASKING: u8 = 8;
    pub(super) const ALL: u8 = 15;
}

/// Why bytes are not a message, or a record is not one of its table. Always the sender's fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// Fewer bytes than announced.
    Short,
    /// Bytes after the end, or more than a message may have.
    Long,
    /// Unknown kind of message.
    Kind(u8),
    /// A field that no sender writes.
    Field(&'static str),
    /// A table that neither HELLO names.
    Table(u8),
    /// A message that has no place in the present state.
    Order(&'static str),
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Short => f.write_str("message is too short"),
            Self::Long => f.write_str("message is too long"),
            Self::Kind(kind) => write!(f, "message has unknown kind {kind}"),
            Self::Field(field) => write!(f, "message has an invalid {field}"),
            Self::Table(table) => write!(f, "message names unknown table {table}"),
            Self::Order(what) => write!(f, "message {what} comes out of turn"),
        }
    }
}

impl std::error::Error for Malformed {}

/// The first bytes of each message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// Index of the table, 0 for messages of none.
    pub table: u8,
    /// Serial of the sender's last ROLE.
    pub serial: u32,
    /// Serial of the receiver's ROLE that the sender answers.
    pub answers: u32,
    /// Counted records of the receiver that the sender has handled.
    pub applied: u64,
}

/// What a message says, borrowed from its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body<'b> {
    /// The sender introduces itself.
    Hello(Hello<'b>),
    /// Groups that are active at the sender.
    Role(Vec<&'b str>),
    /// Records that the decider may not know.
    Offer(Records<'b>),
    /// The offer has ended.
    Offered,
    /// A snapshot begins.
    Begin {
        /// Number of the snapshot, for logs.
        number: u32,
        /// Records of the sender's table.
        records: u64,
    },
    /// Records of a snapshot, or changes.
    Records(Records<'b>),
    /// A snapshot has ended.
    End {
        /// Number of the snapshot.
        number: u32,
    },
    /// Keys to be sent again; none: the whole table.
    Request(Keys<'b>),
    /// Verdicts.
    Ack {
        /// Counted records with a verdict, from the first on.
        applied: u64,
        /// Ordinals of those refused since the last ACK, ascending.
        ordinals: Ordinals<'b>,
    },
    /// Newest values, not counted.
    Latest(Records<'b>),
    /// The sender waits for the verdicts of all before this.
    Drain {
        /// Number of the drain.
        id: u32,
    },
    /// All before that DRAIN has its verdict.
    Drained {
        /// Number of the drain.
        id: u32,
    },
    /// The sender has dropped garbage.
    Again {
        /// Messages dropped since the channel is up.
        garbage: u32,
    },
    /// For people.
    Count {
        /// Records of the sender's table.
        records: u64,
        /// Records that the sender's store refused.
        refused: u32,
    },
    /// What was sent of these tables is whole.
    Commit {
        /// The state's number at the sender's store.
        generation: u32,
        /// Each table.
        tables: Vec<CommitTable>,
    },
}

/// Who the sender is, and what tables it has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello<'b> {
    /// Version of the protocol.
    pub version: u16,
    /// Run of the process: random, new at each start.
    pub run: u64,
    /// Key of the node: the greater one decides where roles do not.
    pub node: u64,
    /// Tables that are ready.
    pub tables: Vec<HelloTable<'b>>,
}

/// One table in a HELLO.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HelloTable<'b> {
    /// Index in later messages of the sender.
    pub id: u8,
    /// Incarnation of the store.
    pub incarnation: u64,
    /// Name, the same on both nodes.
    pub name: &'b str,
    /// What has to fit before records are exchanged.
    pub preface: &'b [u8],
}

/// One table in a COMMIT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CommitTable {
    /// Index of the table at the sender.
    pub table: u8,
    /// See [`commit`].
    pub flags: u8,
    /// Digest of all records of the sender.
    pub digest: u64,
}

/// A message as it was received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message<'b> {
    /// The first bytes.
    pub head: Head,
    /// The rest.
    pub body: Body<'b>,
}

/// One record on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'b> {
    /// See [`flag`].
    pub flags: u8,
    /// Milliseconds since the change, where they are known.
    pub age_ms: Option<u32>,
    /// The key's bytes.
    pub key: &'b [u8],
    /// The value; of SAME the digest's bytes, of GONE none.
    pub value: &'b [u8],
}

impl Record<'_> {
    /// Whether a flag is set.
    pub fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// Digest of a SAME record.
    pub fn digest(&self) -> u64 {
        self.value.try_into().map_or(0, u64::from_be_bytes)
    }
}

/// Records of a message, all checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Records<'b> {
    bytes: &'b [u8],
    /// Modulo 2^16, as in the head.
    count: u16,
}

impl<'b> Iterator for Records<'b> {
    type Item = Record<'b>;

    fn next(&mut self) -> Option<Record<'b>> {
        let mut reader = Reader(self.bytes);
        let record = reader.record().ok()?;
        self.bytes = reader.0;
        Some(record)
    }
}

/// Keys of a REQUEST, all checked: how (0 send it, 1 deleted here, 2 the whole table by value) and the key's bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keys<'b> {
    bytes: &'b [u8],
    count: u16,
}

impl<'b> Iterator for Keys<'b> {
    type Item = (u8, &'b [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let mut reader = Reader(self.bytes);
        let key = (reader.u8().ok()?, reader.short().ok()?);
        self.bytes = reader.0;
        Some(key)
    }
}

/// Ordinals of an ACK.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ordinals<'b>(&'b [u8]);

impl Iterator for Ordinals<'_> {
    type Item = u64;

    fn next(&mut self) -> Option<u64> {
        let (first, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u64::from_be_bytes(*first))
    }
}

pub(crate) mod kind {
    pub const HELLO: u8 = 1;
    pub const ROLE: u8 = 2;
    pub const OFFER: u8 = 3;
    pub const OFFERED: u8 = 4;
    pub const BEGIN: u8 = 5;
    pub const RECORDS: u8 = 6;
    pub const END: u8 = 7;
    pub const REQUEST: u8 = 8;
    pub const ACK: u8 = 9;
    pub const LATEST: u8 = 10;
    pub const DRAIN: u8 = 11;
    pub const DRAINED: u8 = 12;
    pub const AGAIN: u8 = 13;
    pub const COUNT: u8 = 14;
    pub const COMMIT: u8 = 15;
}

pub(crate) mod how {
    pub const SEND: u8 = 0;
    pub const DELETED: u8 = 1;
    pub const VALUES: u8 = 2;
}
