//! Encodes the nf_tables table that drops IKE requests which could end a tunnel, and reads its addresses back.
//!
//! A tunnel is deleted by an informational exchange (RFC 7296 §1.4, RFC 2409 §5.7), which the header shows without a
//! key. Negotiations use other exchanges. Responses pass. A packet to port 4500 that does not begin with four zero
//! bytes is ESP (RFC 3948 §2.2).
//!
//! ```text
//! table inet spared-ipsec {
//!     chain farewell {
//!         udp sport 500 @th,208,16 & 0xff20 == 0x2500 drop
//!         udp sport 500 @th,208,16 & 0xff00 == 0x0500 drop
//!         udp sport 4500 @th,64,32 0 @th,240,16 & 0xff20 == 0x2500 drop
//!         udp sport 4500 @th,64,32 0 @th,240,16 & 0xff00 == 0x0500 drop
//!     }
//!     chain output {
//!         type filter hook output priority raw
//!         ip saddr 192.0.2.1 jump farewell
//!     }
//! }
//! ```

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use spared_netlink::constants::*;
use spared_netlink::{Message, attributes, text};

use super::expression::{
    IKE_PORT, NAT_PORT, base_chain, bitwise_and, compare, load, meta, named, payload, rule, rules,
    udp_from, verdict,
};

const TABLE: &str = "spared-ipsec";
const FAREWELL: &str = "farewell";
const OUTPUT: &str = "output";
/// Priority that nft calls "raw".
const PRIORITY: i32 = -300;

const UDP_HEADER_LEN: u32 = 8;
const NON_ESP_MARKER: [u8; 4] = [0; 4];
/// Offset of exchange type and flags in the header of IKE (RFC 7296 §3.1).
const EXCHANGE: u32 = 18;

/// Mask of exchange type and flags, and the expected result.
pub(super) type Header = ([u8; 2], [u8; 2]);
/// INFORMATIONAL without the response flag.
const IKEV2: Header = ([0xff, 0x20], [37, 0]);
const IKEV1: Header = ([0xff, 0x00], [5, 0]);

/// Returns the transaction, by type and payload, that drops requests from these addresses only. Without addresses there
/// is no table. An existing table keeps its chains: when a hook is removed, the kernel drops the packets in queues.
pub fn silence(addresses: &BTreeSet<IpAddr>) -> Vec<(u16, Vec<u8>)> {
    let table = || named(&[(NFTA_TABLE_NAME, TABLE)]);
    let mut changes = vec![(NFT_MSG_NEWTABLE, table())];
    if addresses.is_empty() {
        changes.push((NFT_MSG_DELTABLE, table()));
        return changes;
    }
    let output = base_chain(TABLE, OUTPUT, NF_INET_LOCAL_OUT, PRIORITY);
    changes.push((NFT_MSG_NEWCHAIN, chain(FAREWELL)));
    changes.push((NFT_MSG_NEWCHAIN, output));
    for chain in [OUTPUT, FAREWELL] {
        changes.push((NFT_MSG_DELRULE, rules(TABLE, chain)));
    }
    for port in [IKE_PORT, NAT_PORT] {
        for header in [IKEV2, IKEV1] {
            let drops = rule(TABLE, FAREWELL, |out| {
                request(out, port, header);
                verdict(out, NF_DROP, None);
            });
            changes.push((NFT_MSG_NEWRULE, drops));
        }
    }
    for address in addresses {
        let jumps = rule(TABLE, OUTPUT, |out| jump_from(out, *address));
        changes.push((NFT_MSG_NEWRULE, jumps));
    }
    changes
}

/// Request for the rules that [`address`] reads.
pub fn get_addresses() -> Message {
    let kind = NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETRULE;
    let names = [(NFTA_RULE_TABLE, TABLE), (NFTA_RULE_CHAIN, OUTPUT)];
    Message::dump(kind, &named(&names))
}

/// Returns the address in a rule of the chain `output`.
pub fn address(rule: &[u8]) -> Option<IpAddr> {
    let find = |bytes, wanted| attributes(bytes).find(|(kind, _)| *kind == wanted);
    let (_, expressions) = find(rule.get(4..)?, NFTA_RULE_EXPRESSIONS)?;
    attributes(expressions).find_map(|(_, expression)| {
        let (_, name) = find(expression, NFTA_EXPR_NAME)?;
        let (_, data) = find(expression, NFTA_EXPR_DATA).filter(|_| text(name) == "cmp")?;
        let (_, value) = find(find(data, NFTA_CMP_DATA)?.1, NFTA_DATA_VALUE)?;
        let v4 = <[u8; 4]>::try_from(value).map(|it| Ipv4Addr::from(it).into());
        let v6 = <[u8; 16]>::try_from(value).map(|it| Ipv6Addr::from(it).into());
        v4.or(v6).ok()
    })
}

/// Returns true if a notification reports the deletion of a part of the table.
pub fn is_deletion(kind: u16, payload: &[u8]) -> bool {
    const KINDS: [u16; 3] = [NFT_MSG_DELTABLE, NFT_MSG_DELCHAIN, NFT_MSG_DELRULE];
    let deletes = KINDS.map(|it| NFNL_SUBSYS_NFTABLES << 8 | it);
    // the table's name is the first attribute in all of them
    let mut attributes = attributes(payload.get(4..).unwrap_or_default());
    let is_ours = |(kind, name): (u16, &[u8])| kind == NFTA_TABLE_NAME && text(name) == TABLE;
    deletes.contains(&kind) && payload.first() == Some(&NFPROTO_INET) && attributes.any(is_ours)
}

fn chain(name: &str) -> Vec<u8> {
    named(&[(NFTA_CHAIN_TABLE, TABLE), (NFTA_CHAIN_NAME, name)])
}

fn jump_from(out: &mut Vec<u8>, source: IpAddr) {
    let (family, offset, octets) = match source {
        IpAddr::V4(ip) => (NFPROTO_IPV4, 12, ip.octets().to_vec()),
        IpAddr::V6(ip) => (NFPROTO_IPV6, 8, ip.octets().to_vec()),
    };
    meta(out, NFT_META_NFPROTO, family);
    payload(out, NFT_PAYLOAD_NETWORK_HEADER, offset, &octets);
    verdict(out, NFT_JUMP, Some(FAREWELL));
}

/// Continues the rule if a packet from this port has this header of IKE.
pub(super) fn request(out: &mut Vec<u8>, port: u16, (mask, header): Header) {
    let mut ike = UDP_HEADER_LEN;
    udp_from(out, port);
    if port == NAT_PORT {
        payload(out, NFT_PAYLOAD_TRANSPORT_HEADER, ike, &NON_ESP_MARKER);
        ike += NON_ESP_MARKER.len() as u32;
    }
    load(out, NFT_PAYLOAD_TRANSPORT_HEADER, ike + EXCHANGE, 2);
    bitwise_and(out, &mask);
    compare(out, &header);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_addresses_of_a_table_are_read_back() {
        let addresses = ["192.0.2.1", "2001:db8::1", "0.0.0.0"];
        let addresses: BTreeSet<IpAddr> = addresses.map(|it| it.parse().unwrap()).into();
        let rules = silence(&addresses);
        let rules = rules.iter().filter(|(kind, _)| *kind == NFT_MSG_NEWRULE);
        let rules: Vec<_> = rules.map(|(_, rule)| rule.as_slice()).collect();
        assert_eq!(rules.len(), 4 + addresses.len());
        let read: BTreeSet<IpAddr> = rules[4..].iter().filter_map(|it| address(it)).collect();
        assert_eq!(read, addresses);
    }

    #[test]
    fn deletions_of_the_table_alone_are_noticed() {
        let kind = |message| NFNL_SUBSYS_NFTABLES << 8 | message;
        let table = named(&[(NFTA_TABLE_NAME, TABLE)]);
        assert!(is_deletion(kind(NFT_MSG_DELTABLE), &table));
        assert!(is_deletion(
            kind(NFT_MSG_DELRULE),
            &rule(TABLE, OUTPUT, |_| {})
        ));
        assert!(!is_deletion(kind(NFT_MSG_NEWTABLE), &table));
        assert!(!is_deletion(
            kind(NFT_MSG_DELTABLE),
            &named(&[(1, "filter")])
        ));
        assert!(!is_deletion(kind(NFT_MSG_DELTABLE), &[]));
    }

    #[test]
    fn no_bytes_at_all_panic() {
        let mut rule = rule(TABLE, OUTPUT, |out| {
            jump_from(out, Ipv4Addr::LOCALHOST.into())
        });
        for length in 0..rule.len() {
            let _ = address(&rule[..length]);
        }
        for at in 0..rule.len() {
            rule[at] ^= 0xff;
            let _ = (address(&rule), is_deletion(0xa02, &rule));
            rule[at] ^= 0xff;
        }
    }
}
