//! Reads and writes the servers' lease files.
//!
//! A file is read in pieces of any size, in linear time. No bytes cause a panic, and an unreadable entry does not
//! affect others. Only fields that are known here are written, so that a lease from the peer cannot contain anything
//! else.

pub(crate) mod dhcpd;
pub(crate) mod dnsmasq;
mod fits;
pub(crate) mod kea;
mod lines;

pub use fits::{fits, is_identity};

use lines::Lines;

use crate::lease::{Change, Clock, Set};

/// Format of a lease file, by server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Kea4,
    Kea6,
    Dnsmasq,
    Dhcpd4,
    Dhcpd6,
}

impl Format {
    /// Returns true if the server appends to its file, and the last entry for an address counts. The others rewrite it
    /// at each commit.
    pub fn is_journal(self) -> bool {
        self != Self::Dnsmasq
    }
}

/// Parsed contents of a part of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Changes in the file's order.
    pub changes: Vec<Change>,
    pub identity: Option<Vec<u8>>,
    /// Number of unreadable entries, which were skipped.
    pub skipped: u32,
    /// Text about the first of them, with its line.
    pub why: Option<String>,
}

impl Found {
    fn skip(&mut self, line: u64, why: &str) {
        self.skipped = self.skipped.saturating_add(1);
        if self.why.is_none() {
            self.why = Some(format!("line {line}: {why}"));
        }
    }
}

/// Reads a file piece by piece. An incomplete entry waits for its rest.
///
/// Several files of Kea may be fed one after the other, oldest first, since each has a header.
#[derive(Debug)]
pub struct Reader {
    lines: Lines,
    syntax: Syntax,
}

#[derive(Debug)]
enum Syntax {
    Kea(kea::Reader),
    Dnsmasq,
    Dhcpd(dhcpd::Reader),
}

impl Reader {
    pub fn new(format: Format) -> Self {
        let syntax = match format {
            Format::Kea4 => Syntax::Kea(kea::Reader::new(kea::Family::V4)),
            Format::Kea6 => Syntax::Kea(kea::Reader::new(kea::Family::V6)),
            Format::Dnsmasq => Syntax::Dnsmasq,
            Format::Dhcpd4 => Syntax::Dhcpd(dhcpd::Reader::new(dhcpd::Family::V4)),
            Format::Dhcpd6 => Syntax::Dhcpd(dhcpd::Reader::new(dhcpd::Family::V6)),
        };
        Self {
            lines: Lines::default(),
            syntax,
        }
    }

    /// Parses a piece. dnsmasq does not write when it granted a lease: `committed_ns` is then the time of `clock`, so
    /// `clock` should be of the file's last change.
    pub fn feed(&mut self, bytes: &[u8], clock: Clock) -> Found {
        let mut found = Found::default();
        let syntax = &mut self.syntax;
        self.lines
            .feed(bytes, |number, line| match (line, &mut *syntax) {
                (None, _) => found.skip(number, "longer than any entry may be"),
                (Some(line), Syntax::Kea(reader)) => reader.line(number, line, clock, &mut found),
                (Some(line), Syntax::Dnsmasq) => dnsmasq::line(number, line, clock, &mut found),
                (Some(line), Syntax::Dhcpd(reader)) => reader.line(number, line, clock, &mut found),
            });
        found
    }

    /// Handles a truncation by a server that continues to write: an incomplete entry is dropped, a header stays valid.
    pub fn handle_cut(&mut self) {
        self.lines.forget_rest();
        match &mut self.syntax {
            Syntax::Kea(reader) => reader.forget_rest(),
            Syntax::Dnsmasq => {}
            Syntax::Dhcpd(reader) => reader.forget_rest(),
        }
    }

    /// Returns the size in bytes of an incomplete entry; at the end of a file, of its torn tail.
    pub fn unread(&self) -> usize {
        let entry = match &self.syntax {
            Syntax::Dhcpd(reader) => reader.unread(),
            Syntax::Kea(reader) => reader.unread(),
            Syntax::Dnsmasq => 0,
        };
        self.lines.unread().saturating_add(entry)
    }
}

/// Returns the whole file for `set`. `before` is the replaced file, of which some parts are kept: the columns of Kea's
/// header, dhcpd's byte order, the identity if `set` has none. Leases that do not fit ([`fits`]) are omitted.
pub fn write(format: Format, set: &Set, before: &[u8], clock: Clock) -> Vec<u8> {
    match format {
        Format::Kea4 => kea::write(kea::Family::V4, set, before, clock),
        Format::Kea6 => kea::write(kea::Family::V6, set, before, clock),
        Format::Dnsmasq => dnsmasq::write(set, before, clock),
        Format::Dhcpd4 => dhcpd::write(dhcpd::Family::V4, set, before, clock),
        Format::Dhcpd6 => dhcpd::write(dhcpd::Family::V6, set, before, clock),
    }
}
