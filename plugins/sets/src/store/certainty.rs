//! Certainty of what readings found: that the table is not half of a transaction, and that no element is missing.

#[derive(Debug, Default)]
pub(super) struct Certainty {
    /// True if a reading did not find elements that may be gone: the next one decides.
    is_missing: bool,
    /// True if a reading found changes without notifications: they may be half of a transaction.
    is_unsure: bool,
    /// The kernel's generation after that reading.
    unsure_until: Option<u32>,
}

impl Certainty {
    /// Handles the end of a reading, and the kernel's generation after it.
    pub fn handle_read(&mut self, generation: u32) {
        (self.is_missing, self.unsure_until) = (false, Some(generation));
    }

    /// Handles a change that a reading found.
    pub fn handle_found(&mut self) {
        self.is_unsure = true;
    }

    /// Handles that elements are missing that may be gone.
    pub fn handle_missing(&mut self) {
        self.is_missing = true;
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
