//! Decides whether a ruleset, as `nft -j` prints it, accepts the packets of the link, or adverts.
//!
//! Matches that cannot be judged (sets, marks, limits) count as passing. A false alarm about a firewall is worse than a missed
//! one, and a link that is down is reported anyway.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde_json::Value;

use super::listing::{objects, place, rules_of_table, statements, target, text};
use super::packet::{Advert, Packet, PathPackets};

/// Maximum depth of chains that is walked, the same as in nft.
const DEPTH_MAX: usize = 16;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Accepted,
    Dropped,
    /// The end of the chain was reached without a decision.
    Undecided,
}

/// Returns the first chain that drops the packets of the link, as "family table chain".
pub fn blocking_chain(ruleset: &Value, packets: &PathPackets) -> Option<String> {
    first(ruleset, packets, drops_at)
}

/// Returns the first chain that drops the packets of the link once connection tracking has forgotten the connection.
/// `conntrack -F` causes that if connections are not picked up midway.
pub fn chain_blocking_untracked(ruleset: &Value, packets: &PathPackets) -> Option<String> {
    let forgotten = PathPackets {
        is_forgotten: true,
        ..packets.clone()
    };
    first(ruleset, &forgotten, |end, _| end == End::Dropped)
}

/// Returns true if a base chain drops adverts.
pub fn drops(ruleset: &Value, chain: &Value, advert: &Advert) -> bool {
    sees(chain, advert) && drops_at(end(ruleset, chain, advert), chain)
}

fn drops_at(end: End, chain: &Value) -> bool {
    match end {
        End::Accepted => false,
        End::Dropped => true,
        End::Undecided => chain["policy"] == "drop",
    }
}

fn first(
    ruleset: &Value,
    packets: &PathPackets,
    keeps: impl Fn(End, &Value) -> bool,
) -> Option<String> {
    let mut inputs = objects(ruleset, "chain").filter(|chain| sees(chain, packets));
    let chain = inputs.find(|chain| keeps(end(ruleset, chain, packets), chain))?;
    Some(place(chain))
}

/// Returns true if the packet passes the base chain, which may drop it.
fn sees(chain: &Value, packet: &dyn Packet) -> bool {
    let of_family = chain["family"] == "inet" || chain["family"] == packet.family();
    of_family && chain["type"] == "filter" && chain["hook"] == packet.hook()
}

fn end(ruleset: &Value, chain: &Value, packet: &dyn Packet) -> End {
    Walk::new(ruleset, chain, packet).chain(text(chain, "name"), 0)
}

/// State of a packet's walk through the chains of a table.
struct Walk<'r> {
    packet: &'r dyn Packet,
    /// Rules by name of the chain.
    rules: BTreeMap<&'r str, Vec<&'r Value>>,
    /// Results of the chains that were walked. Each chain is walked once, however many rules jump to it.
    ends: BTreeMap<&'r str, End>,
}

impl<'r> Walk<'r> {
    /// Begins in the table that contains the chain `base`.
    fn new(ruleset: &'r Value, base: &Value, packet: &'r dyn Packet) -> Self {
        let mut by_chain: BTreeMap<&str, Vec<&Value>> = BTreeMap::new();
        for rule in rules_of_table(ruleset, base) {
            if let Some(chain) = rule["chain"].as_str() {
                by_chain.entry(chain).or_default().push(rule);
            }
        }
        Self {
            packet,
            rules: by_chain,
            ends: BTreeMap::new(),
        }
    }

    fn chain(&mut self, name: &'r str, depth: usize) -> End {
        if let Some(end) = self.ends.get(name) {
            return *end;
        }
        if depth > DEPTH_MAX {
            return End::Accepted;
        }
        // nft refuses a chain that jumps back to itself; here it counts as passing
        self.ends.insert(name, End::Accepted);
        let rules = self.rules.remove(name).unwrap_or_default();
        let mut ends = rules.iter().filter_map(|rule| self.judge(rule, depth));
        let end = ends.next().unwrap_or(End::Undecided);
        self.ends.insert(name, end);
        end
    }

    // Result of a rule; None to continue with the next rule.
    fn judge(&mut self, rule: &'r Value, depth: usize) -> Option<End> {
        let mut certain = true;
        for statement in statements(rule) {
            if let Some(matched) = statement.get("match") {
                match holds(matched, self.packet) {
                    Some(true) => {}
                    Some(false) => return None,
                    None => certain = false,
                }
                continue;
            }
            let end = if let Some(target) = target(statement) {
                let returns = statement.get("jump").is_some();
                match self.chain(target, depth + 1) {
                    End::Undecided if returns || !certain => return None,
                    end => end,
                }
            } else if statement.get("accept").is_some() {
                End::Accepted
            } else if statement.get("drop").is_some() || statement.get("reject").is_some() {
                End::Dropped
            } else if statement.get("return").is_some() {
                End::Undecided
            } else if is_harmless(statement) {
                continue;
            } else {
                // This is a verdict map, a limit or an unknown statement.
                certain = false;
                if statement.get("vmap").is_some() {
                    return Some(End::Accepted);
                }
                continue;
            };
            return match (end, certain) {
                // A possible accept counts as accepted; a possible drop does not count.
                (End::Dropped | End::Undecided, false) => None,
                (end, _) => Some(end),
            };
        }
        None
    }
}

fn is_harmless(statement: &Value) -> bool {
    ["counter", "log", "comment", "notrack", "xt"]
        .iter()
        .any(|name| statement.get(name).is_some())
}

/// Returns true if the packet matches; None if unknown.
fn holds(matched: &Value, packet: &dyn Packet) -> Option<bool> {
    let (left, right) = (&matched["left"], &matched["right"]);
    let equal = match matched["op"].as_str()? {
        "==" | "in" => true,
        "!=" => false,
        _ => return None,
    };
    let found = packet.fact(left)?;
    let among = is_among(&found, right)?;
    Some(among == equal)
}

fn is_among(found: &[String], right: &Value) -> Option<bool> {
    let equals = |text: &str| {
        let wild = text.strip_suffix('*');
        Some(found.iter().any(|one| match wild {
            Some(start) => one.starts_with(start),
            None => one == text,
        }))
    };
    match right {
        Value::String(name) if name.starts_with('@') => None,
        Value::String(text) => equals(text),
        Value::Number(number) => equals(&number.to_string()),
        Value::Array(items) => any(found, items),
        Value::Object(object) => {
            if let Some(items) = object.get("set").and_then(Value::as_array) {
                any(found, items)
            } else if let Some(range) = object.get("range") {
                in_range(found, range)
            } else if let Some(prefix) = object.get("prefix") {
                in_prefix(found, prefix)
            } else {
                None
            }
        }
        _ => None,
    }
}

fn any(found: &[String], items: &[Value]) -> Option<bool> {
    let verdicts: Vec<Option<bool>> = items.iter().map(|item| is_among(found, item)).collect();
    if verdicts.contains(&Some(true)) {
        return Some(true);
    }
    (!verdicts.contains(&None)).then_some(false)
}

fn in_range(found: &[String], range: &Value) -> Option<bool> {
    let (low, high) = (range[0].as_u64()?, range[1].as_u64()?);
    let numbers = found.iter().filter_map(|text| text.parse::<u64>().ok());
    Some(
        numbers
            .into_iter()
            .any(|number| (low..=high).contains(&number)),
    )
}

fn in_prefix(found: &[String], prefix: &Value) -> Option<bool> {
    let network: IpAddr = prefix["addr"].as_str()?.parse().ok()?;
    let length = u32::try_from(prefix["len"].as_u64()?).ok()?;
    let bits = |address: IpAddr| match address {
        IpAddr::V4(v4) => u128::from(u32::from(v4)) << 96,
        IpAddr::V6(v6) => v6.into(),
    };
    let shift = 128u32.checked_sub(length)?;
    let cut = |address| bits(address).checked_shr(shift).unwrap_or(0);
    let mut addresses = found.iter().filter_map(|text| text.parse().ok());
    Some(addresses.any(|address: IpAddr| {
        address.is_ipv4() == network.is_ipv4() && cut(address) == cut(network)
    }))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn packets_of(listens: bool) -> PathPackets {
        PathPackets {
            interface: "hot".to_owned(),
            own: "192.168.180.2".parse().unwrap(),
            peer: "192.168.180.3".parse().unwrap(),
            port: 3780,
            listens,
            is_forgotten: false,
        }
    }

    fn input(policy: &str) -> Value {
        json!({"chain": {"family": "inet", "table": "filter", "name": "input", "handle": 1,
            "type": "filter", "hook": "input", "prio": 0, "policy": policy}})
    }

    fn rule_in(chain: &str, expr: Value) -> Value {
        json!({"rule": {"family": "inet", "table": "filter", "chain": chain, "expr": expr}})
    }

    fn meta(key: &str, right: Value) -> Value {
        json!({"match": {"op": "==", "left": {"meta": {"key": key}}, "right": right}})
    }

    fn payload(protocol: &str, field: &str, right: Value) -> Value {
        json!({"match": {"op": "==",
            "left": {"payload": {"protocol": protocol, "field": field}}, "right": right}})
    }

    fn state(right: Value) -> Value {
        json!({"match": {"op": "in", "left": {"ct": {"key": "state"}}, "right": right}})
    }

    fn keeps(policy: &str, rules: &[Value], listens: bool) -> bool {
        let mut objects = vec![input(policy)];
        objects.extend_from_slice(rules);
        blocking_chain(&json!({ "nftables": objects }), &packets_of(listens)).is_some()
    }

    #[test]
    fn a_dropping_policy_keeps_the_link_out_unless_a_rule_accepts_it() {
        let accept = json!({"accept": null});
        assert!(keeps("drop", &[], true));
        assert!(!keeps("accept", &[], true));
        for matches in [
            vec![payload("tcp", "dport", json!(3780))],
            vec![payload("tcp", "dport", json!({"set": [22, 3780]}))],
            vec![payload("tcp", "dport", json!({"range": [3000, 4000]}))],
            vec![meta("iifname", json!("hot"))],
            vec![meta("iifname", json!("ho*"))],
            vec![payload(
                "ip",
                "saddr",
                json!({"prefix": {"addr": "192.168.0.0", "len": 16}}),
            )],
            vec![
                meta("l4proto", json!({"set": ["tcp", "udp"]})),
                payload("th", "dport", json!(3780)),
            ],
        ] {
            let mut expr = matches;
            expr.push(accept.clone());
            let rules = [rule_in("input", json!(expr))];
            assert!(!keeps("drop", &rules, true), "{rules:?}");
        }
        for matched in [
            payload("tcp", "dport", json!(22)),
            payload("udp", "dport", json!(3780)),
            meta("iifname", json!("lan")),
            payload("ip", "saddr", json!("10.0.0.1")),
            payload("ip6", "saddr", json!("fe80::1")),
            state(json!(["established", "related"])),
        ] {
            let rules = [rule_in("input", json!([matched, accept]))];
            assert!(keeps("drop", &rules, true), "{rules:?}");
        }
    }

    #[test]
    fn a_rule_that_drops_what_is_invalid_above_the_link_s_is_an_interruption() {
        let invalid = rule_in("input", json!([state(json!("invalid")), {"drop": null}]));
        let established = state(json!(["established", "related"]));
        let established = rule_in("input", json!([established, {"accept": null}]));
        let port = payload("tcp", "dport", json!(3780));
        let ours = rule_in("input", json!([port, {"accept": null}]));
        let interrupts = |rules: &[&Value], listens| {
            let mut objects = vec![input("drop")];
            objects.extend(rules.iter().map(|rule| (*rule).clone()));
            chain_blocking_untracked(&json!({ "nftables": objects }), &packets_of(listens))
        };
        let chain = Some("inet filter input".to_owned());
        assert_eq!(interrupts(&[&invalid, &established, &ours], true), chain);
        assert_eq!(interrupts(&[&established, &invalid, &ours], false), chain);
        assert_eq!(interrupts(&[&ours, &established, &invalid], true), None);
        assert_eq!(interrupts(&[&established, &ours], true), None);
    }

    #[test]
    fn adverts_pass_by_protocol_interface_or_peer_and_where_a_rule_cannot_be_judged() {
        let advert = |is_own| Advert {
            interface: "lan".to_owned(),
            is_ipv4: true,
            peer: "192.0.2.3".parse().ok(),
            is_own,
        };
        let accept = json!({"accept": null});
        let passes = |hook: &str, matched: &Value| {
            let mut chain = input("drop");
            chain["chain"]["hook"] = json!(hook);
            let rule = rule_in("input", json!([matched, accept]));
            let ruleset = json!({"nftables": [chain, rule]});
            !drops(&ruleset, &chain["chain"], &advert(hook == "output"))
        };
        for (hook, interface, of_peer) in [
            ("input", "iifname", "saddr"),
            ("output", "oifname", "daddr"),
        ] {
            let network = json!({"prefix": {"addr": "192.0.2.0", "len": 24}});
            for matched in [
                meta("l4proto", json!("vrrp")),
                payload("ip", "protocol", json!(112)),
                meta(interface, json!("lan")),
                payload("ip", of_peer, network),
                meta("mark", json!(7)),
                payload("ip", of_peer, json!("@routers")),
            ] {
                assert!(passes(hook, &matched), "{hook}: {matched}");
            }
            for matched in [
                meta("l4proto", json!("tcp")),
                meta(interface, json!("lo")),
                payload("ip", of_peer, json!("192.0.2.9")),
                payload("tcp", "dport", json!(22)),
                payload("ip6", of_peer, json!("fe80::1")),
                state(json!(["established", "related"])),
            ] {
                assert!(!passes(hook, &matched), "{hook}: {matched}");
            }
        }
    }

    #[test]
    fn answers_pass_where_established_connections_do() {
        let established = state(json!(["established", "related"]));
        let rules = [rule_in("input", json!([established, {"accept": null}]))];
        assert!(!keeps("drop", &rules, false));
    }

    #[test]
    fn rules_are_judged_in_their_order_and_where_they_jump() {
        let tcp = payload("tcp", "dport", json!(3780));
        let accept = rule_in("input", json!([tcp, {"accept": null}]));
        let drop = rule_in(
            "input",
            json!([{"counter": {"packets": 0}}, {"drop": null}]),
        );
        assert!(keeps("accept", &[drop.clone(), accept.clone()], true));
        assert!(!keeps("accept", &[accept, drop], true));
        let jump = rule_in("input", json!([{"jump": {"target": "ours"}}]));
        let there = rule_in("ours", json!([tcp, {"accept": null}]));
        assert!(!keeps("drop", &[jump.clone(), there], true));
        assert!(keeps("drop", &[jump], true));
    }

    /// Builds so many ways that nobody could walk them all; the last chain decides.
    #[test]
    fn a_chain_is_walked_once_however_many_rules_jump_to_it() {
        let name = |level: usize| match level {
            0 => "input".to_owned(),
            level => level.to_string(),
        };
        let jump = |level: usize| {
            let expr = json!([{"jump": {"target": name(level + 1)}}]);
            rule_in(&name(level), expr)
        };
        let mut rules: Vec<Value> = (0..15).flat_map(|level| vec![jump(level); 8]).collect();
        assert!(!keeps("accept", &rules, true));
        rules.push(rule_in("15", json!([{"drop": null}])));
        assert!(keeps("accept", &rules, true));
    }

    #[test]
    fn a_chain_that_comes_back_to_itself_is_no_alarm() {
        let jump = rule_in("input", json!([{"jump": {"target": "input"}}]));
        assert!(!keeps("drop", &[jump.clone(), jump], true));
    }

    #[test]
    fn what_cannot_be_judged_is_no_alarm() {
        let set = payload("ip", "saddr", json!("@trusted"));
        let accept = rule_in("input", json!([set, {"accept": null}]));
        assert!(!keeps("drop", &[accept], true));
        let set = payload("ip", "saddr", json!("@banned"));
        let drop = rule_in("input", json!([set, {"drop": null}]));
        assert!(!keeps("accept", &[drop], true));
        let endless = rule_in("input", json!([{"jump": {"target": "input"}}]));
        assert!(!keeps("accept", &[endless], true));
    }
}
