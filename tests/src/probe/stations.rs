// SPDX-License-Identifier: MIT OR Apache-2.0
//! A station on each network that asks all routers who has the virtual addresses, as a client does that
//! knows nothing. Answers are seen by the [`Watch`](super::Watch).
//!
//! Questions are broadcast, or sent to the solicited nodes of an IPv6 address, so that they also reach a
//! router whose interface was made again. Their sources are on the link, so that a router needs no route to
//! answer them.

use std::net::{IpAddr, Ipv6Addr};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::net::netdevice::name_to_index;

use super::frame;
use crate::lab::{CLIENT, EYE, Lab, Namespace, Wire};
use crate::{Result, sys};

/// A question for an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Question {
    pub wire: Wire,
    /// VLAN of the wire in which it is asked.
    pub vlan: Option<u16>,
    pub address: IpAddr,
}

pub struct Stations {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Stations {
    /// Asks all questions again and again.
    pub fn start(lab: &Lab, asked: &[Question], every: Duration) -> Result<Self> {
        let lan = Station::new(&lab.eye, Wire::Lan, EYE, asked)?;
        let wan = Station::new(&lab.wan, Wire::Wan, CLIENT, asked)?;
        let stop = Arc::new(AtomicBool::new(false));
        let thread = thread::spawn({
            let stop = Arc::clone(&stop);
            move || {
                sys::realtime(5);
                while !stop.load(Ordering::Relaxed) {
                    lan.ask();
                    wan.ask();
                    thread::sleep(every);
                }
            }
        });
        Ok(Self {
            stop,
            thread: Some(thread),
        })
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

struct Station {
    socket: OwnedFd,
    questions: Vec<Vec<u8>>,
}

impl Station {
    fn new(ns: &Namespace, wire: Wire, host: u8, asked: &[Question]) -> Result<Self> {
        let socket = ns.run(|| {
            let socket = sys::packet_socket()?;
            let index = name_to_index(&socket, wire.name())?;
            sys::listen(&socket, index, None)?;
            Ok(socket)
        })?;
        let mac = wire.mac(host);
        let own_ipv6 = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0xe, host.into());
        let name = wire.name();
        ns.ip(&format!("addr replace {own_ipv6}/64 dev {name} nodad\n"))?;
        let here = asked.iter().filter(|question| question.wire == wire);
        let questions = here.map(|question| {
            let frame = match question.address {
                IpAddr::V4(wanted) => {
                    // of the same network as the address
                    let [a, b, c, _] = wanted.octets();
                    frame::arp_request(mac, [a, b, c, host].into(), wanted)
                }
                IpAddr::V6(wanted) => frame::solicitation(mac, own_ipv6, wanted),
            };
            match question.vlan {
                None => frame,
                Some(vlan) => tagged(&frame, vlan),
            }
        });
        Ok(Self {
            socket,
            questions: questions.collect(),
        })
    }

    fn ask(&self) {
        for question in &self.questions {
            // one that a full queue refuses is asked again
            let _ = rustix::io::write(&self.socket, question);
        }
    }
}

fn tagged(frame: &[u8], vlan: u16) -> Vec<u8> {
    const ADDRESSES: usize = 12;
    const ETHERTYPE_VLAN: u16 = 0x8100;
    let (addresses, rest) = frame.split_at(ADDRESSES);
    let tag = [ETHERTYPE_VLAN.to_be_bytes(), vlan.to_be_bytes()].concat();
    [addresses, &tag, rest].concat()
}
