// SPDX-License-Identifier: MIT OR Apache-2.0
//! Kind of a pair: the addresses that it serves, and whether it has a link.

use std::fmt;
use std::net::IpAddr;

use crate::Result;
use crate::lab::Wire;
use crate::linked::INTERVAL;
use crate::probe::Question;
use crate::router::{Plan, VirtualRouter};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind {
    pub serves: Serves,
    pub is_linked: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Serves {
    /// IPv4 on both networks, IPv6 on the lan.
    Plain,
    /// IPv4 on both networks, IPv6 on the lan, on virtual MAC addresses.
    Vmac,
    /// IPv6 on both networks.
    Ipv6,
}

impl Kind {
    pub const ALL: [Self; 6] = [
        Self::new(Serves::Plain, true),
        Self::new(Serves::Vmac, true),
        Self::new(Serves::Ipv6, true),
        Self::new(Serves::Plain, false),
        Self::new(Serves::Vmac, false),
        Self::new(Serves::Ipv6, false),
    ];

    const fn new(serves: Serves, is_linked: bool) -> Self {
        Self { serves, is_linked }
    }

    /// Returns the kind that SPARED_KIND names, such as "vmac" or "vmac-unlinked".
    pub fn from_environment() -> Option<Self> {
        let name = std::env::var("SPARED_KIND").ok()?;
        Self::ALL.into_iter().find(|kind| kind.to_string() == name)
    }

    /// Returns the plan, the same for both nodes; r1 is preferred.
    pub fn plan(self) -> Plan {
        let links: &[Wire] = if self.is_linked { &[Wire::Hot] } else { &[] };
        let mut plan = Plan::linked(INTERVAL, links);
        let ipv6 = VirtualRouter::ipv6;
        match self.serves {
            Serves::Plain | Serves::Vmac => plan.routers.push(ipv6(Wire::Lan, 51)),
            Serves::Ipv6 => plan.routers = vec![ipv6(Wire::Lan, 51), ipv6(Wire::Wan, 52)],
        }
        for router in &mut plan.routers {
            router.vmac = self.serves == Serves::Vmac;
        }
        plan
    }

    /// Returns a question for each virtual address.
    pub fn questions(self) -> Result<Vec<Question>> {
        let mut questions = Vec::new();
        for router in &self.plan().routers {
            for text in &router.addresses {
                let address = text.split('/').next().unwrap_or_default();
                questions.push(Question {
                    wire: router.wire,
                    vlan: None,
                    address: address.parse::<IpAddr>()?,
                });
            }
        }
        Ok(questions)
    }

    /// Returns the number of virtual addresses on a network.
    pub fn addresses_on(self, wire: Wire) -> u32 {
        match (self.serves, wire) {
            (Serves::Ipv6, _) => 2,
            (_, Wire::Lan) => 3,
            _ => 1,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        let serves = match self.serves {
            Serves::Plain => "plain",
            Serves::Vmac => "vmac",
            Serves::Ipv6 => "ipv6",
        };
        let link = if self.is_linked { "" } else { "-unlinked" };
        write!(out, "{serves}{link}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_counted_as_they_are_asked_for() {
        for kind in Kind::ALL {
            let questions = kind.questions().expect("literal addresses");
            for wire in Wire::BOTH {
                let here = questions.iter().filter(|it| it.wire == wire).count();
                assert_eq!(here, kind.addresses_on(wire) as usize, "{kind} {wire:?}");
            }
        }
    }
}
