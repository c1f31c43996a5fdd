//! nftables sets that are to be replicated but are of a kind that cannot.

use serde_json::Value;

use super::ruleset::{list, text};
use super::wanted::Set;
use super::{Finding, Severity, Wanted};

pub fn examine(wanted: &Wanted) -> Vec<Finding> {
    list().map_or_else(Vec::new, |ruleset| judge(&ruleset, &wanted.sets))
}

fn judge(ruleset: &Value, wanted: &[Set]) -> Vec<Finding> {
    let objects = ruleset["nftables"].as_array();
    let objects = objects.into_iter().flatten();
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
    // values of a map: "verdict", a kind of object, or the type of its data
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
    let what = match text(set, "map") {
        "verdict" => "a verdict map",
        object if OBJECTS.contains(&object) => "a map to objects",
        _ if is_constant => "constant",
        _ => return None,
    };
    let [family, table, name] = ["family", "table", "name"].map(|key| text(set, key));
    let sentence = format!(
        "{family} {table} {name} is {what} and cannot be replicated: no node becomes ready with it"
    );
    let finding = Finding::new("set-cannot-follow", Severity::Error, sentence);
    Some(finding.fix(format!(
        "remove the table of \"{name}\" from the plugin's file"
    )))
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

    #[test]
    fn verdict_maps_maps_to_objects_and_constant_sets_are_named() {
        let place = |name: &str, more: Value| {
            let mut place = json!({"family": "inet", "table": "filter", "name": name});
            let more = more.as_object().into_iter().flatten();
            for (key, value) in more {
                place[key] = value.clone();
            }
            place
        };
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
}
