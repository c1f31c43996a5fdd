//! Retry of a goal that was not reached: the pause before the next try, which doubles with each failure in a row.

const S: u64 = 1_000_000_000;
const BACKOFF_MAX_NS: u64 = 60 * S;
/// Limit of failures in a row that lengthen the pause.
const FAILURES_MAX: u32 = 32;

#[derive(Debug, Default)]
pub(super) struct RetryPause {
    until_ns: Option<u64>,
    failures_in_a_row: u32,
}

impl RetryPause {
    /// Counts a failure and begins the pause after it; returns its length.
    pub(super) fn begin(&mut self, now_ns: u64) -> u64 {
        let wait_ns = self.count_failure();
        self.until_ns = Some(now_ns.saturating_add(wait_ns));
        wait_ns
    }

    /// Counts a failure; returns the length of the pause that belongs to it.
    pub(super) fn count_failure(&mut self) -> u64 {
        let wait_ns = 2u64
            .checked_shl(self.failures_in_a_row)
            .map_or(BACKOFF_MAX_NS, |seconds| seconds.saturating_mul(S))
            .min(BACKOFF_MAX_NS);
        self.failures_in_a_row = self.failures_in_a_row.saturating_add(1).min(FAILURES_MAX);
        wait_ns
    }

    /// Ends the pause when it is over.
    pub(super) fn handle_timeout(&mut self, now_ns: u64) {
        self.until_ns.take_if(|until_ns| now_ns >= *until_ns);
    }

    pub(super) fn end(&mut self) {
        self.until_ns = None;
    }

    pub(super) fn forget_failures(&mut self) {
        self.failures_in_a_row = 0;
    }

    pub(super) fn until_ns(&self) -> Option<u64> {
        self.until_ns
    }

    pub(super) fn has_failed(&self) -> bool {
        self.failures_in_a_row > 0
    }
}
