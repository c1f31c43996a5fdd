// SPDX-License-Identifier: MIT OR Apache-2.0
//! Cost of a fault, from the moment it struck until the pair was whole again.

use std::time::Duration;

use spared_tests::clock::Stamp;
use spared_tests::lab::{VIRTUAL, Wire};
use spared_tests::probe::{Run, Watch};

use crate::pairs::Carries;
use crate::users::Lease;

/// Longest time between two answers of one node with an answer of the other between them that counts as both.
const TO_AND_FRO: Duration = Duration::from_millis(20);

#[derive(Clone, Copy, Debug)]
pub struct Loss {
    /// State that the pair carries. Measures of other state are as if nothing was lost.
    pub carried: Carries,
    pub began: Stamp,
    pub ended: Stamp,
    /// Time without forwarding.
    pub packets: Duration,
    /// Time for which both nodes answered for the gateway's address.
    pub both: Duration,
    /// Longest pause of the download; None: it broke.
    pub pause: Option<Duration>,
    /// The idle session still works.
    pub session: bool,
    pub lease: Lease,
    /// Time for which the banned host got through.
    pub banned: Duration,
    /// It still did at the end.
    pub ban_gone: bool,
    pub without_server: Duration,
    pub two_servers: Duration,
}

/// Time for which both nodes answered "who has the gateway's address".
pub fn both_answered(watch: &Watch, from: Stamp) -> Duration {
    overlap(&watch.resolutions(from, Wire::Lan.ipv4(VIRTUAL).into()))
}

// While both answer, the runs alternate: the time is that between two answers of r1 with one of r2 between them. A
// role that moves and comes back makes three runs as well, but much longer ones.
fn overlap(runs: &[Run]) -> Duration {
    let around = runs.windows(3).filter(|three| three[1].site == 1);
    let both = around.map(|three| three[2].first.since(three[0].last));
    both.filter(|time| *time < TO_AND_FRO).sum()
}
