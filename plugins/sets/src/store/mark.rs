//! Mark of something that only a reading shows that begins after it.

#[derive(Debug, Default)]
pub(super) struct Mark {
    /// True if it happened after the last reading began.
    is_waiting: bool,
    /// True if it happened before the reading in progress, which is to show it.
    is_in_reading: bool,
}

impl Mark {
    pub fn set(&mut self) {
        self.is_waiting = true;
    }

    /// Handles that a reading begins.
    pub fn begin_reading(&mut self) {
        self.is_in_reading |= std::mem::take(&mut self.is_waiting);
    }

    /// Handles that a reading has shown what happened before it; returns true if there was something.
    pub fn end_reading(&mut self) -> bool {
        std::mem::take(&mut self.is_in_reading)
    }

    /// Handles that the reading in progress has failed: the next one is to show it.
    pub fn fail_reading(&mut self) {
        self.is_waiting |= std::mem::take(&mut self.is_in_reading);
    }

    /// True if a reading has to begin that shows it.
    pub fn is_waiting(&self) -> bool {
        self.is_waiting
    }

    /// True if no reading has shown it yet.
    pub fn is_set(&self) -> bool {
        self.is_waiting || self.is_in_reading
    }
}
