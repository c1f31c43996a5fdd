//! Schedule of reading a set, so that reading takes only its share of the processor.

use super::table::Cursor;

/// Reading takes at most a tenth of the processor, however large the set is.
const COST: u64 = 10;
/// At most a third while it is known that something changed.
const COST_TOUCHED: u64 = 2;
/// Pause between looks for a set that is about to be made anew.
const AWAY_MS: u64 = 50;

/// End of a reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// It was a single answer of the kernel, and nothing changed meanwhile: missing elements are
    /// gone. Longer ones may skip elements while others come and go.
    pub certain: bool,
    /// Processor time of the reading.
    pub spent_ms: u64,
}

#[derive(Debug)]
pub struct Reads {
    pub due_ms: u64,
    pub running: bool,
    /// A change since its start that only another reading shows.
    touched: bool,
    /// Others changed elements since it began: a dump passes over some then.
    pub dirty: bool,
    /// Notifications were lost since the last one in calm.
    doubt: bool,
    /// The set was made anew: what a reading that goes on brings may be of either.
    urgent: bool,
    was_urgent: bool,
    /// This node stopped being active: what is found from now on may be from before.
    late: bool,
    was_late: bool,
    pub scan: Option<(Reading, Cursor)>,
    /// Readings that were ended since the set is known.
    pub count: u32,
    /// Processor time of one reading.
    pub cost_ms: u64,
    /// A switchover waits for the next one.
    pub drains: bool,
}

impl Reads {
    pub fn new(now_ms: u64) -> Self {
        Self {
            due_ms: now_ms,
            running: false,
            touched: false,
            dirty: false,
            doubt: false,
            urgent: false,
            was_urgent: false,
            late: false,
            was_late: false,
            scan: None,
            count: 0,
            cost_ms: 0,
            drains: false,
        }
    }

    pub fn is_scanning(&self) -> bool {
        self.scan.is_some()
    }

    /// Elements that come now may be those that a ruleset names.
    pub fn is_urgent(&self) -> bool {
        self.urgent || self.was_urgent
    }

    /// Elements that come now may have been added while this node was active.
    pub fn is_late(&self) -> bool {
        self.late || self.was_late
    }

    pub fn is_due(&self, now_ms: u64) -> bool {
        self.due_ms <= now_ms && !self.running && !self.is_scanning()
    }

    pub fn begin(&mut self) {
        self.running = true;
        self.dirty = false;
        self.was_urgent = std::mem::take(&mut self.urgent);
        self.was_late = std::mem::take(&mut self.late);
    }

    pub fn end(&mut self, reading: Option<Reading>) {
        self.running = false;
        match reading {
            Some(reading) => {
                self.count = self.count.saturating_add(1);
                self.cost_ms = reading.spent_ms;
                self.scan = Some((reading, Cursor::default()));
            }
            None => self.drains = false,
        }
    }

    /// Sets the time of the next one.
    pub fn plan(&mut self, now_ms: u64, poll_ms: u64, is_away: bool) {
        let dirty = std::mem::take(&mut self.dirty);
        let touched = std::mem::take(&mut self.touched);
        self.doubt &= dirty || touched;
        self.was_urgent = false;
        // a reading that may have passed over elements is not the last one
        self.late |= std::mem::take(&mut self.was_late) && (touched || self.doubt);
        let pause_ms = match touched || self.doubt {
            _ if self.urgent => 0,
            _ if is_away => AWAY_MS,
            true => self.cost_ms.saturating_mul(COST_TOUCHED),
            false => poll_ms.max(self.cost_ms.saturating_mul(COST)),
        };
        self.due_ms = now_ms.saturating_add(pause_ms);
    }

    /// Somebody changed it in a way that only a reading tells; or notifications were lost.
    pub fn touch(&mut self, now_ms: u64, is_lost: bool) {
        self.doubt |= is_lost;
        self.touched |= self.running;
        let pause_ms = self.cost_ms.saturating_mul(COST_TOUCHED);
        self.due_ms = self.due_ms.min(now_ms.saturating_add(pause_ms));
    }

    /// This node is not active any more: what it has not seen yet is read soon.
    pub fn retire(&mut self, now_ms: u64) {
        self.late = true;
        self.touch(now_ms, false);
    }

    /// The set may be another one by now.
    pub fn hurry(&mut self, now_ms: u64) {
        self.urgent = true;
        self.due_ms = now_ms;
    }

    /// The next one follows at once.
    pub fn repeat(&mut self) {
        self.due_ms = 0;
    }
}
