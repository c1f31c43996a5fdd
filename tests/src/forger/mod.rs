// SPDX-License-Identifier: MIT OR Apache-2.0
//! A station on the lan without a key, which receives everything that two nodes send there, and forges frames in their
//! names.

mod frames;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

pub use frames::{Forged, Mode, is_heartbeat, link_local, mangled, peer_of};

use crate::Result;
use crate::lab::{FIRST_ROUTER, Lab, Site, Wire};
use crate::probe::{Injector, Recorder};

/// Kind of forged frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Adverts of the active node, with the highest priority and the longest interval.
    Longest,
    /// Adverts of the active node, with the lowest priority and the shortest interval.
    Shortest,
    /// Adverts of the backup itself.
    Own,
    /// Adverts of the active node with priority 0.
    PriorityZero,
    /// Heartbeats of both nodes, as they were received.
    Replayed,
    Mangled,
    /// Recorded heartbeats, after the active node's were lost on the lan for a while.
    HeldBack,
    /// All kinds, one after the other.
    Everything,
}

impl Kind {
    /// All kinds except `Everything`.
    pub const SINGLE: [Self; 7] = [
        Self::Longest,
        Self::Shortest,
        Self::Own,
        Self::PriorityZero,
        Self::Replayed,
        Self::Mangled,
        Self::HeldBack,
    ];
}

/// A station next to r1 and r2.
pub struct Station {
    mode: Mode,
    is_ipv6: bool,
    vrid: u8,
    ports: [Arc<Injector>; 2],
    ears: [Recorder; 2],
    heard: [Vec<Vec<u8>>; 2],
}

/// Forging in progress. It ends when the value is dropped.
pub struct Forging {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<u64>>,
}

/// Number of newest heartbeats kept of each node.
const HEARD_MAX: usize = 16;

impl Station {
    pub fn new(lab: &Lab, mode: Mode, is_ipv6: bool, vrid: u8) -> Result<Self> {
        let [first, second] = [&lab.sites[0], &lab.sites[1]];
        let port = |site: &Site| format!("{}-{}", site.name, Wire::Lan.name());
        let injector = |site: &Site| Injector::new(&lab.sw, &port(site)).map(Arc::new);
        Ok(Self {
            mode,
            is_ipv6,
            vrid,
            ports: [injector(first)?, injector(second)?],
            ears: [
                Recorder::of_incoming(&lab.sw, &port(first))?,
                Recorder::of_incoming(&lab.sw, &port(second))?,
            ],
            heard: [Vec::new(), Vec::new()],
        })
    }

    /// Keeps the heartbeats that r1 and r2 sent since the last call.
    pub fn listen(&mut self) {
        for (site, (ear, heard)) in self.ears.iter().zip(&mut self.heard).enumerate() {
            let mac = Wire::Lan.mac(FIRST_ROUTER + site as u8);
            heard.extend(ear.take(|frame| frame.get(6..12) == Some(&mac) && is_heartbeat(frame)));
            heard.drain(..heard.len().saturating_sub(HEARD_MAX));
        }
    }

    /// Sends frames of a kind, `rate` a second to each node, until the value is dropped.
    pub fn begin(&mut self, kind: Kind, active: usize, rate: u64) -> Forging {
        self.listen();
        let frames = self.frames(kind, active);
        let ports = self.ports.clone();
        let stop = Arc::new(AtomicBool::new(false));
        let thread = thread::spawn({
            let stop = Arc::clone(&stop);
            move || send(&ports, &frames, rate, &stop)
        });
        Forging {
            stop,
            thread: Some(thread),
        }
    }

    /// Frames to r1 and to r2.
    fn frames(&self, kind: Kind, active: usize) -> [Vec<Vec<u8>>; 2] {
        [0, 1].map(|to| self.frames_to(kind, active, to))
    }

    fn frames_to(&self, kind: Kind, active: usize, to: usize) -> Vec<Vec<u8>> {
        let advert = |from: usize, priority, interval_cs| {
            let forged = Forged {
                mode: self.mode,
                is_ipv6: self.is_ipv6,
                vrid: self.vrid,
                priority,
                interval_cs,
            };
            let [from, to] = [from, to].map(|site| FIRST_ROUTER + site as u8);
            forged.frame(from, to)
        };
        match kind {
            Kind::Longest => vec![advert(active, 255, 0xfff)],
            Kind::Shortest => vec![advert(active, 1, 1)],
            Kind::Own => vec![advert(1 - active, 255, 0xfff)],
            Kind::PriorityZero => vec![advert(active, 0, 10)],
            Kind::Replayed | Kind::HeldBack => self.heard.concat(),
            Kind::Mangled => self.heard.concat().into_iter().map(mangled).collect(),
            Kind::Everything => Kind::SINGLE
                .iter()
                .flat_map(|kind| self.frames_to(*kind, active, to))
                .collect(),
        }
    }
}

/// Sends `rate` frames a second to each node, in batches of a millisecond.
fn send(ports: &[Arc<Injector>], frames: &[Vec<Vec<u8>>; 2], rate: u64, stop: &AtomicBool) -> u64 {
    let began = Instant::now();
    let mut sent: u64 = 0;
    while !stop.load(Ordering::Relaxed) {
        let due = 1 + began.elapsed().as_micros() as u64 * rate / 1_000_000;
        while sent < due {
            for (port, frames) in ports.iter().zip(frames) {
                if let Some(frame) = frames.get(sent as usize % frames.len().max(1)) {
                    // sending to a port that is down fails
                    let _ = port.send(frame);
                }
            }
            sent += 1;
        }
        thread::sleep(Duration::from_millis(1));
    }
    sent
}

impl Forging {
    /// Ends the forging. Returns the number of frames to each node.
    pub fn end(mut self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        let sent = self.thread.take().map(JoinHandle::join);
        sent.and_then(|sent| sent.ok()).unwrap_or_default()
    }
}

impl Drop for Forging {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
