//! Delays the next walk after walks that could not read the kernel's table to its end.

use super::SECOND_NS;

/// Pause before the next walk.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pause {
    until_ns: u64,
    /// Length; 0 if the last walk was complete.
    length_ns: u64,
}

impl Pause {
    /// First pause, short because a failover's times may wait for the walk.
    const FIRST_NS: u64 = SECOND_NS / 10;
    const LONGEST_NS: u64 = 30 * SECOND_NS;
    /// Length from which the failure is reported: several walks in a row have failed.
    const TROUBLE_NS: u64 = SECOND_NS / 2;

    pub(super) fn lengthen(&mut self, now_ns: u64) {
        let longer_ns = self.length_ns.saturating_mul(2);
        self.length_ns = longer_ns.clamp(Self::FIRST_NS, Self::LONGEST_NS);
        self.until_ns = now_ns.saturating_add(self.length_ns);
    }

    pub(super) fn is_on(&self, now_ns: u64) -> bool {
        now_ns < self.until_ns
    }

    pub(super) fn end_ns(&self, now_ns: u64) -> Option<u64> {
        self.is_on(now_ns).then_some(self.until_ns)
    }

    pub(super) fn is_trouble(&self) -> bool {
        self.length_ns >= Self::TROUBLE_NS
    }
}
