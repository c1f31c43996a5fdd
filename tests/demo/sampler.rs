// SPDX-License-Identifier: MIT OR Apache-2.0
//! A thread that looks at something every few milliseconds, and remembers when it changed.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use spared_tests::clock::Stamp;

pub const EVERY: Duration = Duration::from_millis(5);

/// Values of something, each with the time of its first sight.
pub struct Sampler<T> {
    seen: Arc<Mutex<Vec<(Stamp, T)>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl<T: Copy + PartialEq + Send + 'static> Sampler<T> {
    pub fn start(mut look: impl FnMut() -> T + Send + 'static) -> Self {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let stop = Arc::new(AtomicBool::new(false));
        let thread = thread::spawn({
            let (seen, stop) = (Arc::clone(&seen), Arc::clone(&stop));
            move || {
                let mut last = None;
                while !stop.load(Ordering::Relaxed) {
                    let value = look();
                    if last.replace(value) != Some(value) {
                        let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
                        seen.push((Stamp::now(), value));
                    }
                    thread::sleep(EVERY);
                }
            }
        });
        Self {
            seen,
            stop,
            thread: Some(thread),
        }
    }

    /// Values in [from, to], each with the time for which it lasted within.
    pub fn spans(&self, from: Stamp, to: Stamp) -> Vec<(T, Duration)> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let ends = seen.iter().skip(1).map(|(at, _)| *at).chain([to]);
        let spans = seen.iter().zip(ends).map(|((begin, value), end)| {
            let (begin, end) = ((*begin).max(from), end.min(to));
            (*value, end.since(begin))
        });
        spans.filter(|(_, span)| !span.is_zero()).collect()
    }
}

impl<T> Drop for Sampler<T> {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
