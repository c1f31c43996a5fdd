//! The pair of serials that messages carry: it lasts from the agreement on both roles until one of them changes.

#[derive(Debug, Default)]
pub(crate) struct SerialPair {
    is_on: bool,
    /// True if the peer has answered, so that a pair can begin.
    is_due: bool,
    /// Number of pairs since the start: verdicts of earlier pairs do not count.
    number: u64,
    /// True if a pair has ended, so that records of an incomplete state are to be dropped.
    has_ended: bool,
}

impl SerialPair {
    pub(crate) fn is_on(&self) -> bool {
        self.is_on
    }

    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// True if a message or verdict of this pair counts.
    pub(crate) fn is_current(&self, pair: u64) -> bool {
        self.is_on && pair == self.number
    }

    pub(crate) fn set_due(&mut self, is_due: bool) {
        self.is_due = is_due;
    }

    /// Begins a pair if one is due.
    pub(crate) fn begin(&mut self) -> bool {
        let begins = std::mem::take(&mut self.is_due);
        if begins {
            self.is_on = true;
            self.number += 1;
        }
        begins
    }

    pub(crate) fn end(&mut self) {
        (self.is_on, self.is_due) = (false, false);
        self.has_ended = true;
    }

    /// True if a pair has ended since the last call.
    pub(crate) fn take_ended(&mut self) -> bool {
        std::mem::take(&mut self.has_ended)
    }
}
