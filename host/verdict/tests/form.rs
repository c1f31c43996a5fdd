//! The JSON of a node's facts, which nodes of different versions exchange, keeps its form: names and order of all keys.

use std::fs;

use spared_verdict::{GroupFacts, NodeFacts};

const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/node_facts.json");

/// Facts in which each key has a value that is sent.
const FACTS: &str = r#"{
    "node": "r1", "quality": 90, "missing": ["a"], "failing": ["b"],
    "groups": [{
        "name": "office", "since": "now", "cause": {"text": "c"}, "changes": {"began": 3, "left": 2},
        "is_unelected": true, "forced_since": "then",
        "quality": 80, "fence": "passing", "missing": [{"address": "192.0.2.1/24"}],
        "foreign": [{"address": "192.0.2.1/32"}], "missing_routes": [{"route": "0.0.0.0/0"}], "is_cut_off": true,
        "bare": [{"interface": "lan", "virtuals": [{"group": "office"}]}], "duplicates": [{"by": "02:00"}],
        "failover_waits": "it waits", "deaf_links": ["hot0"], "other_active": {"name": "r3"}, "conflict": "192.0.2.9",
        "unheard": {"lan": "good"}, "adverts_alone": {"wan": "r2"}, "lost": [{"what": "adverts"}], "unproven": "lan",
        "strangers": [{"why": "d"}], "signers": [{"why": "e"}], "differing": [{"why": "k"}], "muted": [{"why": "f"}], "refused": [{"why": "g"}]
    }],
    "plugins": [{"name": "sets"}], "checks": [{"name": "lan", "state": 50}],
    "interfaces": [{"name": "lan", "lack": "up", "since": "now"}], "links": [{"interface": "hot0", "mtu": 9000}],
    "maintenance": {"by": "root"}, "frozen_until": "later", "unarmed": true,
    "unconfirmed_until": "soon", "fence_gone": "flushed",
    "elector_silent": {"plugin": "vrrp"}, "starter_silent": true, "link_filtered": "a rule", "firewall_down": "ended",
    "outdated": ["spared"],
    "key_faults": ["h"], "next_key_faults": ["i"], "not_in_force": ["fence"], "unused_files": {"files": ["spared.toml"]},
    "not_forwarding": ["net.ipv4.ip_forward"],
    "own_translations": [{"chain": "nat", "handle": 7, "rule": "snat", "address": "192.0.2.1"}],
    "needs": {"no_descriptor": "j", "unanswered": [{"interface": "lan", "value": -1}]}, "weak_passphrase": true,
    "unwritten": "no space left", "first_found": [{"id": "SP-0101"}]
}"#;

fn json(facts: &NodeFacts) -> String {
    serde_json::to_string(facts).expect("plain data")
}

#[test]
fn facts_keep_their_form_byte_by_byte() {
    let facts: NodeFacts = serde_json::from_str(FACTS).expect("facts");
    let text = [&facts, &NodeFacts::default()].map(json).join("\n") + "\n";
    if std::env::var_os("BLESS").is_some() {
        fs::write(GOLDEN, &text).expect("the golden file");
    }
    assert_eq!(text, fs::read_to_string(GOLDEN).expect("the golden file"));
    let again: NodeFacts = serde_json::from_str(&json(&facts)).expect("facts");
    assert_eq!(again, facts);
}

#[test]
fn facts_of_other_versions_may_lack_any_key_and_have_more() {
    let facts: serde_json::Value = serde_json::from_str(FACTS).expect("facts");
    let serde_json::Value::Object(keys) = &facts else {
        panic!("{facts}");
    };
    assert_eq!(keys.len(), 29);
    for key in keys.keys() {
        let mut other = keys.clone();
        other.remove(key);
        other.insert("of_the_next_version".to_owned(), true.into());
        let known: NodeFacts = serde_json::from_value(other.into()).expect(key);
        assert_ne!(json(&known), json(&NodeFacts::default()));
    }
    let group = facts["groups"][0].as_object().expect("a group");
    assert_eq!(group.len(), 27);
    for key in group.keys() {
        let mut other = group.clone();
        other.remove(key);
        other.insert("of_the_next_version".to_owned(), true.into());
        let known: GroupFacts = serde_json::from_value(other.into()).expect(key);
        assert_ne!(known, GroupFacts::default());
    }
}
