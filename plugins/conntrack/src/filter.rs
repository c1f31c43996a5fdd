//! Selects the flows to replicate: by the configuration, and by whether the router itself is one of
//! their ends.

mod listing_options;

use std::collections::HashSet;
use std::net::IpAddr;

use spared_netlink::{attributes, constants as c};
use spared_sdk::config::IpNet;

use crate::flow::{Flow, Tuple};
use crate::wire::Address;

pub use listing_options::Selection;

/// Network, stored as value and mask: the comparison with each flow needs no branch on the prefix
/// length.
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

/// One `[[exclude]]` or `[[include]]`. An empty field matches every flow.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rule {
    pub protocols: Vec<u8>,
    /// Networks of either end, before or after translation.
    pub addresses: Vec<Prefix>,
    pub sources: Vec<Prefix>,
    pub destinations: Vec<Prefix>,
    pub ports: Vec<u16>,
    pub zones: Vec<u16>,
    /// Value and mask of the mark.
    pub mark: Option<(u32, u32)>,
    pub labels: Vec<u8>,
    /// Protocol (TCP, SCTP or DCCP) and number of each state.
    pub states: Vec<(u8, u8)>,
}

/// Facts about a flow that its event leaves out.
#[derive(Clone, Copy)]
struct Known {
    state: Option<u8>,
    /// True if the event has all labels of the flow.
    labels: bool,
}

impl Known {
    /// Nothing is left out.
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

    /// Returns the names of the keys that are set.
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
    // 64-bit words in the machine's byte order, the lowest bit first
    labels.iter().any(|label| {
        let word = set.chunks_exact(8).nth(usize::from(label / 64));
        let word = word.and_then(|word| Some(u64::from_ne_bytes(word.try_into().ok()?)));
        word.is_some_and(|word| word >> (label % 64) & 1 == 1)
    })
}

/// Reason why a flow is not replicated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The router is one of its ends.
    Local,
    Proxied,
    /// This bit of its mark is not set.
    Unmarked(u8),
    /// No `[[include]]` matches.
    NotIncluded,
    /// The `[[exclude]]` with this index (from 0) matches.
    Excluded(usize),
}

/// The complete filter.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Filter {
    pub include: Vec<Rule>,
    pub exclude: Vec<Rule>,
    pub mark_bit: Option<u8>,
    /// Also replicate connections of the router itself.
    pub local: bool,
    /// Also replicate connections that were redirected to the router on their way.
    pub proxied: bool,
    /// Addresses of the router, virtual ones included.
    pub own: HashSet<Address>,
    /// Addresses that the router had until a moment ago.
    pub removed_addresses: HashSet<Address>,
    /// Original tuples of connections that transparent proxies here accepted without a translation.
    pub taken: HashSet<Tuple>,
}

impl Filter {
    pub fn admits(&self, flow: &Flow) -> bool {
        self.refusal(flow).is_none()
    }

    /// Returns the reason why the flow is not admitted, or None.
    pub fn refusal(&self, flow: &Flow) -> Option<Refusal> {
        self.refusal_as_known(flow, Known::WHOLE)
    }

    /// Returns true if a flow that was admitted still is, by an event that has only the changes.
    pub fn still_admits(&self, flow: &Flow, state: u8) -> bool {
        let known = Known {
            state: Some(state),
            labels: attributes(&flow.extra).any(|(kind, _)| kind == c::CTA_LABELS),
        };
        self.refusal_as_known(flow, known).is_none()
    }

    /// Like `refusal`, for an event. Labels that it leaves out count as they were when the flow was
    /// admitted.
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

    /// Returns true if the flow starts at this router or is addressed to it.
    fn is_local(&self, flow: &Flow) -> bool {
        let ends_here = self.answers(flow) && self.is_own(flow, &flow.original.destination);
        self.is_own(flow, &flow.original.source) || ends_here || is_group(&flow.original)
    }

    /// Returns true if the flow is addressed to another machine but ends here.
    fn is_proxied(&self, flow: &Flow) -> bool {
        let redirected = self.answers(flow) && !self.is_own(flow, &flow.original.destination);
        redirected || !self.taken.is_empty() && self.taken.contains(&flow.original)
    }

    /// Returns true if this router answers: the source of the reply is one of its addresses.
    fn answers(&self, flow: &Flow) -> bool {
        self.is_own(flow, &flow.reply.source)
    }

    fn is_own(&self, flow: &Flow, address: &[u8; 16]) -> bool {
        let address = (flow.original.is_ipv6, *address);
        self.own.contains(&address) || self.removed_addresses.contains(&address)
    }
}

/// Returns true for multicast and broadcast: no single machine answers.
fn is_group(tuple: &Tuple) -> bool {
    match tuple.destination() {
        IpAddr::V4(ip) => ip.is_multicast() || ip.is_broadcast(),
        IpAddr::V6(ip) => ip.is_multicast(),
    }
}

#[cfg(test)]
mod tests;
