// SPDX-License-Identifier: MIT OR Apache-2.0
//! Sends 2000 numbered UDP packets a second and receives their answers, to measure an outage to half a millisecond.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::ops::Deref;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::Ledger;
use crate::lab::{CLIENT, Lab, Site, VIRTUAL, Wire};
use crate::{Result, sys};

pub const SPACING: Duration = Duration::from_micros(500);
const PORT: u16 = 7;
/// Longest time for an answer to arrive.
const FLIGHT: Duration = Duration::from_millis(5);

pub struct Echo {
    ledger: Arc<Ledger>,
    threads: Vec<JoinHandle<()>>,
}

impl Echo {
    /// Packets from lan to wan, forwarded by the active router.
    pub fn through(lab: &Lab) -> Result<Self> {
        let server = Wire::Wan.ipv4(CLIENT);
        let socket = lab.wan.run(|| Ok(UdpSocket::bind((server, PORT))?))?;
        Self::start(lab, server, vec![socket])
    }

    /// Packets from the lan to the virtual address itself, answered by a service on the active router.
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
        let ledger = Arc::new(Ledger::new(FLIGHT));
        let mut threads = Vec::new();
        for server in servers {
            server.set_read_timeout(Some(Duration::from_millis(50)))?;
            let ledger = Arc::clone(&ledger);
            threads.push(thread::spawn(move || reflect(&server, &ledger)));
        }
        threads.push(thread::spawn({
            let ledger = Arc::clone(&ledger);
            move || send(&client, &ledger)
        }));
        Ok(Self { ledger, threads })
    }
}

impl Deref for Echo {
    type Target = Ledger;

    fn deref(&self) -> &Ledger {
        &self.ledger
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.ledger.stop();
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

fn reflect(server: &UdpSocket, ledger: &Ledger) {
    sys::realtime(5);
    let mut buffer = [0; 64];
    while !ledger.is_stopped() {
        if let Ok((length, from)) = server.recv_from(&mut buffer) {
            // Sending fails during an outage, which is what is measured.
            let _ = server.send_to(&buffer[..length], from);
        }
    }
}

fn send(client: &UdpSocket, ledger: &Ledger) {
    let ask = |number: u64| drop(client.send(&number.to_be_bytes()));
    ledger.fill(SPACING, ask, |ledger| collect(client, ledger));
}

fn collect(client: &UdpSocket, ledger: &Ledger) {
    let mut buffer = [0; 64];
    loop {
        match client.recv(&mut buffer) {
            Ok(8) => {
                ledger.note_answer(u64::from_be_bytes(
                    buffer[..8].try_into().unwrap_or_default(),
                ));
            }
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return,
            // An ICMP error of a router is no answer; there may be more to read.
            Err(_) => {}
        }
    }
}
