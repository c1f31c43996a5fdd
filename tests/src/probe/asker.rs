// SPDX-License-Identifier: MIT OR Apache-2.0
//! Asks every router for the virtual addresses every few milliseconds. The [`Watch`](super::Watch) records the answers.
//!
//! Questions leave sw through each router's own port, so that each router gets all of them, including those to the
//! virtual MAC, whatever the bridge has learned. The lab keeps the times by which an asker was late.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::frame::{self, Mac};
use crate::lab::{EYE, FIRST_ROUTER, Lab, Site, VIRTUAL, Wire};
use crate::machine::Machine;
use crate::{Result, sys};

/// Addresses of the lan to ask for, and virtual MACs at which they may answer.
#[derive(Clone, Debug, Default)]
pub struct Questions {
    pub ipv4: Vec<Ipv4Addr>,
    pub ipv6: Vec<Ipv6Addr>,
    pub vmacs: Vec<Mac>,
}

pub struct Asker {
    asked: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Asker {
    /// Asks for the gateway address of the lan, 500 times a second.
    pub fn at_gateway(lab: &Lab) -> Result<Self> {
        let questions = Questions {
            ipv4: vec![Wire::Lan.ipv4(VIRTUAL)],
            ..Questions::default()
        };
        Self::start(lab, questions, Duration::from_millis(2))
    }

    pub fn start(lab: &Lab, questions: Questions, every: Duration) -> Result<Self> {
        let port = |site: &Site| Ok((lab.port_index(site, Wire::Lan)?, site.host()));
        let ports = lab.sites.iter().map(port).collect::<Result<Vec<_>>>()?;
        Self::of(lab, &ports, questions, every)
    }

    /// Asks routers that are machines, of which the first is r1.
    pub fn of_machines(
        lab: &Lab,
        routers: &[Machine],
        questions: Questions,
        every: Duration,
    ) -> Result<Self> {
        let port = |(router, host): (&Machine, u8)| {
            Ok((lab.named_port_index(&router.port(Wire::Lan))?, host))
        };
        let ports = routers.iter().zip(FIRST_ROUTER..).map(port);
        Self::of(lab, &ports.collect::<Result<Vec<_>>>()?, questions, every)
    }

    /// Takes the ports of sw that lead to the routers, and the routers' host numbers.
    fn of(lab: &Lab, routers: &[(u32, u8)], questions: Questions, every: Duration) -> Result<Self> {
        let mut ports = Vec::new();
        for (index, host) in routers {
            let socket = lab.sw.run(|| {
                let socket = sys::packet_socket()?;
                sys::listen(&socket, *index, None)?;
                Ok(socket)
            })?;
            ports.push((socket, Wire::Lan.mac(*host)));
        }
        let asked = Arc::new(AtomicU64::new(0));
        let stop = Arc::new(AtomicBool::new(false));
        let own_ipv6 = Wire::Lan.ipv6(EYE).parse()?;
        let thread = thread::spawn({
            let (asked, stop) = (Arc::clone(&asked), Arc::clone(&stop));
            let unasked = lab.unasked.clone();
            move || {
                // at ordinary priority it asks nobody on a busy machine, and the routers appear silent
                sys::realtime(5);
                let (mut sequence, mut last) = (0, Instant::now());
                while !stop.load(Ordering::Relaxed) {
                    unasked.note(last.elapsed().saturating_sub(every));
                    last = Instant::now();
                    ask(&ports, &questions, own_ipv6, sequence);
                    sequence = sequence.wrapping_add(1);
                    asked.fetch_add(1, Ordering::Relaxed);
                    thread::sleep(every);
                }
            }
        });
        Ok(Self {
            asked,
            stop,
            thread: Some(thread),
        })
    }

    /// Number of rounds of questions.
    pub fn rounds(&self) -> u64 {
        self.asked.load(Ordering::Relaxed)
    }
}

impl Drop for Asker {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn ask(ports: &[(OwnedFd, Mac)], questions: &Questions, own_ipv6: Ipv6Addr, sequence: u16) {
    let (own, mac) = (Wire::Lan.ipv4(EYE), Wire::Lan.mac(EYE));
    for (socket, router) in ports {
        // A port that is down refuses to send; the next round asks again.
        let send = |frame: &[u8]| {
            let _ = rustix::io::write(socket, frame);
        };
        let hardware = questions.vmacs.iter().chain([router]);
        for to in &questions.ipv4 {
            send(&frame::arp_request(mac, own, *to));
            for hardware in hardware.clone() {
                send(&frame::ping(*hardware, mac, own, *to, sequence));
            }
        }
        for to in &questions.ipv6 {
            send(&frame::solicitation(mac, own_ipv6, *to));
            for hardware in hardware.clone() {
                send(&frame::ping6(*hardware, mac, own_ipv6, *to, sequence));
            }
        }
    }
}
