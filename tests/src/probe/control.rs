// SPDX-License-Identifier: MIT OR Apache-2.0
//! Control threads, one per processor, which only wake at fixed times with the highest possible priority. If they were
//! late, any router would have been. One more waits for the RTNL lock, which the whole machine shares: other programs
//! that create or remove namespaces delay the addresses of the routers.

use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::delays::{Delays, judge, judge_loss};
use super::ledger::Ledger;
use crate::clock::Stamp;
use crate::{Result, rtnl, sys};

const TICK: Duration = Duration::from_millis(1);
/// Interval of the threads that run during each lab.
const WATCH_TICK: Duration = Duration::from_millis(20);
/// Two advert intervals of the pair: after this delay a backup begins to count its active node as gone.
const STANDSTILL: Duration = Duration::from_millis(200);
/// Interval of the thread that takes the lock, which it must not keep busy.
const LOCK_TICK: Duration = Duration::from_millis(10);

pub struct Control {
    late: Delays,
    locked: Delays,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Control {
    pub fn start() -> Self {
        let mut control = Self::of_processors(TICK);
        let (locked, stop) = (control.locked.clone(), Arc::clone(&control.stop));
        if let Ok(socket) = UdpSocket::bind("127.0.0.1:0") {
            control.threads.push(thread::spawn(move || {
                sys::realtime(98);
                record(&stop, &locked, || {
                    thread::sleep(LOCK_TICK);
                    let begin = Instant::now();
                    rtnl::take(&socket);
                    begin.elapsed()
                });
            }));
        }
        control
    }

    /// Only detects whether all of the machine stood still, at a fiftieth of the cost.
    pub fn of_standstills() -> Self {
        Self::of_processors(WATCH_TICK)
    }

    fn of_processors(tick: Duration) -> Self {
        let (late, locked) = (Delays::default(), Delays::default());
        let stop = Arc::new(AtomicBool::new(false));
        let processors = thread::available_parallelism().map_or(1, usize::from);
        let wakers = (0..processors).map(|cpu| {
            let (late, stop) = (late.clone(), Arc::clone(&stop));
            thread::spawn(move || {
                let _ = sys::pin(cpu);
                sys::realtime(98);
                record(&stop, &late, || {
                    let begin = Instant::now();
                    thread::sleep(tick);
                    begin.elapsed().saturating_sub(tick)
                });
            })
        });
        let threads = wakers.collect();
        Self {
            late,
            locked,
            stop,
            threads,
        }
    }

    /// Returns a sentence if a processor ran nothing, not even with the highest priority, for so long that roles may
    /// move.
    pub fn standstill(&self) -> Option<String> {
        let worst = self.worst_since(Stamp(0));
        (worst > STANDSTILL).then(|| format!("a processor stood still for {worst:.0?}"))
    }

    /// The longest wait for the RTNL lock that ended after `from`.
    pub fn locked_since(&self, from: Stamp) -> Duration {
        self.locked.worst_since(from)
    }

    /// The longest delay that ended after `from`.
    pub fn worst_since(&self, from: Stamp) -> Duration {
        self.worst(from, Stamp(u64::MAX))
    }

    /// The longest delay that ended in [from, to].
    pub fn worst(&self, from: Stamp, to: Stamp) -> Duration {
        self.late.worst(from, to)
    }

    /// Time by which the machine may have delayed addresses since `from`: once by its processors, once by its lock.
    pub fn lateness_since(&self, from: Stamp) -> Duration {
        self.worst_since(from) + self.locked_since(from)
    }

    /// Judges a time that was measured from `from` on, as [`judge`] does. Nothing in it may wait for the RTNL lock, as
    /// with adverts.
    pub fn judge(&self, what: &str, from: Stamp, took: Duration, bound: Duration) -> Result<()> {
        judge(what, took, bound, self.worst_since(from))
    }

    /// Judges a time in which addresses or interfaces change: that needs the RTNL lock.
    pub fn judge_locked(
        &self,
        what: &str,
        from: Stamp,
        took: Duration,
        bound: Duration,
    ) -> Result<()> {
        judge(what, took, bound, self.lateness_since(from))
    }

    /// Judges that no packet since `from` was lost, or each gap for itself. A planned change of roles moves addresses,
    /// which wait for the RTNL lock.
    pub fn judge_lossless(&self, what: &str, ledger: &Ledger, from: Stamp) -> Result<()> {
        /// Longer than any packet is in transit.
        const TRANSIT: Duration = Duration::from_millis(10);
        let lost = ledger.outage(from, Stamp::now().before(TRANSIT)).longest;
        judge_loss(what, lost, self.lateness_since(from))
    }
}

/// Records delays until it is told to stop.
fn record(stop: &AtomicBool, delays: &Delays, mut delay: impl FnMut() -> Duration) {
    while !stop.load(Ordering::Relaxed) {
        delays.note(delay());
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
