//! Walks that did not come to their end, because the kernel's table could not be read: the next one waits.

use super::{Engine, SECOND_NS};

/// Pause before the next walk.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pause {
    until_ns: u64,
    /// 0 if the last walk came to its end.
    length_ns: u64,
}

impl Pause {
    /// A failover's times may wait for it.
    const FIRST_NS: u64 = SECOND_NS / 10;
    const LONGEST_NS: u64 = 30 * SECOND_NS;
    /// From this length on it is a trouble: several walks have failed, one after the other.
    const TROUBLE_NS: u64 = SECOND_NS / 2;

    fn lengthen(&mut self, now_ns: u64) {
        let longer_ns = self.length_ns.saturating_mul(2);
        self.length_ns = longer_ns.clamp(Self::FIRST_NS, Self::LONGEST_NS);
        self.until_ns = now_ns.saturating_add(self.length_ns);
    }
}

impl Engine {
    pub(super) fn note_walk(&mut self, now_ns: u64, is_read: bool) {
        match is_read {
            true => self.pause = Pause::default(),
            false => self.pause.lengthen(now_ns),
        }
    }

    /// A failover waits for no pause from before it.
    pub(super) fn end_pause(&mut self) {
        self.pause = Pause::default();
    }

    pub(super) fn pauses(&self, now_ns: u64) -> bool {
        now_ns < self.pause.until_ns
    }

    /// Time of the next walk that waits.
    pub(super) fn next_walk_ns(&self, now_ns: u64) -> Option<u64> {
        let waits = self.pauses(now_ns) && self.pass.is_none() && self.wanted.any();
        waits.then_some(self.pause.until_ns)
    }

    /// Whether the kernel's table could not be read for some time.
    pub(super) fn is_blind(&self) -> bool {
        self.pause.length_ns >= Pause::TROUBLE_NS
    }
}
