//! Certainty of what readings found: that the table is not half of a transaction, and that no element is missing.

use super::own_transactions::is_replaced;

#[derive(Debug, Default)]
pub(super) struct Certainty {
    /// True if a reading did not find elements that may be gone: the next one decides.
    is_missing: bool,
    /// True if a reading found changes without notifications: they may be half of a transaction.
    is_unsure: bool,
    /// The kernel's generation after that reading.
    unsure_until: Option<u32>,
    difference: Difference,
}

/// Difference between a reading and the elements known before it, of which no notification came.
#[derive(Debug, Default)]
struct Difference {
    /// True if notifications were lost before the reading: the additions of a transaction and its deletions belong
    /// together.
    is_after_loss: bool,
    /// Number of elements before.
    length: usize,
    added: usize,
    /// Number of elements that the reading lacked.
    absent: usize,
    /// True if some of those may not be gone.
    has_missing: bool,
}

impl Certainty {
    /// Handles the begin of a reading of a set with `length` known elements.
    pub fn begin_reading(&mut self, length: usize, is_after_loss: bool) {
        self.difference = Difference {
            is_after_loss,
            length,
            ..Difference::default()
        };
    }

    /// Handles the end of a reading, and the kernel's generation after it.
    pub fn handle_read(&mut self, generation: u32) {
        (self.is_missing, self.unsure_until) = (false, Some(generation));
    }

    /// Handles that a reading has failed: what it found may be half of a transaction until another one has ended.
    pub fn fail_reading(&mut self) {
        self.is_missing |= self.is_unsure;
    }

    /// Handles a change that a reading found.
    pub fn handle_found(&mut self) {
        self.is_unsure = true;
    }

    /// Handles a new element that the reading found.
    pub fn handle_added(&mut self) {
        self.difference.added += 1;
    }

    /// Handles that the reading lacked elements; `has_missing` is true if some of them may not be gone.
    pub fn handle_absent(&mut self, count: usize, has_missing: bool) {
        self.difference.absent += count;
        self.difference.has_missing |= has_missing;
    }

    /// True if one list has replaced another.
    pub fn is_replaced(&self) -> bool {
        let found = &self.difference;
        is_replaced(found.length, found.added, found.absent)
    }

    /// Ends the comparison with a reading. Returns true if another one has to decide which elements are gone, before
    /// the peer may have what was added.
    pub fn end_comparison(&mut self, is_list: bool) -> bool {
        let found = &self.difference;
        self.is_missing = found.has_missing && (is_list || found.is_after_loss);
        self.is_missing
    }

    /// Ends the doubt, if there is one and all notifications up to the reading were handled. `heard` is the generation
    /// up to which they were; None: not known.
    pub fn make_sure(&mut self, heard: Option<u32>) -> bool {
        let is_heard = match (heard, self.unsure_until) {
            (Some(heard), Some(until)) => heard.wrapping_sub(until) < 1 << 31,
            _ => true,
        };
        is_heard && std::mem::take(&mut self.is_unsure)
    }

    pub fn is_missing(&self) -> bool {
        self.is_missing
    }

    pub fn is_unsure(&self) -> bool {
        self.is_unsure
    }
}
