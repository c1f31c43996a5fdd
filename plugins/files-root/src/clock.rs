//! The time on two clocks.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// The time on both clocks. The wall clock counts while the machine is off, but may be set. The steady clock is never
/// set, but restarts with the machine.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// Seconds since 1970.
    pub wall_s: u64,
    pub steady: Instant,
}

impl Now {
    pub fn read() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        Self {
            wall_s: since.map_or(0, |it| it.as_secs()),
            steady: Instant::now(),
        }
    }
}
