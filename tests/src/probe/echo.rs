// SPDX-License-Identifier: MIT OR Apache-2.0
//! 2000 numbered UDP packets a second and their answers: an outage shows to half a millisecond.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::time::{ClockId, Timespec, clock_gettime};

use crate::clock::{Stamp, poll};
use crate::lab::{CLIENT, Lab, Site, VIRTUAL, Wire};
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
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    probes: Mutex<Vec<Probe>>,
    stop: AtomicBool,
    pause: AtomicBool,
}

impl Shared {
    fn probes(&self) -> MutexGuard<'_, Vec<Probe>> {
        self.probes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Echo {
    /// From lan to wan, forwarded by the active router.
    pub fn through(lab: &Lab) -> Result<Self> {
        let server = Wire::Wan.ipv4(CLIENT);
        let socket = lab.wan.run(|| Ok(UdpSocket::bind((server, PORT))?))?;
        Self::start(lab, server, vec![socket])
    }

    /// From lan to the virtual address itself, answered by a service on the active router.
    pub fn at_gateway(lab: &Lab) -> Result<Self> {
        let gateway = Wire::Lan.ipv4(VIRTUAL);
        let service = |site: &Site| {
            site.ns.set(&[("net/ipv4/ip_nonlocal_bind", "1")])?;
            site.ns.run(|| Ok(UdpSocket::bind((gateway, PORT))?))
        };
        Self::start(
            lab,
            gateway,
            lab.sites.iter().map(service).collect::<Result<_>>()?,
        )
    }

    fn start(lab: &Lab, to: Ipv4Addr, servers: Vec<UdpSocket>) -> Result<Self> {
        let client = lab
            .lan
            .run(|| Ok(UdpSocket::bind((Wire::Lan.ipv4(CLIENT), 0))?))?;
        client.connect(SocketAddr::from((to, PORT)))?;
        client.set_nonblocking(true)?;
        let shared = Arc::new(Shared::default());
        let mut threads = Vec::new();
        for server in servers {
            server.set_read_timeout(Some(Duration::from_millis(50)))?;
            let shared = Arc::clone(&shared);
            threads.push(thread::spawn(move || reflect(&server, &shared.stop)));
        }
        threads.push(thread::spawn({
            let shared = Arc::clone(&shared);
            move || send(&client, &shared)
        }));
        Ok(Self { shared, threads })
    }

    /// Stops sending for a while, to leave the processors to others.
    pub fn pause(&self, pause: bool) {
        self.shared.pause.store(pause, Ordering::Relaxed);
    }

    /// What was lost among the packets sent in [from, to); packets on their way do not count, so
    /// ask for a span that ended some milliseconds ago.
    pub fn outage(&self, from: Stamp, to: Stamp) -> Outage {
        let probes = self.shared.probes();
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

    /// How many were sent since `from`, and how many of them answered.
    pub fn counts(&self, from: Stamp) -> (usize, usize) {
        let probes = self.shared.probes();
        let start = probes.partition_point(|probe| probe.sent < from);
        let answered = probes[start..]
            .iter()
            .filter(|probe| probe.answered)
            .count();
        (probes.len() - start, answered)
    }

    /// Whether all but the packets on their way were answered for the last `span`.
    pub fn is_steady(&self, span: Duration) -> bool {
        let now = Stamp::now();
        let to = Stamp(now.0 - FLIGHT.as_nanos() as u64);
        let from = Stamp(to.0 - span.as_nanos() as u64);
        let probes = self.shared.probes();
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
        self.shared.stop.store(true, Ordering::Relaxed);
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

fn send(client: &UdpSocket, shared: &Shared) {
    sys::realtime(5);
    let start = clock_gettime(ClockId::Monotonic);
    let mut ticks = 0u64;
    while !shared.stop.load(Ordering::Relaxed) {
        collect(client, shared);
        if !shared.pause.load(Ordering::Relaxed) {
            let number = {
                let mut probes = shared.probes();
                probes.push(Probe {
                    sent: Stamp::now(),
                    answered: false,
                });
                probes.len() as u64 - 1
            };
            let _ = client.send(&number.to_be_bytes());
        }
        ticks += 1;
        let late = sleep_until(
            start,
            Duration::from_nanos(SPACING.as_nanos() as u64 * ticks),
        );
        // After a stall, no burst to make up for it: it would show a loss twice.
        ticks += (late.as_nanos() / SPACING.as_nanos()) as u64;
    }
}

fn collect(client: &UdpSocket, shared: &Shared) {
    let mut buffer = [0; 64];
    loop {
        match client.recv(&mut buffer) {
            Ok(8) => {
                let number = u64::from_be_bytes(buffer[..8].try_into().unwrap_or_default());
                if let Some(probe) = shared.probes().get_mut(number as usize) {
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
