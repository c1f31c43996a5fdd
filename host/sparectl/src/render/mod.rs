//! Answers as text: pure functions, no terminal and no clock.

use std::collections::BTreeMap;

use spared_message::Natural;
use spared_message::control::{Event, Force, GroupWhy, PluginStatus, RowKind, Unit, Value};

mod history;
mod status;
pub mod wrap;

pub use history::history;
pub use status::{head, status};

pub fn why(groups: &[GroupWhy]) -> String {
    match groups {
        [] => "nothing configured: this node is never active on any address.\n".into(),
        [one] => format!("{}\n{}", one.sentence, last_changes(one)),
        many => many
            .iter()
            .map(|it| format!("{}: {}\n{}", it.group, it.sentence, last_changes(it)))
            .collect(),
    }
}

// Lines below the sentence about the present reason of the role.
fn last_changes(why: &GroupWhy) -> String {
    let changes = why.changes.iter();
    changes
        .map(|change| format!("  {}\n", history::line(change)))
        .collect()
}

pub fn events(events: &[Event]) -> String {
    events
        .iter()
        .map(|event| format!("{}\n", event_line(event)))
        .collect()
}

fn event_line(event: &Event) -> String {
    format!("{}  {}", moment(&event.at), event_text(event))
}

// Time with milliseconds, if the daemon sends them.
fn moment(at: &str) -> String {
    let at = at.replacen('T', " ", 1);
    at.get(..23).unwrap_or(&at).to_owned()
}

// Text of an event, with the group before it unless the text begins with the group.
fn event_text(event: &Event) -> String {
    let Some(group) = &event.group else {
        return event.text.clone();
    };
    let named = event.text.strip_prefix(group.as_str());
    if named.is_some_and(|rest| rest.starts_with(':')) {
        event.text.clone()
    } else {
        format!("{group}: {}", event.text)
    }
}

/// `columns`: width of the terminal.
pub fn plugins(plugins: &[PluginStatus], columns: usize) -> String {
    if plugins.is_empty() {
        return "no plugins: put a file into /etc/spared/plugins to enable one\n".into();
    }
    let title = [
        "plugin",
        "version",
        "state",
        "pid",
        "restarts",
        "scheduling",
    ];
    let mut all = vec![title.map(str::to_owned)];
    all.extend(plugins.iter().map(cells));
    let widths = widths(&all);
    let mut text = String::new();
    text += &line(&all[0], &widths);
    for (plugin, cells) in plugins.iter().zip(&all[1..]) {
        text += &line(cells, &widths);
        text += &details(plugin)
            .iter()
            .map(|it| wrap::hanging(&format!("    {it}"), 6, columns))
            .collect::<String>();
    }
    text
}

/// Lines below a plugin's row.
fn details(plugin: &PluginStatus) -> Vec<String> {
    let sentences = [&plugin.summary, &plugin.why].into_iter();
    let mut lines: Vec<String> = sentences.filter(|it| !it.is_empty()).cloned().collect();
    if plugin.slow_calls > 0 {
        lines.push(format!("calls longer than 50 ms: {}", plugin.slow_calls));
    }
    lines.extend(memory(plugin));
    if plugin.pauses > 0 {
        let pauses = plugin.pauses;
        lines.push(format!("pauses, as it sent more than its share: {pauses}"));
    }
    if !plugin.confinement.system_calls.is_empty() {
        lines.push(format!(
            "system calls: {}",
            plugin.confinement.system_calls.join(", ")
        ));
    }
    if !plugin.confinement.capabilities.is_empty() {
        let words = [&plugin.confinement.rights, &plugin.confinement.capabilities];
        let words = words.into_iter().find(|words| !words.is_empty());
        let words = words.map(|words| words.join(", ")).unwrap_or_default();
        lines.push(format!("capabilities: {words}"));
    }
    lines
}

/// Text about the memory of a running plugin and its control group.
fn memory(plugin: &PluginStatus) -> Option<String> {
    let most = plugin.confinement.memory_max_mib?;
    let (used, group) = (
        plugin.confinement.memory_mib,
        &plugin.confinement.control_group,
    );
    Some(format!(
        "memory: {used} of {most} MiB; control group: {group}"
    ))
}

/// Row of the table of plugins.
type Cells = [String; 6];

fn cells(plugin: &PluginStatus) -> Cells {
    [
        plugin.name.clone(),
        plugin.version.clone(),
        plugin.state.clone(),
        plugin.pid.map_or("-".into(), |pid| pid.to_string()),
        plugin.restarts.to_string(),
        plugin.confinement.scheduling.clone(),
    ]
}

/// Widths of the columns, each with the gap after it; the last column has no gap.
fn widths(rows: &[Cells]) -> [usize; 6] {
    let mut widths = [14, 10, 12, 8, 10, 0];
    for row in rows {
        for (widest, cell) in widths.iter_mut().zip(&row[..5]) {
            *widest = (*widest).max(wrap::width(cell) + 2);
        }
    }
    widths
}

fn line(cells: &Cells, widths: &[usize; 6]) -> String {
    let cells = cells.iter().zip(widths);
    let line: String = cells
        .map(|(cell, width)| format!("{cell:<width$}"))
        .collect();
    format!("{}\n", line.trim_end())
}

const MISSING: &str = "rows are missing: an answer has 64 KiB at most\n";

/// Text of a plugin's rows. Values are aligned, also in lines that a terminal of this width breaks.
pub fn rows(
    rows: &BTreeMap<String, Value>,
    kinds: &BTreeMap<String, RowKind>,
    missing: bool,
    columns: usize,
) -> String {
    let width = rows
        .keys()
        .map(|key| key.chars().count())
        .max()
        .unwrap_or(0)
        + 2;
    let shown = |(key, value): (&String, &Value)| {
        let unit = kinds.get(key).and_then(|kind| kind.unit);
        let line = format!("{key:<width$}{}", with_unit(value, unit));
        // a column of keys that leaves no room for values is not aligned
        let indent = if width <= columns / 2 { width } else { 4 };
        wrap::hanging(&line, indent, columns)
    };
    let mut sorted: Vec<_> = rows.iter().collect();
    sorted.sort_by_cached_key(|(key, _)| key.split('.').map(Natural).collect::<Vec<_>>());
    let mut text: String = sorted.into_iter().map(shown).collect();
    if missing {
        text += MISSING;
    }
    text
}

/// Number with its unit, rounded for people.
fn with_unit(value: &Value, unit: Option<Unit>) -> String {
    let number = match value {
        Value::Number(number) => *number as f64,
        Value::Signed(number) => *number as f64,
        Value::Flag(_) | Value::Text(_) => return plain(value),
    };
    let steps: &[(f64, &str)] = match unit {
        None => return plain(value),
        Some(Unit::Ns) => &[(1e9, "s"), (1e6, "ms"), (1e3, "us"), (1.0, "ns")],
        Some(Unit::Bytes) => &[(1e9, "GB"), (1e6, "MB"), (1e3, "kB"), (1.0, "bytes")],
    };
    let step = steps.iter().find(|(least, _)| number.abs() >= *least);
    let (least, name) = step.or(steps.last()).copied().unwrap_or((1.0, ""));
    if least > 1.0 {
        format!("{:.1} {name}", number / least)
    } else {
        format!("{number} {name}")
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::Number(number) => number.to_string(),
        Value::Signed(number) => number.to_string(),
        Value::Flag(flag) => if *flag { "yes" } else { "no" }.to_owned(),
        // line ends of a plugin's text must not begin another row
        Value::Text(text) => text.trim_end().replace('\n', " "),
    }
}

/// Text of the result of `force`, and how to undo it.
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
