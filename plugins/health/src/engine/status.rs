//! Rows of `sparectl health`.

use spared_sdk::Value;

use super::Engine;
use super::damped_state::DampedState;
use super::item::Item;
use crate::config::Weight;

impl Engine {
    /// Rows of every check, in the order of the file's kinds.
    pub fn rows(&self, now_ns: u64) -> Vec<(String, Value)> {
        let mut rows = Vec::new();
        for item in &self.items {
            if item.states.is_empty() {
                let why = match item.unknown_group_reason() {
                    Some(why) => why,
                    None if !item.is_paused => "no result yet, or nothing to check".to_owned(),
                    None => paused(item).to_owned(),
                };
                let name = &item.check.name;
                rows.push((format!("{name}.why"), Value::Text(why)));
            }
            for (name, state) in &item.states {
                add(&mut rows, now_ns, item, name, state);
            }
        }
        rows
    }
}

fn add(rows: &mut Vec<(String, Value)>, now_ns: u64, item: &Item, name: &str, state: &DampedState) {
    let mut put = |key: &str, value| rows.push((format!("{name}.{key}"), value));
    match state.state() {
        Some(level) => {
            put("state", Value::Number(level.into()));
            put("why", Value::Text(state.why().to_owned()));
            let age_s = now_ns.saturating_sub(state.changed_ns) / 1_000_000_000;
            put("changed_s_ago", Value::Number(age_s));
        }
        None => put("state", Value::Text("unknown".to_owned())),
    }
    if let Some((count, better, why)) = state.pending() {
        let word = if better { "better" } else { "worse" };
        put(
            "pending",
            Value::Text(format!("{count} times {word}: {why}")),
        );
    }
    if item.is_paused {
        put("paused", Value::Text(paused(item).to_owned()));
    }
    match item.check.weight {
        Weight::Share(weight) => put("weight", Value::Number(weight.into())),
        Weight::Points(points) => put("points", Value::Number(points.into())),
    }
    put("runs", Value::Counter(state.runs));
    put("failures", Value::Counter(state.failures));
}

fn paused(item: &Item) -> &'static str {
    if item.forget_ns.is_some() {
        "runs only while active; the last value is kept for 5 minutes"
    } else {
        "runs only while active"
    }
}
