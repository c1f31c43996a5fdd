//! Numbers of added and deleted elements of a set, for people.

#[derive(Debug, Default)]
pub struct Counters {
    added: u64,
    deleted: u64,
    changed_ns: Option<u64>,
}

impl Counters {
    pub fn count_added(&mut self) {
        self.added += 1;
    }

    pub fn count_deleted(&mut self) {
        self.deleted += 1;
    }

    /// Notes the time of a change in the kernel.
    pub fn note_changed(&mut self, now_ns: u64) {
        self.changed_ns = Some(now_ns);
    }

    pub fn added(&self) -> u64 {
        self.added
    }

    pub fn deleted(&self) -> u64 {
        self.deleted
    }

    /// Time of the last change in the kernel.
    pub fn changed_ns(&self) -> Option<u64> {
        self.changed_ns
    }
}
