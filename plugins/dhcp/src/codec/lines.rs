//! Joins pieces to whole lines.

/// Longest line in bytes; longer ones are skipped. An id and a name of 255 bytes each and 4 KiB of other data take a
/// third of it, escaped.
const LONGEST: usize = 32 * 1024;

#[derive(Debug, Default)]
pub struct Lines {
    rest: Vec<u8>,
    /// The line is too long and is not kept.
    too_long: bool,
    /// The line so far consists of NULs: a process that continues to write after a truncation leaves them in place of
    /// its earlier text.
    has_hole: bool,
    number: u64,
}

impl Lines {
    /// Calls `each` with every line that is now complete and its number; None for a line that was too long.
    pub fn feed(&mut self, bytes: &[u8], mut each: impl FnMut(u64, Option<&[u8]>)) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let piece = self.without_hole(piece);
            let Some(end) = piece.strip_suffix(b"\n") else {
                self.keep(piece);
                return;
            };
            self.number = self.number.saturating_add(1);
            if self.rest.is_empty() && !self.too_long {
                each(self.number, Some(end).filter(|line| line.len() <= LONGEST));
                continue;
            }
            self.keep(end);
            each(
                self.number,
                Some(self.rest.as_slice()).filter(|_| !self.too_long),
            );
            self.rest.clear();
            self.too_long = false;
        }
    }

    pub fn unread(&self) -> usize {
        let unread = self.rest.len().saturating_add(usize::from(self.too_long));
        unread.saturating_add(usize::from(self.has_hole))
    }

    /// Drops an incomplete line, which will not be continued.
    pub fn forget_rest(&mut self) {
        self.rest.clear();
        (self.too_long, self.has_hole) = (false, false);
    }

    fn without_hole<'a>(&mut self, piece: &'a [u8]) -> &'a [u8] {
        if !self.rest.is_empty() || self.too_long {
            return piece;
        }
        let text = piece.iter().position(|byte| *byte != 0);
        self.has_hole = text.is_none();
        piece.get(text.unwrap_or(piece.len())..).unwrap_or_default()
    }

    fn keep(&mut self, piece: &[u8]) {
        if self.rest.len().saturating_add(piece.len()) > LONGEST {
            self.too_long = true;
            self.rest.clear();
        }
        if !self.too_long {
            self.rest.extend_from_slice(piece);
        }
    }
}
