//! Schedules resyncs of this node, and tracks the reasons for them.

use super::SECOND_NS;

#[derive(Debug)]
pub(super) struct ResyncSchedule {
    next_ns: u64,
    /// Duration of the last resync.
    took_ns: u64,
    /// The next resync is the first one for this peer: the flows that it finds count as old.
    is_first: bool,
    /// A resync was stopped early, and none has been completed since.
    is_stopped: bool,
    /// Notifications were lost, and no resync has found their changes yet.
    has_lost_events: bool,
    overrun_ns: u64,
}

impl Default for ResyncSchedule {
    fn default() -> Self {
        Self {
            next_ns: u64::MAX,
            took_ns: 0,
            is_first: true,
            is_stopped: false,
            has_lost_events: false,
            overrun_ns: 0,
        }
    }
}

impl ResyncSchedule {
    /// Returns the schedule for a new peer.
    pub(super) fn for_new_peer(&self) -> Self {
        Self {
            took_ns: self.took_ns,
            ..Self::default()
        }
    }

    pub(super) fn took_ns(&self) -> u64 {
        self.took_ns
    }

    pub(super) fn is_first(&self) -> bool {
        self.is_first
    }

    pub(super) fn next_ns(&self) -> Option<u64> {
        (self.next_ns < u64::MAX).then_some(self.next_ns)
    }

    pub(super) fn is_due(&self, now_ns: u64) -> bool {
        now_ns >= self.next_ns
    }

    pub(super) fn schedule(&mut self, next_ns: Option<u64>) {
        self.next_ns = next_ns.unwrap_or(u64::MAX);
    }

    /// Schedules the next resync as early as allowed, if it is not due before.
    pub(super) fn hasten(&mut self, now_ns: u64) {
        let soon_ns = now_ns + self.least_interval_ns().max(SECOND_NS);
        self.next_ns = self.next_ns.min(soon_ns);
    }

    /// Returns `configured_ns`, or more if resyncs would take more than a twentieth of the time.
    pub(super) fn interval_ns(&self, configured_ns: u64) -> u64 {
        configured_ns.max(self.least_interval_ns())
    }

    fn least_interval_ns(&self) -> u64 {
        const SHARE: u64 = 20;
        let least_ns = self.took_ns.saturating_mul(SHARE);
        least_ns.min(3600 * SECOND_NS)
    }

    /// Takes note that a resync was completed.
    pub(super) fn handle_end(&mut self, took_ns: u64) {
        self.took_ns = took_ns;
        (self.is_first, self.is_stopped) = (false, false);
    }

    // ---- lost notifications

    pub(super) fn handle_overrun(&mut self, now_ns: u64) {
        self.overrun_ns = now_ns;
    }

    /// Sets whether a resync has to find the changes of lost notifications; returns the earlier value.
    pub(super) fn set_lost_events(&mut self, has_lost_events: bool) -> bool {
        std::mem::replace(&mut self.has_lost_events, has_lost_events)
    }

    pub(super) fn has_lost_events(&self) -> bool {
        self.has_lost_events
    }

    /// Returns true if a resync in which notifications were lost may be stopped: the burst is over, and the one before
    /// was completed. Otherwise a series of bursts would let none end.
    pub(super) fn may_stop(&self, now_ns: u64) -> bool {
        const CALM_NS: u64 = SECOND_NS / 50;
        !self.is_stopped && now_ns.saturating_sub(self.overrun_ns) >= CALM_NS
    }

    pub(super) fn handle_stop(&mut self) {
        self.is_stopped = true;
    }
}
