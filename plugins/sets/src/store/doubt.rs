//! Doubt that a reading shows the set as it is: others change it meanwhile, or notifications were lost.

/// Maximum number of readings after lost notifications while others keep changing the set: each one finds most of the
/// elements that the last one skipped, and an element that two readings lack was deleted.
pub(super) const READINGS_MAX: u8 = 3;

#[derive(Debug, Default)]
pub(super) struct Doubt {
    /// True if a change since the last reading began is only visible in another one.
    is_touched: bool,
    /// True if others changed elements since it began: a dump then skips some elements.
    is_dirty: bool,
    /// Number of readings that are due because notifications were lost; one without changes by others is enough.
    readings: u8,
}

impl Doubt {
    pub fn begin_reading(&mut self) {
        self.is_dirty = false;
    }

    /// Handles a change of elements by others.
    pub fn handle_change(&mut self) {
        self.is_dirty = true;
    }

    /// Handles a change that only a reading shows.
    pub fn handle_touched(&mut self, is_reading: bool) {
        self.is_touched |= is_reading;
    }

    /// Handles a loss of notifications.
    pub fn handle_loss(&mut self, is_reading: bool) {
        // the reading in progress may have passed the changed elements
        self.readings = READINGS_MAX + u8::from(is_reading);
    }

    /// Handles the end of a reading that did not fail; returns true if another one has to follow soon.
    pub fn end_reading(&mut self) -> bool {
        let is_dirty = std::mem::take(&mut self.is_dirty);
        let is_touched = std::mem::take(&mut self.is_touched);
        self.readings = if is_dirty || is_touched {
            self.readings.saturating_sub(1)
        } else {
            0
        };
        is_touched || self.is_doubted()
    }

    /// Handles that a reading has failed: it ends no doubt, and the next one begins after each change so far.
    pub fn fail_reading(&mut self) {
        self.is_touched = false;
    }

    pub fn is_touched(&self) -> bool {
        self.is_touched
    }

    /// True if notifications were lost, and their changes may not be known yet.
    pub fn is_doubted(&self) -> bool {
        self.readings > 0
    }
}
