//! Writes elements of sets as texts, whose digests both nodes compare. An interface has its name on the first node. In
//! a second text all addresses of nodes are one word.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::IpAddr;

use spared_message::firewall::NodeNames;
use spared_netlink::constants::*;
use spared_netlink::{find_attribute, text, u32_be};

use super::digest::{NODE, mixed};

/// Types of nft (`enum datatypes`) that are not simply written as bytes.
const IPV4: u32 = 7;
const IPV6: u32 = 8;
const ETHER: u32 = 9;
const PROTOCOL: u32 = 12;
const SERVICE: u32 = 13;
const MARK: u32 = 19;
const INDEX: u32 = 20;
const INTERFACE: u32 = 41;

/// Types of a set's keys and of a map's values, as nft numbers them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Types {
    pub(super) key: u32,
    /// Type of a map's values; 0 in a set.
    pub(super) data: u32,
}

/// Names that replace this node's own in the texts.
pub(super) struct Words<'n> {
    pub(super) names: &'n NodeNames,
    /// Names of interfaces by index.
    pub(super) interfaces: &'n BTreeMap<u32, String>,
}

/// Digests of a set's elements, which do not depend on the kernel's order. Comments and counters are left out.
pub(super) fn digests(elements: &[Vec<u8>], types: Types, words: &Words<'_>) -> [u32; 2] {
    [false, true].map(|is_by_node| {
        let texts = elements.iter();
        let mut texts: Vec<String> = texts
            .map(|it| words.element(it, types, is_by_node))
            .collect();
        texts.sort_unstable();
        mixed(texts.into_iter())
    })
}

impl Words<'_> {
    fn element(&self, element: &[u8], types: Types, is_by_node: bool) -> String {
        let flags = find_attribute(element, NFTA_SET_ELEM_FLAGS).and_then(u32_be);
        let flags = flags.unwrap_or_default();
        let is_end = flags & NFT_SET_ELEM_INTERVAL_END != 0;
        let mut out = format!("{flags}");
        for (attribute, types) in [
            (NFTA_SET_ELEM_KEY, types.key),
            (NFTA_SET_ELEM_KEY_END, types.key),
            (NFTA_SET_ELEM_DATA, types.data),
        ] {
            let Some(data) = find_attribute(element, attribute) else {
                continue;
            };
            let _ = write!(out, " {attribute}");
            if let Some(value) = find_attribute(data, NFTA_DATA_VALUE) {
                self.put(&mut out, &ended(value, is_end), types, is_by_node);
            }
            if let Some(verdict) = find_attribute(data, NFTA_DATA_VERDICT) {
                put_verdict(&mut out, verdict);
            }
        }
        if let Some(object) = find_attribute(element, NFTA_SET_ELEM_OBJREF) {
            let _ = write!(out, " {}", text(object));
        }
        out
    }

    /// Appends the parts of a value. From a part of unknown length on, the value is written as bytes.
    fn put(&self, out: &mut String, value: &[u8], types: u32, is_by_node: bool) {
        let is_one = parts(types).count() == 1;
        let mut rest = value;
        for part in parts(types) {
            let length = if is_one {
                Some(rest.len())
            } else {
                length(part)
            };
            let Some((value, after)) = length.and_then(|it| rest.split_at_checked(it)) else {
                break;
            };
            out.push(' ');
            *out += &self.part(value, part, is_by_node);
            rest = after;
        }
        put_bytes(out, rest);
    }

    fn part(&self, value: &[u8], part: u32, is_by_node: bool) -> String {
        let own_name = match part {
            INTERFACE => Some(text(value)),
            INDEX => number(value).and_then(|it| self.interfaces.get(&it).cloned()),
            _ => None,
        };
        if let Some(own) = own_name {
            let first = self.names.interfaces.get(&own);
            return first.cloned().unwrap_or(own);
        }
        match address(value, part) {
            Some(it) if is_by_node && self.names.addresses.contains(&it) => NODE.to_owned(),
            Some(address) => address.to_string(),
            None => {
                let mut bytes = String::new();
                put_bytes(&mut bytes, value);
                bytes
            }
        }
    }
}

/// Converts the value of an interval's end element to the last value of the interval: the kernel stores the one after
/// it.
fn ended(value: &[u8], is_end: bool) -> Vec<u8> {
    let mut last = value.to_vec();
    if is_end && value.iter().any(|byte| *byte != 0) {
        for byte in last.iter_mut().rev() {
            let (less, borrows) = byte.overflowing_sub(1);
            *byte = less;
            if !borrows {
                break;
            }
        }
    }
    last
}

fn put_verdict(out: &mut String, verdict: &[u8]) {
    let code = find_attribute(verdict, NFTA_VERDICT_CODE).unwrap_or_default();
    put_bytes(out, code);
    if let Some(chain) = find_attribute(verdict, NFTA_VERDICT_CHAIN) {
        let _ = write!(out, " {}", text(chain));
    }
}

fn put_bytes(out: &mut String, bytes: &[u8]) {
    for byte in bytes {
        let _ = write!(out, "{byte:02x}");
    }
}

/// Types that a combined type consists of; each has 6 bits.
fn parts(types: u32) -> impl Iterator<Item = u32> {
    let parts = (0..5).rev().map(move |part| types >> (part * 6) & 0x3f);
    parts.filter(|part| *part != 0)
}

/// Bytes of one part in a value of several parts, rounded up to 4; None if unknown.
fn length(part: u32) -> Option<usize> {
    match part {
        IPV4 | PROTOCOL | SERVICE | MARK | INDEX => Some(4),
        ETHER => Some(8),
        IPV6 | INTERFACE => Some(16),
        _ => None,
    }
}

fn address(value: &[u8], part: u32) -> Option<IpAddr> {
    match part {
        IPV4 => Some(IpAddr::from(<[u8; 4]>::try_from(value).ok()?)),
        IPV6 => Some(IpAddr::from(<[u8; 16]>::try_from(value).ok()?)),
        _ => None,
    }
}

fn number(value: &[u8]) -> Option<u32> {
    Some(u32::from_ne_bytes(value.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use spared_netlink::{put, put_nested, put_text};

    use super::*;

    fn names(interfaces: &[(&str, &str)], addresses: &[&str]) -> NodeNames {
        let interfaces = interfaces.iter();
        NodeNames {
            interfaces: interfaces
                .map(|(own, first)| ((*own).to_owned(), (*first).to_owned()))
                .collect(),
            addresses: addresses.iter().map(|it| it.parse().unwrap()).collect(),
            ..NodeNames::default()
        }
    }

    fn element(key: &[u8], flags: u32, more: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
        let mut element = Vec::new();
        put_nested(&mut element, NFTA_SET_ELEM_KEY, |out| {
            put(out, NFTA_DATA_VALUE, key);
        });
        if flags != 0 {
            put(&mut element, NFTA_SET_ELEM_FLAGS, &flags.to_be_bytes());
        }
        more(&mut element);
        element
    }

    fn plain(key: &[u8]) -> Vec<u8> {
        element(key, 0, |_| {})
    }

    fn of(elements: &[Vec<u8>], key: u32, names: &NodeNames) -> [u32; 2] {
        let interfaces = [(7, "enp1s0".to_owned())].into();
        let words = Words {
            names,
            interfaces: &interfaces,
        };
        digests(elements, Types { key, data: 0 }, &words)
    }

    #[test]
    fn any_element_counts_and_their_order_and_comments_do_not() {
        let none = NodeNames::default();
        let [one, two, three] = [1, 2, 3].map(|it| plain(&[192, 0, 2, it]));
        let commented = element(&[192, 0, 2, 1], 0, |out| {
            put(out, NFTA_SET_ELEM_USERDATA, b"any");
        });
        let all = of(&[one.clone(), two.clone()], IPV4, &none);
        assert_eq!(all, of(&[two.clone(), one.clone()], IPV4, &none));
        assert_eq!(all, of(&[commented, two.clone()], IPV4, &none));
        assert_ne!(all, of(std::slice::from_ref(&one), IPV4, &none));
        assert_ne!(all, of(&[one, three], IPV4, &none));
        assert_ne!(all, of(&[], IPV4, &none));
    }

    #[test]
    fn values_of_maps_count_and_verdicts_too() {
        let none = NodeNames::default();
        let to = |code: i32, chain: &str| {
            let verdict = |out: &mut Vec<u8>| {
                put(out, NFTA_VERDICT_CODE, &code.to_be_bytes());
                put_text(out, NFTA_VERDICT_CHAIN, chain);
            };
            let map = element(&[192, 0, 2, 1], 0, |out| {
                put_nested(out, NFTA_SET_ELEM_DATA, |out| {
                    put_nested(out, NFTA_DATA_VERDICT, verdict);
                });
            });
            of(&[map], IPV4, &none)
        };
        assert_eq!(to(NFT_JUMP, "guests"), to(NFT_JUMP, "guests"));
        assert_ne!(to(NFT_JUMP, "guests"), to(NFT_JUMP, "staff"));
        assert_ne!(to(NFT_JUMP, "guests"), to(NF_DROP, "guests"));
    }

    #[test]
    fn addresses_of_nodes_are_one_in_the_second_digest_at_both_ends_of_an_interval() {
        let [here, there] = ["10.0.0.2", "10.0.0.3"].map(|own| names(&[], &[own]));
        let of_node = |last: u8| [plain(&[10, 0, 0, last]), plain(&[10, 0, 0, 9])];
        let (one, other) = (of(&of_node(2), IPV4, &here), of(&of_node(3), IPV4, &there));
        assert!(one[0] != other[0] && one[1] == other[1]);
        let interval = |last: u8| {
            let end = element(&[10, 0, 0, last + 1], NFT_SET_ELEM_INTERVAL_END, |_| {});
            [plain(&[10, 0, 0, last]), end]
        };
        let (one, other) = (
            of(&interval(2), IPV4, &here),
            of(&interval(3), IPV4, &there),
        );
        assert!(one[0] != other[0] && one[1] == other[1]);
        assert_ne!(
            one[1],
            of(&interval(4), IPV4, &there)[1],
            "of another station"
        );
    }

    #[test]
    fn interfaces_count_by_their_name_on_the_first_node_also_by_index_and_in_concatenations() {
        let renamed = names(&[("enp1s0", "lan")], &[]);
        let none = NodeNames::default();
        let padded = |name: &str| {
            let mut bytes = name.as_bytes().to_vec();
            bytes.resize(16, 0);
            bytes
        };
        let [lan, there] = ["lan", "enp1s0"].map(|it| plain(&padded(it)));
        assert_eq!(
            of(&[lan], INTERFACE, &none),
            of(&[there], INTERFACE, &renamed)
        );
        let by_index = plain(&7_u32.to_ne_bytes());
        let by_name = of(&[plain(&padded("lan"))], INTERFACE, &none);
        assert_eq!(
            of(std::slice::from_ref(&by_index), INDEX, &renamed),
            by_name
        );
        assert_ne!(of(&[by_index], INDEX, &none), by_name);
        let pair = |name: &str, port: u8| plain(&[&[0, port, 0, 0], &padded(name)[..]].concat());
        let types = SERVICE << 6 | INTERFACE;
        let one = of(&[pair("lan", 22)], types, &none);
        assert_eq!(one, of(&[pair("enp1s0", 22)], types, &renamed));
        assert_ne!(one, of(&[pair("lan", 23)], types, &none));
    }

    #[test]
    fn parts_of_types_that_are_not_known_count_as_they_are() {
        const CT_STATE: u32 = 26;
        let none = NodeNames::default();
        let types = CT_STATE << 6 | IPV4;
        let of = |key: &[u8]| of(&[plain(key)], types, &none);
        assert_ne!(
            of(&[0, 0, 0, 1, 10, 0, 0, 1]),
            of(&[0, 0, 0, 2, 10, 0, 0, 1])
        );
        assert_ne!(
            of(&[0, 0, 0, 1, 10, 0, 0, 1]),
            of(&[0, 0, 0, 1, 10, 0, 0, 2])
        );
        assert_ne!(of(&[1]), of(&[1, 1]));
    }
}
