//! E3, E8, E12, E15: two networks that carry some kinds of frames and lose others, with stations on them.
//!
//! The tests try every fault of one network while the other one is whole, and random faults of both networks, with
//! nodes that die and start. The required behaviour of a pair is in `expected`. `make soak-networks` tries all cases.

mod bed;
mod exhaustive;
mod expected;
mod random;

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// Judges all cases with numbers below `count`, on all processors. Returns the failures, in order.
fn check_all(
    count: usize,
    judge: impl Fn(usize) -> Result<(), String> + Sync,
) -> Vec<(usize, String)> {
    let (next, failures) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let work = || {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= count {
                return;
            }
            if let Err(failure) = judge(number) {
                failures.lock().expect("no panic").push((number, failure));
            }
        }
    };
    let threads = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(work);
        }
    });
    let mut failures = failures.into_inner().expect("no panic");
    failures.sort();
    failures
}

/// Fails with the first failures, if there are any.
fn assert_none(failures: &[(usize, String)], of: usize) {
    let first: Vec<&str> = failures
        .iter()
        .take(20)
        .map(|(_, it)| it.as_str())
        .collect();
    let count = failures.len();
    assert!(count == 0, "{count} of {of} fail:\n{}", first.join("\n"));
}
