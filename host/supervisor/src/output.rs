//! Limits of what a worker may write to the log and to its error output.

use std::time::Instant;

use spared_process::token_bucket::TokenBucket;

/// Limits of a worker's error output: bytes per second, and bytes at once.
const ERRORS_PER_S: u32 = 100 << 10;
const ERRORS_BURST: u32 = 1000 << 10;
/// Minimum weight of a read in bytes: the host wakes up for each read.
const ERRORS_READ: usize = 1 << 10;

#[derive(Debug)]
pub(super) struct Output {
    /// Limit of log lines, from the error output and from messages.
    pub(super) lines: TokenBucket,
    /// Limit of bytes of the error output. A read counts as at least [`ERRORS_READ`].
    errors: TokenBucket,
}

impl Output {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            lines: TokenBucket::new(20, 200, now),
            errors: TokenBucket::new(ERRORS_PER_S, ERRORS_BURST, now),
        }
    }

    /// Returns true if a read of the error output exceeds the limit. Bytes count, so that a busy host, which reads much
    /// at once, finds a flood as early as an idle one, which reads line by line.
    pub(super) fn is_flood(&mut self, now: Instant, length: usize) -> bool {
        let weight = u32::try_from(length.max(ERRORS_READ)).unwrap_or(u32::MAX);
        self.errors.charge(now, weight.into());
        self.errors.debt(now).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_errors_is_found_by_its_bytes_however_they_are_read() {
        let now = Instant::now();
        let count = |length| {
            let mut output = Output::new(now);
            (1..).find(|_| output.is_flood(now, length))
        };
        // a line per read, or as much as one read can return
        assert_eq!(count(20), Some(1001));
        assert_eq!(count(16 << 10), Some(63));
    }
}
