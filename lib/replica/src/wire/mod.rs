//! The bytes between the nodes. All numbers are in network byte order; times are ages in milliseconds, never dates.
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
//! *records* counts the repeated parts of the body (records, keys, ordinals, tables, groups): a body cut
//! between two of them is not a message. *serial* is the sender's last ROLE, *answers* the receiver's last ROLE
//! that the sender has read: together they are the pair. *applied* counts the receiver's counted records that the
//! sender has handled in this pair. Bodies:
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
//! [`Message::parse`] takes any bytes without a panic. A parsed [`Message`] describes all of its bytes.

mod reader;

use std::fmt;

pub use reader::Reader;

/// Length of the longest message, in bytes; the channel takes 64 KiB.
pub const MESSAGE_MAX: usize = 60_000;
/// Length of the longest key, in bytes.
pub const KEY_MAX: usize = 255;
/// Length of the longest value, in bytes.
pub const VALUE_MAX: usize = 8_192;
/// Maximum number of counted records in one message: as many as a store takes in one call.
pub const RECORDS_MAX: usize = 1_024;
/// Smallest first byte of messages that a plugin may send along with the replica's: no kind of the replica reaches it.
pub const OWN: u8 = 128;
/// Version of the protocol, in HELLO.
pub const VERSION: u16 = 1;

pub(crate) const HEAD: usize = 20;

/// Flags of a record on the wire.
pub mod flag {
    /// The receiver has acknowledged the record.
    pub const SHARED: u8 = 1;
    /// The sender's node changed the record since both nodes last had the same value.
    pub const CHANGED: u8 = 2;
    /// The age of the change is present.
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
    /// The records replace the former ones, as one list.
    pub const REPLACED: u8 = 1;
    /// More records are due than may be sent without a verdict: those sent count without the rest.
    pub const PART: u8 = 2;
    /// The table is one list as a whole.
    pub const LIST: u8 = 4;
    /// The sender has requested all of the receiver's records: its own do not refer to them.
    pub const ASKING: u8 = 8;
    pub(super) const ALL: u8 = 15;
}

/// Reason why bytes are not a message, or a record is not one of its table. Always the sender's fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// Fewer bytes than announced.
    Short,
    /// Bytes after the end, or more than a message may have.
    Long,
    /// Unknown kind of message.
    Kind(u8),
    /// A field with a value that no sender writes.
    Field(&'static str),
    /// A table that is in neither HELLO.
    Table(u8),
    /// A message that is not allowed in the present state.
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

/// Head of each message: its first bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// Index of the table, 0 for messages that concern no single table.
    pub table: u8,
    /// Serial of the sender's last ROLE.
    pub serial: u32,
    /// Serial of the receiver's ROLE that the sender answers.
    pub answers: u32,
    /// Number of the receiver's counted records that the sender has handled.
    pub applied: u64,
}

/// Content of a message, borrowed from its bytes.
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
        /// Number of records in the sender's table.
        records: u64,
    },
    /// Records of a snapshot, or changes.
    Records(Records<'b>),
    /// A snapshot has ended.
    End {
        /// Number of the snapshot.
        number: u32,
    },
    /// Keys to be sent again; without any, the whole table.
    Request(Keys<'b>),
    /// Verdicts of the sender.
    Ack {
        /// Number of counted records with a verdict, from the first on.
        applied: u64,
        /// Ordinals of the records refused since the last ACK, ascending.
        ordinals: Ordinals<'b>,
    },
    /// Newest values, not counted.
    Latest(Records<'b>),
    /// The sender waits for the verdicts on everything before this message.
    Drain {
        /// Number of the drain.
        id: u32,
    },
    /// Everything before that DRAIN has its verdict.
    Drained {
        /// Number of the drain.
        id: u32,
    },
    /// The sender has dropped garbage.
    Again {
        /// Number of messages dropped since the channel is up.
        garbage: u32,
    },
    /// Numbers for people.
    Count {
        /// Number of records in the sender's table.
        records: u64,
        /// Number of records that the sender's store refused.
        refused: u32,
    },
    /// The records sent for these tables are a whole state.
    Commit {
        /// Number of the state at the sender's store.
        generation: u32,
        /// Tables that the message ends.
        tables: Vec<CommitTable>,
    },
}

/// Identity of the sender, and its tables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello<'b> {
    /// Version of the protocol.
    pub version: u16,
    /// Run of the process: random, new at each start.
    pub run: u64,
    /// Key of the node: the greater one decides if the roles do not.
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
    /// Data that has to match before records are exchanged.
    pub preface: &'b [u8],
}

/// One table in a COMMIT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CommitTable {
    /// Index of the table at the sender.
    pub table: u8,
    /// Flags of [`commit`].
    pub flags: u8,
    /// Digest of all records of the sender.
    pub digest: u64,
}

/// A message as it was received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message<'b> {
    /// Head of the message.
    pub head: Head,
    /// Body of the message.
    pub body: Body<'b>,
}

/// One record on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'b> {
    /// Flags of [`flag`].
    pub flags: u8,
    /// Milliseconds since the change, if known.
    pub age_ms: Option<u32>,
    /// Bytes of the key.
    pub key: &'b [u8],
    /// Bytes of the value; for SAME those of the digest, for GONE none.
    pub value: &'b [u8],
}

impl Record<'_> {
    /// True if a flag is set.
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
    /// Number of records modulo 2^16, as in the head.
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
