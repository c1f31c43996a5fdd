//! Rate of an SA, and of the kernel's notifications of it.

use crate::sa::Pace;

/// Until an SA's rate is known.
pub const THRESHOLD_FIRST: u32 = 32;
/// All SAs together cause at most 5000 notifications a second.
const PER_NOTIFICATION_US: u64 = 200;
const MEASURE_MS: u64 = 200;
/// A peak counts for once or twice that long.
const PEAK_MS: u64 = 5_000;

/// Packets a second, from counters as they are seen.
#[derive(Clone, Debug)]
pub struct Rate {
    since_ms: u64,
    from: u64,
    now: u64,
    peak: u64,
    peak_before: u64,
    peak_ms: u64,
}

impl Rate {
    pub fn new(now_ms: u64, position: u64) -> Self {
        Self {
            since_ms: now_ms,
            from: position,
            now: 0,
            peak: 0,
            peak_before: 0,
            peak_ms: now_ms,
        }
    }

    pub fn measure(&mut self, now_ms: u64, position: u64) {
        let elapsed_ms = now_ms.saturating_sub(self.since_ms);
        if elapsed_ms < MEASURE_MS {
            return;
        }
        let packets = position.saturating_sub(self.from);
        let measured = packets.saturating_mul(1000) / elapsed_ms;
        // a notification may be due only after the measurement
        self.now = measured.max(self.now / 2);
        (self.since_ms, self.from) = (now_ms, position);
        if now_ms.saturating_sub(self.peak_ms) >= PEAK_MS {
            (self.peak_before, self.peak, self.peak_ms) = (self.peak, 0, now_ms);
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

    /// A threshold that fits, where the present one does not by a factor of two.
    pub fn other_threshold(&self, present: u32, interval_us: u64, busy: usize) -> Option<u32> {
        let shared_us = PER_NOTIFICATION_US.saturating_mul(busy as u64);
        let interval_us = interval_us.max(shared_us);
        let fits = self.now.saturating_mul(interval_us) / 1_000_000;
        let fits = u32::try_from(fits).unwrap_or(u32::MAX).max(1);
        let far = fits / 2 >= present || present / 2 >= fits;
        far.then_some(fits)
    }

    pub fn pace(&self, threshold: u32) -> Pace {
        Pace {
            threshold,
            packets_per_s: self.peak(),
        }
    }
}

/// That an SA is put with, as fits the traffic of the old node: to set another one of each SA later would keep a new
/// peer waiting.
pub fn threshold_of(pace: Pace) -> u32 {
    match pace {
        Pace {
            packets_per_s: 0, ..
        } => 1,
        Pace { threshold: 0, .. } => THRESHOLD_FIRST,
        Pace { threshold, .. } => threshold,
    }
}
