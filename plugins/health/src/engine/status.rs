//! Rows of `sparectl health`.

use spared_sdk::Value;

use super::Engine;
use super::item::Item;
use super::track::Track;

impl Engine {
    /// Rows of every check, in the order of the file's kinds.
    pub fn rows(&self, now_ns: u64) -> Vec<(String, Value)> {
        let mut rows = Vec::new();
        for item in &self.items {
            if item.tracks.is_empty() {
                let why = match item.unknown_group_reason() {
                    Some(why) => why,
                    None if !item.is_paused => "no result yet, or nothing to check".to_owned(),
                    None => paused(item).to_owned(),
                };
                let name = &item.check.name;
                rows.push((format!("{name}.why"), Value::Text(why)));
            }
            for (name, track) in &item.tracks {
                add(&mut rows, now_ns, item, name, track);
            }
        }
        rows
    }
}

fn add(rows: &mut Vec<(String, Value)>, now_ns: u64, item: &Item, name: &str, track: &Track) {
    let mut put = |key: &str, value| rows.push((format!("{name}.{key}"), value));
    match track.state() {
        Some(state) => {
            put("state", Value::Number(state.into()));
            put("why", Value::Text(track.why().to_owned()));
            let age_s = now_ns.saturating_sub(track.changed_ns) / 1_000_000_000;
            put("changed_s_ago", Value::Number(age_s));
        }
        None => put("state", Value::Text("unknown".to_owned())),
    }
    if let Some((count, better, why)) = track.pending() {
        let word = if better { "better" } else { "worse" };
        put(
            "pending",
            Value::Text(format!("{count} times {word}: {why}")),
        );
    }
    if item.is_paused {
        put("paused", Value::Text(paused(item).to_owned()));
    }
    put("weight", Value::Number(item.check.weight.into()));
    put("runs", Value::Counter(track.runs));
    put("failures", Value::Counter(track.failures));
}

fn paused(item: &Item) -> &'static str {
    if item.forget_ns.is_some() {
        "runs only while active; the last value is kept for 5 minutes"
    } else {
        "runs only while active"
    }
}
