// SPDX-License-Identifier: MIT OR Apache-2.0
//! A step: one change of an interface, an address or the daemon of a node.

use std::fmt;

use crate::lab::Wire;
use crate::random::Random;

/// A change, and the node on which it is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Index of the node, 0 or 1.
    pub site: usize,
    pub act: Act,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// The interface of a wire gets another name.
    Rename {
        wire: Wire,
        /// Rename it while it is up; otherwise it is set down before and up after.
        live: bool,
    },
    /// The interfaces of lan and wan get each other's name, while they are up.
    Swap,
    Down(Wire),
    Up(Wire),
    /// The interface and its cable are deleted.
    Delete(Wire),
    Bridge {
        wire: Wire,
        /// The interface's own address moves to the bridge.
        moves: bool,
    },
    Macvlan(Wire),
    /// The interface is moved to another namespace.
    Away(Wire),
    Back(Wire),
    /// An administrator sets a virtual address on some device.
    ByHand {
        address: usize,
        on: Device,
        form: usize,
    },
    /// An administrator removes a virtual address from this device.
    Remove {
        address: usize,
        on: Device,
    },
    Flush {
        wire: Wire,
        family: Family,
    },
    Renumber {
        wire: Wire,
        order: Order,
    },
    Kill(Process),
    /// The daemon gets SIGTERM.
    Stop,
    Start,
    /// All interfaces and addresses of the node are restored.
    PutRight,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Device {
    /// The interface of a wire, whatever its name.
    Of(Wire),
    Loopback,
    Bridge,
    Macvlan,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    Both,
    Ipv4,
    Ipv6,
}

/// Order of adding a new address and removing the old one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    NewFirst,
    OldFirst,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Process {
    All,
    Host,
    Elector,
}

/// Forms of an address that an administrator sets: the verb, the prefix length (0: the configured one), and further
/// words.
pub const FORMS: [(&str, u8, &str); 10] = [
    ("add", 0, ""),
    ("replace", 0, ""),
    ("add", 32, ""),
    ("add", 25, ""),
    ("add", 32, "scope link"),
    ("add", 32, "scope host"),
    ("replace", 0, "valid_lft 2 preferred_lft 1"),
    ("add", 32, "valid_lft 1 preferred_lft 1"),
    ("replace", 0, "noprefixroute"),
    ("replace", 0, "valid_lft forever preferred_lft 0"),
];

const WIRES: [Wire; 3] = [Wire::Lan, Wire::Lan, Wire::Wan];

impl Step {
    /// `addresses` is the number of virtual addresses.
    pub fn at_random(random: &mut Random, addresses: usize) -> Self {
        let site = random.below(2);
        let wire = WIRES[random.below(WIRES.len())];
        let address = random.below(addresses);
        let act = match random.below(27) {
            0..=2 => Act::Rename { wire, live: true },
            3 => Act::Rename { wire, live: false },
            4 | 5 => Act::Swap,
            6 => Act::Down(wire),
            7 => Act::Up(wire),
            8 => Act::Delete(wire),
            9 | 10 => Act::Bridge {
                wire,
                moves: random.below(2) == 0,
            },
            11 => Act::Macvlan(wire),
            12 => Act::Away(wire),
            13 => Act::Back(wire),
            14..=16 => Act::ByHand {
                address,
                on: device(random, wire),
                form: random.below(FORMS.len()),
            },
            17 => Act::Remove {
                address,
                on: device(random, wire),
            },
            18 => Act::Flush {
                wire,
                family: [Family::Both, Family::Ipv4, Family::Ipv6][random.below(3)],
            },
            19 | 20 => Act::Renumber {
                wire,
                order: [Order::NewFirst, Order::OldFirst][random.below(2)],
            },
            21 => Act::Kill([Process::All, Process::Host, Process::Elector][random.below(3)]),
            22 => Act::Stop,
            23 | 24 => Act::Start,
            _ => Act::PutRight,
        };
        Self { site, act }
    }
}

fn device(random: &mut Random, wire: Wire) -> Device {
    match random.below(8) {
        0..=4 => Device::Of(wire),
        5 => Device::Loopback,
        6 => Device::Bridge,
        _ => Device::Macvlan,
    }
}

impl fmt::Display for Step {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        write!(out, "r{}: {:?}", self.site + 1, self.act)?;
        if let Act::ByHand { form, .. } = self.act {
            let (verb, prefix, rest) = FORMS[form];
            write!(out, " ({verb} /{prefix} {rest})")?;
        }
        Ok(())
    }
}
