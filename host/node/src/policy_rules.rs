//! Formats rules of policy routing, with names that are the same on both nodes.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use spared_netlink::Rule;
use spared_netlink::constants::{ROUTE_PROTOCOL, TUNNEL_ROUTE_PROTOCOL};

/// Maximum number of rules. More are not compared, as a program makes them.
const RULES_MAX: usize = 128;
/// Table and priority of the rule that charon adds while it runs, which is only on the active node.
const CHARON: u32 = 220;

/// Returns the rules that must be the same on both nodes; None if there are too many.
pub fn rules(
    all: &[Rule],
    interfaces: &BTreeMap<String, String>,
    own: &BTreeSet<IpAddr>,
) -> Option<BTreeSet<String>> {
    let is_charons = |it: &Rule| it.table == CHARON && it.priority == CHARON;
    let of_role = |it: &Rule| {
        [ROUTE_PROTOCOL, TUNNEL_ROUTE_PROTOCOL].contains(&it.protocol) || is_charons(it)
    };
    let compared = all.iter().filter(|it| !of_role(it));
    let found: BTreeSet<String> = compared.map(|it| words(it, interfaces, own)).collect();
    Some(found).filter(|it| it.len() <= RULES_MAX)
}

// Formats a rule almost as `ip rule` does: "IPv4 100: from 10.0.0.0/8 iif lan lookup 100".
fn words(rule: &Rule, interfaces: &BTreeMap<String, String>, own: &BTreeSet<IpAddr>) -> String {
    let family = if rule.is_ipv6 { "IPv6" } else { "IPv4" };
    let mut line = format!("{family} {}:", rule.priority);
    let mut add = |words: String| line += &format!(" {words}");
    if rule.is_inverted {
        add("not".to_owned());
    }
    let net = |net: &Option<(IpAddr, u8)>| match net {
        None => "all".to_owned(),
        Some((address, _)) if own.contains(address) => "its own address".to_owned(),
        Some((address, prefix)) => format!("{address}/{prefix}"),
    };
    add(format!("from {}", net(&rule.from)));
    if rule.to.is_some() {
        add(format!("to {}", net(&rule.to)));
    }
    if rule.tos != 0 {
        add(format!("tos 0x{:02x}", rule.tos));
    }
    for (key, name) in [("iif", &rule.iif), ("oif", &rule.oif)] {
        if !name.is_empty() {
            let first = interfaces.get(name).unwrap_or(name);
            add(format!("{key} {first}"));
        }
    }
    for (kind, value) in &rule.others {
        add(format!("{} {}", key(*kind), number(value)));
    }
    add(match rule.action {
        1 => format!("lookup {}", rule.table),
        2 => "goto".to_owned(),
        3 => "nop".to_owned(),
        6 => "blackhole".to_owned(),
        7 => "unreachable".to_owned(),
        8 => "prohibit".to_owned(),
        other => format!("action {other}"),
    });
    line
}

fn key(kind: u16) -> String {
    let known = match kind {
        4 => "target",
        10 => "fwmark",
        11 => "realms",
        12 => "tun_id",
        13 => "suppress_ifgroup",
        14 => "suppress_prefixlength",
        16 => "fwmask",
        19 => "l3mdev",
        20 => "uidrange",
        22 => "ipproto",
        23 => "sport",
        24 => "dport",
        other => return format!("attribute {other}"),
    };
    known.to_owned()
}

fn number(value: &[u8]) -> String {
    match value {
        [one] => one.to_string(),
        [a, b, c, d] => format!("0x{:x}", u32::from_ne_bytes([*a, *b, *c, *d])),
        bytes => bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(all: &[Rule]) -> Vec<String> {
        let interfaces = [("eth7".to_owned(), "lan".to_owned())].into();
        let own = [IpAddr::from([192, 0, 2, 2])].into();
        let found = rules(all, &interfaces, &own).unwrap_or_default();
        found.into_iter().collect()
    }

    #[test]
    fn a_rule_is_named_as_the_other_node_names_it() {
        let prohibit = Rule {
            priority: 7,
            iif: "eth7".to_owned(),
            action: 8,
            ..Rule::default()
        };
        let own = Rule {
            priority: 100,
            from: Some((IpAddr::from([192, 0, 2, 2]), 32)),
            action: 1,
            table: 100,
            others: [(10, 1_u32.to_ne_bytes().to_vec())].into(),
            ..Rule::default()
        };
        let inverted = Rule {
            is_ipv6: true,
            is_inverted: true,
            action: 1,
            table: 254,
            ..Rule::default()
        };
        assert_eq!(
            told(&[prohibit, own, inverted]),
            [
                "IPv4 100: from its own address fwmark 0x1 lookup 100",
                "IPv4 7: from all iif lan prohibit",
                "IPv6 0: not from all lookup 254",
            ]
        );
    }

    #[test]
    fn rules_that_come_with_the_role_and_hundreds_are_not_compared() {
        let charons = Rule {
            priority: CHARON,
            table: CHARON,
            action: 1,
            ..Rule::default()
        };
        let ours = Rule {
            protocol: TUNNEL_ROUTE_PROTOCOL,
            ..Rule::default()
        };
        let of_group = Rule {
            protocol: ROUTE_PROTOCOL,
            ..Rule::default()
        };
        assert_eq!(told(&[charons, ours, of_group]), [""; 0]);
        let many = (0..200).map(|priority| Rule {
            priority,
            ..Rule::default()
        });
        let many: Vec<Rule> = many.collect();
        assert_eq!(rules(&many, &BTreeMap::new(), &BTreeSet::new()), None);
    }
}
