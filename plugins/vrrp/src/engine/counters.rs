//! Counters: adverts, dropped frames by reason, late timers.

use crate::error::Discard;

/// Frames that were dropped on an interface, by reason.
#[derive(Clone, Debug, Default)]
pub struct Discards {
    counts: [u64; Discard::ALL.len()],
}

impl Discards {
    pub(super) fn count(&mut self, reason: Discard) {
        if let Some(count) = self.counts.get_mut(reason as usize) {
            *count += 1;
        }
    }

    pub fn get(&self, reason: Discard) -> u64 {
        self.counts.get(reason as usize).copied().unwrap_or(0)
    }
}

/// Counters of a virtual router.
#[derive(Clone, Debug, Default)]
pub struct RouterCounters {
    pub sent: u64,
    pub sent_priority_zero: u64,
    pub send_errors: u64,
    pub received: u64,
    pub received_priority_zero: u64,
    /// Adverts that lost against this node's while it was active.
    pub received_losing: u64,
    pub interval_mismatch: u64,
    pub address_list_mismatch: u64,
    /// Number of changes to the peer's form of checksum.
    pub checksum_changes: u64,
    pub foreign: u64,
    /// Adverts with a signature, which was not verified.
    pub signed: u64,
}

/// Counters of a group.
#[derive(Clone, Debug, Default)]
pub struct GroupCounters {
    pub became_active: u64,
    pub became_backup: u64,
    pub publish_failed: u64,
    pub conflicts: u64,
    pub unheard_interfaces: u64,
    pub claims: u64,
    /// Number of adverts that came, or would have come, after the end of the lease.
    pub lapses: u64,
    /// Number of lapses after which another router was active.
    pub late_step_downs: u64,
    pub lateness: Lateness,
}

/// Histogram of the lateness of adverts, in powers of two of microseconds.
#[derive(Clone, Debug, Default)]
pub struct Lateness {
    pub worst_ns: u64,
    pub sum_ns: u64,
    /// Bucket n: below 2^n microseconds; the last: everything longer.
    buckets: [u64; Lateness::BUCKETS],
}

impl Lateness {
    const BUCKETS: usize = 20;

    pub(super) fn record(&mut self, late_ns: u64) {
        self.worst_ns = self.worst_ns.max(late_ns);
        self.sum_ns = self.sum_ns.saturating_add(late_ns);
        let bits = u64::BITS - (late_ns / 1000).leading_zeros();
        let bucket = usize::try_from(bits)
            .unwrap_or(0)
            .min(Lateness::BUCKETS - 1);
        if let Some(count) = self.buckets.get_mut(bucket) {
            *count += 1;
        }
    }

    /// Number of adverts that were at least this late; a power of two.
    pub fn above(&self, late_us: u64) -> u64 {
        let below = |(n, count): (usize, &u64)| (1_u64 << n, *count);
        let buckets = self.buckets.iter().enumerate().map(below);
        let late = buckets.filter(|(below_us, _)| *below_us > late_us);
        late.map(|(_, count)| count).sum()
    }

    /// Non-empty buckets: an upper limit in microseconds, and the number of adverts that were less late than that.
    pub fn buckets(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        let bucket = |(n, count): (usize, &u64)| (1_u64 << n, *count);
        self.buckets
            .iter()
            .enumerate()
            .map(bucket)
            .filter(|(_, count)| *count > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn late_is_what_is_at_least_so_late() {
        let mut lateness = Lateness::default();
        for us in [0, 5, 1023, 1024, 5000, 40_000_000] {
            lateness.record(us * 1000);
        }
        assert_eq!(lateness.above(1024), 3);
    }
}
