//! Decides whether a ruleset, as `nft -j` prints it, accepts the packets of the link.
//!
//! What cannot be judged (sets, marks, limits) counts as passing: a false alarm about a firewall is
//! worse than a missed one, and a link that is down is reported anyway.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde_json::Value;

/// The packets of one path, as this node receives them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Way {
    pub interface: String,
    pub own: IpAddr,
    pub peer: IpAddr,
    pub port: u16,
    /// Whether the peer connects; else answers to this node's connection arrive.
    pub listens: bool,
    /// Connection tracking has forgotten the connection.
    pub is_forgotten: bool,
}

/// Greatest depth of chains that is followed, the same as in nft.
const DEPTH_MAX: usize = 16;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Accepted,
    Dropped,
    /// The end of the chain, undecided.
    Through,
}

/// The first chain that drops the packets of the link, as "family table chain".
pub fn obstacle(ruleset: &Value, way: &Way) -> Option<String> {
    let keeps = |end: End, chain: &Value| match end {
        End::Accepted => false,
        End::Dropped => true,
        End::Through => chain["policy"] == "drop",
    };
    first(ruleset, way, keeps)
}

/// The first chain with a rule that drops the packets of the link once connection tracking has
/// forgotten the connection, as after `conntrack -F` if it does not pick up connections midway.
pub fn interruption(ruleset: &Value, way: &Way) -> Option<String> {
    let forgotten = Way {
        is_forgotten: true,
        ..way.clone()
    };
    first(ruleset, &forgotten, |end, _| end == End::Dropped)
}

fn first(ruleset: &Value, way: &Way, keeps: impl Fn(End, &Value) -> bool) -> Option<String> {
    let objects = ruleset["nftables"].as_array()?;
    let family = if way.own.is_ipv4() { "ip" } else { "ip6" };
    let chains = objects.iter().filter_map(|object| object.get("chain"));
    let mut inputs = chains.filter(|chain| {
        let of_family = chain["family"] == "inet" || chain["family"] == family;
        of_family && chain["type"] == "filter" && chain["hook"] == "input"
    });
    let chain = inputs.find(|chain| {
        let name = chain["name"].as_str().unwrap_or_default();
        keeps(Walk::new(objects, chain, way).chain(name, 0), chain)
    })?;
    let text = |key: &str| chain[key].as_str().unwrap_or_default();
    Some(format!(
        "{} {} {}",
        text("family"),
        text("table"),
        text("name")
    ))
}

/// A packet's way through the chains of a table.
struct Walk<'r> {
    way: &'r Way,
    /// Rules by chain.
    rules: BTreeMap<&'r str, Vec<&'r Value>>,
    /// Results of the chains that were walked: each is walked once, however many rules jump to it.
    ends: BTreeMap<&'r str, End>,
}

impl<'r> Walk<'r> {
    /// Begins in the table of the chain `base`.
    fn new(objects: &'r [Value], base: &Value, way: &'r Way) -> Self {
        let mut by_chain: BTreeMap<&str, Vec<&Value>> = BTreeMap::new();
        for rule in objects.iter().filter_map(|object| object.get("rule")) {
            let of_table = rule["family"] == base["family"] && rule["table"] == base["table"];
            if let Some(chain) = rule["chain"].as_str().filter(|_| of_table) {
                by_chain.entry(chain).or_default().push(rule);
            }
        }
        Self {
            way,
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
        // a chain that jumps back to itself, which nft refuses, counts as passing
        self.ends.insert(name, End::Accepted);
        let rules = self.rules.remove(name).unwrap_or_default();
        let mut ends = rules.iter().filter_map(|rule| self.judge(rule, depth));
        let end = ends.next().unwrap_or(End::Through);
        self.ends.insert(name, end);
        end
    }

    // None to continue with the next rule.
    fn judge(&mut self, rule: &'r Value, depth: usize) -> Option<End> {
        let mut certain = true;
        for statement in rule["expr"].as_array()? {
            if let Some(matched) = statement.get("match") {
                match holds(matched, self.way) {
                    Some(true) => {}
                    Some(false) => return None,
                    None => certain = false,
                }
                continue;
            }
            let target = statement.get("jump").or_else(|| statement.get("goto"));
            let end = if let Some(target) = target.and_then(|jump| jump["target"].as_str()) {
                let returns = statement.get("jump").is_some();
                match self.chain(target, depth + 1) {
                    End::Through if returns || !certain => return None,
                    end => end,
                }
            } else if statement.get("accept").is_some() {
                End::Accepted
            } else if statement.get("drop").is_some() || statement.get("reject").is_some() {
                End::Dropped
            } else if statement.get("return").is_some() {
                End::Through
            } else if is_harmless(statement) {
                continue;
            } else {
                // A verdict map, a limit, or an unknown statement.
                certain = false;
                if statement.get("vmap").is_some() {
                    return Some(End::Accepted);
                }
                continue;
            };
            return match (end, certain) {
                // A possible accept counts as accepted, a possible drop does not count.
                (End::Dropped | End::Through, false) => None,
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

/// Whether a match is true for the packets of the link; None if unknown.
fn holds(matched: &Value, way: &Way) -> Option<bool> {
    let (left, right) = (&matched["left"], &matched["right"]);
    let equal = match matched["op"].as_str()? {
        "==" | "in" => true,
        "!=" => false,
        _ => return None,
    };
    let found = fact(left, way)?;
    let among = is_among(&found, right)?;
    Some(among == equal)
}

/// Value that a match sees in a packet of the link; several if any of them is possible.
fn fact(left: &Value, way: &Way) -> Option<Vec<String>> {
    let one = |text: &str| Some(vec![text.to_owned()]);
    if let Some(meta) = left.get("meta") {
        return match meta["key"].as_str()? {
            "iifname" | "iif" => one(&way.interface),
            "l4proto" => Some(vec!["tcp".to_owned(), "6".to_owned()]),
            "nfproto" => one(if way.own.is_ipv4() { "ipv4" } else { "ipv6" }),
            "protocol" => one(if way.own.is_ipv4() { "ip" } else { "ip6" }),
            "pkttype" => one("host"),
            _ => None,
        };
    }
    if left["ct"]["key"] == "state" {
        return one(match way.listens {
            _ if way.is_forgotten => "invalid",
            true => "new",
            false => "established",
        });
    }
    let payload = left.get("payload")?;
    let family = if way.own.is_ipv4() { "ip" } else { "ip6" };
    match (payload["protocol"].as_str()?, payload["field"].as_str()?) {
        ("tcp" | "th", "dport") if way.listens => one(&way.port.to_string()),
        ("tcp" | "th", "sport") if !way.listens => one(&way.port.to_string()),
        // An ephemeral port, which no rule names.
        ("tcp" | "th", "dport" | "sport") => one("ephemeral"),
        ("udp" | "icmp" | "icmpv6" | "sctp" | "esp" | "ah" | "vrrp", _) => Some(Vec::new()),
        (protocol, "saddr") if protocol == family => one(&way.peer.to_string()),
        (protocol, "daddr") if protocol == family => one(&way.own.to_string()),
        (protocol, "protocol" | "nexthdr") if protocol == family => {
            Some(vec!["tcp".to_owned(), "6".to_owned()])
        }
        ("ip" | "ip6", _) if payload["protocol"] != family => Some(Vec::new()),
        _ => None,
    }
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

    fn way(listens: bool) -> Way {
        Way {
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
        obstacle(&json!({ "nftables": objects }), &way(listens)).is_some()
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
            interruption(&json!({ "nftables": objects }), &way(listens))
        };
        let chain = Some("inet filter input".to_owned());
        assert_eq!(interrupts(&[&invalid, &established, &ours], true), chain);
        assert_eq!(interrupts(&[&established, &invalid, &ours], false), chain);
        assert_eq!(interrupts(&[&ours, &established, &invalid], true), None);
        assert_eq!(interrupts(&[&established, &ours], true), None);
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

    /// As many ways that nobody could walk them all; the last chain decides.
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
