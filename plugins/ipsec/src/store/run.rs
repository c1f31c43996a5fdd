//! One run of this plugin, as far as its records are concerned.

/// The records of the peer are in this process's memory, so an incarnation ends with the process: with the boot's
/// alone, what a restart forgot would count as deleted.
#[derive(Debug)]
pub struct Run {
    incarnation: u64,
    /// Until then this run may not know of its own what the peer keeps for it.
    fresh_until_ns: u64,
    /// All that the kernel has was seen once.
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

    /// Both nodes have the same records.
    pub fn end_fresh(&mut self) {
        self.fresh_until_ns = 0;
    }

    /// A reading has seen all; whether it is the first of this run.
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
