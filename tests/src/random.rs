// SPDX-License-Identifier: MIT OR Apache-2.0
//! Random numbers that repeat for the same seed, and numbers from the environment.

use std::env;
use std::time::Duration;

/// Returns a number from an environment variable.
pub fn number(name: &str, default: u64) -> u64 {
    let text = env::var(name).unwrap_or_default();
    text.parse().unwrap_or(default)
}

pub struct Random(u64);

impl Random {
    /// A generator with the seed SPARED_SEED.
    pub fn from_environment() -> Self {
        Self::new(number("SPARED_SEED", 1))
    }

    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit as u64) as usize
    }

    pub fn time(&mut self, below_ms: usize) -> Duration {
        Duration::from_micros(self.below(below_ms * 1000) as u64)
    }
}

/// Returns bytes that differ for each seed, and cannot be compressed.
pub fn noise(seed: usize, length: usize) -> Vec<u8> {
    let mut state = seed as u64 + 0x9e37_79b9_7f4a_7c15;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        // xorshift64
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend(state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}
