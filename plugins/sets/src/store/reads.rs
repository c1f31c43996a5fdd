//! Schedule of reading a set, which limits the processor time of readings.

use super::table::Cursor;
use crate::MS;

/// Factor of the pause after a reading: readings take at most a tenth of the processor, however large the set is.
const COST: u64 = 10;
/// Factor of the pause while a change is known: at most a third of the processor.
const COST_TOUCHED: u64 = 2;
/// Maximum number of readings after lost notifications while others keep changing the set: each one finds most of the
/// elements that the last one skipped, and an element that two readings lack was deleted.
const DOUBTED_MAX: u8 = 3;
/// Minimum processor time of a reading for each element, in ns.
const ELEMENT_NS: u64 = 3_000;
/// Interval in ns between looks for a set that is about to be created again.
const AWAY_NS: u64 = 50 * MS;

/// Result of a reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// True if the reading was a single answer of the kernel, and nothing changed meanwhile: missing elements are gone.
    /// Longer readings may skip elements while others change the set.
    pub certain: bool,
    /// Processor time of the reading in ns.
    pub spent_ns: u64,
    /// The kernel's generation after the reading: its elements may belong to a transaction whose notifications come
    /// later.
    pub generation: u32,
}

#[derive(Debug)]
pub struct Reads {
    pub due_ns: u64,
    pub running: bool,
    /// True if a change since its start is only visible in another reading.
    touched: bool,
    /// True if others changed elements since it began: a dump then skips some elements.
    pub dirty: bool,
    /// Number of readings that are due because notifications were lost; one without changes by others is enough.
    doubted: u8,
    /// True if the set was created again: a reading in progress may contain elements of either set.
    urgent: bool,
    was_urgent: bool,
    /// True if this node has become backup: elements found from now on may be from before.
    late: bool,
    was_late: bool,
    /// True if intervals were added or deleted, and no later reading has ended.
    unread: bool,
    was_unread: bool,
    pub scan: Option<(Reading, Cursor)>,
    /// Number of readings that have ended since the set is known.
    pub count: u32,
    /// Processor time of one reading in ns.
    pub cost_ns: u64,
    /// True if a switchover waits for the next reading.
    pub drains: bool,
    /// Time from which the pause before the next reading counts.
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

    /// True if elements that are found now may be those that a ruleset names.
    pub fn is_urgent(&self) -> bool {
        self.urgent || self.was_urgent
    }

    /// True if elements that are found now may have been added while this node was active.
    pub fn is_late(&self) -> bool {
        self.late || self.was_late
    }

    /// True if notifications were lost, and their changes may not be known yet.
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

    /// Processor time of a reading in ns; None before the first one has ended.
    pub fn known_cost(&self) -> Option<u64> {
        (self.count > 0).then_some(self.cost_ns)
    }

    /// Sets the time of the next reading.
    pub fn plan(&mut self, now_ns: u64, poll_ns: u64, is_away: bool) {
        let dirty = std::mem::take(&mut self.dirty);
        let touched = std::mem::take(&mut self.touched);
        let is_calm = !dirty && !touched;
        self.doubted = if is_calm {
            0
        } else {
            self.doubted.saturating_sub(1)
        };
        self.was_urgent = false;
        // a reading that may have skipped elements is not the last one
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

    /// Plans the next reading later for a set that has grown to `length` elements, all of which were reported, because
    /// it costs more than the last one.
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

    /// Plans a reading after a change that only a reading shows, or after a loss of notifications.
    pub fn touch(&mut self, now_ns: u64, is_lost: bool) {
        if is_lost {
            // the reading in progress may have passed the changed elements
            self.doubted = DOUBTED_MAX + u8::from(self.running);
        }
        self.touched |= self.running;
        let pause_ns = self.cost_ns.saturating_mul(COST_TOUCHED);
        self.due_ns = self.due_ns.min(now_ns.saturating_add(pause_ns));
    }

    /// Notes that intervals were added or deleted.
    pub fn touch_unread(&mut self, now_ns: u64) {
        self.unread = true;
        self.touch(now_ns, false);
    }

    /// True if something changed that only a reading shows.
    pub fn is_unread(&self) -> bool {
        self.unread || self.was_unread
    }

    /// Plans a reading because this node has become backup: it finds the elements added before.
    pub fn retire(&mut self, now_ns: u64) {
        self.late = true;
        self.touch(now_ns, false);
    }

    /// Plans a reading at once, because the set may be another one.
    pub fn hurry(&mut self, now_ns: u64) {
        self.urgent = true;
        self.due_ns = now_ns;
    }

    /// Plans the next reading to follow at once.
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
