//! How much a worker may say: a bucket that fills with time.

use std::time::Instant;

/// `rate` things a second, and `burst` at once.
#[derive(Debug)]
pub struct Limit {
    rate: f64,
    burst: f64,
    tokens: f64,
    filled_at: Instant,
    /// Refused since the last time that somebody asked.
    refused: u64,
}

impl Limit {
    pub fn new(rate: u32, burst: u32, now: Instant) -> Self {
        Self {
            rate: rate.into(),
            burst: burst.into(),
            tokens: burst.into(),
            filled_at: now,
            refused: 0,
        }
    }

    /// Whether one more is within the limit.
    pub fn take(&mut self, now: Instant) -> bool {
        let passed = now.saturating_duration_since(self.filled_at).as_secs_f64();
        self.tokens = (self.tokens + passed * self.rate).min(self.burst);
        self.filled_at = now;
        if self.tokens < 1.0 {
            self.refused += 1;
            return false;
        }
        self.tokens -= 1.0;
        true
    }

    /// How many were refused since the last call.
    pub fn take_suppressed_count(&mut self) -> u64 {
        std::mem::take(&mut self.refused)
    }
}
