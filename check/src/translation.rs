//! Finds nftables rules that translate connections of several groups to the address of one group or of a node.
//!
//! Groups may be active on different nodes. Then a connection of another group is translated on a node that may not use
//! the address, and its fence drops the packets.

use std::net::IpAddr;

use serde_json::Value;
use spared_firewall::listing::{matches, objects, statements, text};

use super::ruleset::rules_from;
use super::wanted::Group;
use super::{Finding, Severity};

/// Note if source translation uses an address of one group, but no address of another group that has addresses of the
/// same family.
pub fn judge(ruleset: &Value, groups: &[Group]) -> Option<Finding> {
    let addresses: Vec<IpAddr> = rules(ruleset).into_iter().filter_map(source).collect();
    let is_used = |group: &Group, family: &IpAddr| {
        let own = group
            .addresses
            .iter()
            .filter(|it| it.is_ipv4() == family.is_ipv4());
        let mut own = own.peekable();
        own.peek().is_none() || own.any(|it| addresses.contains(it))
    };
    addresses.iter().find_map(|address| {
        let owner = groups
            .iter()
            .find(|group| group.addresses.contains(address))?;
        let other = groups.iter().find(|group| !is_used(group, address))?;
        Some(finding(*address, owner, other))
    })
}

/// Note if a rule translates all that leaves an interface to a virtual address. On a backup, answers to the node's own
/// packets then arrive at the other node.
pub fn judge_own(ruleset: &Value, groups: &[Group]) -> Option<Finding> {
    let is_virtual = |address: &IpAddr| groups.iter().any(|it| it.addresses.contains(address));
    let rules = rules(ruleset).into_iter();
    let mut own = rules.filter(|rule| is_for_all(rule)).filter_map(source);
    let address = own.find(is_virtual)?;
    let sentence = format!(
        "rules translate this node's own packets to {address}, too: while it is backup, answers to its pings, name \
         queries and downloads arrive at the other node"
    );
    let fix = "match the source as well, such as `ip saddr 192.168.200.0/24`";
    Some(Finding::new("ruleset-translation-own", Severity::Note, sentence).fix(fix))
}

/// Rules of all chains that translate sources.
pub(super) fn rules(ruleset: &Value) -> Vec<&Value> {
    let translates =
        |chain: &&Value| text(chain, "type") == "nat" && text(chain, "hook") == "postrouting";
    let chains = objects(ruleset, "chain").filter(translates);
    chains
        .flat_map(|chain| rules_from(chain, ruleset))
        .collect()
}

/// Returns true if a rule matches only the interface and the family.
pub(super) fn is_for_all(rule: &Value) -> bool {
    const ANY_SOURCE: [&str; 4] = ["oif", "oifname", "nfproto", "protocol"];
    matches(rule).all(|it| {
        let key = it["left"]["meta"]["key"].as_str();
        key.is_some_and(|key| ANY_SOURCE.contains(&key))
    })
}

fn finding(address: IpAddr, owner: &Group, other: &Group) -> Finding {
    let sentence = format!(
        "rules translate to {address} of group {}, and to no address of {}: if they are active on different \
         nodes, translated connections of {} carry nothing, as the fence drops them",
        owner.name, other.name, other.name
    );
    let fix = format!(
        "translate connections of {} to an address of its own",
        other.name
    );
    Finding::new("ruleset-translation", Severity::Note, sentence).fix(fix)
}

/// Address to which a rule translates sources, if it is a single one.
pub(super) fn source(rule: &Value) -> Option<IpAddr> {
    let mut translations = statements(rule).iter().filter_map(|it| it.get("snat"));
    translations.find_map(|it| it["addr"].as_str()?.parse().ok())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn group(name: &str, address: &str) -> Group {
        Group {
            name: name.to_owned(),
            addresses: address.parse().into_iter().collect(),
        }
    }

    fn ruleset(hook: &str, addresses: &[&str]) -> Value {
        let chain = json!({"chain": {"family": "ip", "table": "nat", "name": "out", "type": "nat", "hook": hook}});
        let rules = addresses.iter().map(|address| {
            json!({"rule": {"family": "ip", "table": "nat", "chain": "out",
                "expr": [{"snat": {"addr": address}}]}})
        });
        let objects: Vec<Value> = std::iter::once(chain).chain(rules).collect();
        json!({ "nftables": objects })
    }

    fn sentence(ruleset: &Value, groups: &[Group]) -> String {
        judge(ruleset, groups).map_or(String::new(), |it| it.to_string())
    }

    #[test]
    fn one_address_for_two_groups_is_noted_with_both_names() {
        let groups = [group("office", "192.0.2.1"), group("guests", "192.0.2.2")];
        let said = sentence(&ruleset("postrouting", &["192.0.2.1"]), &groups);
        assert!(said.contains("192.0.2.1 of group office"), "{said}");
        assert!(said.contains("no address of guests"), "{said}");
    }

    #[test]
    fn a_rule_for_all_that_leaves_is_noted_and_one_for_a_source_is_not() {
        let groups = [group("office", "192.0.2.1")];
        let said = |left: Value| {
            let mut ruleset = ruleset("postrouting", &["192.0.2.1"]);
            let expr = json!([
                {"match": {"op": "==", "left": {"meta": {"key": "oifname"}}, "right": "wan"}},
                {"match": {"op": "==", "left": left, "right": "any"}},
                {"snat": {"addr": "192.0.2.1"}}
            ]);
            ruleset["nftables"][1]["rule"]["expr"] = expr;
            judge_own(&ruleset, &groups).map_or(String::new(), |it| it.to_string())
        };
        let all = said(json!({"meta": {"key": "nfproto"}}));
        assert!(all.contains("own packets to 192.0.2.1, too"), "{all}");
        let source = json!({"payload": {"protocol": "ip", "field": "saddr"}});
        assert_eq!(said(source), "");
        assert_eq!(said(json!({"meta": {"key": "iifname"}})), "");
        let elsewhere = ruleset("postrouting", &["198.51.100.1"]);
        assert!(judge_own(&elsewhere, &groups).is_none());
        assert!(judge_own(&json!({"nftables": 3}), &groups).is_none());
    }

    #[test]
    fn an_address_for_each_group_is_as_it_should_be() {
        let groups = [group("office", "192.0.2.1"), group("guests", "192.0.2.2")];
        let each = ruleset("postrouting", &["192.0.2.1", "192.0.2.2"]);
        assert_eq!(sentence(&each, &groups), "");
    }

    #[test]
    fn what_concerns_no_second_group_is_not_noted() {
        let groups = [group("office", "192.0.2.1"), group("guests", "2001:db8::1")];
        let one = ruleset("postrouting", &["192.0.2.1"]);
        assert_eq!(sentence(&one, &groups), "", "another family");
        assert_eq!(sentence(&one, &groups[..1]), "");
        let groups = [group("office", "192.0.2.1"), group("guests", "192.0.2.2")];
        assert_eq!(
            sentence(&ruleset("prerouting", &["192.0.2.1"]), &groups),
            ""
        );
        assert_eq!(
            sentence(&ruleset("postrouting", &["198.51.100.1"]), &groups),
            ""
        );
        assert_eq!(sentence(&json!({"nftables": 3}), &groups), "");
    }
}
