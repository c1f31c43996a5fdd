//! Finds nftables rules that drop protocol 112, and a saved ruleset that contains spared's table.
//!
//! spared receives adverts by packet sockets, which no ruleset filters. Adverts to unicast peers pass the output hook
//! like any packet.

use std::process::Command;

use serde_json::Value;
use spared_firewall::Advert;
use spared_firewall::listing::{objects, place, rules_of_table, statements, target, text};
use spared_message::firewall::LISTING;

use super::masquerade::{self, Printed};
use super::outgoing::Outgoing;
use super::wanted::Interface;
use super::{Finding, Severity, System, Wanted, translation};

/// File that nftables.service of Debian and other distributions loads at boot.
const SAVED: &str = "etc/nftables.conf";

pub fn examine(system: &System, wanted: &Wanted) -> Vec<Finding> {
    let running = list().map_or_else(Vec::new, |ruleset| {
        let mut found = judge(&ruleset, wanted);
        found.extend(translation::judge(&ruleset, &wanted.groups));
        found.extend(translation::judge_own(&ruleset, &wanted.groups));
        found.extend(lost(&ruleset, wanted));
        found
    });
    running.into_iter().chain(saved(system)).collect()
}

fn lost(ruleset: &Value, wanted: &Wanted) -> Vec<Finding> {
    let node = Outgoing::read().unwrap_or_default();
    masquerade::judge(ruleset, wanted, &node, &Printed::of(ruleset))
}

// Reports a saved fence. `nft list ruleset > /etc/nftables.conf` saves the fence too. nft cannot read all of its own
// output about the fence, and then loads nothing of the file: after the next boot there is no firewall.
fn saved(system: &System) -> Option<Finding> {
    let text = system.read(SAVED)?;
    let ours = |line: &str| {
        line.split_whitespace()
            .take(3)
            .eq(["table", "netdev", "spared"])
    };
    if !text.lines().any(ours) {
        return None;
    }
    let sentence = format!(
        "/{SAVED} holds a copy of spared's table: nft may refuse the whole file at the next boot"
    );
    let fix = format!("remove \"table netdev spared\" and \"spared-mirror\" from /{SAVED}");
    Some(Finding::new("ruleset-saved", Severity::Error, sentence).fix(fix))
}

// Returns the ruleset; None if nft is not installed or may not read the ruleset.
pub(super) fn list() -> Option<Value> {
    let output = Command::new("nft").args(["-j", LISTING]).output();
    let output = output.ok().filter(|output| output.status.success())?;
    spared_firewall::ruleset_of(&output.stdout).ok()
}

fn judge(ruleset: &Value, wanted: &Wanted) -> Vec<Finding> {
    objects(ruleset, "chain")
        .filter_map(|chain| {
            let is_own = match text(chain, "hook") {
                "input" => false,
                "output" => true,
                _ => return None,
            };
            let dropped = interfaces_without_adverts(ruleset, chain, wanted, is_own);
            (!dropped.is_empty()).then(|| finding(chain, is_own, &dropped))
        })
        .collect()
}

fn finding(chain: &Value, is_own: bool, dropped: &[&str]) -> Finding {
    let place = place(chain);
    let interfaces = dropped.join(", ");
    let finding = if is_own {
        Finding::new(
            "ruleset-output",
            Severity::Error,
            format!(
                "nftables chain {place} drops protocol 112 on {interfaces}: no unicast peer there hears \
                 this node"
            ),
        )
    } else {
        Finding::new(
            "ruleset-input",
            Severity::Note,
            format!(
                "nftables chain {place} drops protocol 112 on {interfaces}: spared still hears adverts \
                 (packet sockets), other VRRP programs here do not"
            ),
        )
    };
    finding.fix(format!("nft insert rule {place} meta l4proto 112 accept"))
}

// Interfaces whose adverts are dropped. Only unicast adverts of this node pass a hook.
fn interfaces_without_adverts<'w>(
    ruleset: &Value,
    chain: &Value,
    wanted: &'w Wanted,
    is_own: bool,
) -> Vec<&'w str> {
    let interfaces = wanted.interfaces.iter();
    let interfaces = interfaces.filter(|(_, it)| it.adverts && (it.unicast || !is_own));
    interfaces
        .filter(|(name, interface)| {
            let mut adverts = adverts(name, interface, is_own);
            adverts.any(|advert| spared_firewall::drops(ruleset, chain, &advert))
        })
        .map(|(name, _)| name.as_str())
        .collect()
}

fn adverts(name: &str, interface: &Interface, is_own: bool) -> impl Iterator<Item = Advert> {
    let families = [(true, interface.has_ipv4()), (false, interface.has_ipv6())];
    let families = families.into_iter().filter(|(_, is_there)| *is_there);
    families.flat_map(move |(is_ipv4, _)| {
        let advert = |peer| Advert {
            interface: name.to_owned(),
            is_ipv4,
            peer,
            is_own,
        };
        let peers = interface.peers.iter().filter(|it| it.is_ipv4() == is_ipv4);
        let of_peers: Vec<Advert> = peers.map(|peer| advert(Some(*peer))).collect();
        if of_peers.is_empty() {
            vec![advert(None)]
        } else {
            of_peers
        }
    })
}

// Rules of a chain, and of all chains that it jumps to.
pub(super) fn rules_from<'v>(chain: &'v Value, ruleset: &'v Value) -> Vec<&'v Value> {
    let of_table: Vec<&Value> = rules_of_table(ruleset, chain).collect();
    let mut chains = vec![text(chain, "name")];
    let mut found = Vec::new();
    // `chains` grows during the walk; each chain is visited once, so loops end
    let mut next = 0;
    while let Some(name) = chains.get(next).copied() {
        next += 1;
        for rule in of_table.iter().filter(|rule| text(rule, "chain") == name) {
            found.push(*rule);
            for target in statements(rule).iter().filter_map(target) {
                if !chains.contains(&target) {
                    chains.push(target);
                }
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn chain(hook: &str, policy: &str) -> Value {
        json!({"chain": {"family": "inet", "table": "filter", "name": hook, "handle": 1,
            "type": "filter", "hook": hook, "prio": 0, "policy": policy}})
    }

    fn rule(right: Value, verdict: &str) -> Value {
        rule_in("input", right, verdict)
    }

    fn rule_in(chain: &str, right: Value, verdict: &str) -> Value {
        json!({"rule": {"family": "inet", "table": "filter", "chain": chain, "expr": [
            {"match": {"op": "==", "left": {"meta": {"key": "l4proto"}}, "right": right}},
            {verdict: null}]}})
    }

    fn wanted(unicast: bool) -> Wanted {
        let mut wanted = Wanted::default();
        let text = format!(
            "[[group]]\nname = \"office\"\n[[group.interface]]\ninterface = \"lan\"\nvrid = 7\n\
             addresses = [\"192.0.2.1/24\"]\npeers = [\"192.0.2.3\"]\nunicast = {unicast}\n"
        );
        wanted.read(&text, "r1");
        wanted
    }

    fn ids(objects: Vec<Value>, unicast: bool) -> Vec<&'static str> {
        let found = judge(&json!({ "nftables": objects }), &wanted(unicast));
        found.iter().map(|finding| finding.id).collect()
    }

    #[test]
    fn a_dropping_policy_without_a_rule_for_vrrp_is_noted() {
        assert_eq!(ids(vec![chain("input", "drop")], false), ["ruleset-input"]);
        assert_eq!(ids(vec![chain("input", "accept")], false), [""; 0]);
    }

    #[test]
    fn a_rule_that_accepts_vrrp_by_number_name_or_set_settles_it() {
        for right in [json!(112), json!("vrrp"), json!({"set": [6, 112]})] {
            let objects = vec![chain("input", "drop"), rule(right, "accept")];
            assert_eq!(ids(objects, false), [""; 0]);
        }
        let objects = vec![chain("input", "drop"), rule(json!(6), "accept")];
        assert_eq!(ids(objects, false), ["ruleset-input"]);
    }

    #[test]
    fn a_rule_that_drops_vrrp_is_noted_under_any_policy() {
        let objects = vec![chain("input", "accept"), rule(json!(112), "drop")];
        assert_eq!(ids(objects, false), ["ruleset-input"]);
    }

    #[test]
    fn a_rule_counts_where_the_chain_jumps_to() {
        let jump = json!({"rule": {"family": "inet", "table": "filter", "chain": "input", "expr": [
            {"jump": {"target": "ours"}}]}});
        let back = json!({"rule": {"family": "inet", "table": "filter", "chain": "ours", "expr": [
            {"goto": {"target": "input"}}]}});
        let accept = rule_in("ours", json!(112), "accept");
        let apart = vec![chain("input", "drop"), accept.clone()];
        assert_eq!(ids(apart, false), ["ruleset-input"]);
        let reached = vec![chain("input", "drop"), jump, back, accept];
        assert_eq!(ids(reached, false), [""; 0]);
    }

    #[test]
    fn a_dropping_output_matters_to_unicast_only() {
        assert_eq!(ids(vec![chain("output", "drop")], true), ["ruleset-output"]);
        assert_eq!(ids(vec![chain("output", "drop")], false), [""; 0]);
        assert_eq!(ids(vec![chain("forward", "drop")], true), [""; 0]);
    }

    #[test]
    fn a_rule_that_accepts_by_interface_or_peer_settles_it_too() {
        let accept = |left: Value, right: Value| {
            json!({"rule": {"family": "inet", "table": "filter", "chain": "output", "expr": [
                {"match": {"op": "==", "left": left, "right": right}}, {"accept": null}]}})
        };
        let interface = json!({"meta": {"key": "oifname"}});
        let daddr = json!({"payload": {"protocol": "ip", "field": "daddr"}});
        for (left, right, expected) in [
            (&interface, json!("lan"), &[][..]),
            (&interface, json!("wan"), &["ruleset-output"]),
            (&daddr, json!("192.0.2.3"), &[]),
            (&daddr, json!("192.0.2.4"), &["ruleset-output"]),
            (&daddr, json!("@routers"), &[]),
        ] {
            let objects = vec![chain("output", "drop"), accept(left.clone(), right)];
            assert_eq!(ids(objects.clone(), true), expected, "{objects:?}");
        }
    }

    #[test]
    fn what_is_no_ruleset_finds_nothing() {
        for odd in [
            json!(null),
            json!({"nftables": 3}),
            json!({"nftables": [{"chain": 1}, null]}),
        ] {
            assert_eq!(judge(&odd, &wanted(true)), []);
        }
    }
}
