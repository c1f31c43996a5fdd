//! Rate limit for what a worker sends: a token bucket.

#[cfg(test)]
mod tests;

use std::time::{Duration, Instant};

/// Token bucket that allows `rate` events a second, and `burst` at once.
#[derive(Debug)]
pub struct TokenBucket {
    rate: f64,
    burst: f64,
    tokens: f64,
    filled_at: Instant,
    /// Number of refusals since the last call of `take_suppressed_count`.
    refused: u64,
}

impl TokenBucket {
    pub fn new(rate: u32, burst: u32, now: Instant) -> Self {
        Self {
            rate: rate.into(),
            burst: burst.into(),
            tokens: burst.into(),
            filled_at: now,
            refused: 0,
        }
    }

    /// Takes one token. Returns false if there is none.
    pub fn take(&mut self, now: Instant) -> bool {
        self.fill(now);
        if self.tokens < 1.0 {
            self.refused += 1;
            return false;
        }
        self.tokens -= 1.0;
        true
    }

    /// Takes `amount` tokens for what has happened already; the bucket may become negative.
    pub fn charge(&mut self, now: Instant, amount: f64) {
        self.fill(now);
        self.tokens -= amount;
    }

    /// Time until the bucket is no longer negative; None if it is not.
    pub fn debt(&mut self, now: Instant) -> Option<Duration> {
        self.fill(now);
        let owed = -self.tokens;
        (owed > 0.0).then(|| Duration::from_secs_f64(owed / self.rate))
    }

    /// Number of refusals since the last call.
    pub fn take_suppressed_count(&mut self) -> u64 {
        std::mem::take(&mut self.refused)
    }

    fn fill(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.filled_at).as_secs_f64();
        self.tokens = (self.tokens + passed * self.rate).min(self.burst);
        self.filled_at = self.filled_at.max(now);
    }
}
