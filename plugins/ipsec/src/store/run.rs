//! State of the store that lives as long as one run of this plugin.

/// One run. The peer's records are in this process's memory, so the incarnation ends with the process: if it lasted until
/// the next boot, a restart's forgotten records would count as deleted.
#[derive(Debug, Default)]
pub struct Run {
    incarnation: u64,
    /// Time until which this run may not know its own records that the peer keeps.
    fresh_until_ns: u64,
    /// True if the kernel's tables were read completely once.
    is_read: bool,
}

impl Run {
    pub fn new(incarnation: u64) -> Self {
        Self {
            incarnation,
            fresh_until_ns: 0,
            is_read: false,
        }
    }

    pub fn begin(&mut self, fresh_until_ns: u64) {
        self.fresh_until_ns = fresh_until_ns;
    }

    /// Handles that both nodes have the same records.
    pub fn end_fresh(&mut self) {
        self.fresh_until_ns = 0;
    }

    /// Notes a complete reading; returns true if it is the first of this run.
    pub fn note_read(&mut self) -> bool {
        !std::mem::replace(&mut self.is_read, true)
    }

    pub fn is_read(&self) -> bool {
        self.is_read
    }

    pub fn is_fresh(&self, now_ns: u64) -> bool {
        now_ns < self.fresh_until_ns
    }

    /// None before the kernel was read: there are no records yet.
    pub fn incarnation(&self) -> Option<u64> {
        self.is_read.then_some(self.incarnation)
    }
}
