// SPDX-License-Identifier: MIT OR Apache-2.0
//! Complete TCP connections, opened and closed by packets of both ends, which a router forwards at a rate.
//!
//! Each connection has six packets without data, so that connection tracking makes all of its steps: SYN, SYN with ACK
//! and ACK, then FIN, FIN and ACK half a second later. The packets enter the router's cables at the switch, and are
//! dropped where they leave the router: no host answers or uses processor time.

use std::io;
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::thread;
use std::time::{Duration, Instant};

use rustix::net::netdevice::name_to_index;

use super::Crowd;
use crate::lab::{CLIENT, Lab, Wire, urgently};
use crate::probe::{checksum, ethernet, ipv4};
use crate::{Result, sys};

/// Length of a frame: headers of Ethernet, IPv4 and TCP.
const LENGTH: usize = 14 + 20 + 20;
/// Number of frames in one system call.
const BATCH: usize = 64;
const TICK: Duration = Duration::from_millis(5);
const TCP: u8 = 6;
const FIN: u8 = 1;
const SYN: u8 = 2;
const ACK: u8 = 16;
const CLIENT_FIRST: u32 = 1000;
const SERVER_FIRST: u32 = 5000;

/// One packet of a connection.
struct Step {
    /// Time after the connection's first packet.
    delay_ms: u64,
    is_answer: bool,
    flags: u8,
    /// Octets that each end has sent before it, counted from its first number.
    client: u32,
    server: u32,
}

const STEPS: [Step; 6] = [
    step(0, false, SYN, 0, 0),
    step(20, true, SYN | ACK, 1, 0),
    step(25, false, ACK, 1, 1),
    step(500, false, FIN | ACK, 1, 1),
    step(520, true, FIN | ACK, 2, 1),
    step(525, false, ACK, 2, 2),
];

const fn step(delay_ms: u64, is_answer: bool, flags: u8, client: u32, server: u32) -> Step {
    Step {
        delay_ms,
        is_answer,
        flags,
        client,
        server,
    }
}

/// Paths into a router: from the clients, and from the servers.
pub struct Connections {
    sockets: [OwnedFd; 2],
    router: usize,
}

impl Connections {
    /// Prepares the paths through a router of the lab.
    pub fn prepare(lab: &Lab, router: usize) -> Result<Self> {
        let site = &lab.sites[router];
        let mut commands = String::new();
        for (wire, net) in Wire::BOTH
            .into_iter()
            .zip(["10.64.0.0/16", "198.18.0.0/15"])
        {
            let (name, end) = (wire.name(), wire.ipv4(CLIENT));
            let [a, b, c, d, e, f] = wire.mac(CLIENT);
            commands += &format!(
                "route replace {net} via {end} dev {name}\n\
                 neigh replace {end} lladdr {a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x} dev {name} nud permanent\n"
            );
        }
        site.ns.ip(&commands)?;
        let [lan, wan] = Wire::BOTH.map(|wire| format!("{}-{}", site.name, wire.name()));
        lab.sw.nft(&dropped(&lan, &wan))?;
        let socket = |port: &str| -> Result<OwnedFd> {
            let socket = sys::packet_socket()?;
            let index = name_to_index(&socket, port)?;
            sys::listen(&socket, index, None)?;
            Ok(socket)
        };
        let sockets = lab.sw.run(|| Ok([socket(&lan)?, socket(&wan)?]))?;
        Ok(Self { sockets, router })
    }

    /// Opens and closes the connections of the crowd at its rate; returns the time from the first SYN to the last one.
    pub fn make(&self, lab: &Lab, crowd: Crowd) -> Result<Duration> {
        let rate = crowd.rate.ok_or("connections have a rate")?;
        let host = lab.sites[self.router].host();
        let frames: Vec<Vec<u8>> = STEPS.iter().map(|it| frames(&crowd, it, host)).collect();
        urgently(|| {
            let (start, mut done, mut opened) = (Instant::now(), [0; STEPS.len()], None);
            let count = crowd.count as usize;
            while done[STEPS.len() - 1] < count {
                let mut most = count;
                for (number, step) in STEPS.iter().enumerate() {
                    let since = start
                        .elapsed()
                        .saturating_sub(Duration::from_millis(step.delay_ms));
                    let due = (since.as_secs_f64() * f64::from(rate)) as usize;
                    let until = due.min(most).max(done[number]);
                    let bytes = &frames[number][done[number] * LENGTH..until * LENGTH];
                    self.send(step, bytes)?;
                    done[number] = until;
                    // No packet is sent before the one that it answers.
                    most = until;
                }
                if done[0] == count {
                    opened.get_or_insert_with(|| start.elapsed());
                }
                thread::sleep(TICK);
            }
            Ok(opened.unwrap_or_default())
        })
    }

    fn send(&self, step: &Step, frames: &[u8]) -> io::Result<()> {
        let socket = &self.sockets[usize::from(step.is_answer)];
        for batch in frames.chunks(BATCH * LENGTH) {
            let mut left = batch;
            while !left.is_empty() {
                // A full queue on the path is reported for the first frame of a call.
                match sys::send_all(socket, left, LENGTH) {
                    Ok(sent) => left = &left[sent * LENGTH..],
                    Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(())
    }
}

/// Returns one packet of each connection.
fn frames(crowd: &Crowd, step: &Step, host: u8) -> Vec<u8> {
    let numbers = crowd.first..crowd.first + crowd.count;
    numbers
        .flat_map(|number| frame(crowd, step, host, number))
        .collect()
}

fn frame(crowd: &Crowd, step: &Step, host: u8, number: u32) -> Vec<u8> {
    let original = crowd.tuple(number);
    let (tuple, wire) = if step.is_answer {
        (original.inverse(), Wire::Wan)
    } else {
        (original, Wire::Lan)
    };
    let (IpAddr::V4(source), IpAddr::V4(destination)) = (tuple.source, tuple.destination) else {
        return Vec::new();
    };
    let (client, server) = (CLIENT_FIRST + step.client, SERVER_FIRST + step.server);
    let (sequence, acknowledged) = if step.is_answer {
        (server, client)
    } else {
        (client, server)
    };
    let mut segment = [0; 20];
    segment[..2].copy_from_slice(&tuple.source_port.to_be_bytes());
    segment[2..4].copy_from_slice(&tuple.destination_port.to_be_bytes());
    segment[4..8].copy_from_slice(&sequence.to_be_bytes());
    if step.flags & ACK != 0 {
        segment[8..12].copy_from_slice(&acknowledged.to_be_bytes());
    }
    segment[12] = 5 << 4;
    segment[13] = step.flags;
    segment[14..16].copy_from_slice(&u16::MAX.to_be_bytes());
    let ends = [source.octets(), destination.octets()].concat();
    let sum = checksum(&[&ends, &[0, TCP, 0, segment.len() as u8], &segment]);
    segment[16..18].copy_from_slice(&sum.to_be_bytes());
    let packet = ipv4(source, destination, TCP, 64, &segment);
    ethernet(
        wire.mac(host),
        wire.mac(CLIENT),
        libc::ETH_P_IP as u16,
        &packet,
    )
}

/// Returns rules that drop the packets at the ports of the switch where they leave the router.
fn dropped(lan: &str, wan: &str) -> String {
    format!(
        "table netdev connections {{
	chain answers {{
		type filter hook ingress device \"{lan}\" priority 0
		ip daddr 10.64.0.0/16 drop
	}}
	chain requests {{
		type filter hook ingress device \"{wan}\" priority 0
		ip daddr 198.18.0.0/15 drop
	}}
}}
"
    )
}
