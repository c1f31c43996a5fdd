//! Measures the rate of an SA, and computes the threshold of the kernel's notifications.

use crate::sa::Pace;
use crate::{MS, SECOND};

/// Threshold in packets until an SA's rate is known.
pub const THRESHOLD_FIRST: u32 = 32;
/// Shortest time per notification of all SAs together: at most 5000 a second.
const PER_NOTIFICATION_NS: u64 = MS / 5;
const MEASURE_NS: u64 = 200 * MS;
/// Time for which a peak counts, once or twice.
const PEAK_NS: u64 = 5 * SECOND;

/// Rate in packets a second, computed from counters.
#[derive(Clone, Debug)]
pub struct Rate {
    since_ns: u64,
    from: u64,
    now: u64,
    peak: u64,
    peak_before: u64,
    peak_ns: u64,
}

impl Rate {
    pub fn new(now_ns: u64, position: u64) -> Self {
        Self {
            since_ns: now_ns,
            from: position,
            now: 0,
            peak: 0,
            peak_before: 0,
            peak_ns: now_ns,
        }
    }

    pub fn measure(&mut self, now_ns: u64, position: u64) {
        let elapsed_ns = now_ns.saturating_sub(self.since_ns);
        if elapsed_ns < MEASURE_NS {
            return;
        }
        let packets = position.saturating_sub(self.from);
        let measured = u128::from(packets) * u128::from(SECOND) / u128::from(elapsed_ns);
        let measured = u64::try_from(measured).unwrap_or(u64::MAX);
        // a notification may be due only after the measurement
        self.now = measured.max(self.now / 2);
        (self.since_ns, self.from) = (now_ns, position);
        if now_ns.saturating_sub(self.peak_ns) >= PEAK_NS {
            (self.peak_before, self.peak, self.peak_ns) = (self.peak, 0, now_ns);
        }
        self.peak = self.peak.max(measured);
    }

    pub fn is_busy(&self) -> bool {
        self.now > 0
    }

    pub fn peak(&self) -> u32 {
        let peak = self.peak.max(self.peak_before).max(self.now);
        u32::try_from(peak).unwrap_or(u32::MAX)
    }

    /// Returns a suitable threshold, if the present one is wrong by a factor of two.
    pub fn other_threshold(&self, present: u32, interval_ns: u64, busy: usize) -> Option<u32> {
        let shared_ns = PER_NOTIFICATION_NS.saturating_mul(busy as u64);
        let interval_ns = interval_ns.max(shared_ns);
        // a product beyond 64 bits is beyond the threshold as well
        let target = self.now.saturating_mul(interval_ns) / SECOND;
        let target = u32::try_from(target).unwrap_or(u32::MAX).max(1);
        let differs = target / 2 >= present || present / 2 >= target;
        differs.then_some(target)
    }

    pub fn pace(&self, threshold: u32) -> Pace {
        Pace {
            threshold,
            packets_per_s: self.peak(),
        }
    }
}

/// Returns the threshold with which an SA is installed, for the traffic of the old node. Setting another one for each
/// SA later would delay a new peer.
pub fn threshold_of(pace: Pace) -> u32 {
    match pace {
        Pace {
            packets_per_s: 0, ..
        } => 1,
        Pace { threshold: 0, .. } => THRESHOLD_FIRST,
        Pace { threshold, .. } => threshold,
    }
}
