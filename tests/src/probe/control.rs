// SPDX-License-Identifier: MIT OR Apache-2.0
//! Control threads, one per processor, which only wake at fixed times with the highest possible priority.
//! When they were late, any router would have been.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::clock::Stamp;
use crate::sys;

const TICK: Duration = Duration::from_millis(1);
/// Shorter delays are not recorded.
const NOTABLE: Duration = Duration::from_millis(1);

pub struct Control {
    late: Arc<Mutex<Vec<(Stamp, Duration)>>>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Control {
    pub fn start() -> Self {
        let late = Arc::new(Mutex::new(Vec::new()));
        let stop = Arc::new(AtomicBool::new(false));
        let processors = thread::available_parallelism().map_or(1, usize::from);
        let threads = (0..processors)
            .map(|cpu| {
                let (late, stop) = (Arc::clone(&late), Arc::clone(&stop));
                thread::spawn(move || {
                    let _ = sys::pin(cpu);
                    sys::realtime(98);
                    while !stop.load(Ordering::Relaxed) {
                        let begin = Instant::now();
                        thread::sleep(TICK);
                        let delay = begin.elapsed().saturating_sub(TICK);
                        if delay > NOTABLE {
                            let mut late = late.lock().unwrap_or_else(PoisonError::into_inner);
                            late.push((Stamp::now(), delay));
                        }
                    }
                })
            })
            .collect();
        Self {
            late,
            stop,
            threads,
        }
    }

    /// The longest delay that ended after `from`.
    pub fn worst_since(&self, from: Stamp) -> Duration {
        self.worst(from, Stamp(u64::MAX))
    }

    /// The longest delay that ended in [from, to].
    pub fn worst(&self, from: Stamp, to: Stamp) -> Duration {
        let late = self.late.lock().unwrap_or_else(PoisonError::into_inner);
        let within = late.iter().filter(|(at, _)| (from..=to).contains(at));
        within.map(|(_, delay)| *delay).max().unwrap_or_default()
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}
