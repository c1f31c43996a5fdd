//! Encodes the nf_tables table that keeps programs of other users away from the port of charon's plugin `ha`: any user may
//! bind it while it is free, also while neither charon nor this plugin runs.
//!
//! ```text
//! table inet spared-ipsec-ha {
//!     chain output {
//!         type filter hook output priority raw
//!         ip daddr 127.0.0.0/8 udp dport 4510 meta skuid != 0 meta skuid != spared-ipsec drop
//!     }
//!     chain input {
//!         type filter hook input priority raw
//!         ip daddr 127.0.0.2 udp dport 4510 socket mark != 0x73706172 drop
//!     }
//! }
//! ```
//!
//! charon is a program of root, and the plugin one of its own user. Only a program with a capability can mark its socket,
//! as the plugin does.

use std::net::Ipv4Addr;

use spared_netlink::Message;
use spared_netlink::constants::*;

use super::expression::{
    base_chain, for_unmarked_socket, meta, named, payload, rule, sent_by_others_than, udp_between,
    verdict,
};
use super::hold::{Changes, MARK, remove_table};

const TABLE: &str = "spared-ipsec-ha";
const OUTPUT: &str = "output";
const INPUT: &str = "input";
/// Priority that nft calls "raw".
const PRIORITY: i32 = -300;
/// First octet of the loopback's addresses.
const LOOPBACK: u8 = 127;

/// Chains of the table, each with a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chains {
    /// For sent messages only: the kernel has no expression `socket`.
    Output = 1,
    /// For sent and received messages.
    Both = 2,
}

const ROOT: u32 = 0;

/// Ends of the messages: their port, and the address and user of the plugin.
#[derive(Clone, Copy, Debug)]
pub struct Ends {
    pub port: u16,
    pub plugin: Ipv4Addr,
    pub user: u32,
}

/// Returns the transaction that puts the table where none is.
pub fn put(chains: Chains, ends: Ends) -> Changes {
    let Ends { port, plugin, user } = ends;
    let mut changes = vec![(NFT_MSG_NEWTABLE, named(&[(NFTA_TABLE_NAME, TABLE)]))];
    add_chain(&mut changes, OUTPUT, NF_INET_LOCAL_OUT, |out| {
        to_port(out, &[LOOPBACK], port);
        sent_by_others_than(out, &[ROOT, user]);
    });
    if chains == Chains::Both {
        add_chain(&mut changes, INPUT, NF_INET_LOCAL_IN, |out| {
            to_port(out, &plugin.octets(), port);
            for_unmarked_socket(out, MARK);
        });
    }
    changes
}

/// Adds a chain with a rule that drops.
fn add_chain(changes: &mut Changes, name: &str, hook: u32, matches: impl Fn(&mut Vec<u8>)) {
    let chain = base_chain(TABLE, name, hook, PRIORITY);
    let drops = rule(TABLE, name, |out| {
        matches(out);
        verdict(out, NF_DROP, None);
    });
    changes.push((NFT_MSG_NEWCHAIN, chain));
    changes.push((NFT_MSG_NEWRULE, drops));
}

/// Continues the rule if the packet is UDP to this port of an address that begins with these octets.
fn to_port(out: &mut Vec<u8>, destination: &[u8], port: u16) {
    const DESTINATION_OFFSET: u32 = 16;
    meta(out, NFT_META_NFPROTO, NFPROTO_IPV4);
    payload(
        out,
        NFT_PAYLOAD_NETWORK_HEADER,
        DESTINATION_OFFSET,
        destination,
    );
    udp_between(out, false, port);
}

/// Returns the transaction that removes the table, whether it exists or not.
pub fn remove() -> Changes {
    remove_table(TABLE)
}

/// Request for the rules of the table: none if it is not there.
pub fn get_rules() -> Message {
    let kind = NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETRULE;
    Message::dump(kind, &named(&[(NFTA_RULE_TABLE, TABLE)]))
}
