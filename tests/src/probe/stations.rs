// SPDX-License-Identifier: MIT OR Apache-2.0
//! A station on each network that asks all routers for the virtual addresses, as a new client does. The
//! [`Watch`](super::Watch) records the answers.
//!
//! Questions are broadcast, or sent to the solicited nodes of an IPv6 address, so that they also reach a router whose
//! interface was created again. Their sources are on the link, so that a router needs no route to answer them. Each
//! round of questions has a MAC address of its own, which identifies the round in an answer.

use std::net::{IpAddr, Ipv6Addr};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::net::netdevice::name_to_index;

use super::Seen;
use super::frame::{self, Mac};
use crate::clock::Stamp;
use crate::lab::{CLIENT, EYE, Lab, Namespace, Wire};
use crate::{Result, sys};

/// Index of the byte of a station's MAC address that holds the round's number.
const ROUND: usize = 2;

/// A question for an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Question {
    pub wire: Wire,
    /// VLAN of the wire in which it is asked.
    pub vlan: Option<u16>,
    pub address: IpAddr,
}

pub struct Stations {
    /// Times of the rounds of questions.
    asked: Arc<Mutex<Vec<Stamp>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Stations {
    /// Repeats all questions.
    pub fn start(lab: &Lab, asked: &[Question], every: Duration) -> Result<Self> {
        let lan = Station::new(&lab.eye, Wire::Lan, EYE, asked)?;
        let wan = Station::new(&lab.wan, Wire::Wan, CLIENT, asked)?;
        let asked = Arc::new(Mutex::new(Vec::new()));
        let stop = Arc::new(AtomicBool::new(false));
        let thread = thread::spawn({
            let (asked, stop) = (Arc::clone(&asked), Arc::clone(&stop));
            move || {
                sys::realtime(5);
                while !stop.load(Ordering::Relaxed) {
                    let round = note_round(&asked);
                    lan.ask(round);
                    wan.ask(round);
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

    /// Returns the time from the question that a frame answers; None if it answers none of them.
    pub fn delay(&self, answer: &Seen) -> Option<Duration> {
        Some(answer.at.since(self.asked_at(answer)?))
    }

    /// Time of the round of questions that a frame answers.
    pub fn asked_at(&self, answer: &Seen) -> Option<Stamp> {
        let mut to = answer.destination_mac;
        let of = std::mem::take(&mut to[ROUND]);
        if ![Wire::Lan.mac(EYE), Wire::Wan.mac(CLIENT)].contains(&to) {
            return None;
        }
        let asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let rounds = asked.iter().enumerate().rev();
        let mut earlier = rounds.filter(|(_, at)| **at <= answer.at);
        let (_, at) = earlier.find(|(round, _)| *round as u8 == of)?;
        Some(*at)
    }
}

impl Drop for Stations {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Records a round. Returns the last byte of its number.
fn note_round(asked: &Mutex<Vec<Stamp>>) -> u8 {
    let mut asked = asked.lock().unwrap_or_else(PoisonError::into_inner);
    let round = asked.len() as u8;
    asked.push(Stamp::now());
    round
}

struct Station {
    socket: OwnedFd,
    mac: Mac,
    asks: Vec<Asks>,
}

/// Composes a question from a MAC address.
type Asks = Box<dyn Fn(Mac) -> Vec<u8> + Send>;

impl Station {
    fn new(ns: &Namespace, wire: Wire, host: u8, asked: &[Question]) -> Result<Self> {
        let socket = ns.run(|| {
            let socket = sys::packet_socket()?;
            let index = name_to_index(&socket, wire.name())?;
            sys::listen(&socket, index, None)?;
            Ok(socket)
        })?;
        let own_ipv6 = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0xe, host.into());
        let name = wire.name();
        ns.ip(&format!("addr replace {own_ipv6}/64 dev {name} nodad\n"))?;
        let here = asked.iter().filter(|question| question.wire == wire);
        let asks = here.map(|question| asks(*question, host, own_ipv6));
        Ok(Self {
            socket,
            mac: wire.mac(host),
            asks: asks.collect(),
        })
    }

    fn ask(&self, round: u8) {
        let mut mac = self.mac;
        mac[ROUND] = round;
        for asks in &self.asks {
            // a question that a full queue refuses is repeated
            let _ = rustix::io::write(&self.socket, &asks(mac));
        }
    }
}

fn asks(question: Question, host: u8, own_ipv6: Ipv6Addr) -> Asks {
    let frame = move |mac| match question.address {
        IpAddr::V4(wanted) => {
            // with a source in the same network as the address
            let [a, b, c, _] = wanted.octets();
            frame::arp_request(mac, [a, b, c, host].into(), wanted)
        }
        IpAddr::V6(wanted) => frame::solicitation(mac, own_ipv6, wanted),
    };
    match question.vlan {
        None => Box::new(frame),
        Some(vlan) => Box::new(move |mac| tagged(&frame(mac), vlan)),
    }
}

fn tagged(frame: &[u8], vlan: u16) -> Vec<u8> {
    const ADDRESSES: usize = 12;
    const ETHERTYPE_VLAN: u16 = 0x8100;
    let (addresses, rest) = frame.split_at(ADDRESSES);
    let tag = [ETHERTYPE_VLAN.to_be_bytes(), vlan.to_be_bytes()].concat();
    [addresses, &tag, rest].concat()
}
