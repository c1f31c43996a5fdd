// SPDX-License-Identifier: MIT OR Apache-2.0
//! Crowds of flows, written into a namespace's kernel as fast as possible, or at a rate.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::thread;
use std::time::{Duration, Instant};

use spared_netlink::messages;

use super::create::{put_tcp, put_tuple};
use super::ctnetlink::{self as ct, Socket, nest, put, put_u32};
use super::table::{Entry, Tuple};
use crate::Result;
use crate::lab::Namespace;

/// Number of requests in one system call. Their errors fit into a receive buffer.
const BATCH: u32 = 500;
/// Status bits: confirmed, assured, seen in both directions.
const STATUS: u32 = 8 | 4 | 2;
const ESTABLISHED: u8 = 3;
const TCP: u8 = 6;
const UDP: u8 = 17;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// Established, with window scaling.
    Tcp,
    Udp,
}

/// Flows numbered from `first`, each with its own tuple, which depends on its number only.
#[derive(Clone, Copy, Debug)]
pub struct Crowd {
    pub transport: Transport,
    pub ipv6: bool,
    pub first: u32,
    pub count: u32,
    /// Address to which the sources are translated; IPv4 only.
    pub snat: Option<Ipv4Addr>,
    pub timeout_s: u32,
    pub mark: u32,
    pub zone: u16,
    /// Flows per second; None for as fast as the kernel accepts them.
    pub rate: Option<u32>,
}

impl Default for Crowd {
    fn default() -> Self {
        Self {
            transport: Transport::Tcp,
            ipv6: false,
            first: 0,
            count: 1000,
            snat: None,
            timeout_s: 3600,
            mark: 0,
            zone: 0,
            rate: None,
        }
    }
}

/// Results of a crowd's requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Harvest {
    pub done: u32,
    pub refused: u32,
    /// The last error.
    pub errno: i32,
    pub took: Duration,
}

impl Crowd {
    pub fn tcp(count: u32) -> Self {
        Self {
            count,
            ..Self::default()
        }
    }

    pub fn udp(count: u32) -> Self {
        Self {
            count,
            transport: Transport::Udp,
            ..Self::default()
        }
    }

    /// The crowd after this one.
    pub fn next(self) -> Self {
        Self {
            first: self.first + self.count,
            ..self
        }
    }

    /// Creates the flows; an existing one is refused.
    pub fn create(&self, ns: &Namespace) -> Result<Harvest> {
        self.run(ns, |out, sequence, flags, number| {
            let kind = (ct::NEW, ct::CREATE | ct::EXCL | flags);
            ct::message(out, kind, sequence, self.ipv6, |out| {
                self.put_new(out, number);
            });
        })
    }

    /// Sets their marks and timeouts; a missing one is refused.
    pub fn update(&self, ns: &Namespace) -> Result<Harvest> {
        self.run(ns, |out, sequence, flags, number| {
            ct::message(out, (ct::NEW, flags), sequence, self.ipv6, |out| {
                self.put_key(out, number);
                put_u32(out, ct::TIMEOUT, self.timeout_s);
                put_u32(out, ct::MARK, self.mark);
            });
        })
    }

    pub fn delete(&self, ns: &Namespace) -> Result<Harvest> {
        self.run(ns, |out, sequence, flags, number| {
            ct::message(out, (ct::DELETE, flags), sequence, self.ipv6, |out| {
                self.put_key(out, number);
            });
        })
    }

    /// Returns the original direction of a flow.
    pub fn tuple(&self, number: u32) -> Tuple {
        // Flows with the same translated port differ in their destination, and ports repeat only after all clients: no
        // two numbers below 200 million have the same tuple, translated or not.
        let client = number % 4096;
        let source_port = 1024 + ((number / 4096).wrapping_mul(7919) + client * 13) % 64_000;
        let host = ((number / 60_000) * 3571 + number % 60_000) % (1 << 17);
        let destination_port = [443, 443, 443, 80, 443, 8443, 443, 22][number as usize % 8];
        let (source, destination): (IpAddr, IpAddr) = if self.ipv6 {
            let prefix = |net: u128| Ipv6Addr::from(net << 112);
            let address =
                |net, host: u32| Ipv6Addr::from(u128::from(prefix(net)) | u128::from(host));
            (address(0xfd64, client).into(), address(0x2001, host).into())
        } else {
            let address =
                |base: [u8; 4], host: u32| Ipv4Addr::from(u32::from_be_bytes(base) + host);
            (
                address([10, 64, 0, 0], client).into(),
                address([198, 18, 0, 0], host).into(),
            )
        };
        Tuple {
            source,
            destination,
            source_port: source_port as u16,
            destination_port,
            protocol: match self.transport {
                Transport::Tcp => TCP,
                Transport::Udp => UDP,
            },
            zone: 0,
        }
    }

    /// Returns true if a flow belongs to any crowd.
    pub fn has(entry: &Entry) -> bool {
        match entry.original.source {
            IpAddr::V4(source) => source.octets()[..2] == [10, 64],
            IpAddr::V6(source) => source.segments()[0] == 0xfd64,
        }
    }

    /// Source port of its packets after translation.
    pub fn translated_port(number: u32) -> u16 {
        (1024 + number % 60_000) as u16
    }

    /// Size of a batch. At a low rate, batches are small and a few milliseconds apart.
    pub(super) fn batch(&self, most: u32) -> u32 {
        self.rate.map_or(most, |rate| (rate / 200).clamp(1, most))
    }

    /// Waits until the next flow after `done` ones is due.
    pub(super) fn keep_pace(&self, start: Instant, done: u32) {
        if let Some(rate) = self.rate {
            let due = f64::from(done) / f64::from(rate);
            thread::sleep(Duration::from_secs_f64(due).saturating_sub(start.elapsed()));
        }
    }

    fn run(
        &self,
        ns: &Namespace,
        mut request: impl FnMut(&mut Vec<u8>, u32, u16, u32),
    ) -> Result<Harvest> {
        let socket = Socket::open(ns)?;
        let (mut out, mut answers) = (Vec::with_capacity(1 << 17), vec![0; 1 << 16]);
        let (start, end) = (Instant::now(), self.first + self.count);
        let mut harvest = Harvest::default();
        let batch = self.batch(BATCH);
        let mut number = self.first;
        while number < end {
            let last = end.min(number + batch) - 1;
            out.clear();
            for each in number..=last {
                let flags = if each == last { ct::ACK } else { 0 };
                request(&mut out, each, flags, each);
            }
            socket.send(&out)?;
            let refused = verdicts(&socket, &mut answers, last, &mut harvest)?;
            harvest.done += last + 1 - number - refused;
            harvest.refused += refused;
            number = last + 1;
            self.keep_pace(start, number - self.first);
        }
        harvest.took = start.elapsed();
        Ok(harvest)
    }

    fn put_new(&self, out: &mut Vec<u8>, number: u32) {
        let tuple = self.tuple(number);
        self.put_key(out, number);
        // The plain inverse: the kernel translates it by the attribute below.
        put_tuple(out, ct::TUPLE_REPLY, &tuple.inverse());
        put_u32(out, ct::STATUS, STATUS);
        put_u32(out, ct::TIMEOUT, self.timeout_s);
        if self.mark != 0 {
            put_u32(out, ct::MARK, self.mark);
        }
        if self.transport == Transport::Tcp {
            put_tcp(out, ESTABLISHED);
        }
        if let Some(address) = self.snat {
            put_snat(out, address, Self::translated_port(number));
        }
    }

    fn put_key(&self, out: &mut Vec<u8>, number: u32) {
        put_tuple(out, ct::TUPLE_ORIG, &self.tuple(number));
        if self.zone != 0 {
            put(out, ct::ZONE, &self.zone.to_be_bytes());
        }
    }
}

/// Number of refused requests up to `last`, which asked for an answer.
fn verdicts(
    socket: &Socket,
    answers: &mut [u8],
    last: u32,
    harvest: &mut Harvest,
) -> io::Result<u32> {
    let mut refused = 0;
    loop {
        for (header, payload) in messages(socket.receive(answers)?) {
            if header.kind != ct::ERROR {
                continue;
            }
            let code = payload
                .first_chunk()
                .map_or(0, |code| i32::from_ne_bytes(*code));
            if code != 0 {
                refused += 1;
                harvest.errno = -code;
            }
            if header.sequence == last {
                return Ok(refused);
            }
        }
    }
}

fn put_snat(out: &mut Vec<u8>, address: Ipv4Addr, port: u16) {
    nest(out, ct::NAT_SRC, |out| {
        put(out, 1, &address.octets());
        put(out, 2, &address.octets());
        nest(out, 3, |out| {
            put(out, 1, &port.to_be_bytes());
            put(out, 2, &port.to_be_bytes());
        });
    });
}
