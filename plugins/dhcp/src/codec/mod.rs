//! Lease files as the servers write them.
//!
//! Bytes in, leases out, and back. A file is read in pieces of any size, in time that grows with its
//! length alone; no bytes panic, and an entry that cannot be read costs no other. What is written
//! holds only fields that are known here, so that a lease from the peer can say nothing else.

pub(crate) mod dhcpd;
pub(crate) mod dnsmasq;
mod fits;
pub(crate) mod kea;
mod lines;

pub use fits::{fits, is_identity};

use lines::Lines;

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

/// Parsed contents of some bytes of a file.
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

impl Found {
    fn skip(&mut self, line: u64, why: &str) {
        self.skipped = self.skipped.saturating_add(1);
        if self.why.is_none() {
            self.why = Some(format!("line {line}: {why}"));
        }
    }
}

/// Reads a file piece by piece; an entry that is not complete waits for the rest of it.
///
/// Several of Kea's files may be fed one after the other, oldest first: each brings its header.
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

    /// dnsmasq does not say when it gave a lease: `committed_ns` is then the clock's, so that a
    /// clock as it stood when the file was last changed is the better one.
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

    /// The file begins anew, and who writes it goes on: what was torn will not be continued, a header
    /// holds.
    pub fn handle_cut(&mut self) {
        self.lines.forget_rest();
        match &mut self.syntax {
            Syntax::Kea(reader) => reader.forget_rest(),
            Syntax::Dnsmasq => {}
            Syntax::Dhcpd(reader) => reader.forget_rest(),
        }
    }

    /// Bytes that wait for the rest of their entry: a torn tail, at the end of a file.
    pub fn unread(&self) -> usize {
        let entry = match &self.syntax {
            Syntax::Dhcpd(reader) => reader.unread(),
            Syntax::Kea(reader) => reader.unread(),
            Syntax::Dnsmasq => 0,
        };
        self.lines.unread().saturating_add(entry)
    }
}

/// The whole file for `set`. `before` is the file that is replaced, for what is to be kept of it:
/// the columns of Kea's header, the byte order of dhcpd, the identity where `set` has none. What
/// does not fit ([`fits`]) is left out.
pub fn write(format: Format, set: &Set, before: &[u8], clock: Clock) -> Vec<u8> {
    match format {
        Format::Kea4 => kea::write(kea::Family::V4, set, before, clock),
        Format::Kea6 => kea::write(kea::Family::V6, set, before, clock),
        Format::Dnsmasq => dnsmasq::write(set, before, clock),
        Format::Dhcpd4 => dhcpd::write(dhcpd::Family::V4, set, before, clock),
        Format::Dhcpd6 => dhcpd::write(dhcpd::Family::V6, set, before, clock),
    }
}
