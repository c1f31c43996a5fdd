//! Garbage: messages that were not understood are counted, reported once, and requested again after a pause.

use crate::table::Backoff;

#[derive(Debug)]
pub(crate) struct Garbage {
    retry: Backoff,
    /// True if AGAIN is due.
    again_due: bool,
    /// True if the peer has sent AGAIN since the owner last asked.
    is_repeat_requested: bool,
    dropped_here: u32,
    /// Messages that the peer has dropped, from its AGAIN.
    dropped_at_peer: u32,
    is_reported: bool,
}

impl Garbage {
    pub(crate) fn new() -> Self {
        Self {
            retry: Backoff::new(30),
            again_due: false,
            is_repeat_requested: false,
            dropped_here: 0,
            dropped_at_peer: 0,
            is_reported: false,
        }
    }

    /// Numbers of messages dropped since the channel is up: here, and at the peer as reported.
    pub(crate) fn counts(&self) -> (u32, u32) {
        (self.dropped_here, self.dropped_at_peer)
    }

    /// Counts a dropped message. True if it is the first one, which is reported.
    pub(crate) fn handle_dropped(&mut self) -> bool {
        self.dropped_here = self.dropped_here.saturating_add(1);
        !std::mem::replace(&mut self.is_reported, true)
    }

    pub(crate) fn handle_again(&mut self, dropped_at_peer: u32) {
        self.dropped_at_peer = dropped_at_peer;
        self.is_repeat_requested = true;
    }

    pub(crate) fn take_repeat_request(&mut self) -> bool {
        std::mem::take(&mut self.is_repeat_requested)
    }

    // ---- AGAIN

    /// Requests everything again after a pause.
    pub(crate) fn retry_later(&mut self, now_ns: u64) {
        self.retry.arm(now_ns);
    }

    /// Returns true once when the pause is over.
    pub(crate) fn take_due(&mut self, now_ns: u64) -> bool {
        let is_over = self.retry.take_due(now_ns);
        self.again_due |= is_over;
        is_over
    }

    /// Resets the pause to the shortest one, because a whole table was received.
    pub(crate) fn handle_success(&mut self) {
        self.retry.reset();
    }

    /// Time at which everything is requested again; received messages do not count before.
    pub(crate) fn retry_ns(&self) -> Option<u64> {
        self.retry.due_ns
    }

    pub(crate) fn set_again_due(&mut self, is_due: bool) {
        self.again_due = is_due;
    }

    pub(crate) fn take_again_due(&mut self) -> bool {
        std::mem::take(&mut self.again_due)
    }

    pub(crate) fn handle_down(&mut self) {
        self.retry.due_ns = None;
        self.again_due = false;
    }
}
