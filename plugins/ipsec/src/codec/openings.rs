//! Encodes the nf_tables table that drops the requests by which this node begins IKE SAs with certain far ends.
//!
//! IKE_SA_INIT is the only exchange that begins one (RFC 7296 §1.2), and the header shows it without a key. What a far
//! end begins passes, as that is answered by a response.
//!
//! ```text
//! table inet spared-ipsec-init {
//!     set ip-ends { type integer; timeout 5m; elements = { 192.0.2.1 . 198.51.100.1 } }
//!     chain output {
//!         type filter hook output priority raw
//!         meta nfproto ipv4 udp sport 500 @th,208,16 & 0xff20 == 0x2200 ip saddr . ip daddr @ip-ends drop
//!         meta nfproto ipv4 udp sport 4500 @th,64,32 0 @th,240,16 & 0xff20 == 0x2200 ip saddr . ip daddr @ip-ends drop
//!     }
//! }
//! ```

use std::collections::BTreeSet;
use std::net::IpAddr;

use spared_netlink::constants::*;
use spared_netlink::{put, put_nested};

use super::expression::{
    IKE_PORT, NAT_PORT, base_chain, load, lookup, meta, named, number, rule, value, verdict,
};
use super::hold::{Changes, remove_table};
use super::silence::{Header, request};

/// Own address and far end of an IKE SA.
pub type Ends = (IpAddr, IpAddr);

const TABLE: &str = "spared-ipsec-init";
const OUTPUT: &str = "output";
/// Priority that nft calls "raw".
const PRIORITY: i32 = -300;
/// Largest number of elements in a message, whose list must be below 64 KiB.
const CHUNK: usize = 1000;
/// Time in ms after which the kernel itself ends a block, if this process does not. A charon has its sessions by then.
const TIMEOUT_MS: u64 = 300_000;
/// IKE_SA_INIT without the response flag.
const IKE_SA_INIT: Header = ([0xff, 0x20], [34, 0]);

struct Family {
    protocol: u8,
    set: &'static str,
    /// Offset of the source in the header, which the destination follows, and size of both.
    addresses: (u32, usize),
}

const FAMILIES: [Family; 2] = [
    Family {
        protocol: NFPROTO_IPV4,
        set: "ip-ends",
        addresses: (12, 8),
    },
    Family {
        protocol: NFPROTO_IPV6,
        set: "ip6-ends",
        addresses: (8, 32),
    },
];

/// Returns the transaction that drops such requests between these ends only; without ends there is no table.
pub fn block(ends: &BTreeSet<Ends>) -> Changes {
    let mut changes = remove_table(TABLE);
    if ends.is_empty() {
        return changes;
    }
    changes.push((NFT_MSG_NEWTABLE, named(&[(NFTA_TABLE_NAME, TABLE)])));
    let output = base_chain(TABLE, OUTPUT, NF_INET_LOCAL_OUT, PRIORITY);
    changes.push((NFT_MSG_NEWCHAIN, output));
    for family in &FAMILIES {
        let keys: Vec<Vec<u8>> = ends.iter().filter_map(|it| key(*it)).collect();
        let (_, length) = family.addresses;
        let keys: Vec<Vec<u8>> = keys.into_iter().filter(|it| it.len() == length).collect();
        if keys.is_empty() {
            continue;
        }
        add_set(&mut changes, family, &keys);
        for port in [IKE_PORT, NAT_PORT] {
            changes.push((NFT_MSG_NEWRULE, family.rule(port)));
        }
    }
    changes
}

/// Source and destination, as they follow each other in the header.
fn key(ends: Ends) -> Option<Vec<u8>> {
    match ends {
        (IpAddr::V4(from), IpAddr::V4(to)) => Some([from.octets(), to.octets()].concat()),
        (IpAddr::V6(from), IpAddr::V6(to)) => Some([from.octets(), to.octets()].concat()),
        _ => None,
    }
}

fn add_set(changes: &mut Changes, family: &Family, keys: &[Vec<u8>]) {
    let (_, length) = family.addresses;
    let mut set = named(&[(NFTA_SET_TABLE, TABLE), (NFTA_SET_NAME, family.set)]);
    number(&mut set, NFTA_SET_FLAGS, NFT_SET_TIMEOUT);
    put(&mut set, NFTA_SET_TIMEOUT, &TIMEOUT_MS.to_be_bytes());
    number(&mut set, NFTA_SET_KEY_TYPE, 0);
    number(&mut set, NFTA_SET_KEY_LEN, length as u32);
    number(&mut set, NFTA_SET_ID, changes.len() as u32);
    changes.push((NFT_MSG_NEWSET, set));
    for keys in keys.chunks(CHUNK) {
        let mut payload = named(&[
            (NFTA_SET_ELEM_LIST_TABLE, TABLE),
            (NFTA_SET_ELEM_LIST_SET, family.set),
        ]);
        put_nested(&mut payload, NFTA_SET_ELEM_LIST_ELEMENTS, |out| {
            for key in keys {
                put_nested(out, NFTA_LIST_ELEM, |out| {
                    value(out, NFTA_SET_ELEM_KEY, key)
                });
            }
        });
        changes.push((NFT_MSG_NEWSETELEM, payload));
    }
}

impl Family {
    fn rule(&self, port: u16) -> Vec<u8> {
        let (offset, length) = self.addresses;
        rule(TABLE, OUTPUT, |out| {
            meta(out, NFT_META_NFPROTO, self.protocol);
            request(out, port, IKE_SA_INIT);
            load(out, NFT_PAYLOAD_NETWORK_HEADER, offset, length);
            lookup(out, self.set);
            verdict(out, NF_DROP, None);
        })
    }
}

#[cfg(test)]
mod tests {
    use spared_netlink::attributes;

    use super::*;

    #[test]
    fn a_transaction_has_a_set_and_two_rules_for_each_family_that_it_needs() {
        let ends = |from: &str, to: &str| (from.parse().unwrap(), to.parse().unwrap());
        let [four, six] = [
            ends("192.0.2.1", "198.51.100.1"),
            ends("2001:db8::1", "2001:db8::2"),
        ];
        let count = |all: &[Ends], kind| {
            let changes = block(&all.iter().copied().collect());
            changes.iter().filter(|(it, _)| *it == kind).count()
        };
        for (all, families) in [(vec![], 0), (vec![four], 1), (vec![four, six], 2)] {
            assert_eq!(count(&all, NFT_MSG_NEWSET), families);
            assert_eq!(count(&all, NFT_MSG_NEWRULE), 2 * families);
        }
        // the kernel ends a block that nobody ends
        let changes = block(&[four].into());
        let set = changes.iter().find(|(it, _)| *it == NFT_MSG_NEWSET);
        let attribute = |kind| {
            let (_, payload) = set.expect("a set");
            let found = attributes(&payload[4..]).find(|(it, _)| *it == kind);
            found.map(|(_, value)| value.to_vec())
        };
        let timeout = attribute(NFTA_SET_TIMEOUT).expect("a time");
        assert_eq!(timeout, TIMEOUT_MS.to_be_bytes());
        assert_eq!(attribute(NFTA_SET_FLAGS), Some(vec![0, 0, 0, 16]));
        // no packet has ends of both
        assert_eq!(key((four.0, six.1)), None);
        assert_eq!(key(four), Some(vec![192, 0, 2, 1, 198, 51, 100, 1]));
    }
}
