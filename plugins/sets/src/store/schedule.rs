//! Time of the next reading, which follows from the processor time that one takes.

/// Factor of the pause after a reading: readings take at most a tenth of the processor, however large the set is.
pub(super) const COST: u64 = 10;
/// Factor of the pause while a change is known: at most a third of the processor.
pub(super) const COST_TOUCHED: u64 = 2;
/// Minimum processor time of a reading for each element, in ns.
pub(super) const ELEMENT_NS: u64 = 3_000;

#[derive(Debug, Default)]
pub(super) struct Schedule {
    due_ns: u64,
    /// Time from which the pause before the next reading counts.
    planned_ns: u64,
    /// Processor time of one reading in ns.
    cost_ns: u64,
    /// Number of readings that have ended since the set is known.
    count: u32,
}

impl Schedule {
    pub fn new(now_ns: u64) -> Self {
        Self {
            due_ns: now_ns,
            planned_ns: now_ns,
            cost_ns: 0,
            count: 0,
        }
    }

    /// Handles the end of a reading that took so much processor time.
    pub fn handle_read(&mut self, spent_ns: u64) {
        self.count = self.count.saturating_add(1);
        self.cost_ns = spent_ns;
    }

    /// Handles that nothing is known of the set any more.
    pub fn handle_forgotten(&mut self) {
        self.count = 0;
    }

    pub fn plan(&mut self, now_ns: u64, pause_ns: u64) {
        self.planned_ns = now_ns;
        self.due_ns = now_ns.saturating_add(pause_ns);
    }

    /// Plans the next reading for this time at the latest.
    pub fn hasten(&mut self, due_ns: u64) {
        self.due_ns = self.due_ns.min(due_ns);
    }

    /// Plans the next reading for this time.
    pub fn set_due(&mut self, due_ns: u64) {
        self.due_ns = due_ns;
    }

    /// Processor time in ns that a reading of `length` elements takes at least, if that is more than the last one took.
    pub fn growth(&self, length: usize) -> Option<u64> {
        let cost_ns = (length as u64).saturating_mul(ELEMENT_NS);
        (self.count > 0 && cost_ns > self.cost_ns).then_some(cost_ns)
    }

    /// Plans the next reading later because it costs so much.
    pub fn delay(&mut self, cost_ns: u64) {
        self.cost_ns = cost_ns;
        let due_ns = self.planned_ns.saturating_add(cost_ns.saturating_mul(COST));
        self.due_ns = self.due_ns.max(due_ns);
    }

    pub fn due_ns(&self) -> u64 {
        self.due_ns
    }

    pub fn cost_ns(&self) -> u64 {
        self.cost_ns
    }

    pub fn count(&self) -> u32 {
        self.count
    }

    /// Pause in ns after a reading, at least `poll_ns`.
    pub fn pause_ns(&self, poll_ns: u64) -> u64 {
        poll_ns.max(self.cost_ns.saturating_mul(COST))
    }

    /// Pause in ns while a change is known that only a reading shows.
    pub fn short_pause_ns(&self) -> u64 {
        self.cost_ns.saturating_mul(COST_TOUCHED)
    }
}
