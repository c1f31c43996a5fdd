//! Tests each rule of the fence with real packets from a third namespace.

mod groups;
mod lease;
mod mac;
mod ruleset;
mod traffic;

use std::time::{Duration, Instant};

use crate::lab::send;

/// Short lease, for tests in which it expires.
const SHORT: Duration = Duration::from_millis(100);

// Sends an advert repeatedly for two and a half times a lease, often enough to keep it. False if the machine stalled
// for so long that the lease had to expire.
fn keeps_sending(frame: &[u8], lease: Duration) -> bool {
    let begun = Instant::now();
    let mut last = begun;
    while begun.elapsed() < lease * 5 / 2 {
        let sent = send(frame);
        if last.elapsed() > lease * 4 / 5 {
            eprintln!("skipped: the machine stalled for {:?}", last.elapsed());
            return false;
        }
        sent.expect("a lease that was renewed in time lets the advert pass");
        last = Instant::now();
        std::thread::sleep(lease / 10);
    }
    true
}
