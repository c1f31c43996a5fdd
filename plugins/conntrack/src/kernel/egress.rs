//! Finds the interfaces by which flows leave, and which of them have the fence's rules for packets from a virtual
//! address. These are the interfaces with virtual addresses of any group, active on either node.

use std::collections::HashSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use spared_netlink::{Requests, constants as c, text};

use super::hiding::{HEADER, all, nested};
use crate::engine::EgressCounts;
use crate::flow;
use crate::wire::Address;

/// Names of the fence's table, of its chains for devices, which end with the interface index, and of the chain that
/// guards addresses.
const FENCE: &str = "spared";
const OUT: &str = "out-";
const GUARDS: &str = "egress";

/// Finds how packets to these destinations leave, by this node's routes.
///
/// # Errors
/// The kernel's rules or routes cannot be read.
pub fn egress(destinations: &HashSet<Address>) -> io::Result<EgressCounts> {
    let fenced = fenced()?;
    let mut requests = Requests::open()?;
    let mut found = EgressCounts::default();
    for (is_ipv6, bytes) in destinations {
        let any: IpAddr = if *is_ipv6 {
            Ipv6Addr::UNSPECIFIED.into()
        } else {
            Ipv4Addr::UNSPECIFIED.into()
        };
        match requests.way_to(flow::address(*is_ipv6, bytes), any)? {
            Some((_, index)) if fenced.contains(&index) => found.fenced += 1,
            Some(_) => found.unfenced += 1,
            None => {}
        }
    }
    Ok(found)
}

/// Returns indices of the interfaces on which the fence guards addresses; empty without a fence.
fn fenced() -> io::Result<HashSet<u32>> {
    let mut found = HashSet::new();
    let rules = all(c::NFT_MSG_GETRULE, c::NFPROTO_NETDEV);
    Requests::open_netfilter()?.dump(rules, |_, payload| {
        found.extend(payload.get(HEADER..).and_then(guarded));
    })?;
    Ok(found)
}

/// Returns the index of the device, if this is the fence's rule that passes its outgoing packets to the chain of
/// guards.
fn guarded(rule: &[u8]) -> Option<u32> {
    let named = |wanted: u16| nested(rule, wanted).next().map(text);
    if named(c::NFTA_RULE_TABLE)? != FENCE {
        return None;
    }
    let chain = named(c::NFTA_RULE_CHAIN)?;
    let (_, index) = chain.strip_prefix(OUT)?.rsplit_once('-')?;
    leads_to_guards(rule).then(|| index.parse().ok()).flatten()
}

fn leads_to_guards(rule: &[u8]) -> bool {
    const JUMP: [u16; 5] = [
        c::NFTA_LIST_ELEM,
        c::NFTA_EXPR_DATA,
        c::NFTA_IMMEDIATE_DATA,
        c::NFTA_DATA_VERDICT,
        c::NFTA_VERDICT_CHAIN,
    ];
    let mut found: Vec<&[u8]> = nested(rule, c::NFTA_RULE_EXPRESSIONS).collect();
    for step in JUMP {
        let inner = found.into_iter().flat_map(|it| nested(it, step));
        found = inner.collect();
    }
    found.into_iter().any(|chain| text(chain) == GUARDS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attribute(kind: u16, payload: &[u8]) -> Vec<u8> {
        let mut bytes = (payload.len() as u16 + 4).to_ne_bytes().to_vec();
        bytes.extend(kind.to_ne_bytes());
        bytes.extend_from_slice(payload);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    /// Rule with a jump, in the kernel's encoding.
    fn rule(table: &str, chain: &str, to: &str) -> Vec<u8> {
        let verdict = attribute(c::NFTA_VERDICT_CHAIN, format!("{to}\0").as_bytes());
        let data = attribute(c::NFTA_DATA_VERDICT, &verdict);
        let immediate = attribute(c::NFTA_IMMEDIATE_DATA, &data);
        let expression = attribute(c::NFTA_EXPR_DATA, &immediate);
        let element = attribute(c::NFTA_LIST_ELEM, &expression);
        let name = |kind, name: &str| attribute(kind, format!("{name}\0").as_bytes());
        [
            name(c::NFTA_RULE_TABLE, table),
            name(c::NFTA_RULE_CHAIN, chain),
            attribute(c::NFTA_RULE_EXPRESSIONS, &element),
        ]
        .concat()
    }

    #[test]
    fn a_device_of_the_fence_is_guarded_if_its_chain_leads_there() {
        let index = |table, chain, to| guarded(&rule(table, chain, to));
        assert_eq!(index("spared", "out-wan-3", "egress"), Some(3));
        assert_eq!(index("spared", "out-br-lan.7-12", "egress"), Some(12));
        assert_eq!(index("spared", "out-dmz-4", "egress-elsewhere"), None);
        assert_eq!(index("spared", "in-wan-3", "ingress"), None);
        assert_eq!(index("other", "out-wan-3", "egress"), None);
        assert_eq!(guarded(&[0; 7]), None);
    }
}
