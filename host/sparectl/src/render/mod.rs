//! Answers as text: pure functions, no terminal and no clock.

use std::collections::BTreeMap;

use spared_control::{Event, Force, GroupWhy, PluginStatus, Value};

mod status;

pub use status::status;

pub fn why(groups: &[GroupWhy]) -> String {
    match groups {
        [] => "nothing configured: this node is never active on any address.\n".into(),
        [one] => format!("{}\n", one.sentence),
        many => many
            .iter()
            .map(|group| format!("{}: {}\n", group.group, group.sentence))
            .collect(),
    }
}

pub fn events(events: &[Event]) -> String {
    events
        .iter()
        .map(|event| format!("{}\n", event_line(event)))
        .collect()
}

fn event_line(event: &Event) -> String {
    // milliseconds, where the daemon gives them
    let at = event.at.replacen('T', " ", 1);
    let at = at.get(..23).unwrap_or(&at);
    format!("{at}  {}", event_text(event))
}

// The group stands before the text unless the text begins with it.
fn event_text(event: &Event) -> String {
    let Some(group) = &event.group else {
        return event.text.clone();
    };
    let named = event.text.strip_prefix(group.as_str());
    match named.is_some_and(|rest| rest.starts_with(':')) {
        true => event.text.clone(),
        false => format!("{group}: {}", event.text),
    }
}

pub fn plugins(plugins: &[PluginStatus]) -> String {
    if plugins.is_empty() {
        return "no plugins: put a file into /etc/spared/plugins to enable one\n".into();
    }
    let mut text = columns(&[
        "plugin",
        "version",
        "state",
        "pid",
        "restarts",
        "scheduling",
    ]);
    for plugin in plugins {
        let pid = plugin.pid.map_or("-".into(), |pid| pid.to_string());
        let restarts = plugin.restarts.to_string();
        text += &columns(&[
            &plugin.name,
            &plugin.version,
            &plugin.state,
            &pid,
            &restarts,
            &plugin.scheduling,
        ]);
        for line in [&plugin.summary, &plugin.why]
            .into_iter()
            .filter(|line| !line.is_empty())
        {
            text += &format!("    {line}\n");
        }
        if !plugin.capabilities.is_empty() {
            text += &format!("    capabilities: {}\n", plugin.capabilities.join(", "));
        }
    }
    text
}

fn columns(cells: &[&str; 6]) -> String {
    let [name, version, state, pid, restarts, scheduling] = cells;
    let line = format!("{name:<14}{version:<10}{state:<12}{pid:<8}{restarts:<10}{scheduling}");
    format!("{}\n", line.trim_end())
}

/// Rows of a plugin, values aligned.
pub fn rows(rows: &BTreeMap<String, Value>) -> String {
    let width = rows
        .keys()
        .map(|key| key.chars().count())
        .max()
        .unwrap_or(0)
        + 2;
    rows.iter()
        .map(|(key, value)| format!("{key:<width$}{}\n", plain(value)))
        .collect()
}

fn plain(value: &Value) -> String {
    match value {
        Value::Number(number) => number.to_string(),
        Value::Text(text) => text.clone(),
    }
}

/// What `force` did, and how to undo it.
pub fn forced(lines: &[String], to: Force, group: Option<&str>) -> String {
    let mut text = sentences(lines);
    if to != Force::Reset && !text.contains("Undo:") {
        let undo = format!("Undo: sparectl force reset {}", group.unwrap_or_default());
        text += &format!("{}\n", undo.trim_end());
    }
    text
}

pub fn sentences(lines: &[String]) -> String {
    lines.iter().map(|line| format!("{line}\n")).collect()
}

#[cfg(test)]
mod tests;
