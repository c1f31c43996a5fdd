//! Other stations on the wires, which answer questions, and speak by themselves.

use std::net::IpAddr;

use super::{FilteredFrames, Key, Lab, LabEvent, MS, STATION};
use crate::wire::neighbour::{claim, probe};
use crate::wire::{Family, Mac, virtual_router};

/// Interval of a station that speaks all the time.
const TALK_NS: u64 = 20 * MS;

impl Lab {
    /// Begins to have a station there ask for another one, so that every node hears it.
    pub fn start_station_traffic(&mut self, wire: &str) {
        self.enqueue(
            self.clock.now_ns(),
            0,
            LabEvent::StationTraffic(wire.to_owned()),
        );
    }

    pub fn end_station_traffic(&mut self) {
        let talks = |what: &LabEvent| matches!(what, LabEvent::StationTraffic(_));
        self.agenda.retain(|(_, what)| !talks(what));
    }

    pub(super) fn send_station_frame(&mut self, wire: &str) {
        if self.networks.contains_key(wire) {
            return self.talk_on_network(wire);
        }
        let address = |host| match self.nodes[0].facts[wire].addresses[0] {
            IpAddr::V4(own) => {
                let [a, b, c, _] = own.octets();
                IpAddr::from([a, b, c, host])
            }
            own @ IpAddr::V6(_) => own,
        };
        let frame = probe(STATION, address(240), address(241)).expect("one family");
        for index in 0..self.nodes.len() {
            self.station(index, wire, &frame);
        }
        let at_ns = self.clock.now_ns() + TALK_NS;
        self.enqueue(at_ns, 0, LabEvent::StationTraffic(wire.to_owned()));
    }

    /// Delivers a station's frame as the driver does: if nobody listens, it is read once a second.
    pub(super) fn station(&mut self, index: usize, interface: &str, frame: &[u8]) {
        let now_ns = self.clock.now_ns();
        let node = &mut self.nodes[index];
        let carrier = node.facts.get(interface).is_some_and(|it| it.carrier);
        if node.dead || node.stopped || !carrier {
            return;
        }
        let Some(at) = node.engine.interface_index(interface) else {
            return;
        };
        if node.listening.contains(interface) {
            node.engine.handle_station(now_ns, at, frame);
            self.act(index);
        } else if let Some(claim) = claim(frame) {
            node.engine.handle_claim(now_ns, at, claim);
        }
    }

    /// Drops a stations' frames for a node, as if all had arrived before: a machine next to a fast switch is answered
    /// at once.
    pub(super) fn empty_socket(&mut self, index: usize, interface: &str) {
        self.agenda.retain(|(to, what)| {
            let is_there = matches!(what, LabEvent::Station(wire, _) if wire == interface);
            !(is_there && *to == index)
        });
    }

    pub(super) fn carry_question(&mut self, index: usize, wire: &str, frame: &[u8]) {
        let of_virtual = virtual_router(asking_mac(frame));
        if of_virtual.is_some_and(|router| !self.passes_fence(index, wire, router)) {
            return;
        }
        if self.networks.contains_key(wire) {
            return self.carry_on_network(index, wire, frame);
        }
        if of_virtual.is_some() && !self.carries_virtual(index, wire) {
            return;
        }
        let target = target(frame);
        let has = |node: usize| {
            let facts = self.nodes[node].facts.get(wire);
            facts.is_some_and(|facts| facts.addresses.contains(&target))
        };
        let answered_ns = self.clock.now_ns() + 2 * self.latency_ns;
        let of = (0..self.nodes.len()).find(|node| has(*node));
        let reaches = self.stations.contains(&(wire.to_owned(), index));
        let mac = match of {
            Some(other) => {
                let facts = &self.nodes[other].facts[wire];
                let cut = self.is_cut(wire, index, other) || self.is_cut(wire, other, index);
                (other != index && facts.carrier && !cut).then_some(facts.mac)
            }
            None => reaches.then_some(self.station_mac),
        };
        if let Some(mac) = mac {
            let what = LabEvent::Station(wire.to_owned(), answer(frame, mac));
            self.enqueue(answered_ns, index, what);
        }
    }

    /// True if a question from a virtual MAC address leaves: only while the node answers for that virtual router.
    fn passes_fence(&mut self, index: usize, wire: &str, router: (Family, u8)) -> bool {
        let (now_ns, (family, vrid)) = (self.clock.now_ns(), router);
        let key: Key = (wire.to_owned(), family, vrid);
        let until_ns = self.nodes[index].leases.get(&key);
        let passes = until_ns.is_some_and(|until_ns| *until_ns > now_ns);
        if passes {
            let asked = (now_ns, index, wire.to_owned());
            self.asked_from_virtual.push(asked);
        }
        passes
    }

    /// True if the frames from and to the virtual MAC pass at a node.
    fn carries_virtual(&self, index: usize, wire: &str) -> bool {
        let dropped = [FilteredFrames::VirtualMac, FilteredFrames::ToVirtualMac];
        !dropped.iter().any(|what| self.drops(wire, index, *what))
    }
}

pub(super) fn asking_mac(frame: &[u8]) -> Mac {
    frame[6..12].try_into().expect("six bytes")
}

fn is_arp(frame: &[u8]) -> bool {
    frame[12..14] == [8, 6]
}

/// Address that a question is about.
pub(super) fn target(frame: &[u8]) -> IpAddr {
    if is_arp(frame) {
        let target: [u8; 4] = frame[38..42].try_into().expect("four bytes");
        return target.into();
    }
    let target: [u8; 16] = frame[62..78].try_into().expect("sixteen bytes");
    target.into()
}

/// Answer of the machine that has the address.
pub(super) fn answer(question: &[u8], mac: Mac) -> Vec<u8> {
    let asking_mac = &question[6..12];
    let parts: [&[u8]; 5] = if is_arp(question) {
        [
            b"\x08\x06\0\x01\x08\0\x06\x04\0\x02",
            &mac,
            &question[38..42],
            asking_mac,
            &question[28..32],
        ]
    } else {
        [
            b"\x86\xdd\x60\0\0\0\0\x20\x3a\xff",
            &question[62..78],
            &question[22..38],
            b"\x88\0\0\0\x60\0\0\0",
            &question[62..78],
        ]
    };
    let mut frame = [asking_mac, &mac].concat();
    frame.extend(parts.concat());
    if !is_arp(question) {
        frame.extend([2, 1]);
        frame.extend(mac);
    }
    frame
}
