//! The reason of the last protocol error, as vrrpv3StatisticsProtoErrReason has it.

use std::time::{Duration, Instant};

use spared_metrics::Status;

use super::rows::dropped;

/// Time after which an error is over, so that another one is news again.
const SHOWN: Duration = Duration::from_secs(60);

/// Counters of dropped frames, with the number of the reason in the MIB.
const REASONS: [(&str, i64); 4] = [
    ("ttl", 1),
    ("version", 2),
    ("checksum", 3),
    ("unknown_vrid", 4),
];

/// Counts of the last look, and the error that it found.
#[derive(Debug, Default)]
pub struct ProtocolErrors {
    counts: Option<[u64; REASONS.len()]>,
    last: Option<(Instant, i64)>,
}

impl ProtocolErrors {
    /// Reason of the last error within a minute; 0 if there was none.
    pub fn update(&mut self, now: Instant, status: &Status) -> i64 {
        let counts = REASONS.map(|(reason, _)| dropped(status, reason));
        let before = self.counts.replace(counts).unwrap_or(counts);
        let rises = counts.iter().zip(before).zip(REASONS);
        let mut risen = rises.filter(|((count, before), _)| *count > before);
        if let Some((_, (_, reason))) = risen.next() {
            self.last = Some((now, reason));
        }
        let last = self.last.as_ref();
        let last = last.filter(|it| now.saturating_duration_since(it.0) < SHOWN);
        last.map_or(0, |it| it.1)
    }
}
