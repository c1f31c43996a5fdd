// SPDX-License-Identifier: MIT OR Apache-2.0
//! Crowds of flows created by packets, one for each flow, which the router forwards.
//!
//! Writes by ctnetlink take a lock that all namespaces of this kernel share, including the other router's; packets do
//! not. The packets are UDP in complete frames. They enter the router's cable to the lan at the switch, and are dropped
//! at the switch's end of its cable to the wan: nothing answers, and no bridge or host uses processor time.

use std::collections::HashSet;
use std::io;
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::net::netdevice::name_to_index;

use super::{Crowd, Transport, count, read};
use crate::clock::poll;
use crate::lab::{CLIENT, Lab, Namespace, Wire, urgently};
use crate::probe::{ethernet, ipv4};
use crate::{Result, sys};

/// Number of frames in one system call.
const BATCH: u32 = 64;
/// Length of a frame: Ethernet, IPv4 and UDP headers without payload.
const LENGTH: usize = 14 + 20 + 8;
const UDP: u8 = 17;
/// Timeout of flows, so that none expires during a test.
const TIMEOUT_S: &str = "3600";
/// Number of times that lost packets are sent again.
const ROUNDS: usize = 5;
/// Longest time for packets to arrive.
const FLIGHT: Duration = Duration::from_millis(20);

/// Path of packets through a router.
pub struct Packets {
    socket: OwnedFd,
    /// Index of the router.
    router: usize,
}

/// Result of a crowd created by packets.
#[derive(Clone, Copy, Debug)]
pub struct Sent {
    /// Time at which the last packet left.
    pub last: Instant,
    pub took: Duration,
    /// Packets that were lost, and sent again.
    pub again: usize,
}

impl Packets {
    /// Prepares the path through a router of the lab.
    pub fn prepare(lab: &Lab, router: usize) -> Result<Self> {
        let site = &lab.sites[router];
        site.ns.set(&[
            ("net/netfilter/nf_conntrack_udp_timeout", TIMEOUT_S),
            ("net/netfilter/nf_conntrack_udp_timeout_stream", TIMEOUT_S),
        ])?;
        let [client, server] = Wire::BOTH.map(|wire| wire.ipv4(CLIENT));
        let [a, b, c, d, e, f] = Wire::Wan.mac(CLIENT);
        site.ns.ip(&format!(
            "route replace 10.64.0.0/16 via {client} dev lan\n\
             route replace 198.18.0.0/15 via {server} dev wan\n\
             neigh replace {server} lladdr {a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x} dev wan \
             nud permanent\n"
        ))?;
        let [from, to] = Wire::BOTH.map(|wire| format!("{}-{}", site.name, wire.name()));
        lab.sw.nft(&drop_at(&to))?;
        let socket = lab.sw.run(|| {
            let socket = sys::packet_socket()?;
            let index = name_to_index(&socket, &from)?;
            sys::listen(&socket, index, None)?;
            Ok(socket)
        })?;
        Ok(Self { socket, router })
    }

    /// Creates untranslated flows of UDP over IPv4. Lost packets are sent again.
    pub fn make(&self, lab: &Lab, crowd: Crowd) -> Result<Sent> {
        if crowd.transport != Transport::Udp || crowd.ipv6 || crowd.snat.is_some() {
            return Err(format!("packets make no such flows: {crowd:?}").into());
        }
        let ns = &lab.sites[self.router].ns;
        let wanted = count(ns)? + crowd.count as usize;
        let numbers: Vec<u32> = (crowd.first..crowd.first + crowd.count).collect();
        let mut sent = self.send(lab, &crowd, &numbers)?;
        for _ in 0..ROUNDS {
            let all = || count(ns).is_ok_and(|count| count >= wanted);
            if poll(FLIGHT, Duration::from_millis(2), all) {
                return Ok(sent);
            }
            let lost = lost(ns, &crowd, &numbers)?;
            if lost.is_empty() {
                return Ok(sent);
            }
            let repeated = self.send(lab, &crowd, &lost)?;
            sent.took += repeated.last - sent.last;
            sent.last = repeated.last;
            sent.again += lost.len();
        }
        Err(format!("packets are lost again and again: {sent:?}").into())
    }

    /// Sends one packet for each flow. All are composed before the first one is sent.
    fn send(&self, lab: &Lab, crowd: &Crowd, numbers: &[u32]) -> Result<Sent> {
        let to = Wire::Lan.mac(lab.sites[self.router].host());
        let mut frames = Vec::with_capacity(numbers.len() * LENGTH);
        for number in numbers {
            frames.extend(frame(crowd, to, *number));
        }
        urgently(|| {
            let (start, mut done) = (Instant::now(), 0);
            for batch in frames.chunks(crowd.batch(BATCH) as usize * LENGTH) {
                self.send_batch(batch)?;
                done += (batch.len() / LENGTH) as u32;
                crowd.keep_pace(start, done);
            }
            Ok(Sent {
                last: Instant::now(),
                took: start.elapsed(),
                again: 0,
            })
        })
    }

    fn send_batch(&self, mut frames: &[u8]) -> io::Result<()> {
        while !frames.is_empty() {
            // A full queue on the path is reported for the first frame of a call.
            match sys::send_all(&self.socket, frames, LENGTH) {
                Ok(sent) => frames = &frames[sent * LENGTH..],
                Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// Rules that drop the packets at the port of the switch where they leave the router.
fn drop_at(port: &str) -> String {
    format!(
        "table netdev crowd {{
	chain arrived {{
		type filter hook ingress device \"{port}\" priority 0
		ip daddr 198.18.0.0/15 drop
	}}
}}
"
    )
}

fn frame(crowd: &Crowd, to: [u8; 6], number: u32) -> Vec<u8> {
    let tuple = crowd.tuple(number);
    let (IpAddr::V4(source), IpAddr::V4(destination)) = (tuple.source, tuple.destination) else {
        return Vec::new();
    };
    let mut datagram = [0; 8];
    datagram[..2].copy_from_slice(&tuple.source_port.to_be_bytes());
    datagram[2..4].copy_from_slice(&tuple.destination_port.to_be_bytes());
    datagram[5] = 8;
    let packet = ipv4(source, destination, UDP, 64, &datagram);
    ethernet(to, Wire::Lan.mac(CLIENT), libc::ETH_P_IP as u16, &packet)
}

/// Numbers for which the router has no flow.
fn lost(ns: &Namespace, crowd: &Crowd, numbers: &[u32]) -> Result<Vec<u32>> {
    let there: HashSet<_> = read(ns)?.iter().map(|entry| entry.original).collect();
    let absent = |number: &u32| !there.contains(&crowd.tuple(*number));
    Ok(numbers.iter().copied().filter(absent).collect())
}
