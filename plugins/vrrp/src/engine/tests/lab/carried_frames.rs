//! Networks that carry some kinds of frames and lose others, in one direction or both, and the stations on them.
//!
//! The fault is in the middle of a network, and each node and each station is on one side of it. Frames that stay on
//! one side are never lost.

use std::net::IpAddr;

use super::stations::{answer, asking_mac, target};
use super::{Key, Lab, LabEvent, Node, SECOND};
use crate::wire::neighbour::probe;
use crate::wire::{Mac, virtual_mac, virtual_router};

/// Kind of frames. A frame of several kinds passes only if all of them do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Frames between MAC addresses of cards.
    Unicast,
    /// Frames from or to the MAC address of a virtual router.
    Virtual,
    Broadcast,
    Multicast,
    /// Frames to UDP port 3780.
    Heartbeats,
}

/// Directions that are carried; the side of r1 is 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Directions {
    Both,
    From(usize),
    None,
}

/// Fault of a network: the directions that it carries for each [`Kind`], in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CarriedFrames(pub [Directions; 5]);

/// Behaviour of the stations of a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StationBehaviour {
    /// Stations speak, and answer questions. No kernel knows them.
    SendFrames,
    /// Stations only answer questions. Each kernel knows them.
    Answer,
    /// Stations do neither any more. Each kernel knows them.
    Silent,
}

/// Sides that have a station.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stations {
    pub sides: [bool; 2],
    pub behaviour: StationBehaviour,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Network {
    carried_frames: CarriedFrames,
    stations: Stations,
}

const TALK_NS: u64 = SECOND;

impl Directions {
    pub const ALL: [Directions; 4] = [
        Directions::Both,
        Directions::From(0),
        Directions::From(1),
        Directions::None,
    ];

    fn carries(self, from: usize) -> bool {
        self == Directions::Both || self == Directions::From(from)
    }
}

impl CarriedFrames {
    pub const ALL: CarriedFrames = CarriedFrames([Directions::Both; 5]);
    pub const COUNT: usize = 1024;

    /// Fault with a number below [`CarriedFrames::COUNT`].
    pub fn numbered(number: usize) -> CarriedFrames {
        let digit = |place: u32| Directions::ALL[number / 4_usize.pow(place) % 4];
        CarriedFrames([0, 1, 2, 3, 4].map(digit))
    }

    /// True if frames of these kinds pass from one side to the other.
    pub fn carries(self, from: usize, kinds: &[Kind]) -> bool {
        let CarriedFrames(targets) = self;
        kinds
            .iter()
            .all(|kind| targets[*kind as usize].carries(from))
    }
}

impl Lab {
    /// Sets what a network carries from now on, and its stations.
    pub fn set_network(&mut self, wire: &str, carried_frames: CarriedFrames, stations: Stations) {
        let network = Network {
            carried_frames,
            stations,
        };
        let before = self.networks.insert(wire.to_owned(), network);
        if before.is_none_or(|before| before.stations.behaviour != StationBehaviour::SendFrames) {
            self.enqueue(
                self.clock.now_ns(),
                0,
                LabEvent::StationTraffic(wire.to_owned()),
            );
        }
    }

    /// Sets what a network carries from now on, with the same stations.
    pub fn set_carried_frames(&mut self, wire: &str, carried_frames: CarriedFrames) {
        if let Some(network) = self.networks.get_mut(wire) {
            network.carried_frames = carried_frames;
        }
    }

    /// Runs with the engine's looks at addresses, as the driver does.
    pub fn run_with_looks(&mut self, for_ns: u64) {
        let end_ns = self.clock.now_ns() + for_ns;
        loop {
            let now_ns = self.clock.now_ns();
            let runs = |node: &&Node| !node.dead && !node.stopped;
            let running = self.nodes.iter().filter(runs);
            let due_ns = running
                .filter_map(|node| node.engine.address_check_timeout())
                .min();
            let Some(due_ns) = due_ns.filter(|due_ns| *due_ns <= end_ns) else {
                return self.run(end_ns - now_ns);
            };
            self.run(due_ns.max(now_ns) - now_ns);
            for index in 0..self.nodes.len() {
                self.look(index);
            }
        }
    }

    fn look(&mut self, index: usize) {
        let now_ns = self.clock.now_ns();
        let node = &mut self.nodes[index];
        let due_ns = node.engine.address_check_timeout();
        if !node.dead && !node.stopped && due_ns.is_some_and(|due_ns| now_ns >= due_ns) {
            node.engine.check_addresses(now_ns);
            self.act(index);
        }
    }

    /// Drops heartbeats that have arrived, which only a forger needs.
    pub fn forget_heartbeats(&mut self) {
        let flies = |(_, what): &(usize, LabEvent)| matches!(what, LabEvent::Heartbeat(_));
        let waits = |node: &Node| !node.host.waiting.is_empty();
        if !self.agenda.iter().any(flies) && !self.nodes.iter().any(waits) {
            self.in_flight.clear();
        }
    }

    // ---- frames that pass -------------------------------------------------------------------

    pub(super) fn is_blocked(&self, wire: &str, from: usize, kinds: &[Kind]) -> bool {
        let network = self.networks.get(wire);
        network.is_some_and(|network| !network.carried_frames.carries(from, kinds))
    }

    /// Neighbours that a node's kernel knows there.
    pub(super) fn neighbours_on(&self, index: usize, interface: usize) -> Vec<IpAddr> {
        let name = self.nodes[index].interface(interface);
        let Some(network) = self.networks.get(&name) else {
            return self.neighbours.clone();
        };
        let known = (0..2).filter(|side| {
            network.stations.sides[*side]
                && network.stations.behaviour != StationBehaviour::SendFrames
        });
        known.map(|side| self.station_on(&name, side)).collect()
    }

    /// Address of the station on a side of a network.
    fn station_on(&self, wire: &str, side: usize) -> IpAddr {
        self.address_on(wire, 240 + u8::try_from(side).expect("0 or 1"))
    }

    fn address_on(&self, wire: &str, host: u8) -> IpAddr {
        match self.nodes[0].facts[wire].addresses[0] {
            IpAddr::V4(own) => {
                let [a, b, c, _] = own.octets();
                IpAddr::from([a, b, c, host])
            }
            own @ IpAddr::V6(_) => own,
        }
    }

    /// Has the stations of a network ask for an address that does not exist.
    pub(super) fn talk_on_network(&mut self, wire: &str) {
        let Network {
            carried_frames,
            stations,
        } = self.networks[wire];
        if stations.behaviour != StationBehaviour::SendFrames {
            return;
        }
        let nobody = self.address_on(wire, 230);
        for side in (0..2).filter(|side| stations.sides[*side]) {
            let own = self.station_on(wire, side);
            let frame = probe(mac_of(wire, side), own, nobody).expect("one family");
            for index in 0..2 {
                if index == side || carried_frames.carries(side, &[Kind::Broadcast]) {
                    self.station(index, wire, &frame);
                }
            }
        }
        let at_ns = self.clock.now_ns() + TALK_NS;
        self.enqueue(at_ns, 0, LabEvent::StationTraffic(wire.to_owned()));
    }

    /// Carries a broadcast that asks for an address: the other node hears it, and the owner of the address answers.
    pub(super) fn carry_on_network(&mut self, index: usize, wire: &str, frame: &[u8]) {
        let Network {
            carried_frames,
            stations,
        } = self.networks[wire];
        if !self.nodes[index].facts[wire].carrier {
            return;
        }
        let other = 1 - index;
        let asks_as_virtual = virtual_router(asking_mac(frame)).is_some();
        let outwards: &[Kind] = if asks_as_virtual {
            &[Kind::Broadcast, Kind::Virtual]
        } else {
            &[Kind::Broadcast]
        };
        let crosses = carried_frames.carries(index, outwards);
        let heard_ns = self.clock.now_ns() + self.latency_ns;
        if crosses {
            let what = LabEvent::Station(wire.to_owned(), frame.to_vec());
            self.enqueue(heard_ns, other, what);
        }
        let target = target(frame);
        let of_station = (0..2).find(|side| {
            let is_there = stations.sides[*side] && stations.behaviour != StationBehaviour::Silent;
            is_there && self.station_on(wire, *side) == target
        });
        let found = match of_station {
            Some(side) => Some((side, mac_of(wire, side))),
            None => self.mac_for(other, wire, target).map(|mac| (other, mac)),
        };
        let Some((side, mac)) = found else { return };
        let is_virtual = asks_as_virtual || virtual_router(mac).is_some();
        let back = if is_virtual {
            Kind::Virtual
        } else {
            Kind::Unicast
        };
        if side == index || crosses && carried_frames.carries(side, &[back]) {
            let answered_ns = heard_ns + self.latency_ns;
            let what = LabEvent::Station(wire.to_owned(), answer(frame, mac));
            self.enqueue(answered_ns, index, what);
        }
    }

    /// MAC address with which a node answers for an address, if it does.
    fn mac_for(&self, index: usize, wire: &str, address: IpAddr) -> Option<Mac> {
        let node = &self.nodes[index];
        let facts = node.facts.get(wire).filter(|facts| facts.carrier)?;
        if facts.addresses.contains(&address) {
            return (!node.dead).then_some(facts.mac);
        }
        let routers = node.settings.groups.iter().flat_map(|it| &it.routers);
        let mut routers = routers.filter(|router| router.interface == *wire);
        let has = |router: &&crate::config::VirtualRouter| {
            router.addresses.iter().any(|it| it.address == address)
        };
        let router = routers.find(has)?;
        let key: Key = (wire.to_owned(), router.family, router.vrid);
        let until_ns = node.leases.get(&key).copied().unwrap_or(0);
        let mac = if router.vmac.is_some() {
            virtual_mac(router.family, router.vrid)
        } else {
            facts.mac
        };
        (until_ns > self.clock.now_ns()).then_some(mac)
    }
}

/// MAC address of the station on a side of a network.
fn mac_of(wire: &str, side: usize) -> Mac {
    let wire = wire.bytes().last().map_or(0, |byte| byte - b'0');
    [2, 0, 0, 0, wire, 0x90 + u8::try_from(side).expect("0 or 1")]
}
