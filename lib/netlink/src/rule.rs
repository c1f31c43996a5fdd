//! Rules of policy routing, as `ip rule` shows them.

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;

use crate::address::{each_family, ip, octets};
use crate::{Message, Requests, attributes, put, text, u32_of};

const RTM_NEWRULE: u16 = 32;
pub(crate) const RTM_DELRULE: u16 = 33;
const RTM_GETRULE: u16 = 34;
const NLM_F_EXCL: u16 = 0x200;
const NLM_F_CREATE: u16 = 0x400;
/// Length of struct fib_rule_hdr in bytes.
const HEADER: usize = 12;
const FIB_RULE_INVERT: u32 = 2;
const FRA_DST: u16 = 1;
const FRA_SRC: u16 = 2;
const FRA_IIFNAME: u16 = 3;
const FRA_PRIORITY: u16 = 6;
/// Attribute of [`Rule::others`]: the mark of the packets.
pub const FRA_FWMARK: u16 = 10;
/// Attribute of [`Rule::others`]: the bits of the mark that are compared.
pub const FRA_FWMASK: u16 = 16;
/// Action of a rule that looks up a table.
pub const FR_ACT_TO_TBL: u8 = 1;
const FRA_SUPPRESS_IFGROUP: u16 = 13;
const FRA_SUPPRESS_PREFIXLEN: u16 = 14;
const FRA_TABLE: u16 = 15;
const FRA_OIFNAME: u16 = 17;
const FRA_PAD: u16 = 18;
const FRA_PROTOCOL: u16 = 21;

/// Rule of policy routing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rule {
    pub is_ipv6: bool,
    pub priority: u32,
    /// Flag `not`: the rule applies to packets that do not match.
    pub is_inverted: bool,
    /// Source and prefix; None: all.
    pub from: Option<(IpAddr, u8)>,
    /// Destination and prefix; None: all.
    pub to: Option<(IpAddr, u8)>,
    /// Incoming interface; empty: any.
    pub iif: String,
    /// Outgoing interface; empty: any.
    pub oif: String,
    pub tos: u8,
    /// Action, FR_ACT_*.
    pub action: u8,
    pub table: u32,
    /// Protocol of the program that added it (FRA_PROTOCOL).
    pub protocol: u8,
    /// Other attributes that decide, by FRA_*.
    pub others: BTreeMap<u16, Vec<u8>>,
}

impl Rule {
    /// Reads the payload of RTM_NEWRULE.
    pub fn parse(payload: &[u8]) -> Option<Self> {
        let header = payload.get(..HEADER)?;
        let [family, to, from, tos, table, _, _, action, ..] = *header else {
            return None;
        };
        let is_ipv6 = match i32::from(family) {
            libc::AF_INET => false,
            libc::AF_INET6 => true,
            _ => return None,
        };
        let mut rule = Self {
            is_ipv6,
            tos,
            action,
            table: table.into(),
            is_inverted: u32_of(header.get(8..)?)? & FIB_RULE_INVERT != 0,
            ..Self::default()
        };
        for (kind, value) in attributes(payload.get(HEADER..)?) {
            match kind {
                FRA_DST => rule.to = ip(family, value).map(|it| (it, to)),
                FRA_SRC => rule.from = ip(family, value).map(|it| (it, from)),
                FRA_IIFNAME => rule.iif = text(value),
                FRA_OIFNAME => rule.oif = text(value),
                FRA_PRIORITY => rule.priority = u32_of(value)?,
                FRA_TABLE => rule.table = u32_of(value)?,
                FRA_PROTOCOL => rule.protocol = *value.first()?,
                FRA_PAD => {}
                // -1 means none
                FRA_SUPPRESS_PREFIXLEN | FRA_SUPPRESS_IFGROUP
                    if u32_of(value) == Some(u32::MAX) => {}
                kind => {
                    rule.others.insert(kind, value.to_vec());
                }
            }
        }
        Some(rule)
    }
}

impl Message {
    /// Adds a rule. If the same one exists, the kernel answers EEXIST.
    pub fn add_rule(rule: &Rule) -> Self {
        Self::request(RTM_NEWRULE, NLM_F_CREATE | NLM_F_EXCL, &encode(rule))
    }

    /// Deletes the first rule with these attributes and this protocol; it may have more of them.
    pub fn delete_rule(rule: &Rule) -> Self {
        Self::request(RTM_DELRULE, 0, &encode(rule))
    }
}

fn encode(rule: &Rule) -> Vec<u8> {
    let family = if rule.is_ipv6 {
        libc::AF_INET6
    } else {
        libc::AF_INET
    };
    let bits = |net: &Option<(IpAddr, u8)>| net.map_or(0, |(_, prefix)| prefix);
    let flags = if rule.is_inverted { FIB_RULE_INVERT } else { 0 };
    let mut out = vec![0; HEADER];
    out[0] = family as u8;
    out[1] = bits(&rule.to);
    out[2] = bits(&rule.from);
    out[3] = rule.tos;
    out[7] = rule.action;
    out[8..].copy_from_slice(&flags.to_ne_bytes());
    for (kind, net) in [(FRA_DST, rule.to), (FRA_SRC, rule.from)] {
        if let Some((address, _)) = net {
            put(&mut out, kind, &octets(address));
        }
    }
    for (kind, name) in [(FRA_IIFNAME, &rule.iif), (FRA_OIFNAME, &rule.oif)] {
        if !name.is_empty() {
            put(&mut out, kind, &[name.as_bytes(), &[0]].concat());
        }
    }
    put(&mut out, FRA_PRIORITY, &rule.priority.to_ne_bytes());
    put(&mut out, FRA_TABLE, &rule.table.to_ne_bytes());
    put(&mut out, FRA_PROTOCOL, &[rule.protocol]);
    for (kind, value) in &rule.others {
        put(&mut out, *kind, value);
    }
    out
}

impl Requests {
    /// Rules of the namespace, of both families.
    pub fn rules(&mut self) -> io::Result<Vec<Rule>> {
        let mut found = Vec::new();
        each_family(|family| {
            let mut header = [0; HEADER];
            header[0] = u8::from(family);
            self.dump(Message::dump(RTM_GETRULE, &header), |kind, payload| {
                if kind == RTM_NEWRULE {
                    found.extend(Rule::parse(payload));
                }
            })
        })?;
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::put;

    // Message for `ip rule add not from 10.0.0.0/8 iif lan fwmark 1 lookup 100 priority 7`.
    fn message() -> Vec<u8> {
        let mut bytes = vec![2, 0, 8, 0, 100, 0, 0, 1, 2, 0, 0, 0];
        put(&mut bytes, FRA_SRC, &[10, 0, 0, 0]);
        put(&mut bytes, FRA_IIFNAME, b"lan\0");
        put(&mut bytes, FRA_PRIORITY, &7_u32.to_ne_bytes());
        put(&mut bytes, FRA_SUPPRESS_PREFIXLEN, &[0xff; 4]);
        put(&mut bytes, 10, &1_u32.to_ne_bytes());
        put(&mut bytes, FRA_TABLE, &100_u32.to_ne_bytes());
        bytes
    }

    #[test]
    fn a_rule_is_read_and_nothing_panics() {
        let expected = Rule {
            priority: 7,
            is_inverted: cfg!(target_endian = "little"),
            from: Some((IpAddr::from([10, 0, 0, 0]), 8)),
            iif: "lan".to_owned(),
            action: 1,
            table: 100,
            others: [(10, 1_u32.to_ne_bytes().to_vec())].into(),
            ..Rule::default()
        };
        let whole = message();
        assert_eq!(Rule::parse(&whole), Some(expected));
        for length in 0..whole.len() {
            let _ = Rule::parse(&whole[..length]);
        }
        assert_eq!(Rule::parse(&[7; HEADER]), None);
    }

    #[test]
    fn what_is_written_is_read_back() {
        let of = |text: &str| text.parse::<IpAddr>().expect("an address");
        let mask = [(FRA_FWMARK, 16_u32), (FRA_FWMASK, 255)];
        let others = mask.map(|(kind, value)| (kind, value.to_ne_bytes().to_vec()));
        for rule in [
            Rule {
                priority: 100,
                from: Some((of("192.0.2.0"), 24)),
                oif: "wan".to_owned(),
                action: FR_ACT_TO_TBL,
                table: 1000,
                protocol: 213,
                others: others.into(),
                ..Rule::default()
            },
            Rule {
                is_ipv6: true,
                is_inverted: cfg!(target_endian = "little"),
                to: Some((of("2001:db8::"), 32)),
                iif: "lan".to_owned(),
                ..Rule::default()
            },
        ] {
            let message = Message::add_rule(&rule);
            assert_eq!(Rule::parse(&message.bytes()[16..]), Some(rule));
        }
    }

    #[test]
    fn the_kernel_lists_the_rules_of_a_new_namespace() {
        let Ok(mut requests) = Requests::open() else {
            return;
        };
        let rules = requests.rules().expect("a dump");
        let lookups = rules.iter().filter(|it| !it.is_ipv6 && it.action == 1);
        let tables: Vec<u32> = lookups.map(|it| it.table).collect();
        // tables local and main
        assert!(tables.contains(&255) && tables.contains(&254), "{tables:?}");
    }
}
