//! Joins lines to declarations.

use super::{ByteOrder, Family, reader};
use crate::codec::Found;
use crate::lease::Clock;

/// Longest declaration in bytes; longer ones are skipped.
const LONGEST: usize = 256 * 1024;
/// Words that begin a declaration. dhcpd writes them in a line's first column, and nothing that is
/// nested.
const BEGINNINGS: [&[u8]; 5] = [b"lease ", b"ia-na ", b"ia-ta ", b"ia-pd ", b"server-duid "];

#[derive(Debug)]
pub struct Reader {
    family: Family,
    order: ByteOrder,
    /// Text of the incomplete declaration.
    entry: Vec<u8>,
    /// Number of its first line.
    began: u64,
    depth: u32,
}

impl Reader {
    pub fn new(family: Family) -> Self {
        Self {
            family,
            order: ByteOrder::NATIVE,
            entry: Vec::new(),
            began: 0,
            depth: 0,
        }
    }

    pub fn line(&mut self, number: u64, line: &[u8], clock: Clock, found: &mut Found) {
        if !self.entry.is_empty() && BEGINNINGS.iter().any(|word| line.starts_with(word)) {
            found.skip(self.began, "it is truncated");
            self.forget_rest();
        }
        if self.entry.is_empty() {
            self.began = number;
        }
        let ends = self.scan(line);
        if self.entry.is_empty() && is_blank(line) {
            return;
        }
        if self.entry.len().saturating_add(line.len()) > LONGEST {
            found.skip(self.began, "longer than any entry may be");
            self.forget_rest();
            return;
        }
        self.entry.extend_from_slice(line);
        self.entry.push(b'\n');
        if ends {
            match reader::entry(self.family, &mut self.order, &self.entry, clock) {
                Ok(said) => said.into_iter().for_each(|said| said.tell(found)),
                Err(why) => found.skip(self.began, why),
            }
            self.forget_rest();
        }
    }

    pub fn unread(&self) -> usize {
        self.entry.len()
    }

    pub fn forget_rest(&mut self) {
        self.entry.clear();
        self.depth = 0;
    }

    /// Tracks the braces of a line. Returns true if a declaration ends with it.
    fn scan(&mut self, line: &[u8]) -> bool {
        let mut last = 0;
        let mut text = false;
        let mut bytes = line.iter();
        while let Some(byte) = bytes.next() {
            match byte {
                // an escaped character is no quote
                b'\\' if text => drop(bytes.next()),
                b'"' => text = !text,
                _ if text => {}
                b'#' => break,
                b'{' => self.depth = self.depth.saturating_add(1),
                b'}' => self.depth = self.depth.saturating_sub(1),
                _ => {}
            }
            if !byte.is_ascii_whitespace() {
                last = *byte;
            }
        }
        self.depth == 0 && !text && matches!(last, b';' | b'}')
    }
}

fn is_blank(line: &[u8]) -> bool {
    matches!(line.trim_ascii_start().first(), None | Some(b'#'))
}
