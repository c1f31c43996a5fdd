//! Tables for devices that the fence does not know, because they were created or renamed since: packets of a guarded
//! address are dropped there.
//!
//! Chains of the fence are on devices, but the kernel answers for its addresses on every device. The host learns of a
//! new device or name some moments later, and never if it was killed. Since Linux 6.16 the kernel also takes a chain
//! off a device that is renamed. So the kernel itself has to know: the hooks of ARP and IP need no device, and their
//! rules compare index and name with those of all devices that the host has seen.
//!
//! A device whose old name comes back has the name at once. It has its chains only after a grace period of the kernel,
//! tens of milliseconds on a busy machine. So a device stays unknown for [`RETURN_MS`] after its last unknown packet.

use nftnl::ProtoFamily;
use spared_netlink::constants::*;

use super::changes::fill;
use super::expression::Expression::{self, *};
use super::key::{ETHER_IPV4, ETHER_IPV6};
use super::object::{Element, Hook, Set, SetKind, Table, Type};
use super::plan::Plan;
use super::ruleset::{ChainContent, Content, RuleContent, c_string, chain, rule};
use super::sets::set;
use super::steps::*;
use super::transaction::Transaction;

const TABLES: [Table; 2] = [table(ProtoFamily::Arp), table(ProtoFamily::Inet)];

const fn table(family: ProtoFamily) -> Table {
    Table {
        family,
        name: c"spared-unknown",
        owned: false,
    }
}

const KNOWN: SetKind = set(c"known", &[Type::Interface, Type::InterfaceName]);
const ADDRESS4: SetKind = set(c"guarded4", &[Type::Ipv4]);
const ADDRESS6: SetKind = set(c"guarded6", &[Type::Ipv6]);

/// Indices of devices that had an unknown name a moment ago.
const RENAMED: SetKind = SetKind {
    dynamic: true,
    ..set(c"renamed", &[Type::Interface])
};
const RETURN_MS: u64 = 500;

/// Returns true if a table is one of both.
pub fn is_of_us(family: u8, name: &str) -> bool {
    let is_it = |table: &Table| {
        table.family as u16 == u16::from(family) && table.name.to_bytes() == name.as_bytes()
    };
    TABLES.iter().any(is_it)
}

/// Returns true if the kernel adds elements to a set by itself.
pub fn is_dynamic(set: &str) -> bool {
    RENAMED.name.to_bytes() == set.as_bytes()
}

/// Replaces both tables.
pub fn replace(transaction: &mut Transaction, plan: &Plan) {
    remove(transaction);
    for table in TABLES {
        transaction.add(&table, "add a table for unknown devices");
        let kinds = [KNOWN, ADDRESS4, ADDRESS6, RENAMED];
        for (kind, id) in kinds.iter().zip(1..) {
            let label = "add a set for unknown devices";
            transaction.add(&Set { table, kind, id }, label);
        }
        let content = match table.family {
            ProtoFamily::Arp => content(plan, [ARP_IN, ARP_OUT], [arp(24), arp(14)]),
            _ => content(
                plan,
                [LOCAL_IN, LOCAL_OUT],
                [packets(16, 24, SOLICITATION), packets(12, 8, ADVERTISEMENT)],
            ),
        };
        fill(transaction, table, &content, &[]);
    }
}

/// Removes both tables, present or not.
pub fn remove(transaction: &mut Transaction) {
    for table in TABLES {
        transaction.add(&table, "remove a table for unknown devices");
        transaction.delete(&table, "remove a table for unknown devices");
    }
}

// Numbers of the hooks of ARP and IP.
const ARP_IN: u32 = 0;
const ARP_OUT: u32 = 1;
const LOCAL_IN: u32 = 1;
const LOCAL_OUT: u32 = 3;

fn content(plan: &Plan, hooks: [u32; 2], rules: [Vec<RuleContent>; 2]) -> Content {
    let [to, from] = rules;
    let mut chains = vec![chain("incoming", None, to), chain("outgoing", None, from)];
    let [incoming, outgoing] = hooks;
    chains.push(base(
        "input",
        incoming,
        [NFT_META_IIF, NFT_META_IIFNAME],
        "incoming",
    ));
    chains.push(base(
        "output",
        outgoing,
        [NFT_META_OIF, NFT_META_OIFNAME],
        "outgoing",
    ));
    Content {
        chains,
        elements: vec![
            (
                KNOWN.name,
                plan.known.iter().map(|it| element(place(it))).collect(),
            ),
            (ADDRESS4.name, addresses(plan, true)),
            (ADDRESS6.name, addresses(plan, false)),
        ],
    }
}

fn base(name: &str, hook: u32, [index, device]: [u32; 2], to: &str) -> ChainContent {
    let hook = Hook {
        device: None,
        number: hook,
        priority: -500,
    };
    let unknown = steps([
        meta(index, 0),
        meta(device, 1),
        not_member(KNOWN.name, 0),
        vec![Renew {
            set: RENAMED.name,
            key: 0,
            timeout_ms: RETURN_MS,
        }],
        vec![Jump(c_string(to))],
    ]);
    let returned = steps([
        meta(index, 0),
        member(RENAMED.name, 0),
        vec![Jump(c_string(to))],
    ]);
    let rules = vec![rule(c"unknown", unknown), rule(c"returned", returned)];
    chain(name, Some(hook), rules)
}

fn arp(offset: u32) -> Vec<RuleContent> {
    vec![rule(c"", drop4(network(offset, 4, 0)))]
}

// Rules for packets with a guarded address at these offsets of the IP headers, and for neighbour discovery about one.
fn packets(ipv4: u32, ipv6: u32, discovery: u8) -> Vec<RuleContent> {
    vec![
        rule(
            c"",
            drop4([protocol(ETHER_IPV4), network(ipv4, 4, 0)].concat()),
        ),
        rule(
            c"",
            drop6([protocol(ETHER_IPV6), network(ipv6, 16, 1)].concat()),
        ),
        rule(c"", drop6([neighbour(discovery), target(1)].concat())),
    ]
}

fn drop4(load: Vec<Expression>) -> Vec<Expression> {
    steps([load, member(ADDRESS4.name, 0), vec![Drop]])
}

fn drop6(load: Vec<Expression>) -> Vec<Expression> {
    steps([load, member(ADDRESS6.name, 1), vec![Drop]])
}

fn addresses(plan: &Plan, is_v4: bool) -> Vec<Element> {
    let all = plan.addresses.iter().map(|guarded| guarded.address);
    let of_family = all.filter(|address| address.is_ipv4() == is_v4);
    let unique: std::collections::BTreeSet<Vec<u8>> = of_family
        .map(|address| match address {
            std::net::IpAddr::V4(address) => address.octets().to_vec(),
            std::net::IpAddr::V6(address) => address.octets().to_vec(),
        })
        .collect();
    unique.into_iter().map(element).collect()
}

fn place(device: &super::Device) -> Vec<u8> {
    let mut key = device.index.to_ne_bytes().to_vec();
    key.extend(device.name.bytes());
    key.resize(4 + 16, 0);
    key
}

fn element(key: Vec<u8>) -> Element {
    Element {
        key,
        ..Element::default()
    }
}
