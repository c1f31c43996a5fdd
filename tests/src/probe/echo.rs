// SPDX-License-Identifier: MIT OR Apache-2.0
//! 2000 numbered UDP packets a second from lan to wan and back, through the virtual addresses:
//! an outage shows to half a millisecond.

use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::time::{ClockId, Timespec, clock_gettime};

use crate::clock::{Stamp, poll};
use crate::lab::{CLIENT, Lab, Wire};
use crate::{Result, sys};

pub const SPACING: Duration = Duration::from_micros(500);
const PORT: u16 = 7;
/// How long an answer may be on its way.
const FLIGHT: Duration = Duration::from_millis(5);

#[derive(Clone, Copy)]
struct Probe {
    sent: Stamp,
    answered: bool,
}

/// What a fault cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outage {
    /// From the first packet without an answer to the next with one, all such gaps together.
    pub total: Duration,
    /// The longest of them.
    pub longest: Duration,
    pub lost: usize,
    /// How many gaps.
    pub gaps: usize,
}

pub struct Echo {
    probes: Arc<Mutex<Vec<Probe>>>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Echo {
    pub fn start(lab: &Lab) -> Result<Self> {
        Self::start_with(lab, SPACING)
    }

    pub fn start_with(lab: &Lab, spacing: Duration) -> Result<Self> {
        let server = lab
            .wan
            .run(|| Ok(UdpSocket::bind((Wire::Wan.ipv4(CLIENT), PORT))?))?;
        server.set_read_timeout(Some(Duration::from_millis(50)))?;
        let client = lab
            .lan
            .run(|| Ok(UdpSocket::bind((Wire::Lan.ipv4(CLIENT), 0))?))?;
        client.connect(SocketAddr::from((Wire::Wan.ipv4(CLIENT), PORT)))?;
        client.set_nonblocking(true)?;
        let probes = Arc::new(Mutex::new(Vec::with_capacity(1 << 18)));
        let stop = Arc::new(AtomicBool::new(false));
        let reflector = thread::spawn({
            let stop = Arc::clone(&stop);
            move || reflect(&server, &stop)
        });
        let sender = thread::spawn({
            let (probes, stop) = (Arc::clone(&probes), Arc::clone(&stop));
            move || send(&client, spacing, &probes, &stop)
        });
        Ok(Self {
            probes,
            stop,
            threads: vec![reflector, sender],
        })
    }

    /// What was lost among the packets sent in [from, to); packets on their way do not count, so
    /// ask for a span that ended some milliseconds ago.
    pub fn outage(&self, from: Stamp, to: Stamp) -> Outage {
        let probes = self.probes.lock().unwrap_or_else(PoisonError::into_inner);
        let start = probes.partition_point(|probe| probe.sent < from);
        let end = probes.partition_point(|probe| probe.sent < to).max(start);
        let mut outage = Outage::default();
        let mut gap: Option<Stamp> = None;
        for probe in &probes[start..end] {
            match (probe.answered, gap) {
                (false, _) => {
                    outage.lost += 1;
                    gap = gap.or(Some(probe.sent));
                }
                (true, Some(begin)) => {
                    outage.add(probe.sent.since(begin));
                    gap = None;
                }
                (true, None) => {}
            }
        }
        if let Some(begin) = gap {
            outage.add(to.since(begin));
        }
        outage
    }

    /// Waits until the effects of a fault at `from` must have begun, `after`, and are over; None
    /// where they are not over within `limit`.
    pub fn outage_of(&self, from: Stamp, after: Duration, limit: Duration) -> Option<Outage> {
        const CALM: Duration = Duration::from_millis(200);
        thread::sleep(after);
        let over = || self.is_steady(CALM) && Stamp::now().since(from) > CALM + FLIGHT;
        let ended = poll(limit, Duration::from_millis(5), over);
        let to = Stamp(Stamp::now().0 - FLIGHT.as_nanos() as u64);
        ended.then(|| self.outage(from, to))
    }

    /// How many were sent and how many answered so far.
    pub fn counts(&self) -> (usize, usize) {
        let probes = self.probes.lock().unwrap_or_else(PoisonError::into_inner);
        (
            probes.len(),
            probes.iter().filter(|probe| probe.answered).count(),
        )
    }

    /// Whether all but the packets on their way were answered for the last `span`.
    pub fn is_steady(&self, span: Duration) -> bool {
        let now = Stamp::now();
        let to = Stamp(now.0 - FLIGHT.as_nanos() as u64);
        let from = Stamp(to.0 - span.as_nanos() as u64);
        let probes = self.probes.lock().unwrap_or_else(PoisonError::into_inner);
        let start = probes.partition_point(|probe| probe.sent < from);
        let end = probes.partition_point(|probe| probe.sent < to);
        start < end && probes[start..end].iter().all(|probe| probe.answered)
    }
}

impl Outage {
    fn add(&mut self, gap: Duration) {
        self.gaps += 1;
        self.total += gap;
        self.longest = self.longest.max(gap);
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

fn reflect(server: &UdpSocket, stop: &AtomicBool) {
    sys::realtime(5);
    let mut buffer = [0; 64];
    while !stop.load(Ordering::Relaxed) {
        if let Ok((length, from)) = server.recv_from(&mut buffer) {
            // While nobody routes, sending fails; that is what is being measured.
            let _ = server.send_to(&buffer[..length], from);
        }
    }
}

fn send(client: &UdpSocket, spacing: Duration, probes: &Mutex<Vec<Probe>>, stop: &AtomicBool) {
    sys::realtime(5);
    let start = clock_gettime(ClockId::Monotonic);
    let mut ticks = 0u64;
    while !stop.load(Ordering::Relaxed) {
        collect(client, probes);
        let number = {
            let mut probes = probes.lock().unwrap_or_else(PoisonError::into_inner);
            probes.push(Probe {
                sent: Stamp::now(),
                answered: false,
            });
            probes.len() as u64 - 1
        };
        let _ = client.send(&number.to_be_bytes());
        ticks += 1;
        let late = sleep_until(start, spacing * ticks as u32);
        // After a stall, no burst to make up for it: it would show a loss twice.
        ticks += (late.as_nanos() / spacing.as_nanos()) as u64;
    }
}

fn collect(client: &UdpSocket, probes: &Mutex<Vec<Probe>>) {
    let mut buffer = [0; 64];
    loop {
        match client.recv(&mut buffer) {
            Ok(8) => {
                let number = u64::from_be_bytes(buffer[..8].try_into().unwrap_or_default());
                let mut probes = probes.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(probe) = probes.get_mut(number as usize) {
                    probe.answered = true;
                }
            }
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return,
            // An ICMP error of a router: no answer, but maybe more to read.
            Err(_) => {}
        }
    }
}

/// Sleeps until `start + offset` on the monotonic clock; returns how much later it is.
fn sleep_until(start: Timespec, offset: Duration) -> Duration {
    let begin = Duration::new(start.tv_sec as u64, start.tv_nsec as u32);
    let at = begin + offset;
    let time = Timespec {
        tv_sec: at.as_secs() as i64,
        tv_nsec: at.subsec_nanos().into(),
    };
    let _ = rustix::thread::clock_nanosleep_absolute(rustix::thread::ClockId::Monotonic, &time);
    let now = clock_gettime(ClockId::Monotonic);
    Duration::new(now.tv_sec as u64, now.tv_nsec as u32).saturating_sub(at)
}
