// SPDX-License-Identifier: MIT OR Apache-2.0
//! Users of a pair: a download, an idle session, DHCP clients, a banned host, and the server that runs on the active
//! node alone.

use std::fs;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use spared_tests::Result;
use spared_tests::clock::{Stamp, poll};
use spared_tests::dhcp::{Guests4, Host4, Lease4, Server, Station};
use spared_tests::flows::{Ends, Session};
use spared_tests::lab::{CLIENT, Lab, Namespace, VIRTUAL, Wire, is_alive};
use spared_tests::probe::{Download, Pings};

use crate::sampler::Sampler;

/// Bytes per second.
const RATE: u64 = 2_000_000;
/// Longest pause after which a download is given up and begun again.
const PATIENCE: Duration = Duration::from_secs(3);
const SSH: u16 = 22;
const INTRUDER: &str = "10.1.0.66";
const SPACING: Duration = Duration::from_millis(20);

/// A download through the translation of addresses.
pub struct Loading {
    download: Arc<Mutex<Download>>,
    moved: Sampler<u64>,
}

impl Loading {
    pub fn start(lab: &Lab) -> Result<Self> {
        let download = Arc::new(Mutex::new(Download::start(lab, RATE)?));
        let watched = Arc::clone(&download);
        let moved = Sampler::start(move || locked(&watched).bytes());
        Ok(Self { download, moved })
    }

    pub fn bytes(&self) -> u64 {
        locked(&self.download).bytes()
    }

    /// The longest pause in a span; None if it broke or stands still, and was begun again.
    pub fn pause(&self, lab: &Lab, from: Stamp, to: Stamp) -> Result<Option<Duration>> {
        let before = self.bytes();
        let moves = || self.bytes() != before;
        let stands = !poll(PATIENCE, Duration::from_millis(5), moves);
        let broken = stands || locked(&self.download).is_broken();
        if broken {
            *locked(&self.download) = Download::start(lab, RATE)?;
            return Ok(None);
        }
        let spans = self.moved.spans(from, to);
        Ok(Some(
            spans
                .into_iter()
                .map(|(_, span)| span)
                .max()
                .unwrap_or_default(),
        ))
    }
}

fn locked<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An idle TCP session through the translation of addresses, like that of ssh.
pub struct Idle(Session);

impl Idle {
    pub fn open(lab: &Lab) -> Result<Self> {
        let to = (Wire::Wan.ipv4(CLIENT), SSH).into();
        Ok(Self(Session::open(Ends::plain(&lab.lan, &lab.wan, to))?))
    }

    /// True if a line comes back. If none does, another session is opened.
    pub fn survives(&mut self, lab: &Lab) -> Result<bool> {
        if self.0.say(PATIENCE).is_ok() {
            return Ok(true);
        }
        *self = Self::open(lab)?;
        Ok(false)
    }
}

/// Outcome of a DHCP lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lease {
    /// The server knew it and renewed it.
    Kept,
    /// The server had no record of it, and renewed it on trust.
    Forgotten,
    /// The client lost its address.
    Lost,
}

/// DHCP clients, one more for each fault.
pub struct Clients {
    guests: Guests4,
    number: u32,
}

impl Clients {
    pub fn new(lab: &Lab) -> Result<Self> {
        Ok(Self {
            guests: Guests4::new(lab)?,
            number: 0,
        })
    }

    pub fn lease(&mut self) -> Result<Lease4> {
        self.number += 1;
        self.guests.lease(&Host4::number(self.number))
    }

    pub fn renew(&mut self, lease: &Lease4, server: &Server) -> Lease {
        let known = server.leases().contains(&lease.address.to_string());
        match self.guests.renew(lease) {
            Ok(renewed) if renewed.address == lease.address && known => Lease::Kept,
            Ok(renewed) if renewed.address == lease.address => Lease::Forgotten,
            _ => Lease::Lost,
        }
    }
}

/// A host that never stops to ping a server on the wan, unless it is banned.
pub struct Intruder {
    pings: Pings,
    _station: Station,
}

impl Intruder {
    pub fn start(lab: &Lab) -> Result<Self> {
        let station = Station::new(lab)?;
        let gateway = Wire::Lan.ipv4(VIRTUAL);
        station.ns.ip(&format!(
            "addr add {INTRUDER}/24 dev lan\nroute replace default via {gateway}\n"
        ))?;
        let pings = Pings::start(&station.ns, IpAddr::V4(Wire::Wan.ipv4(CLIENT)), SPACING)?;
        Ok(Self {
            pings,
            _station: station,
        })
    }

    /// Bans the host again on the active node.
    pub fn ban(&self, active: &Namespace) -> Result<()> {
        let command = |verb: &str| format!("nft {verb} element inet filter bans {{ {INTRUDER} }}");
        // there is none to delete if it was lost
        let _ = active.shell(&command("delete"));
        thread::sleep(SPACING);
        active.shell(&format!(
            "nft add element inet filter bans {{ {INTRUDER} timeout 1h }}"
        ))?;
        // pings that passed before are answered by now
        thread::sleep(SPACING * 3);
        Ok(())
    }

    /// Time for which pings passed since `from`.
    pub fn passed(&self, from: Stamp) -> Duration {
        let (_, answered) = self.pings.counts(from);
        SPACING * answered as u32
    }
}

/// Number of nodes on which the server runs, at all times.
pub struct Census(Sampler<usize>);

impl Census {
    pub fn of((first, second): (&Server, &Server)) -> Self {
        let files = [first, second].map(|server| server.paths.pid.clone());
        Self(Sampler::start(move || {
            files.iter().filter(|file| runs(file)).count()
        }))
    }

    /// Time for which it ran on this number of nodes.
    pub fn time(&self, number: usize, from: Stamp, to: Stamp) -> Duration {
        let spans = self.0.spans(from, to).into_iter();
        let fit = spans.filter(|(seen, _)| *seen == number);
        fit.map(|(_, span)| span).sum()
    }
}

fn runs(pid_file: &PathBuf) -> bool {
    let text = fs::read_to_string(pid_file).unwrap_or_default();
    text.trim().parse().is_ok_and(is_alive)
}

/// Waits until something holds, for as long as a user would.
pub fn wait_patiently(done: impl FnMut() -> bool) {
    poll(PATIENCE * 2, Duration::from_millis(10), done);
}
