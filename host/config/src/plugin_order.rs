//! Order of plugins by their key `after`.

use std::collections::BTreeMap;

use super::{Fault, Plugin};

/// Adds a fault to each plugin whose `after` leads back to itself.
pub fn refuse_cycles(plugins: &mut [Plugin]) {
    let after: BTreeMap<String, Vec<String>> = plugins
        .iter()
        .map(|plugin| (plugin.name.clone(), plugin.after.clone()))
        .collect();
    for plugin in plugins {
        if plugin.after.contains(&plugin.name) {
            continue; // already reported
        }
        if let Some(circle) = circle_from(&plugin.name, &after) {
            let file = format!("{}.toml", plugin.name);
            let why = format!("waits for itself: {}", circle.join(" after "));
            plugin
                .faults
                .push(Fault::of_key(&file, &plugin.text, "after", why));
        }
    }
}

/// Names of plugins, each after those in its `after`. Names in a cycle come last.
pub fn by_order<'n>(plugins: &[(&'n str, &[String])]) -> Vec<&'n str> {
    let mut left: Vec<_> = plugins.to_vec();
    let mut ordered = Vec::with_capacity(left.len());
    while !left.is_empty() {
        let waits = |after: &[String]| left.iter().any(|(name, _)| after.iter().any(|a| a == name));
        let next = left
            .iter()
            .position(|(_, after)| !waits(after))
            .unwrap_or(0);
        ordered.push(left.remove(next).0);
    }
    ordered
}

fn circle_from(name: &str, after: &BTreeMap<String, Vec<String>>) -> Option<Vec<String>> {
    let mut paths = vec![vec![name.to_owned()]];
    let mut seen = Vec::new();
    while let Some(path) = paths.pop() {
        let last = path.last()?;
        for next in after.get(last).into_iter().flatten() {
            let mut longer = path.clone();
            longer.push(next.clone());
            if next == name {
                return Some(longer);
            }
            if !seen.contains(next) {
                seen.push(next.clone());
                paths.push(longer);
            }
        }
    }
    None
}
