// SPDX-License-Identifier: MIT OR Apache-2.0
//! Interfaces of every kind in a machine, each on cards of its own, so that each can lose its carrier alone.
//!
//! ```text
//!   wire lan ── VLAN 12 ── bridge j12a ── f12a ═ veth ═ c12a ── d12, a bridge
//! ```
//!
//! The kind that is itself a VLAN uses the wire wan as its cable.

use std::fmt::Write;
use std::net::IpAddr;

use crate::lab::Wire;
use crate::probe::Question;

/// A kind of interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind {
    pub name: &'static str,
    /// Number of its VLAN and its VRID, and third number of its addresses.
    pub number: u8,
    cards: Cards,
    /// Lines of `ip -batch` that create D from the cards A and B; empty for a bare card.
    lines: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cards {
    One,
    /// Two cards in one switch.
    Two,
    /// Two cards, each in a switch of its own: for bonds that expect one switch to know them as a group.
    Apart,
}

const fn kind(name: &'static str, number: u8, cards: Cards, lines: &'static str) -> Kind {
    Kind {
        name,
        number,
        cards,
        lines,
    }
}

/// Number that is added to the VLAN for the second card of a pair in two switches.
const SECOND: u8 = 50;

pub const VETH: Kind = kind("veth", 10, Cards::One, "");
pub const VLAN: Kind = kind(
    "VLAN",
    11,
    Cards::One,
    "link add link A name D type vlan id 7\n",
);
pub const BRIDGE: Kind = kind(
    "bridge",
    12,
    Cards::One,
    "link add D type bridge mcast_snooping 0 forward_delay 0\nlink set A master D\n",
);
/// An interface of a VRF.
pub const VRF: Kind = kind(
    "VRF",
    13,
    Cards::One,
    "link add v13 type vrf table 113\nlink set v13 up\nlink set A name D\nlink set D master v13\n",
);
pub const MACVLAN: Kind = kind(
    "macvlan",
    14,
    Cards::One,
    "link add D link A address MAC type macvlan mode bridge\n",
);
/// All bonds except balance-alb, which `spared check` refuses.
pub const BONDS: [Kind; 6] = [
    kind("bond balance-rr", 20, Cards::Apart, "bond balance-rr"),
    kind("bond active-backup", 21, Cards::Two, "bond active-backup"),
    kind("bond balance-xor", 22, Cards::Apart, "bond balance-xor"),
    kind("bond broadcast", 23, Cards::Apart, "bond broadcast"),
    kind("bond 802.3ad", 24, Cards::Apart, "bond 802.3ad"),
    kind("bond balance-tlb", 25, Cards::Two, "bond balance-tlb"),
];

impl Kind {
    /// Returns all kinds. The macvlan is last: a group's first interface has both families.
    pub fn all() -> Vec<Self> {
        let mut all = vec![VETH, VLAN, BRIDGE, VRF];
        all.extend(BONDS);
        all.push(MACVLAN);
        all
    }

    /// Command line that prevents a machine's part of the switches from acting as a host.
    pub const QUIET: &str = "for file in /proc/sys/net/ipv4/conf/[jtf][0-9]*/arp_ignore \
        /proc/sys/net/ipv6/conf/[jtf][0-9]*/disable_ipv6; do echo 1 >$file; done";

    /// Returns the name of its interface.
    pub fn device(self) -> String {
        format!("d{}", self.number)
    }

    /// Returns lines that create it, up and without an address.
    pub fn creation(self, host: u8) -> String {
        let number = self.number;
        let mut text = String::new();
        let mut joint = |letter: char, vlan: Option<u8>| {
            let joint = format!("j{number}{letter}");
            text += &format!("link add {joint} type bridge mcast_snooping 0 forward_delay 0\n");
            match vlan {
                Some(vlan) => {
                    let tag = format!("t{vlan}");
                    text += &format!("link add link lan name {tag} type vlan id {vlan}\n");
                    text += &format!("link set {tag} master {joint} up\n");
                }
                None => text += &format!("link set wan master {joint} up\n"),
            }
            text += &format!("link set {joint} up\n");
            joint
        };
        let first = joint('a', (self != VLAN).then_some(number));
        let second = match self.cards {
            Cards::Apart => joint('b', Some(number + SECOND)),
            Cards::One | Cards::Two => first.clone(),
        };
        for (letter, joint) in self.letters().zip([first, second]) {
            let mac = format!("02:{number:02x}:00:00:0{letter}:{host:02x}");
            text += &format!(
                "link add f{number}{letter} type veth peer name c{number}{letter} address {mac}\n\
                 link set f{number}{letter} master {joint} up\n"
            );
        }
        text + &self.top(host)
    }

    /// Returns lines that create its interface from its cards.
    fn top(self, host: u8) -> String {
        let number = self.number;
        let (a, b, device) = (format!("c{number}a"), format!("c{number}b"), self.device());
        let lines = match self.lines.strip_prefix("bond ") {
            Some(mode) => format!(
                "link add D type bond mode {mode} miimon 50\nlink set A master D\nlink set B master D\n"
            ),
            None if self.lines.is_empty() => "link set A name D\n".to_owned(),
            None => self.lines.to_owned(),
        };
        let mac = format!("02:{number:02x}:00:00:0c:{host:02x}");
        let is_card = lines.contains("link set A name D");
        let mut text = lines
            .replace("MAC", &mac)
            .replace('A', &a)
            .replace('B', &b)
            .replace('D', &device);
        for card in [a, b].iter().take(self.letters().count()) {
            if !is_card && !self.lines.starts_with("bond") {
                let _ = writeln!(text, "link set {card} up");
            }
        }
        text + &format!("link set {device} up\n")
    }

    fn letters(self) -> impl Iterator<Item = char> {
        let count = if self.cards == Cards::One { 1 } else { 2 };
        "ab".chars().take(count)
    }

    /// Returns lines that remove the carrier of its cards, or restore it.
    pub fn carrier(self, carrier: bool) -> String {
        let state = if carrier { "up" } else { "down" };
        let far = self.letters();
        far.map(|letter| format!("link set f{}{letter} {state}\n", self.number))
            .collect()
    }

    /// Returns lines that rename its interface. Kernels before 6.2 only rename interfaces that are down.
    pub fn rename(from: &str, to: &str) -> String {
        format!("link set {from} down\nlink set {from} name {to}\nlink set {to} up\n")
    }

    pub fn ipv4(self, host: u8) -> String {
        format!("10.{}.0.{host}", self.number)
    }

    pub fn ipv6(self, host: u8) -> String {
        format!("fd{:02x}::{host:x}", self.number)
    }

    /// Returns lines for a host's own addresses.
    pub fn own(self, host: u8, families: Families) -> String {
        let (device, ipv4, ipv6) = (self.device(), self.ipv4(host), self.ipv6(host));
        let mut text = String::new();
        if families.ipv4 {
            text += &format!("addr replace {ipv4}/24 dev {device}\n");
        }
        if families.ipv6 {
            text += &format!("addr replace {ipv6}/64 dev {device} nodad\n");
        }
        text
    }

    /// Returns the question with which a station asks for an address on it.
    pub fn question(self, address: &str) -> Option<Question> {
        Some(Question {
            wire: if self == VLAN { Wire::Wan } else { Wire::Lan },
            vlan: Some(if self == VLAN { 7 } else { self.number.into() }),
            address: address.parse::<IpAddr>().ok()?,
        })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Families {
    pub ipv4: bool,
    pub ipv6: bool,
}

impl Families {
    pub const BOTH: Self = Self {
        ipv4: true,
        ipv6: true,
    };
    pub const IPV6: Self = Self {
        ipv4: false,
        ipv6: true,
    };

    /// Returns the families of virtual routers that work on a kind. On a macvlan of the machines' kernel, 6.1, the
    /// fence blocks IPv6.
    pub fn on(self, kind: Kind) -> Self {
        Self {
            ipv6: self.ipv6 && kind != MACVLAN,
            ..self
        }
    }
}
