//! Lease files as the servers write them.

use crate::lease::{Change, Clock, Set};

/// Whose files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Kea4,
    Kea6,
    Dnsmasq,
    Dhcpd4,
    Dhcpd6,
}

impl Format {
    /// The server appends to its file, the last entry of an address counts; the others write it
    /// anew for each commit.
    pub fn is_journal(self) -> bool {
        self != Self::Dnsmasq
    }
}

/// What some bytes of a file said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// In the file's order.
    pub changes: Vec<Change>,
    pub identity: Option<Vec<u8>>,
    /// Entries that could not be read, and were passed over.
    pub skipped: u32,
    /// The first of those, in a sentence with its line.
    pub why: Option<String>,
}

/// Reads a file piece by piece; an entry that is not complete waits for the rest of it.
#[derive(Debug)]
pub struct Reader {
    format: Format,
}

impl Reader {
    pub fn new(format: Format) -> Self {
        Self { format }
    }

    pub fn feed(&mut self, bytes: &[u8], clock: Clock) -> Found {
        let _ = (bytes, clock, self.format);
        todo!()
    }

    /// Bytes that wait for the rest of their entry: a torn tail, at the end of a file.
    pub fn unread(&self) -> usize {
        todo!()
    }
}

/// The whole file for `set`. `before` is the file that is replaced, for what is to be kept of it
/// (columns of Kea's header, the byte order of dhcpd).
pub fn write(format: Format, set: &Set, before: &[u8], clock: Clock) -> Vec<u8> {
    let _ = (format, set, before, clock);
    todo!()
}
