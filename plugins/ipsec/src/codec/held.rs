//! The table of nf_tables that hands packets on their way into tunnels to a queue, in which they wait for SAs.
//!
//! It sees them before their route is looked for, and with it the policy and the SA: what is let go finds those of
//! then. What arrives for this node itself passes.
//!
//! ```text
//! table inet spared-ipsec-hold {
//!     set ip-from { type ipv4_addr; flags interval; elements = { 10.1.0.0/16 } }
//!     set ip-to { type ipv4_addr; flags interval; elements = { 10.2.0.0/16 } }
//!     chain prerouting {
//!         type filter hook prerouting priority -450
//!         meta nfproto ipv4 ip saddr @ip-from ip daddr @ip-to fib daddr type unicast queue flags bypass to 20563
//!     }
//! }
//! ```

use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use spared_netlink::constants::*;
use spared_netlink::put_nested;

use super::expression::{
    base_chain, enqueue, load, lookup, meta, named, number, passes_on, rule, rules, value,
};

const TABLE: &str = "spared-ipsec-hold";
const PREROUTING: &str = "prerouting";
/// Before fragments are put together, which is -400, and before all connection tracking.
const PRIORITY: i32 = -450;
/// Of the kernel's 65536: one that nobody is known to use.
pub const QUEUE: u16 = 20563;
/// Elements of a message, whose list is below 64 KiB.
const CHUNK: usize = 1000;

/// Changes of a transaction, by type and payload.
pub type Changes = Vec<(u16, Vec<u8>)>;

/// One family's part of the table.
struct Family {
    protocol: u8,
    sets: [&'static str; 2],
    /// nft's number of the type, for its listing; bytes of an address.
    key: (u32, u32),
    /// Where its header has the source and the destination.
    offsets: [u32; 2],
}

const IPV4: Family = Family {
    protocol: NFPROTO_IPV4,
    sets: ["ip-from", "ip-to"],
    key: (7, 4),
    offsets: [12, 16],
};
const IPV6: Family = Family {
    protocol: NFPROTO_IPV6,
    sets: ["ip6-from", "ip6-to"],
    key: (8, 16),
    offsets: [8, 24],
};

/// The table as it is to be while packets wait on their way from one network to another, of which either may be here.
/// An earlier one is replaced.
pub fn hold(ways: &[(IpNet, IpNet)]) -> Changes {
    let mut changes = remove();
    changes.push((NFT_MSG_NEWTABLE, named(&[(NFTA_TABLE_NAME, TABLE)])));
    let chain = base_chain(TABLE, PREROUTING, NF_INET_PRE_ROUTING, PRIORITY);
    changes.push((NFT_MSG_NEWCHAIN, chain));
    for family in [IPV4, IPV6] {
        let is_of = |net: &IpNet| matches!(net, IpNet::V4(_)) == (family.protocol == NFPROTO_IPV4);
        let ways = ways.iter().filter(|(from, to)| is_of(from) && is_of(to));
        let (from, to): (Vec<IpNet>, Vec<IpNet>) = ways.copied().unzip();
        if from.is_empty() {
            continue;
        }
        for (name, nets) in family.sets.into_iter().zip([from, to]) {
            add_set(&mut changes, name, family.key, &nets);
        }
        changes.push((NFT_MSG_NEWRULE, family.rule()));
    }
    changes
}

/// Nothing more waits. The chain stays: with a hook the kernel drops what is in any queue.
pub fn end() -> Changes {
    vec![(NFT_MSG_DELRULE, rules(TABLE, PREROUTING))]
}

/// No table, whether there was one or not.
pub fn remove() -> Changes {
    let table = || named(&[(NFTA_TABLE_NAME, TABLE)]);
    vec![(NFT_MSG_NEWTABLE, table()), (NFT_MSG_DELTABLE, table())]
}

impl Family {
    fn rule(&self) -> Vec<u8> {
        rule(TABLE, PREROUTING, |out| {
            meta(out, NFT_META_NFPROTO, self.protocol);
            let (_, length) = self.key;
            for (set, offset) in self.sets.into_iter().zip(self.offsets) {
                load(out, NFT_PAYLOAD_NETWORK_HEADER, offset, length as usize);
                lookup(out, set);
            }
            passes_on(out);
            enqueue(out, QUEUE);
        })
    }
}

fn add_set(changes: &mut Changes, name: &str, (kind, length): (u32, u32), nets: &[IpNet]) {
    let mut set = named(&[(NFTA_SET_TABLE, TABLE), (NFTA_SET_NAME, name)]);
    number(&mut set, NFTA_SET_FLAGS, NFT_SET_INTERVAL);
    number(&mut set, NFTA_SET_KEY_TYPE, kind);
    number(&mut set, NFTA_SET_KEY_LEN, length);
    number(&mut set, NFTA_SET_ID, changes.len() as u32);
    changes.push((NFT_MSG_NEWSET, set));
    let bounds: Vec<(IpAddr, bool)> = merged(nets).iter().flat_map(bounds).collect();
    for bounds in bounds.chunks(CHUNK) {
        changes.push((NFT_MSG_NEWSETELEM, elements(name, bounds)));
    }
}

fn elements(set: &str, bounds: &[(IpAddr, bool)]) -> Vec<u8> {
    let names = [
        (NFTA_SET_ELEM_LIST_TABLE, TABLE),
        (NFTA_SET_ELEM_LIST_SET, set),
    ];
    let mut payload = named(&names);
    put_nested(&mut payload, NFTA_SET_ELEM_LIST_ELEMENTS, |out| {
        for (address, is_end) in bounds {
            put_nested(out, NFTA_LIST_ELEM, |out| {
                match address {
                    IpAddr::V4(ip) => value(out, NFTA_SET_ELEM_KEY, &ip.octets()),
                    IpAddr::V6(ip) => value(out, NFTA_SET_ELEM_KEY, &ip.octets()),
                }
                if *is_end {
                    number(out, NFTA_SET_ELEM_FLAGS, NFT_SET_ELEM_INTERVAL_END);
                }
            });
        }
    });
    payload
}

/// Networks of one family, none of which overlaps another.
fn merged(nets: &[IpNet]) -> Vec<IpNet> {
    let v4 = nets.iter().filter_map(|net| match net {
        IpNet::V4(net) => Some(*net),
        IpNet::V6(_) => None,
    });
    let v6 = nets.iter().filter_map(|net| match net {
        IpNet::V6(net) => Some(*net),
        IpNet::V4(_) => None,
    });
    let v4 = Ipv4Net::aggregate(&v4.collect());
    let v6 = Ipv6Net::aggregate(&v6.collect());
    let v4 = v4.into_iter().map(IpNet::V4);
    v4.chain(v6.into_iter().map(IpNet::V6)).collect()
}

/// Its first address, and the one behind its last, if there is one.
fn bounds(net: &IpNet) -> Vec<(IpAddr, bool)> {
    let behind: Option<IpAddr> = match net {
        IpNet::V4(net) => u32::from(net.broadcast())
            .checked_add(1)
            .map(|it| IpAddr::V4(it.into())),
        IpNet::V6(net) => u128::from(net.broadcast())
            .checked_add(1)
            .map(|it| IpAddr::V6(it.into())),
    };
    let mut bounds = vec![(net.network(), false)];
    bounds.extend(behind.map(|it| (it, true)));
    bounds
}
