// SPDX-License-Identifier: MIT OR Apache-2.0
//! Numbered echo requests (RFC 792, RFC 4443), which any machine's kernel answers by itself.

use std::net::{IpAddr, SocketAddr};
use std::ops::Deref;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, connect, ipproto, recv, send,
    socket_with,
};

use super::{Ledger, checksum};
use crate::Result;
use crate::lab::Namespace;

/// Longest time for an answer to arrive, as machines share processors.
const FLIGHT: Duration = Duration::from_millis(200);
const IDENTIFIER: [u8; 2] = *b"sp";

pub struct Pings {
    ledger: Arc<Ledger>,
    thread: Option<JoinHandle<()>>,
}

impl Pings {
    /// Pings an address from a namespace, once every `spacing`.
    pub fn start(ns: &Namespace, to: IpAddr, spacing: Duration) -> Result<Self> {
        let kind = Kind::of(to);
        let socket = ns.run(|| {
            let (family, protocol) = match to {
                IpAddr::V4(_) => (AddressFamily::INET, ipproto::ICMP),
                IpAddr::V6(_) => (AddressFamily::INET6, ipproto::ICMPV6),
            };
            let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
            let socket = socket_with(family, SocketType::RAW, flags, Some(protocol))?;
            connect(&socket, &SocketAddr::new(to, 0))?;
            Ok(socket)
        })?;
        let ledger = Arc::new(Ledger::new(FLIGHT));
        let thread = thread::spawn({
            let ledger = Arc::clone(&ledger);
            move || {
                // Sending fails during an outage, which is what is measured.
                let ask = |number| {
                    let _ = send(&socket, &kind.request(number), SendFlags::empty());
                };
                ledger.fill(spacing, ask, |ledger| kind.collect(&socket, ledger));
            }
        });
        Ok(Self {
            ledger,
            thread: Some(thread),
        })
    }
}

impl Deref for Pings {
    type Target = Ledger;

    fn deref(&self) -> &Ledger {
        &self.ledger
    }
}

impl Drop for Pings {
    fn drop(&mut self) {
        self.ledger.stop();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Differences between the families.
#[derive(Clone, Copy)]
struct Kind {
    request: u8,
    reply: u8,
    /// A raw socket also returns the IP header.
    headed: bool,
}

impl Kind {
    fn of(address: IpAddr) -> Self {
        let (request, reply) = if address.is_ipv4() {
            (8, 0)
        } else {
            (128, 129)
        };
        Self {
            request,
            reply,
            headed: address.is_ipv4(),
        }
    }

    // The kernel writes the checksum of ICMPv6 itself.
    fn request(self, number: u64) -> Vec<u8> {
        let mut packet = [
            &[self.request, 0, 0, 0][..],
            &IDENTIFIER,
            &(number as u16).to_be_bytes(),
            &number.to_be_bytes(),
        ]
        .concat();
        let sum = checksum(&[&packet]);
        packet[2..4].copy_from_slice(&sum.to_be_bytes());
        packet
    }

    fn collect(self, socket: &OwnedFd, ledger: &Ledger) {
        let mut buffer = [0; 256];
        loop {
            match recv(socket, &mut buffer[..], RecvFlags::empty()) {
                Ok((length, _)) => {
                    if let Some(number) = buffer.get(..length).and_then(|is| self.number(is)) {
                        ledger.note_answer(number);
                    }
                }
                Err(Errno::AGAIN) => return,
                // An ICMP error of a router is no answer; there may be more to read.
                Err(_) => {}
            }
        }
    }

    /// Number in a reply to one of our requests.
    fn number(self, packet: &[u8]) -> Option<u64> {
        let header = if self.headed {
            usize::from(packet.first()? & 0xf) * 4
        } else {
            0
        };
        let icmp = packet.get(header..)?;
        let ours = icmp.first() == Some(&self.reply) && icmp.get(4..6)? == IDENTIFIER;
        let number = icmp.get(8..16)?.try_into().ok()?;
        ours.then(|| u64::from_be_bytes(number))
    }
}
