// SPDX-License-Identifier: MIT OR Apache-2.0
//! Captures packets on an interface: counts by their ends, and all TCP resets.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::netdevice::name_to_index;

use crate::lab::{Lab, Namespace};
use crate::{Result, sys};

const TCP: u8 = 6;
const UDP: u8 = 17;
/// Bytes of a packet that are copied: its headers.
const SNAP: usize = 96;

/// Ends of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Path {
    pub protocol: u8,
    pub from: SocketAddr,
    pub to: SocketAddr,
}

#[derive(Default)]
struct Captured {
    paths: BTreeMap<Path, u64>,
    resets: Vec<Path>,
}

pub struct Capture {
    seen: Arc<Mutex<Captured>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Capture {
    /// Captures TCP and UDP on an interface, in both directions.
    pub fn start(ns: &Namespace, interface: &str) -> Result<Self> {
        // A filter that copies only the beginning of each packet.
        let short = libc::sock_filter {
            code: 0x06,
            jt: 0,
            jf: 0,
            k: SNAP as u32,
        };
        let socket = ns.run(|| {
            let socket = sys::packet_socket()?;
            let index = name_to_index(&socket, interface)?;
            sys::listen(&socket, index, Some(&[short]))?;
            Ok(socket)
        })?;
        let seen = Arc::new(Mutex::new(Captured::default()));
        let stop = Arc::new(AtomicBool::new(false));
        let thread = thread::spawn({
            let (seen, stop) = (Arc::clone(&seen), Arc::clone(&stop));
            move || {
                let patience = Timespec {
                    tv_sec: 0,
                    tv_nsec: 20_000_000,
                };
                while !stop.load(Ordering::Relaxed) {
                    let mut ready = [PollFd::from_borrowed_fd(socket.as_fd(), PollFlags::IN)];
                    let _ = poll(&mut ready, Some(&patience));
                    let mut buffer = [0; SNAP];
                    while let Ok(frame) = sys::receive(&socket, &mut buffer) {
                        let frame = buffer.get(..frame.length).unwrap_or(&buffer);
                        let Some((path, reset)) = parse(frame) else {
                            continue;
                        };
                        let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
                        *seen.paths.entry(path).or_default() += 1;
                        if reset {
                            seen.resets.push(path);
                        }
                    }
                }
            }
        });
        Ok(Self {
            seen,
            stop,
            thread: Some(thread),
        })
    }

    /// Returns the ends that sent to this one.
    pub fn clients_of(&self, server: SocketAddr) -> Vec<SocketAddr> {
        let seen = self.seen();
        let paths = seen.paths.keys().filter(|path| path.to == server);
        paths.map(|path| path.from).collect()
    }

    /// Number of packets so far from one end to another.
    pub fn packets(&self, from: SocketAddr, to: SocketAddr) -> u64 {
        let seen = self.seen();
        let paths = seen.paths.iter();
        let fitting = paths.filter(|(path, _)| (path.from, path.to) == (from, to));
        fitting.map(|(_, count)| count).sum()
    }

    /// All TCP resets.
    pub fn resets(&self) -> Vec<Path> {
        self.seen().resets.clone()
    }

    fn seen(&self) -> MutexGuard<'_, Captured> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Captures on both networks.
pub struct Eyes {
    pub lan: Capture,
    pub wan: Capture,
}

impl Eyes {
    pub fn open(lab: &Lab) -> Result<Self> {
        Ok(Self {
            lan: Capture::start(&lab.lan, "lan")?,
            wan: Capture::start(&lab.wan, "wan")?,
        })
    }

    /// Asserts that no reset passed, and that on each network only the client sent to the server. Addresses are those
    /// of that network.
    pub fn check(&self, lan: [SocketAddr; 2], wan: [SocketAddr; 2]) {
        for (name, capture, [client, server]) in [("lan", &self.lan, lan), ("wan", &self.wan, wan)]
        {
            assert_eq!(capture.clients_of(server), [client], "on the {name}");
            assert_eq!(capture.resets(), [], "on the {name}");
        }
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Returns the ends of a packet, and whether it is a reset.
fn parse(frame: &[u8]) -> Option<(Path, bool)> {
    const RESET: u8 = 4;
    let packet = frame.get(14..)?;
    let (protocol, source, destination, body): (u8, IpAddr, IpAddr, &[u8]) =
        match *frame.get(12..14)?.first_chunk()? {
            [0x08, 0x00] => (
                *packet.get(9)?,
                Ipv4Addr::from(*packet.get(12..)?.first_chunk::<4>()?).into(),
                Ipv4Addr::from(*packet.get(16..)?.first_chunk::<4>()?).into(),
                packet.get(usize::from(packet.first()? & 0xf) * 4..)?,
            ),
            [0x86, 0xdd] => (
                *packet.get(6)?,
                Ipv6Addr::from(*packet.get(8..)?.first_chunk::<16>()?).into(),
                Ipv6Addr::from(*packet.get(24..)?.first_chunk::<16>()?).into(),
                packet.get(40..)?,
            ),
            _ => return None,
        };
    if protocol != TCP && protocol != UDP {
        return None;
    }
    let port = |at: usize| Some(u16::from_be_bytes(*body.get(at..)?.first_chunk()?));
    let path = Path {
        protocol,
        from: (source, port(0)?).into(),
        to: (destination, port(2)?).into(),
    };
    let reset = protocol == TCP && body.get(13)? & RESET != 0;
    Some((path, reset))
}
