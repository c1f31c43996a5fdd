// SPDX-License-Identifier: MIT OR Apache-2.0
//! A fault of a foreign network, or of a node in it.

use std::fmt;

use super::kind::Kind;
use crate::lab::{Direction, Wire};
use crate::random::Random;

/// A fault, and its node. For a fault between the nodes the node does not matter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Number among the forms of faults.
    pub form: usize,
    /// Index of the node, 0 or 1.
    pub site: usize,
    pub what: What,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// The node's port of the switch drops some frames.
    Lost {
        on: &'static [Wire],
        frames: Frames,
        way: Direction,
    },
    /// The node's interface has no carrier.
    Carrier(&'static [Wire]),
    /// The switch is off: no node has a carrier there.
    Switch(Wire),
    /// Stations receive from both nodes, which do not receive from each other.
    Parted(Wire),
    /// The source address of adverts is removed.
    OwnAddress(Wire),
    /// The source address of adverts is replaced by another one of the same network.
    Renumbered(Wire),
    Renamed(Wire),
    NotForwarding,
    /// A filter of the node drops adverts on their way out.
    Muted(Wire),
    /// A filter in its output chain drops adverts; multicast adverts do not pass that chain.
    OutputChain,
    /// The node's own rules are gone, except those of spared.
    Flushed,
    /// A third machine has a virtual address.
    Third(Wire),
    /// All processes of the daemon are killed at once.
    Killed,
    /// Only `spared run` is killed.
    DaemonKilled,
    /// All processes get SIGSTOP.
    Frozen,
    /// The daemon is stopped in order.
    Stopped,
    LinkCut,
    LinkOneWay(Direction),
    /// Frames of UDP port 3780 are lost, which the session does not use.
    LinkHeartbeats(Direction),
    /// The path carries less than its MTU.
    LinkNarrow,
}

/// Frames that a port of the switch drops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frames {
    /// Frames from 00:00:5e.
    VirtualMacs,
    /// Frames of IP protocol 112.
    Adverts,
    /// Frames of UDP port 3780.
    Heartbeats,
    Multicast,
    Broadcast,
    All,
}

/// Number of forms. The last ones need a link.
pub const FORMS: usize = 26;
const LINK_FORMS: usize = 4;
const NETWORKS: [&[Wire]; 3] = [&[Wire::Lan], &[Wire::Wan], &Wire::BOTH];

/// Place that has at most one fault at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// A port of the switch.
    Port(usize, Wire),
    Device(usize, Wire),
    Between(Wire),
    Forwarding(usize),
    OutputChain(usize),
    Rules(usize),
    Third(Wire),
    /// The daemon of either node: one must run to report something.
    Daemon,
    Link,
}

impl Fault {
    /// Returns a fault of a form; None if this kind of pair cannot have it.
    pub fn of_form(form: usize, random: &mut Random, kind: Kind) -> Option<Self> {
        let site = random.below(2);
        let wire = Wire::BOTH[random.below(2)];
        let on = NETWORKS[random.below(NETWORKS.len())];
        let ways = [Direction::From, Direction::To, Direction::Both];
        let (way, one_way) = (ways[random.below(3)], ways[random.below(2)]);
        let lost = |frames, way| What::Lost { on, frames, way };
        let what = match form {
            0 => lost(Frames::VirtualMacs, way),
            1 => lost(Frames::Adverts, way),
            2 => lost(Frames::Multicast, way),
            3 => lost(Frames::Broadcast, way),
            4 => lost(Frames::Heartbeats, way),
            5 => lost(Frames::All, one_way),
            6 => lost(Frames::All, Direction::Both),
            7 => What::Carrier(on),
            8 => What::Switch(wire),
            9 => What::Parted(wire),
            10 => What::OwnAddress(wire),
            11 => What::Renumbered(wire),
            12 => What::Renamed(wire),
            13 => What::NotForwarding,
            14 => What::Muted(wire),
            15 => What::OutputChain,
            16 => What::Flushed,
            17 => What::Third(wire),
            18 => What::Killed,
            19 => What::DaemonKilled,
            20 => What::Frozen,
            21 => What::Stopped,
            22 => What::LinkCut,
            23 => What::LinkOneWay(one_way),
            24 => What::LinkHeartbeats(one_way),
            _ => What::LinkNarrow,
        };
        let is_possible = kind.is_linked || form < FORMS - LINK_FORMS;
        is_possible.then_some(Self { form, site, what })
    }

    /// Returns its places: two faults that share a place are not made at the same time.
    pub fn places(&self) -> Vec<Place> {
        let site = self.site;
        match self.what {
            What::Lost { on, .. } | What::Carrier(on) => {
                on.iter().map(|wire| Place::Port(site, *wire)).collect()
            }
            What::Switch(wire) => vec![Place::Port(0, wire), Place::Port(1, wire)],
            What::Parted(wire) => vec![Place::Between(wire)],
            What::OwnAddress(wire)
            | What::Renumbered(wire)
            | What::Renamed(wire)
            | What::Muted(wire) => vec![Place::Device(site, wire)],
            What::NotForwarding => vec![Place::Forwarding(site)],
            What::OutputChain => vec![Place::OutputChain(site)],
            What::Flushed => vec![Place::Rules(site)],
            What::Third(wire) => vec![Place::Third(wire)],
            What::Killed | What::DaemonKilled | What::Frozen | What::Stopped => {
                vec![Place::Daemon]
            }
            What::LinkCut | What::LinkOneWay(_) | What::LinkHeartbeats(_) | What::LinkNarrow => {
                vec![Place::Link]
            }
        }
    }

    pub fn excludes(&self, other: &Self) -> bool {
        let places = other.places();
        self.places().iter().any(|place| places.contains(place))
    }

    /// Returns the networks whose frames it affects.
    pub fn wires(&self) -> &'static [Wire] {
        match self.what {
            What::Lost { on, .. } | What::Carrier(on) => on,
            What::Switch(wire)
            | What::Parted(wire)
            | What::OwnAddress(wire)
            | What::Renumbered(wire)
            | What::Renamed(wire)
            | What::Muted(wire)
            | What::Third(wire) => match wire {
                Wire::Lan => &[Wire::Lan],
                _ => &[Wire::Wan],
            },
            _ => &[],
        }
    }

    pub fn is_of_link(&self) -> bool {
        self.places() == [Place::Link]
    }

    pub fn is_of_daemon(&self) -> bool {
        self.places() == [Place::Daemon]
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        match self.what {
            What::Switch(_) | What::Parted(_) | What::Third(_) => write!(out, "{:?}", self.what),
            what => write!(out, "r{}: {what:?}", self.site + 1),
        }
    }
}
