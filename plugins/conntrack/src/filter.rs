//! Selection of flows: by the configuration, and by whether the router itself is one of their ends.

mod selection;

use std::collections::HashSet;
use std::net::IpAddr;

use spared_netlink::{attributes, constants as c};
use spared_sdk::config::IpNet;

use crate::flow::{Flow, Tuple};
use crate::wire::Address;

pub use selection::Selection;

/// A network as every flow is compared with it: without a branch on its length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prefix {
    is_ipv6: bool,
    bits: u128,
    mask: u128,
}

impl Prefix {
    fn holds(&self, is_ipv6: bool, address: &[u8; 16]) -> bool {
        self.is_ipv6 == is_ipv6 && u128::from_be_bytes(*address) & self.mask == self.bits
    }
}

impl From<IpNet> for Prefix {
    fn from(network: IpNet) -> Self {
        let left = |address: IpAddr| match address {
            IpAddr::V4(address) => u128::from(address.to_bits()) << 96,
            IpAddr::V6(address) => address.to_bits(),
        };
        Self {
            is_ipv6: network.addr().is_ipv6(),
            bits: left(network.network()),
            mask: left(network.netmask()),
        }
    }
}

/// One `[[exclude]]` or `[[include]]`: what is empty fits every flow.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rule {
    pub protocols: Vec<u8>,
    /// Either end, before or after translation.
    pub addresses: Vec<Prefix>,
    pub sources: Vec<Prefix>,
    pub destinations: Vec<Prefix>,
    pub ports: Vec<u16>,
    pub zones: Vec<u16>,
    /// Value and mask.
    pub mark: Option<(u32, u32)>,
    pub labels: Vec<u8>,
    /// Of TCP, SCTP or DCCP, by protocol and number.
    pub states: Vec<(u8, u8)>,
}

/// Facts about a flow that are not in its event.
#[derive(Clone, Copy)]
struct Known {
    state: Option<u8>,
    /// Whether all of its labels are said.
    labels: bool,
}

impl Known {
    /// The flow says all.
    const WHOLE: Self = Self {
        state: None,
        labels: true,
    };
}

impl Rule {
    fn fits(&self, flow: &Flow, known: Known) -> bool {
        let original = &flow.original;
        let all = |list: &[Prefix], address: &[u8; 16]| {
            list.is_empty() || any(list, original.is_ipv6, address)
        };
        (self.protocols.is_empty() || self.protocols.contains(&original.protocol))
            && all(&self.sources, &original.source)
            && all(&self.destinations, &original.destination)
            && (self.addresses.is_empty() || self.touches(flow))
            && (self.ports.is_empty()
                || original.has_ports() && self.ports.contains(&original.ports().1))
            && (self.zones.is_empty() || self.zones.contains(&flow.zone.id))
            && self
                .mark
                .is_none_or(|(value, mask)| flow.mark & mask == value & mask)
            && (self.labels.is_empty() || !known.labels || has_label(flow, &self.labels))
            && (self.states.is_empty() || self.has_state(flow, known.state))
    }

    /// Names of the keys that it has.
    pub fn keys(&self) -> Vec<&'static str> {
        let keys = [
            ("protocol", !self.protocols.is_empty()),
            ("address", !self.addresses.is_empty()),
            ("source", !self.sources.is_empty()),
            ("destination", !self.destinations.is_empty()),
            ("port", !self.ports.is_empty()),
            ("zone", !self.zones.is_empty()),
            ("mark", self.mark.is_some()),
            ("label", !self.labels.is_empty()),
            ("state", !self.states.is_empty()),
        ];
        let keys = keys.into_iter().filter(|(_, has)| *has);
        keys.map(|(key, _)| key).collect()
    }

    fn touches(&self, flow: &Flow) -> bool {
        let ends = [
            &flow.original.source,
            &flow.original.destination,
            &flow.reply.source,
            &flow.reply.destination,
        ];
        let is_ipv6 = flow.original.is_ipv6;
        ends.iter().any(|end| any(&self.addresses, is_ipv6, end))
    }

    fn has_state(&self, flow: &Flow, known: Option<u8>) -> bool {
        let state = flow.state().or(known);
        let state = state.map(|state| (flow.original.protocol, state));
        state.is_some_and(|state| self.states.contains(&state))
    }
}

fn any(list: &[Prefix], is_ipv6: bool, address: &[u8; 16]) -> bool {
    list.iter().any(|prefix| prefix.holds(is_ipv6, address))
}

fn has_label(flow: &Flow, labels: &[u8]) -> bool {
    let set = attributes(&flow.extra).find(|(kind, _)| *kind == c::CTA_LABELS);
    let Some((_, set)) = set else { return false };
    // words of the machine's own order, the lowest bit first
    labels.iter().any(|label| {
        let word = set.chunks_exact(8).nth(usize::from(label / 64));
        let word = word.and_then(|word| Some(u64::from_ne_bytes(word.try_into().ok()?)));
        word.is_some_and(|word| word >> (label % 64) & 1 == 1)
    })
}

/// Reason for which a flow stays on this node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The router is one of its ends.
    Local,
    Proxied,
    /// This bit of its mark is not set.
    Unmarked(u8),
    /// No `[[include]]` fits.
    NotIncluded,
    /// This `[[exclude]]` fits, counted from 0.
    Excluded(usize),
}

/// The whole of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Filter {
    pub include: Vec<Rule>,
    pub exclude: Vec<Rule>,
    pub mark_bit: Option<u8>,
    /// Also connections of the router itself.
    pub local: bool,
    /// Also those that are redirected to the router on their way.
    pub proxied: bool,
    /// The router's own addresses, virtual ones too.
    pub own: HashSet<Address>,
    /// Those that were its own until just now.
    pub left: HashSet<Address>,
    /// Original tuples of what transparent proxies here have taken without a translation.
    pub taken: HashSet<Tuple>,
}

impl Filter {
    pub fn admits(&self, flow: &Flow) -> bool {
        self.refusal(flow).is_none()
    }

    /// Why the flow is not admitted, if so.
    pub fn refusal(&self, flow: &Flow) -> Option<Refusal> {
        self.refusal_as_known(flow, Known::WHOLE)
    }

    /// The same of a flow that was admitted, by an event which says only what changed.
    pub fn still_admits(&self, flow: &Flow, state: u8) -> bool {
        let known = Known {
            state: Some(state),
            labels: attributes(&flow.extra).any(|(kind, _)| kind == c::CTA_LABELS),
        };
        self.refusal_as_known(flow, known).is_none()
    }

    /// Labels of which nothing is said are as they were when it was admitted.
    fn refusal_as_known(&self, flow: &Flow, known: Known) -> Option<Refusal> {
        let fits = |rule: &Rule| rule.fits(flow, known);
        if !self.local && self.is_local(flow) {
            return Some(Refusal::Local);
        }
        if !self.proxied && self.is_proxied(flow) {
            return Some(Refusal::Proxied);
        }
        let unmarked = self.mark_bit.filter(|bit| flow.mark >> bit & 1 == 0);
        if let Some(bit) = unmarked {
            return Some(Refusal::Unmarked(bit));
        }
        if !self.include.is_empty() && !self.include.iter().any(fits) {
            return Some(Refusal::NotIncluded);
        }
        let excludes = |rule: &Rule| (known.labels || rule.labels.is_empty()) && fits(rule);
        let number = self.exclude.iter().position(excludes)?;
        Some(Refusal::Excluded(number))
    }

    /// It starts at this router or is addressed to it.
    fn is_local(&self, flow: &Flow) -> bool {
        let ends_here = self.answers(flow) && self.is_own(flow, &flow.original.destination);
        self.is_own(flow, &flow.original.source) || ends_here || is_group(&flow.original)
    }

    /// It is addressed to another host but ends here.
    fn is_proxied(&self, flow: &Flow) -> bool {
        let redirected = self.answers(flow) && !self.is_own(flow, &flow.original.destination);
        redirected || !self.taken.is_empty() && self.taken.contains(&flow.original)
    }

    /// The source of the reply is the host that answers.
    fn answers(&self, flow: &Flow) -> bool {
        self.is_own(flow, &flow.reply.source)
    }

    fn is_own(&self, flow: &Flow, address: &[u8; 16]) -> bool {
        let address = (flow.original.is_ipv6, *address);
        self.own.contains(&address) || self.left.contains(&address)
    }
}

/// Multicast and broadcast: nobody at the other end of a wire answers for them.
fn is_group(tuple: &Tuple) -> bool {
    match tuple.destination() {
        IpAddr::V4(ip) => ip.is_multicast() || ip.is_broadcast(),
        IpAddr::V6(ip) => ip.is_multicast(),
    }
}

#[cfg(test)]
mod tests;
