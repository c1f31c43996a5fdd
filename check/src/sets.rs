//! Finds nftables sets that are configured for replication but are of a kind that cannot be replicated.

use serde_json::Value;
use spared_firewall::listing::{place, text};

use super::ruleset::list;
use super::wanted::Set;
use super::{Finding, Severity, Wanted};

pub fn examine(wanted: &Wanted) -> Vec<Finding> {
    list().map_or_else(Vec::new, |ruleset| judge(&ruleset, &wanted.sets))
}

fn judge(ruleset: &Value, wanted: &[Set]) -> Vec<Finding> {
    let objects = ruleset["nftables"].as_array().into_iter().flatten();
    let sets = objects.filter_map(|object| object.get("set").or_else(|| object.get("map")));
    sets.filter(|set| wanted.iter().any(|wanted| is_it(set, wanted)))
        .filter_map(finding)
        .collect()
}

fn is_it(set: &Value, wanted: &Set) -> bool {
    let Set {
        family,
        table,
        name,
    } = wanted;
    let named = [("family", family), ("table", table), ("name", name)];
    named.iter().all(|(key, wanted)| text(set, key) == *wanted)
}

fn finding(set: &Value) -> Option<Finding> {
    // kinds of values of a map: "verdict", a kind of object, or the type of its data
    const OBJECTS: [&str; 8] = [
        "counter",
        "quota",
        "ct helper",
        "ct timeout",
        "ct expectation",
        "limit",
        "secmark",
        "synproxy",
    ];
    let flags = set["flags"].as_array();
    let is_constant = flags.is_some_and(|flags| flags.iter().any(|flag| flag == "constant"));
    let has = |words: &[&str]| names(&set["type"], words) || names(&set["map"], words);
    let has_indices = has(&["iface_index", "iif", "oif", "sdif"]);
    let what = match text(set, "map") {
        "verdict" => "is a verdict map",
        object if OBJECTS.contains(&object) => "is a map to objects",
        _ if is_constant => "is constant",
        _ if has_indices => "has interface indices, which differ between the nodes,",
        _ if has(&["cgroupsv2", "cgroupv2"]) => {
            "has ids of cgroups, which differ between the nodes,"
        }
        _ => return None,
    };
    let sentence = format!(
        "{} {what} and cannot be replicated: no node becomes ready with it",
        place(set)
    );
    let finding = Finding::new("set-cannot-follow", Severity::Error, sentence);
    let name = text(set, "name");
    let remove = format!("remove the table of \"{name}\" from the plugin's file");
    Some(finding.fix(if has_indices {
        format!("use names (ifname, as iifname), or {remove}")
    } else {
        remove
    }))
}

// Returns true if a type contains one of the words. nft prints "mark . iface_index", ["mark", "iface_index"] or, in
// newer versions, {"typeof": {"meta": {"key": "iif"}}}. The flags of a fib expression are not part of its type.
fn names(kind: &Value, words: &[&str]) -> bool {
    match kind {
        Value::String(text) => text.split(' ').any(|word| words.contains(&word)),
        Value::Array(parts) => parts.iter().any(|part| names(part, words)),
        Value::Object(members) => {
            let mut parts = members.iter().filter(|(key, _)| *key != "flags");
            parts.any(|(_, part)| names(part, words))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn set(name: &str) -> Set {
        Set {
            family: "inet".to_owned(),
            table: "filter".to_owned(),
            name: name.to_owned(),
        }
    }

    fn place(name: &str, more: Value) -> Value {
        let mut place = json!({"family": "inet", "table": "filter", "name": name});
        let more = more.as_object().into_iter().flatten();
        for (key, value) in more {
            place[key] = value.clone();
        }
        place
    }

    #[test]
    fn verdict_maps_maps_to_objects_and_constant_sets_are_named() {
        let ruleset = json!({"nftables": [
            {"map": place("doors", json!({"type": "ipv4_addr", "map": "verdict"}))},
            {"map": place("counts", json!({"type": "ipv4_addr", "map": "counter"}))},
            {"map": place("ports", json!({"type": "ipv4_addr", "map": "inet_service"}))},
            {"set": place("fixed", json!({"type": "ipv4_addr", "flags": ["constant", "interval"]}))},
            {"set": place("bans", json!({"type": "ipv4_addr", "flags": ["timeout"]}))},
        ]});
        let all = ["doors", "counts", "ports", "fixed", "bans"].map(set);
        let found = judge(&ruleset, &all);
        let sentences: Vec<&str> = found.iter().map(|it| it.sentence.as_str()).collect();
        let named = [
            ("doors", "a verdict map"),
            ("counts", "a map to objects"),
            ("fixed", "constant"),
        ];
        assert_eq!(sentences.len(), named.len(), "{sentences:?}");
        for (sentence, (name, what)) in sentences.iter().zip(named) {
            let begin = format!("inet filter {name} is {what} and cannot be replicated");
            assert!(sentence.starts_with(&begin), "{sentence}");
        }
        assert_eq!(judge(&ruleset, &[set("door")]), []);
    }

    #[test]
    fn sets_of_what_each_node_numbers_by_itself_are_named() {
        let found = |more: Value| {
            let ruleset = json!({"nftables": [{"set": place("ports", more)}]});
            let found = judge(&ruleset, &[set("ports")]);
            found.first().map(|it| it.sentence.clone())
        };
        let iif = json!({"meta": {"key": "iif"}});
        let fib = |result: &str| json!({"fib": {"result": result, "flags": ["saddr", "iif"]}});
        let saddr = json!({"payload": {"protocol": "ip", "field": "saddr"}});
        for kind in [
            json!({"type": "iface_index"}),
            json!({"type": ["ipv4_addr", "iface_index"]}),
            json!({"type": "ipv4_addr", "map": "mark . iface_index"}),
            json!({"type": {"typeof": {"concat": [saddr, iif]}}}),
            json!({"type": {"typeof": fib("oif")}}),
        ] {
            let sentence = found(kind.clone()).unwrap_or_default();
            let wanted = "inet filter ports has interface indices";
            assert!(sentence.starts_with(wanted), "{kind}: {sentence}");
        }
        let sentence = found(json!({"type": "cgroupsv2"})).unwrap_or_default();
        assert!(sentence.contains("has ids of cgroups"), "{sentence}");
        for kind in [
            json!({"type": "ifname", "map": "devgroup"}),
            json!({"type": {"typeof": {"meta": {"key": "iifname"}}}}),
            json!({"type": {"typeof": fib("oifname")}}),
        ] {
            assert_eq!(found(kind), None);
        }
    }
}
