//! Readings of a set: when the next one is due, what has to be read, and the search for elements that one lacked.

use super::doubt::Doubt;
use super::mark::Mark;
use super::schedule::Schedule;
use super::table::Cursor;
use crate::MS;

/// Interval in ns between looks for a set that is about to be created again, and pause after a reading that failed.
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

#[derive(Debug, Default)]
pub struct Reads {
    schedule: Schedule,
    is_running: bool,
    doubt: Doubt,
    /// Mark of a set that was created again: a reading in progress may contain elements of either set.
    urgent: Mark,
    /// Mark of this node's turn to backup: elements found from now on may be from before.
    late: Mark,
    /// Mark of intervals that were added or deleted.
    unread: Mark,
    /// Search for the elements that the last reading lacked.
    scan: Option<(Reading, Cursor)>,
    /// True if another reading has to follow soon.
    is_wanted: bool,
    /// True if the last reading has failed.
    has_failed: bool,
    /// True if a switchover waits for the next reading.
    is_awaited: bool,
}

impl Reads {
    pub fn new(now_ns: u64) -> Self {
        Self {
            schedule: Schedule::new(now_ns),
            ..Self::default()
        }
    }

    // ---- readings --------------------------------------------------------------------------

    pub fn begin(&mut self) {
        self.is_running = true;
        self.doubt.begin_reading();
        self.urgent.begin_reading();
        self.late.begin_reading();
        self.unread.begin_reading();
    }

    pub fn end(&mut self, reading: Option<Reading>) {
        self.is_running = false;
        match reading {
            Some(reading) => self.end_complete(reading),
            None => self.fail(),
        }
    }

    fn end_complete(&mut self, reading: Reading) {
        self.has_failed = false;
        self.schedule.handle_read(reading.spent_ns);
        self.is_wanted = self.doubt.end_reading();
        self.unread.end_reading();
        self.urgent.end_reading();
        // a reading that may have skipped elements is not the last one
        if self.late.end_reading() && self.is_wanted {
            self.late.set();
        }
        self.scan = Some((reading, Cursor::default()));
    }

    /// Handles that a reading has failed: it has shown nothing of what it was to show.
    fn fail(&mut self) {
        self.has_failed = true;
        self.doubt.fail_reading();
        for mark in [&mut self.urgent, &mut self.late, &mut self.unread] {
            mark.fail_reading();
        }
        self.is_awaited = false;
    }

    /// Takes the search for missing elements; [`go_on`](Self::go_on) puts it back.
    pub fn take_scan(&mut self) -> Option<(Reading, Cursor)> {
        self.scan.take()
    }

    /// Goes on with the search at the next call.
    pub fn go_on(&mut self, reading: Reading, cursor: Cursor) {
        self.scan = Some((reading, cursor));
    }

    /// Drops the search, because the set is missing.
    pub fn stop_scan(&mut self) {
        self.scan = None;
    }

    /// Handles that nothing is known of the set any more.
    pub fn handle_forgotten(&mut self) {
        self.scan = None;
        self.schedule.handle_forgotten();
    }

    // ---- reasons to read -------------------------------------------------------------------

    /// Handles a change of elements by others: a dump then skips some elements.
    pub fn handle_change(&mut self) {
        self.doubt.handle_change();
    }

    /// Plans a reading after a change that only a reading shows, or after a loss of notifications.
    pub fn touch(&mut self, now_ns: u64, is_lost: bool) {
        if is_lost {
            self.doubt.handle_loss(self.is_running);
        }
        self.doubt.handle_touched(self.is_running);
        let pause_ns = self.schedule.short_pause_ns();
        self.schedule.hasten(now_ns.saturating_add(pause_ns));
    }

    /// Notes that intervals were added or deleted.
    pub fn touch_unread(&mut self, now_ns: u64) {
        self.unread.set();
        self.touch(now_ns, false);
    }

    /// Plans a reading because this node has become backup: it finds the elements added before.
    pub fn retire(&mut self, now_ns: u64) {
        self.late.set();
        self.touch(now_ns, false);
    }

    /// Plans a reading at once, because the set may be another one.
    pub fn hurry(&mut self, now_ns: u64) {
        self.urgent.set();
        self.schedule.set_due(now_ns);
    }

    /// Plans a reading at once, because a switchover waits for it.
    pub fn begin_drain(&mut self, now_ns: u64) {
        self.is_awaited = true;
        self.schedule.set_due(now_ns);
    }

    /// Handles that no switchover waits any more.
    pub fn end_drain(&mut self) {
        self.is_awaited = false;
    }

    /// Plans the next reading for this time at the latest.
    pub fn hasten(&mut self, due_ns: u64) {
        self.schedule.hasten(due_ns);
    }

    /// Plans the next reading to follow at once.
    pub fn repeat(&mut self) {
        self.schedule.set_due(0);
    }

    /// Sets the time of the next reading; `is_gone` is true if no set is expected.
    pub fn plan(&mut self, now_ns: u64, poll_ns: u64, is_gone: bool) {
        let pause_ns = if is_gone {
            self.schedule.pause_ns(poll_ns)
        } else if self.has_failed {
            AWAY_NS.max(self.schedule.short_pause_ns())
        } else if self.urgent.is_waiting() {
            0
        } else if self.is_wanted {
            self.schedule.short_pause_ns()
        } else {
            self.schedule.pause_ns(poll_ns)
        };
        self.schedule.plan(now_ns, pause_ns);
    }

    /// Plans the next reading later for a set that has grown to `length` elements, all of which were reported, because
    /// it costs more than the last one.
    pub fn expect(&mut self, length: usize) {
        let is_wanted = self.doubt.is_touched()
            || self.doubt.is_doubted()
            || self.urgent.is_waiting()
            || self.late.is_waiting()
            || self.unread.is_set()
            || self.is_awaited;
        if let Some(cost_ns) = self.schedule.growth(length).filter(|_| !is_wanted) {
            self.schedule.delay(cost_ns);
        }
    }

    // ---- state -----------------------------------------------------------------------------

    pub fn due_ns(&self) -> u64 {
        self.schedule.due_ns()
    }

    pub fn is_due(&self, now_ns: u64) -> bool {
        self.due_ns() <= now_ns && !self.is_running && !self.is_scanning()
    }

    pub fn is_running(&self) -> bool {
        self.is_running
    }

    pub fn is_scanning(&self) -> bool {
        self.scan.is_some()
    }

    /// True if a switchover waits for the next reading.
    pub fn is_awaited(&self) -> bool {
        self.is_awaited
    }

    /// True if elements that are found now may be those that a ruleset names.
    pub fn is_urgent(&self) -> bool {
        self.urgent.is_set()
    }

    /// True if elements that are found now may have been added while this node was active.
    pub fn is_late(&self) -> bool {
        self.late.is_set()
    }

    /// True if something changed that only a reading shows.
    pub fn is_unread(&self) -> bool {
        self.unread.is_set()
    }

    /// True if notifications were lost, and their changes may not be known yet.
    pub fn is_doubted(&self) -> bool {
        self.doubt.is_doubted()
    }

    /// Number of readings that have ended since the set is known.
    pub fn count(&self) -> u32 {
        self.schedule.count()
    }

    /// Processor time of one reading in ns.
    pub fn cost_ns(&self) -> u64 {
        self.schedule.cost_ns()
    }

    /// Processor time of a reading in ns; None before the first one has ended.
    pub fn known_cost(&self) -> Option<u64> {
        (self.count() > 0).then(|| self.cost_ns())
    }
}

#[cfg(test)]
mod tests {
    use super::super::doubt::READINGS_MAX;
    use super::super::schedule::{COST, COST_TOUCHED, ELEMENT_NS};
    use super::*;
    use crate::SECOND;

    const COST_NS: u64 = 50 * SECOND;

    fn read(reads: &mut Reads, is_dirty: bool) -> u64 {
        reads.begin();
        if is_dirty {
            reads.handle_change();
        }
        read_ends(reads);
        reads.due_ns()
    }

    fn read_ends(reads: &mut Reads) {
        reads.end(Some(Reading {
            certain: false,
            spent_ns: COST_NS,
            generation: 0,
        }));
        reads.plan(0, SECOND, false);
    }

    #[test]
    fn a_set_that_never_rests_is_doubted_for_a_few_readings_and_not_for_ever() {
        let mut reads = Reads::new(0);
        reads.touch(0, true);
        for _ in 1..READINGS_MAX {
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
        assert_eq!(reads.due_ns(), 2 * SECOND);
        reads.expect(100_000);
        let due_ns = SECOND + 100_000 * ELEMENT_NS * COST;
        assert_eq!(reads.due_ns(), due_ns);
        reads.expect(100_001);
        assert_eq!(reads.due_ns(), due_ns + ELEMENT_NS * COST);
        reads.touch(SECOND, true);
        reads.expect(1_000_000);
        assert!(
            reads.due_ns() < due_ns,
            "a reading that is needed waits for nothing"
        );
    }

    #[test]
    fn a_reading_in_calm_ends_all_doubt_unless_it_went_on_when_notifications_were_lost() {
        for is_complete in [false, true] {
            let mut reads = Reads::new(0);
            reads.begin();
            reads.touch(0, true);
            if is_complete {
                read_ends(&mut reads);
            } else {
                reads.end(None);
                reads.plan(0, SECOND, false);
            }
            assert!(reads.is_doubted());
            read(&mut reads, false);
            assert!(!reads.is_doubted());
        }
    }

    #[test]
    fn a_reading_that_fails_ends_neither_doubt_nor_marks_and_is_repeated() {
        let mut reads = Reads::new(0);
        reads.touch(0, true);
        reads.touch_unread(0);
        reads.hurry(0);
        reads.retire(0);
        for _ in 0..2 * READINGS_MAX {
            reads.begin();
            reads.end(None);
            reads.plan(SECOND, 60 * SECOND, false);
            assert!(reads.is_doubted() && reads.is_unread() && reads.is_urgent());
            assert!(reads.is_late());
            assert_eq!(reads.due_ns(), SECOND + AWAY_NS);
        }
        reads.plan(SECOND, 60 * SECOND, true);
        assert_eq!(reads.due_ns(), 61 * SECOND, "nothing is expected");
        read(&mut reads, false);
        assert!(!reads.is_doubted() && !reads.is_unread() && !reads.is_urgent());
        assert!(!reads.is_late());
    }
}
