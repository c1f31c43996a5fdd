//! `sparectl status`: a sentence per group, what is degraded, and a table with one node column.

use spared_control::{AddressStatus, GroupStatus, InterfaceStatus, Status, Value};

use super::{clock, event_text, plain};
use crate::verdict::{Headline, Verdict};

/// Columns before the values of the table.
const VALUE_COLUMN: usize = 22;

pub fn status(status: &Status, verdict: &Verdict, verbose: bool) -> String {
    let mut text = head(verdict);
    text.push('\n');
    text += &row(0, "", &format!("{} (this node)", status.node));
    for group in &status.groups {
        group_rows(&mut text, status, group, verbose);
    }
    node_rows(&mut text, status, verbose);
    text
}

// The sentences of all groups, then the numbered list, both right of the widest level word.
fn head(verdict: &Verdict) -> String {
    let words = verdict
        .headlines
        .iter()
        .map(|headline| headline.level.word());
    let width = words.map(str::len).max().unwrap_or(0) + 2;
    let mut text = String::new();
    for Headline {
        level,
        text: sentence,
    } in &verdict.headlines
    {
        text += &format!("{:<width$}{sentence}\n", level.word());
    }
    for (number, note) in verdict.notes.iter().enumerate() {
        text += &format!("{:width$}{}. {note}\n", "", number + 1);
    }
    text
}

fn group_rows(text: &mut String, status: &Status, group: &GroupStatus, verbose: bool) {
    if status.groups.len() > 1 {
        text.push('\n');
        *text += &row(0, "group", &group.name);
    }
    *text += &row(0, "role", &group.role);
    *text += &row(1, "since", &clock(&group.since));
    *text += &row(1, "forced", &group.forced);
    *text += &row(0, "quality", &group.quality.to_string());
    for interface in interfaces_of(status, group) {
        *text += &row(1, &interface.name, &interface.state);
    }
    *text += &row(0, "addresses", &addresses(group));
    *text += &row(0, "fence", &fence(group));
    if verbose {
        group_details(text, group);
    }
}

fn group_details(text: &mut String, group: &GroupStatus) {
    *text += &row(0, "why", &group.why);
    *text += &row(0, "transitions", &group.transitions.to_string());
    let addresses = group.addresses.iter().map(|address| {
        let state = format!("{}, {}", address.interface, address_state(address));
        (address.address.as_str(), state)
    });
    block(text, "addresses", addresses.collect());
    let details = group.details.iter().filter(|(_, value)| !is_empty(value));
    block(
        text,
        "details",
        details
            .map(|(key, value)| (key.as_str(), plain(value)))
            .collect(),
    );
}

// Rows under a title, with a value column of their own where the labels need it.
fn block(text: &mut String, title: &str, rows: Vec<(&str, String)>) {
    if rows.is_empty() {
        return;
    }
    *text += &row(0, title, "");
    let widest = rows
        .iter()
        .map(|(label, _)| label.chars().count())
        .max()
        .unwrap_or(0);
    let column = VALUE_COLUMN.max(6 + widest + 2);
    for (label, value) in rows {
        *text += &row_at(column, 1, label, &value);
    }
}

fn is_empty(value: &Value) -> bool {
    matches!(value, Value::Text(text) if text.is_empty())
}

fn node_rows(text: &mut String, status: &Status, verbose: bool) {
    if !status.groups.is_empty() {
        text.push('\n');
    }
    for interface in status
        .interfaces
        .iter()
        .filter(|interface| !in_a_group(status, interface))
    {
        *text += &row(0, &interface.name, &interface.state);
    }
    for plugin in &status.plugins {
        let process = match plugin.pid {
            Some(pid) if verbose => {
                format!(
                    ", pid {pid}, {}, {} restarts",
                    plugin.scheduling, plugin.restarts
                )
            }
            _ => String::new(),
        };
        *text += &row(0, &plugin.name, &format!("{}{process}", plugin.state));
    }
    *text += &row(0, "config", &status.config);
    *text += &row(0, "spared", &status.version);
    *text += &row(0, "booted", &clock(&status.booted));
    if verbose {
        *text += &row(0, "started", &clock(&status.started));
    }
    if let Some(event) = &status.last_event {
        *text += &row(
            0,
            "last event",
            &format!("{}  {}", clock(&event.at), event_text(event)),
        );
    }
}

fn row(indent: usize, label: &str, value: &str) -> String {
    row_at(VALUE_COLUMN, indent, label, value)
}

fn row_at(column: usize, indent: usize, label: &str, value: &str) -> String {
    let label = format!("{:width$}{label}", "", width = 4 + 2 * indent);
    // a long label still keeps its distance
    let gap = column.saturating_sub(label.chars().count()).max(2);
    let line = format!("{label}{:gap$}{value}", "");
    format!("{}\n", line.trim_end())
}

fn interfaces_of<'a>(
    status: &'a Status,
    group: &'a GroupStatus,
) -> impl Iterator<Item = &'a InterfaceStatus> {
    status
        .interfaces
        .iter()
        .filter(|interface| holds(group, interface))
}

// An interface may be a group's without an address of it: then the provider names it.
fn holds(group: &GroupStatus, interface: &InterfaceStatus) -> bool {
    let name = &interface.name;
    let key = format!("interface.{name}.state");
    group.details.contains_key(&key) || group.addresses.iter().any(|it| it.interface == *name)
}

fn in_a_group(status: &Status, interface: &InterfaceStatus) -> bool {
    status.groups.iter().any(|group| holds(group, interface))
}

fn addresses(group: &GroupStatus) -> String {
    let present = group
        .addresses
        .iter()
        .filter(|address| address.present)
        .count();
    let all = group.addresses.len();
    match group.addresses.as_slice() {
        [] => "none".into(),
        [one] => format!(
            "{} on {}, {}",
            one.address,
            one.interface,
            address_state(one)
        ),
        _ if present == 0 && group.role != "active" => format!("{all}, none here"),
        _ => format!("{present} of {all} here"),
    }
}

fn address_state(address: &AddressStatus) -> String {
    let state = if address.present { "here" } else { "not here" };
    match address.restored {
        0 => state.into(),
        1 => format!("{state}, put back once"),
        restored => format!("{state}, put back {restored} times"),
    }
}

fn fence(group: &GroupStatus) -> String {
    match group.fence.as_str() {
        "held" => format!("held, {} ms", group.lease_ms),
        other => other.into(),
    }
}
