//! The JSON of `sparectl status`, which programs of users read, keeps its form: names and order of all keys.

use std::fs;

use spared_message::control::{PluginStatus, Status};

const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/status.json");

/// Status in which each key has a value.
const STATUS: &str = r#"{
    "at": "now", "node": "r1", "config": "01234567", "version": "1.0", "booted": "then", "started": "later",
    "groups": [{"name": "office", "lease_ms": 1.5}], "interfaces": [{"name": "lan"}],
    "plugins": [{
        "name": "sets", "version": "1.1", "summary": "a", "state": "running", "why": "b", "pid": 7, "restarts": 1,
        "slow_calls": 2, "pauses": 3, "memory_mib": 4, "memory_max_mib": 5, "control_group": "c", "system_calls": ["basic"],
        "capabilities": ["net_admin"], "rights": ["d"], "scheduling": "normal", "verbs": []
    }],
    "quality": 90, "checks": [{"name": "lan"}], "missing": ["e"], "maintenance": {"by": "root"}, "frozen_until": "soon",
    "unarmed": true, "unconfirmed_until": "later",
    "links": [{"interface": "hot0"}], "peer": {"node": "r2", "status": {"node": "r2"}}, "rows": {"sets": {"sets": 3}}
}"#;

fn json(status: &Status) -> String {
    serde_json::to_string(status).expect("plain data")
}

#[test]
fn a_status_keeps_its_form_byte_by_byte() {
    let status: Status = serde_json::from_str(STATUS).expect("a status");
    let text = [&status, &Status::default()].map(json).join("\n") + "\n";
    if std::env::var_os("BLESS").is_some() {
        fs::write(GOLDEN, &text).expect("the golden file");
    }
    assert_eq!(text, fs::read_to_string(GOLDEN).expect("the golden file"));
    let again: Status = serde_json::from_str(&json(&status)).expect("a status");
    assert_eq!(again, status);
}

#[test]
fn a_status_of_another_version_may_lack_any_key_and_have_more() {
    let status: serde_json::Value = serde_json::from_str(STATUS).expect("a status");
    let keys = status.as_object().expect("an object");
    for key in keys.keys() {
        let mut other = keys.clone();
        other.remove(key);
        other.insert("of_the_next_version".to_owned(), true.into());
        let known: Status = serde_json::from_value(other.into()).expect(key);
        assert_ne!(known, Status::default());
    }
    let plugin = status["plugins"][0].as_object().expect("a plugin");
    for key in plugin.keys() {
        let mut other = plugin.clone();
        other.remove(key);
        other.insert("of_the_next_version".to_owned(), true.into());
        let known: PluginStatus = serde_json::from_value(other.into()).expect(key);
        assert_ne!(known, PluginStatus::default());
    }
}
