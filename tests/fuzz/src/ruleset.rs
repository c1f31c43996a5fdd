//! Rulesets of an administrator as `nft` prints them: whatever they are, the host finds within a moment whether the
//! link passes, with no more than one obstacle for each path.

use std::cell::OnceCell;

use serde_json::{Value, json};
use spared_config::Link;
use spared_firewall::{interruptions, obstacles, ruleset_of};

use crate::node;

thread_local! {
    static LINK: OnceCell<Link> = const { OnceCell::new() };
}

pub fn run(printed: &[u8]) {
    let Ok(ruleset) = ruleset_of(printed) else {
        return;
    };
    LINK.with(|link| {
        let link = link.get_or_init(|| node::link(&node::folder("ruleset")));
        // who listens and who does not
        for node in ["r1", "r3"] {
            let passage = link.passage(node);
            let found = obstacles(&ruleset, &passage);
            assert!(found.len() <= link.paths.len());
            interruptions(&ruleset, &passage);
        }
    });
}

/// A router's ruleset as nft prints it: chains that jump, sets, ranges, and all that a rule may ask.
pub fn seeds() -> Vec<Vec<u8>> {
    let rules = [
        json!([state("in", json!(["established", "related"])), {"accept": null}]),
        json!([state("==", json!("invalid")), {"drop": null}]),
        json!([meta("iifname", json!("hot")), {"jump": {"target": "links"}}]),
        json!([meta("iifname", json!({"set": ["lo", "lan1"]})), {"accept": null}]),
        json!([field("ip", "saddr", json!({"prefix": {"addr": "192.0.2.0", "len": 24}})), {"accept": null}]),
        json!([field("tcp", "dport", json!({"range": [3000, 4000]})), {"counter": {"packets": 1}}, {"accept": null}]),
        json!([field("th", "dport", json!({"set": [22, 3780, {"range": [1, 2]}]})), {"goto": {"target": "links"}}]),
        json!([field("ip6", "saddr", json!("@friends")), {"return": null}]),
        json!([{"vmap": {"key": {"meta": {"key": "iifname"}}, "data": {"set": [["hot", {"drop": null}]]}}}]),
        json!([{"limit": {"rate": 5, "per": "second"}}, {"log": {"prefix": "x"}}, {"reject": {"type": "tcp reset"}}]),
        json!([{"xt": {"type": "match", "name": "comment"}}, {"drop": null}]),
    ];
    let mut seeds: Vec<Vec<u8>> = rules
        .iter()
        .map(|rule| ruleset(std::slice::from_ref(rule)))
        .collect();
    seeds.push(ruleset(&rules));
    seeds.push([ruleset(&rules[..3]), b"\n".to_vec(), ruleset(&rules[3..6])].concat());
    seeds.push(jumps());
    seeds
}

fn state(op: &str, right: Value) -> Value {
    json!({"match": {"op": op, "left": {"ct": {"key": "state"}}, "right": right}})
}

fn meta(key: &str, right: Value) -> Value {
    json!({"match": {"op": "==", "left": {"meta": {"key": key}}, "right": right}})
}

fn field(protocol: &str, field: &str, right: Value) -> Value {
    let left = json!({"payload": {"protocol": protocol, "field": field}});
    json!({"match": {"op": "==", "left": left, "right": right}})
}

fn ruleset(rules: &[Value]) -> Vec<u8> {
    let mut objects = vec![
        json!({"metainfo": {"json_schema_version": 1}}),
        json!({"table": {"family": "inet", "name": "filter", "handle": 1}}),
        json!({"chain": {"family": "inet", "table": "filter", "name": "input", "handle": 2,
            "type": "filter", "hook": "input", "prio": 0, "policy": "drop"}}),
        json!({"chain": {"family": "inet", "table": "filter", "name": "links", "handle": 3}}),
    ];
    let rule = |chain: &str, expressions: &Value| json!({"rule": {"family": "inet", "table": "filter", "chain": chain, "handle": 4, "expr": expressions}});
    objects.extend(rules.iter().map(|expressions| rule("input", expressions)));
    objects.push(rule("links", &json!([{"accept": null}])));
    json!({ "nftables": objects }).to_string().into_bytes()
}

/// Every chain jumps to the next one twice: so many ways that nobody may walk them all.
fn jumps() -> Vec<u8> {
    let mut objects = vec![json!({"chain": {"family": "ip", "table": "t", "name": "0",
        "type": "filter", "hook": "input", "prio": 0, "policy": "accept"}})];
    for chain in 0..16_u32 {
        let target = (chain + 1).to_string();
        objects.push(json!({"chain": {"family": "ip", "table": "t", "name": target}}));
        let jump = json!([{"jump": {"target": target}}]);
        let rule = json!({"rule": {"family": "ip", "table": "t", "chain": chain.to_string(), "expr": jump}});
        objects.extend([rule.clone(), rule]);
    }
    json!({ "nftables": objects }).to_string().into_bytes()
}
