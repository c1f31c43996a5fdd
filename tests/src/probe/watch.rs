// SPDX-License-Identifier: MIT OR Apache-2.0
//! Records the frames of every router at the switch, in the order and with the times of the kernel.
//!
//! The port distinguishes the routers, since two of them may use the same virtual MAC.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::net::netdevice::index_to_name;

use super::frame::{self, Advert, Mac};
use crate::clock::{Stamp, poll};
use crate::lab::{Lab, Wire};
use crate::machine::Machine;
use crate::{Result, sys};

/// Content of a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sight {
    Advert(Advert),
    ArpReply {
        address: Ipv4Addr,
    },
    /// A gratuitous request or reply.
    ArpAnnouncement {
        address: Ipv4Addr,
    },
    Neighbour {
        address: Ipv6Addr,
        solicited: bool,
    },
    EchoReply {
        from: IpAddr,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    pub at: Stamp,
    /// Index of the router.
    pub site: usize,
    pub wire: Wire,
    pub source_mac: Mac,
    pub destination_mac: Mac,
    pub sight: Sight,
}

impl Seen {
    /// Returns the address for which this is an answer, if it is one.
    fn answers_for(&self) -> Option<IpAddr> {
        match self.sight {
            Sight::ArpReply { address } => Some(address.into()),
            Sight::Neighbour {
                address,
                solicited: true,
            } => Some(address.into()),
            Sight::EchoReply { from } => Some(from),
            _ => None,
        }
    }

    /// True for an answer to "who has this address".
    pub fn resolves(&self, address: IpAddr) -> bool {
        let echo = matches!(self.sight, Sight::EchoReply { .. });
        !echo && self.answers_for() == Some(address)
    }
}

/// An unbroken series of answers by one router.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    pub site: usize,
    pub first: Stamp,
    pub last: Stamp,
    pub answers: usize,
}

pub struct Watch {
    seen: Arc<Mutex<Vec<Seen>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    pub fn start(lab: &Lab) -> Result<Self> {
        let mut ports = HashMap::new();
        for site in &lab.sites {
            for wire in Wire::BOTH {
                ports.insert(site.port(wire), (site.index, wire));
            }
        }
        Self::of(lab, ports)
    }

    /// Watches routers that are machines.
    pub fn of_machines(lab: &Lab, routers: &[Machine]) -> Result<Self> {
        let mut ports = HashMap::new();
        for (site, router) in routers.iter().enumerate() {
            for wire in Wire::BOTH {
                ports.insert(router.port(wire), (site, wire));
            }
        }
        Self::of(lab, ports)
    }

    fn of(lab: &Lab, named: HashMap<String, Place>) -> Result<Self> {
        let socket = lab.sw.run(|| {
            let socket = sys::packet_socket()?;
            sys::listen(&socket, 0, Some(&filter()))?;
            Ok(socket)
        })?;
        let seen = Arc::new(Mutex::new(Vec::new()));
        let stop = Arc::new(AtomicBool::new(false));
        let thread = thread::spawn({
            let (seen, stop) = (Arc::clone(&seen), Arc::clone(&stop));
            let mut ports = Ports {
                named,
                known: HashMap::new(),
            };
            move || {
                sys::realtime(5);
                while !stop.load(Ordering::Relaxed) {
                    let wait = Timespec {
                        tv_sec: 0,
                        tv_nsec: 20_000_000,
                    };
                    let mut ready = [PollFd::from_borrowed_fd(socket.as_fd(), PollFlags::IN)];
                    let _ = rustix::event::poll(&mut ready, Some(&wait));
                    drain(&socket, &mut ports, &seen);
                }
            }
        });
        Ok(Self {
            seen,
            stop,
            thread: Some(thread),
        })
    }

    pub fn all(&self) -> MutexGuard<'_, Vec<Seen>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All frames from `from` on, in the order of their times.
    pub fn since(&self, from: Stamp) -> Vec<Seen> {
        let all = self.all();
        // Ports deliver on two processors, so frames microseconds apart may be swapped.
        let start = all.partition_point(|seen| seen.at.after(Duration::from_millis(50)) < from);
        let late = all[start..].iter().filter(|seen| seen.at >= from);
        let mut frames: Vec<Seen> = late.cloned().collect();
        frames.sort_by_key(|seen| seen.at);
        frames
    }

    /// Adverts of a router on a network from `from` on.
    pub fn adverts(&self, from: Stamp, site: usize, wire: Wire) -> Vec<(Stamp, Advert)> {
        self.since(from)
            .into_iter()
            .filter(|seen| (seen.site, seen.wire) == (site, wire))
            .filter_map(|seen| match seen.sight {
                Sight::Advert(advert) => Some((seen.at, advert)),
                _ => None,
            })
            .collect()
    }

    /// Waits for the next advert of a router, and returns the time at which it was sent.
    pub fn next_advert(&self, site: usize, wire: Wire, limit: Duration) -> Result<Stamp> {
        let mut start = self.all().len();
        let mut found = None;
        poll(limit, Duration::from_micros(100), || {
            let all = self.all();
            found = all[start..].iter().find_map(|seen| {
                let ours = (seen.site, seen.wire) == (site, wire);
                (ours && matches!(seen.sight, Sight::Advert(_))).then_some(seen.at)
            });
            start = all.len();
            found.is_some()
        });
        found.ok_or_else(|| {
            format!(
                "r{} sent no advert on {} for {limit:?}",
                site + 1,
                wire.name()
            )
            .into()
        })
    }

    /// Waits until only `site` has advertised on `wire` for `quiet`.
    pub fn wait_active(
        &self,
        site: usize,
        wire: Wire,
        quiet: Duration,
        limit: Duration,
    ) -> Result<()> {
        let settled = || {
            let from = Stamp(Stamp::now().0 - quiet.as_nanos() as u64);
            let mut adverts = self.since(from).into_iter().filter(|seen| {
                seen.wire == wire && matches!(&seen.sight, Sight::Advert(a) if a.priority > 0)
            });
            adverts.next().is_some_and(|first| first.site == site)
                && adverts.all(|seen| seen.site == site)
        };
        if poll(limit, Duration::from_millis(2), settled) {
            return Ok(());
        }
        Err(format!(
            "r{} is not alone active on {} after {limit:?}",
            site + 1,
            wire.name()
        )
        .into())
    }

    /// Returns series of answers for an address, by one router each, oldest first. If routers never answer at the same
    /// time, there is one more run than changes.
    pub fn runs(&self, from: Stamp, address: IpAddr) -> Vec<Run> {
        self.runs_of(from, |seen| seen.answers_for() == Some(address))
    }

    /// Returns series of answers to "who has this address". In a switchover the old router still forwards and answers
    /// packets to its hardware address, but no longer answers these.
    pub fn resolutions(&self, from: Stamp, address: IpAddr) -> Vec<Run> {
        self.runs_of(from, |seen| seen.resolves(address))
    }

    /// Returns series of answers to "who has this address" for which `counts` is true.
    pub fn resolutions_that(
        &self,
        from: Stamp,
        address: IpAddr,
        counts: impl Fn(&Seen) -> bool,
    ) -> Vec<Run> {
        self.runs_of(from, |seen| seen.resolves(address) && counts(seen))
    }

    /// Times of all answers to "who has this address".
    pub fn answers(&self, from: Stamp, address: IpAddr) -> Vec<Stamp> {
        let seen = self.since(from).into_iter();
        let answers = seen.filter(|seen| seen.resolves(address));
        answers.map(|seen| seen.at).collect()
    }

    /// Returns the longest time from `from` on without an answer to "who has this address".
    pub fn worst_silence(&self, from: Stamp, address: IpAddr) -> Duration {
        let answers = self.answers(from, address);
        let ends = answers.iter().copied().chain([Stamp::now()]);
        let begins = [from].into_iter().chain(answers.iter().copied());
        let waits = begins.zip(ends).map(|(begin, end)| end.since(begin));
        waits.max().unwrap_or_default()
    }

    fn runs_of(&self, from: Stamp, counts: impl Fn(&Seen) -> bool) -> Vec<Run> {
        let mut runs: Vec<Run> = Vec::new();
        for seen in self.since(from) {
            if !counts(&seen) {
                continue;
            }
            match runs.last_mut() {
                Some(run) if run.site == seen.site => {
                    run.last = seen.at;
                    run.answers += 1;
                }
                _ => runs.push(Run {
                    site: seen.site,
                    first: seen.at,
                    last: seen.at,
                    answers: 1,
                }),
            }
        }
        runs
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// A router and its network.
type Place = (usize, Wire);

/// Ports of the switch. The cable of an interface that is created again has another port with the same name.
struct Ports {
    named: HashMap<String, Place>,
    known: HashMap<u32, Option<Place>>,
}

impl Ports {
    fn place(&mut self, socket: &OwnedFd, index: u32) -> Option<Place> {
        let named = &self.named;
        *self.known.entry(index).or_insert_with(|| {
            let name = index_to_name(socket, index).ok()?;
            named.get(&name).copied()
        })
    }
}

fn drain(socket: &OwnedFd, ports: &mut Ports, seen: &Mutex<Vec<Seen>>) {
    let mut buffer = [0; 2048];
    loop {
        let received = match sys::receive(socket, &mut buffer) {
            Ok(received) => received,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(_) => return,
        };
        let Some((site, wire)) = ports.place(socket, received.interface) else {
            continue;
        };
        let frame = &buffer[..received.length.min(buffer.len())];
        let (Some(sight), Some((macs, _))) = (frame::parse(frame), frame.split_at_checked(12))
        else {
            continue;
        };
        let (destination, source) = macs.split_at(6);
        let sight = Seen {
            at: received.at,
            site,
            wire,
            source_mac: source.try_into().unwrap_or_default(),
            destination_mac: destination.try_into().unwrap_or_default(),
            sight,
        };
        seen.lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(sight);
    }
}

/// Filter that passes incoming ARP, ICMP, ICMPv6 and VRRP. The probes' own traffic stays in the kernel.
fn filter() -> [libc::sock_filter; 12] {
    const LOAD_WORD: u32 = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
    const LOAD_HALF: u32 = libc::BPF_LD | libc::BPF_H | libc::BPF_ABS;
    const LOAD_BYTE: u32 = libc::BPF_LD | libc::BPF_B | libc::BPF_ABS;
    const EQUAL: u32 = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
    const RETURN: u32 = libc::BPF_RET | libc::BPF_K;
    const PACKET_OUTGOING: u32 = 4;
    // SKF_AD_OFF + SKF_AD_PKTTYPE
    const KIND: u32 = (-0x1000i32 + 4) as u32;
    let step = |code: u32, k: u32, jt: u8, jf: u8| libc::sock_filter {
        code: code as u16,
        jt,
        jf,
        k,
    };
    [
        step(LOAD_WORD, KIND, 0, 0),
        step(EQUAL, PACKET_OUTGOING, 8, 0),
        step(LOAD_HALF, 12, 0, 0),
        step(EQUAL, u32::from(frame::ETHERTYPE_ARP), 7, 0),
        step(EQUAL, u32::from(frame::ETHERTYPE_IPV4), 0, 2),
        step(LOAD_BYTE, 14 + 9, 0, 0),
        step(EQUAL, 1, 4, 2),
        // Other frames are treated as IPv6, and fail at the next header.
        step(LOAD_BYTE, 14 + 6, 0, 0),
        step(EQUAL, 58, 2, 0),
        step(EQUAL, 112, 1, 0),
        step(RETURN, 0, 0, 0),
        step(RETURN, 0xffff, 0, 0),
    ]
}

impl Watch {
    /// The longest time between successive adverts of a router on a network.
    pub fn worst_spacing(&self, from: Stamp, site: usize, wire: Wire) -> Duration {
        let adverts = self.adverts(from, site, wire);
        let pairs = adverts.windows(2).map(|pair| pair[1].0.since(pair[0].0));
        pairs.max().unwrap_or_default()
    }
}
