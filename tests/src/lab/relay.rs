// SPDX-License-Identifier: MIT OR Apache-2.0
//! A long cable between two routers: it delivers frames after a delay.

use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::{Site, Tap};
use crate::Result;

/// Longest frame.
const FRAME_MAX: usize = 2048;
/// Limit of frames in transit; further ones are lost, as on a cable.
const FLYING_MAX: usize = 4096;

/// A cable whose two ends are interfaces of the same name. It ends when the value is dropped.
pub struct Relay {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Relay {
    /// Transfers frames between two sites, each `delay` after it was sent.
    pub fn start(sites: [&Site; 2], name: &str, delay: Duration) -> Result<Self> {
        let ends = [
            Arc::new(Tap::bare(&sites[0].ns, name)?),
            Arc::new(Tap::bare(&sites[1].ns, name)?),
        ];
        let stop = Arc::new(AtomicBool::new(false));
        let threads = [(0, 1), (1, 0)].map(|(from, to)| {
            let (from, to) = (Arc::clone(&ends[from]), Arc::clone(&ends[to]));
            let stop = Arc::clone(&stop);
            thread::spawn(move || carry(&from, &to, delay, &stop))
        });
        let threads = threads.into();
        Ok(Self { stop, threads })
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

fn carry(from: &Tap, to: &Tap, delay: Duration, stop: &AtomicBool) {
    let mut flying: VecDeque<(Instant, Vec<u8>)> = VecDeque::new();
    let mut frame = vec![0; FRAME_MAX];
    while !stop.load(Ordering::Relaxed) {
        let due = flying.front().map(|(due, _)| *due);
        let patience = due.map_or(Duration::from_millis(20), |due| {
            due.saturating_duration_since(Instant::now())
        });
        if is_readable(from.as_fd(), patience.min(Duration::from_millis(20))) {
            if let Ok(length) = rustix::io::read(from, &mut frame) {
                if flying.len() < FLYING_MAX {
                    flying.push_back((Instant::now() + delay, frame[..length].to_vec()));
                }
            }
        }
        while flying
            .front()
            .is_some_and(|(due, _)| Instant::now() >= *due)
        {
            if let Some((_, frame)) = flying.pop_front() {
                let _ = rustix::io::write(to, &frame);
            }
        }
    }
}

fn is_readable(fd: BorrowedFd<'_>, patience: Duration) -> bool {
    let mut ready = [PollFd::from_borrowed_fd(fd, PollFlags::IN)];
    let patience = Timespec {
        tv_sec: 0,
        tv_nsec: patience.subsec_nanos().into(),
    };
    poll(&mut ready, Some(&patience)).is_ok_and(|count| count > 0)
}
