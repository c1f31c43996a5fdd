//! Encodes the nf_tables table that sends packets for tunnels to queues, in which they wait for SAs.
//!
//! Forwarded packets are queued before their route is looked up, and with it the policy and the SA: a released packet
//! uses those of that time. Packets for this node itself are not queued.
//!
//! A packet that a program of this node sends has a route already. On its release it gets a mark, which makes the
//! kernel look up its route again, and loses it afterwards. The resulting ESP packet passes the hook once more. Only
//! packets between ends of transport mode are queued so: with other addresses as well, the messages between the nodes
//! might wait for themselves.
//!
//! ```text
//! table inet spared-ipsec-hold {
//!     set ip-from { type ipv4_addr; flags interval; elements = { 10.1.0.0/16 } }
//!     set ip-to { type ipv4_addr; flags interval; elements = { 10.2.0.0/16 } }
//!     set ip-near { type ipv4_addr; flags interval; elements = { 192.0.2.1 } }
//!     set ip-far { type ipv4_addr; flags interval; elements = { 198.51.100.1 } }
//!     set new-inbound { type integer; elements = { 0xc1a2b3c4 } }
//!     chain forwarded {
//!         type filter hook prerouting priority -450
//!         meta l4proto esp @th,0,32 @new-inbound queue flags bypass to 20563
//!         udp dport 4500 @th,64,32 @new-inbound queue flags bypass to 20563
//!         meta nfproto ipv4 ip saddr @ip-from ip daddr @ip-to fib daddr type unicast queue flags bypass to 20563
//!     }
//!     chain sent {
//!         type filter hook output priority -450
//!         meta l4proto esp accept
//!         meta l4proto ah accept
//!         udp sport 500 accept
//!         udp sport 4500 accept
//!         meta nfproto ipv4 meta mark 0 ip saddr @ip-near ip daddr @ip-far queue flags bypass to 20564
//!     }
//!     chain let-go {
//!         type filter hook output priority -449
//!         meta mark 0x73706172 meta mark set 0
//!     }
//! }
//!
//! table inet spared-ipsec-new {
//!     set new-outbound { type integer; elements = { 0xc4b3a2c1 } }
//!     chain sent {
//!         type filter hook output priority -450
//!         meta l4proto esp @th,0,32 @new-outbound drop
//!         udp sport 4500 @th,64,32 @new-outbound drop
//!     }
//! }
//! ```

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;
use spared_netlink::constants::*;
use spared_netlink::put_nested;

use super::expression::{
    IKE_PORT, NAT_PORT, base_chain, enqueue, load, lookup, marked, match_forwarded, meta, named,
    number, rule, rules, udp_between, udp_from, unmark, value, verdict,
};

const TABLE: &str = "spared-ipsec-hold";
const GUARD_TABLE: &str = "spared-ipsec-new";
const FORWARDED: &str = "forwarded";
const SENT: &str = "sent";
const LET_GO: &str = "let-go";
const NEW_INBOUND: &str = "new-inbound";
const NEW_OUTBOUND: &str = "new-outbound";
const SPI_LEN: u32 = 4;
const UDP_HEADER: u32 = 8;
/// Priority of the chains: before fragments are reassembled (-400), and before all connection tracking.
const PRIORITY: i32 = -450;
/// Two of the kernel's 65536 queues that no known program uses.
pub const FORWARDED_QUEUE: u16 = 20563;
pub const SENT_QUEUE: u16 = 20564;
/// Mark of released packets of the second queue, and of the socket to charon.
pub const MARK: u32 = 0x7370_6172;
/// Largest number of elements in a message, whose list must be below 64 KiB.
const CHUNK: usize = 1000;

/// Transport mode, by the kernel's number (XFRM_MODE_TRANSPORT).
pub const TRANSPORT: u8 = 0;

pub const ESP: u8 = 50;
const AH: u8 = 51;

/// Changes of a transaction, by type and payload.
pub type Changes = Vec<(u16, Vec<u8>)>;

/// Source and destination network whose packets go into tunnels.
pub type NetworkPair = (IpNet, IpNet);

/// Packets that wait for SAs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeldTraffic {
    /// Packets that this node forwards.
    pub forwarded: Vec<NetworkPair>,
    /// Packets that this node sends itself.
    pub sent: Vec<NetworkPair>,
    pub new_sas: NewSas,
}

/// SAs, by their SPIs, that another program is about to add, and that get their numbers after that.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewSas {
    /// Packets that come with these wait.
    pub inbound: BTreeSet<u32>,
    /// Packets that are sent with these are dropped: their numbers were used before.
    pub outbound: BTreeSet<u32>,
}

impl HeldTraffic {
    /// Adds packets between these networks, which a policy of this mode protects.
    pub fn put(&mut self, mode: u8, pair: NetworkPair) {
        if mode == TRANSPORT {
            self.sent.push(pair)
        } else {
            self.forwarded.push(pair)
        }
    }
}

/// Part of the table for one family.
#[derive(Clone, Copy)]
struct Family {
    protocol: u8,
    forwarded: [&'static str; 2],
    sent: [&'static str; 2],
    /// Number of the address type in nft's listings, and size of an address in bytes.
    key: (u32, u32),
    /// Offsets of source and destination in the header.
    offsets: [u32; 2],
}

const IPV4: Family = Family {
    protocol: NFPROTO_IPV4,
    forwarded: ["ip-from", "ip-to"],
    sent: ["ip-near", "ip-far"],
    key: (7, 4),
    offsets: [12, 16],
};
const IPV6: Family = Family {
    protocol: NFPROTO_IPV6,
    forwarded: ["ip6-from", "ip6-to"],
    sent: ["ip6-near", "ip6-far"],
    key: (8, 16),
    offsets: [8, 24],
};

/// Changes that create the table for waiting packets, and replace an earlier one.
pub fn hold(traffic: &HeldTraffic) -> Changes {
    let mut changes = remove();
    changes.push((NFT_MSG_NEWTABLE, named(&[(NFTA_TABLE_NAME, TABLE)])));
    for (chain, hook, priority) in [
        (FORWARDED, NF_INET_PRE_ROUTING, PRIORITY),
        (SENT, NF_INET_LOCAL_OUT, PRIORITY),
        (LET_GO, NF_INET_LOCAL_OUT, PRIORITY + 1),
    ] {
        changes.push((NFT_MSG_NEWCHAIN, base_chain(TABLE, chain, hook, priority)));
    }
    add_inbound(&mut changes, &traffic.new_sas.inbound);
    for passes in [
        pass_protocol(ESP),
        pass_protocol(AH),
        pass_port(IKE_PORT),
        pass_port(NAT_PORT),
    ] {
        changes.push((NFT_MSG_NEWRULE, passes));
    }
    for family in [IPV4, IPV6] {
        if family.add_sets(&mut changes, family.forwarded, &traffic.forwarded) {
            changes.push((NFT_MSG_NEWRULE, family.forwarded_rule()));
        }
        if family.add_sets(&mut changes, family.sent, &traffic.sent) {
            changes.push((NFT_MSG_NEWRULE, family.sent_rule()));
        }
    }
    let let_go = rule(TABLE, LET_GO, |out| {
        marked(out, MARK);
        unmark(out);
    });
    changes.push((NFT_MSG_NEWRULE, let_go));
    changes
}

/// Changes that end the queueing. The chains stay: when a hook is removed, the kernel drops the packets in all queues.
pub fn end() -> Changes {
    let end = |chain| (NFT_MSG_DELRULE, rules(TABLE, chain));
    vec![end(FORWARDED), end(SENT)]
}

/// Changes that remove the table, whether it exists or not.
pub fn remove() -> Changes {
    remove_table(TABLE)
}

/// Changes that remove a table, whether it exists or not.
pub(super) fn remove_table(name: &str) -> Changes {
    let table = || named(&[(NFTA_TABLE_NAME, name)]);
    vec![(NFT_MSG_NEWTABLE, table()), (NFT_MSG_DELTABLE, table())]
}

/// Changes that drop what is sent with these SAs, and replace an earlier order. Without outbound SPIs nothing is dropped.
pub fn guard(sas: &NewSas) -> Changes {
    let mut changes = remove_table(GUARD_TABLE);
    if sas.outbound.is_empty() {
        return changes;
    }
    changes.push((NFT_MSG_NEWTABLE, named(&[(NFTA_TABLE_NAME, GUARD_TABLE)])));
    let chain = base_chain(GUARD_TABLE, SENT, NF_INET_LOCAL_OUT, PRIORITY);
    changes.push((NFT_MSG_NEWCHAIN, chain));
    add_spis(&mut changes, (GUARD_TABLE, NEW_OUTBOUND), &sas.outbound);
    for encapsulated in [false, true] {
        let rule = rule(GUARD_TABLE, SENT, |out| {
            esp(out, encapsulated, true);
            lookup(out, NEW_OUTBOUND);
            verdict(out, NF_DROP, None);
        });
        changes.push((NFT_MSG_NEWRULE, rule));
    }
    changes
}

/// Adds the set of inbound SPIs, and rules that have their packets wait.
fn add_inbound(changes: &mut Changes, spis: &BTreeSet<u32>) {
    if spis.is_empty() {
        return;
    }
    add_spis(changes, (TABLE, NEW_INBOUND), spis);
    for encapsulated in [false, true] {
        let rule = rule(TABLE, FORWARDED, |out| {
            esp(out, encapsulated, false);
            lookup(out, NEW_INBOUND);
            enqueue(out, FORWARDED_QUEUE);
        });
        changes.push((NFT_MSG_NEWRULE, rule));
    }
}

/// Loads the SPI of ESP, or of ESP in UDP, sent or received.
fn esp(out: &mut Vec<u8>, encapsulated: bool, is_sent: bool) {
    if encapsulated {
        udp_between(out, is_sent, NAT_PORT);
    } else {
        meta(out, NFT_META_L4PROTO, ESP);
    }
    let offset = if encapsulated { UDP_HEADER } else { 0 };
    load(out, NFT_PAYLOAD_TRANSPORT_HEADER, offset, SPI_LEN as usize);
}

fn add_spis(changes: &mut Changes, (table, name): (&str, &str), spis: &BTreeSet<u32>) {
    let mut set = named(&[(NFTA_SET_TABLE, table), (NFTA_SET_NAME, name)]);
    number(&mut set, NFTA_SET_KEY_TYPE, 0);
    number(&mut set, NFTA_SET_KEY_LEN, SPI_LEN);
    number(&mut set, NFTA_SET_ID, changes.len() as u32);
    changes.push((NFT_MSG_NEWSET, set));
    let mut payload = named(&[
        (NFTA_SET_ELEM_LIST_TABLE, table),
        (NFTA_SET_ELEM_LIST_SET, name),
    ]);
    put_nested(&mut payload, NFTA_SET_ELEM_LIST_ELEMENTS, |out| {
        for spi in spis {
            put_nested(out, NFTA_LIST_ELEM, |out| {
                value(out, NFTA_SET_ELEM_KEY, &spi.to_be_bytes())
            });
        }
    });
    changes.push((NFT_MSG_NEWSETELEM, payload));
}

fn pass_protocol(protocol: u8) -> Vec<u8> {
    rule(TABLE, SENT, |out| {
        meta(out, NFT_META_L4PROTO, protocol);
        verdict(out, NF_ACCEPT, None);
    })
}

/// Accepts IKE, and ESP in UDP.
fn pass_port(port: u16) -> Vec<u8> {
    rule(TABLE, SENT, |out| {
        udp_from(out, port);
        verdict(out, NF_ACCEPT, None);
    })
}

impl Family {
    /// Adds the sets of sources and destinations of this family. Returns false if there are none.
    fn add_sets(&self, changes: &mut Changes, names: [&str; 2], pairs: &[NetworkPair]) -> bool {
        let is_of = |net: &IpNet| matches!(net, IpNet::V4(_)) == (self.protocol == NFPROTO_IPV4);
        let pairs = pairs.iter().filter(|(from, to)| is_of(from) && is_of(to));
        let (from, to): (Vec<IpNet>, Vec<IpNet>) = pairs.copied().unzip();
        let any = !from.is_empty();
        if any {
            add_set(changes, names[0], self.key, &from);
            add_set(changes, names[1], self.key, &to);
        }
        any
    }

    fn forwarded_rule(&self) -> Vec<u8> {
        rule(TABLE, FORWARDED, |out| {
            meta(out, NFT_META_NFPROTO, self.protocol);
            self.between(out, self.forwarded);
            match_forwarded(out);
            enqueue(out, FORWARDED_QUEUE);
        })
    }

    fn sent_rule(&self) -> Vec<u8> {
        rule(TABLE, SENT, |out| {
            meta(out, NFT_META_NFPROTO, self.protocol);
            marked(out, 0);
            self.between(out, self.sent);
            enqueue(out, SENT_QUEUE);
        })
    }

    fn between(&self, out: &mut Vec<u8>, sets: [&str; 2]) {
        let (_, length) = self.key;
        for (set, offset) in sets.into_iter().zip(self.offsets) {
            load(out, NFT_PAYLOAD_NETWORK_HEADER, offset, length as usize);
            lookup(out, set);
        }
    }
}

fn add_set(changes: &mut Changes, name: &str, (kind, length): (u32, u32), nets: &[IpNet]) {
    let mut set = named(&[(NFTA_SET_TABLE, TABLE), (NFTA_SET_NAME, name)]);
    number(&mut set, NFTA_SET_FLAGS, NFT_SET_INTERVAL);
    number(&mut set, NFTA_SET_KEY_TYPE, kind);
    number(&mut set, NFTA_SET_KEY_LEN, length);
    number(&mut set, NFTA_SET_ID, changes.len() as u32);
    changes.push((NFT_MSG_NEWSET, set));
    // sets with intervals must not overlap
    let nets = IpNet::aggregate(&nets.to_vec());
    let bounds: Vec<(IpAddr, bool)> = nets.iter().flat_map(bounds).collect();
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

/// Returns the first address, and the one after the last, if there is one.
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
