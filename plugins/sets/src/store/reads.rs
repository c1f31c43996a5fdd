//! Schedule of reading a set, so that reading takes only its share of the processor.

use super::table::Cursor;
use crate::MS;

/// Reading takes at most a tenth of the processor, however large the set is.
const COST: u64 = 10;
/// At most a third while it is known that something changed.
const COST_TOUCHED: u64 = 2;
/// Readings after lost notifications, at most, while others keep changing the set: each one finds most of
/// what the last passed over, and two that lack an element show that it was deleted.
const DOUBTED_MAX: u8 = 3;
/// Processor time of a reading for each element, at least.
const ELEMENT_NS: u64 = 3_000;
/// Pause between looks for a set that is about to be created again.
const AWAY_NS: u64 = 50 * MS;

/// End of a reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// It was a single answer of the kernel, and nothing changed meanwhile: missing elements are
    /// gone. Longer ones may skip elements while others come and go.
    pub certain: bool,
    /// Processor time of the reading.
    pub spent_ns: u64,
    /// The kernel's generation behind it: what it found may be of a transaction that is told later.
    pub generation: u32,
}

#[derive(Debug)]
pub struct Reads {
    pub due_ns: u64,
    pub running: bool,
    /// A change since its start that only another reading shows.
    touched: bool,
    /// Others changed elements since it began: a dump passes over some then.
    pub dirty: bool,
    /// Readings that are due because notifications were lost; one in calm is enough.
    doubted: u8,
    /// The set was created again: what a reading that goes on brings may be of either.
    urgent: bool,
    was_urgent: bool,
    /// This node stopped being active: what is found from now on may be from before.
    late: bool,
    was_late: bool,
    /// Intervals came or went, and no reading that began since has ended.
    unread: bool,
    was_unread: bool,
    pub scan: Option<(Reading, Cursor)>,
    /// Readings that were ended since the set is known.
    pub count: u32,
    /// Processor time of one reading.
    pub cost_ns: u64,
    /// A switchover waits for the next one.
    pub drains: bool,
    /// Time from which the pause before the next one counts.
    planned_ns: u64,
}

impl Reads {
    pub fn new(now_ns: u64) -> Self {
        Self {
            due_ns: now_ns,
            running: false,
            touched: false,
            dirty: false,
            doubted: 0,
            urgent: false,
            was_urgent: false,
            late: false,
            was_late: false,
            unread: false,
            was_unread: false,
            scan: None,
            count: 0,
            cost_ns: 0,
            drains: false,
            planned_ns: now_ns,
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

    /// Notifications were lost, and what changed then may not be known yet.
    pub fn is_doubted(&self) -> bool {
        self.doubted > 0
    }

    pub fn is_due(&self, now_ns: u64) -> bool {
        self.due_ns <= now_ns && !self.running && !self.is_scanning()
    }

    pub fn begin(&mut self) {
        self.running = true;
        self.dirty = false;
        self.was_urgent = std::mem::take(&mut self.urgent);
        self.was_late = std::mem::take(&mut self.late);
        self.was_unread |= std::mem::take(&mut self.unread);
    }

    pub fn end(&mut self, reading: Option<Reading>) {
        self.running = false;
        match reading {
            Some(reading) => {
                self.count = self.count.saturating_add(1);
                self.cost_ns = reading.spent_ns;
                self.was_unread = false;
                self.scan = Some((reading, Cursor::default()));
            }
            None => self.drains = false,
        }
    }

    /// Processor time that a reading takes; None before the first has ended.
    pub fn known_cost(&self) -> Option<u64> {
        (self.count > 0).then_some(self.cost_ns)
    }

    /// Sets the time of the next one.
    pub fn plan(&mut self, now_ns: u64, poll_ns: u64, is_away: bool) {
        let dirty = std::mem::take(&mut self.dirty);
        let touched = std::mem::take(&mut self.touched);
        let is_calm = !dirty && !touched;
        self.doubted = match is_calm {
            true => 0,
            false => self.doubted.saturating_sub(1),
        };
        self.was_urgent = false;
        // a reading that may have passed over elements is not the last one
        self.late |= std::mem::take(&mut self.was_late) && (touched || self.is_doubted());
        let pause_ns = match touched || self.is_doubted() {
            _ if self.urgent => 0,
            _ if is_away => AWAY_NS,
            true => self.cost_ns.saturating_mul(COST_TOUCHED),
            false => poll_ns.max(self.cost_ns.saturating_mul(COST)),
        };
        self.planned_ns = now_ns;
        self.due_ns = now_ns.saturating_add(pause_ns);
    }

    /// The set has so many elements now, each of which was told: the next reading costs more than the last one,
    /// and comes so much later.
    pub fn expect(&mut self, length: usize) {
        let cost_ns = (length as u64).saturating_mul(ELEMENT_NS);
        let is_wanted = self.touched || self.urgent || self.drains || self.is_doubted();
        if self.count == 0 || cost_ns <= self.cost_ns || is_wanted || self.is_unread() || self.late
        {
            return;
        }
        self.cost_ns = cost_ns;
        let due_ns = self.planned_ns.saturating_add(cost_ns.saturating_mul(COST));
        self.due_ns = self.due_ns.max(due_ns);
    }

    /// Somebody changed it in a way that only a reading tells; or notifications were lost.
    pub fn touch(&mut self, now_ns: u64, is_lost: bool) {
        if is_lost {
            // the reading that goes on may have passed what changed
            self.doubted = DOUBTED_MAX + u8::from(self.running);
        }
        self.touched |= self.running;
        let pause_ns = self.cost_ns.saturating_mul(COST_TOUCHED);
        self.due_ns = self.due_ns.min(now_ns.saturating_add(pause_ns));
    }

    /// Intervals came or went.
    pub fn touch_unread(&mut self, now_ns: u64) {
        self.unread = true;
        self.touch(now_ns, false);
    }

    /// Whether something changed that only a reading shows.
    pub fn is_unread(&self) -> bool {
        self.unread || self.was_unread
    }

    /// This node is not active any more: what it has not seen yet is read soon.
    pub fn retire(&mut self, now_ns: u64) {
        self.late = true;
        self.touch(now_ns, false);
    }

    /// The set may be another one by now.
    pub fn hurry(&mut self, now_ns: u64) {
        self.urgent = true;
        self.due_ns = now_ns;
    }

    /// The next one follows at once.
    pub fn repeat(&mut self) {
        self.due_ns = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SECOND;

    const COST_NS: u64 = 50 * SECOND;

    fn read(reads: &mut Reads, is_dirty: bool) -> u64 {
        let spent_ns = COST_NS;
        reads.begin();
        reads.dirty = is_dirty;
        reads.end(Some(Reading {
            certain: false,
            spent_ns,
            generation: 0,
        }));
        reads.plan(0, SECOND, false);
        reads.due_ns
    }

    #[test]
    fn a_set_that_never_rests_is_doubted_for_a_few_readings_and_not_for_ever() {
        let mut reads = Reads::new(0);
        reads.touch(0, true);
        for _ in 1..DOUBTED_MAX {
            assert_eq!(read(&mut reads, true), COST_NS * COST_TOUCHED);
            assert!(reads.is_doubted());
        }
        assert_eq!(read(&mut reads, true), COST_NS * COST);
        assert!(!reads.is_doubted());
    }

    #[test]
    fn a_set_that_grows_is_read_later_and_not_ever_later() {
        let mut reads = Reads::new(0);
        reads.begin();
        reads.end(Some(Reading {
            certain: true,
            spent_ns: 0,
            generation: 0,
        }));
        reads.plan(SECOND, SECOND, false);
        assert_eq!(reads.due_ns, 2 * SECOND);
        reads.expect(100_000);
        let due_ns = SECOND + 100_000 * ELEMENT_NS * COST;
        assert_eq!(reads.due_ns, due_ns);
        reads.expect(100_001);
        assert_eq!(reads.due_ns, due_ns + ELEMENT_NS * COST);
        reads.touch(SECOND, true);
        reads.expect(1_000_000);
        assert!(
            reads.due_ns < due_ns,
            "a reading that is needed waits for nothing"
        );
    }

    #[test]
    fn a_reading_in_calm_ends_all_doubt_unless_it_went_on_when_notifications_were_lost() {
        let mut reads = Reads::new(0);
        reads.begin();
        reads.touch(0, true);
        reads.end(None);
        reads.plan(0, SECOND, false);
        assert!(reads.is_doubted());
        read(&mut reads, false);
        assert!(!reads.is_doubted());
    }
}
