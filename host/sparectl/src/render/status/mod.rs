//! `sparectl status`: a sentence per group, the findings, and a table with a column per node.

mod table;

use std::collections::BTreeSet;

use spared_message::control::{
    AddressStatus, CheckStatus, GroupStatus, InterfaceStatus, LinkStatus, Status, Value,
};

use super::{event_text, plain, wrap};
use spared_verdict::time::{between, clock};
use spared_verdict::{Headline, STATE_UNKNOWN, Verdict};
use table::Table;

/// `columns`: width of the terminal.
pub fn status(status: &Status, verbose: bool, columns: usize) -> String {
    let mut text = head(&status.verdict, &status.at, columns);
    text.push('\n');
    let nodes = nodes(status);
    let mut table = Table::default();
    let mut titles = vec![format!("{} (this node)", status.node)];
    titles.extend(nodes.iter().skip(1).map(|other| other.node.clone()));
    table.row(0, "", titles);
    for group in &status.groups {
        group_rows(&mut table, &nodes, group);
    }
    quality_rows(&mut table, &nodes);
    preferred_row(&mut table, &nodes);
    plugin_rows(&mut table, &nodes, verbose);
    node_rows(&mut table, status, &nodes, verbose);
    table.gap();
    paths(&mut table, status, verbose);
    text + &table.render(columns)
}

/// Status of this node, and of the other node if it is heard.
fn nodes(status: &Status) -> Vec<&Status> {
    let peer = status.peer.as_deref();
    let theirs = peer.and_then(|peer| peer.status.as_deref());
    [status].into_iter().chain(theirs).collect()
}

/// Sentences of all groups, then the numbered findings. Both are right of the widest verdict word.
pub fn head(verdict: &Verdict, now: &str, columns: usize) -> String {
    let words = verdict.headlines.iter().map(|it| it.word.word());
    let width = words.map(str::len).max().unwrap_or(0) + 2;
    let mut text = String::new();
    for headline in &verdict.headlines {
        let Headline {
            word,
            text: sentence,
            ..
        } = headline;
        let line = format!("{:<width$}{sentence}", word.word());
        text += &wrap::hanging(&line, width, columns);
    }
    for (number, finding) in verdict.findings.iter().enumerate() {
        let line = finding.line(now);
        let number = format!("{}. ", number + 1);
        let indent = width + number.len();
        let line = format!("{:width$}{number}{line}", "");
        text += &wrap::hanging(&line, indent, columns);
    }
    text
}

fn group_rows(table: &mut Table, nodes: &[&Status], group: &GroupStatus) {
    let of = |value: fn(&GroupStatus) -> String| {
        let value = |node: &&Status| group_of(node, &group.name).map_or("-".to_owned(), value);
        nodes.iter().map(value).collect()
    };
    if nodes.first().is_some_and(|node| node.groups.len() > 1) {
        table.gap();
        table.wide(0, "group", group.name.as_str());
    }
    let role = |node: &&Status| match group_of(node, &group.name) {
        Some(of) if of.role == "fault" && node.orders.unarmed => "not armed".to_owned(),
        Some(of) => of.role.clone(),
        None => "-".to_owned(),
    };
    table.row(0, "role", nodes.iter().map(role).collect());
    table.row(1, "since", of(|group| clock(&group.since)));
    table.row(1, "forced", of(|group| group.forced.clone()));
}

fn group_of<'a>(node: &'a Status, name: &str) -> Option<&'a GroupStatus> {
    node.groups.iter().find(|group| group.name == name)
}

fn quality_rows(table: &mut Table, nodes: &[&Status]) {
    let Some(own) = nodes.first().filter(|own| !own.groups.is_empty()) else {
        return;
    };
    if own.groups.len() > 1 {
        table.gap();
    }
    let quality = nodes.iter().map(|node| node.quality.to_string());
    table.row(0, "quality", quality.collect());
    let mut shown = BTreeSet::new();
    for check in nodes.iter().flat_map(|node| &node.checks) {
        // checks without weight are shown in their plugin's summary or in a finding
        let is_dull = check.weight == 0 && check.state == 100;
        if is_dull || !shown.insert((&check.plugin, &check.name)) {
            continue;
        }
        let value = |node: &&Status| {
            let mut checks = node.checks.iter();
            let same = checks.find(|it| (&it.plugin, &it.name) == (&check.plugin, &check.name));
            same.map_or("-".to_owned(), check_cell)
        };
        table.row(
            1,
            &check_label(nodes, own, check),
            nodes.iter().map(value).collect(),
        );
    }
    // interfaces without a check
    let shown_elsewhere = |it: &&InterfaceStatus| is_checked(own, it) || is_link(own, it);
    for interface in own.interfaces.iter().filter(|it| !shown_elsewhere(it)) {
        let value = |node: &&Status| {
            let mut interfaces = node.interfaces.iter();
            let same = interfaces.find(|it| it.name == interface.name);
            same.map_or("-".to_owned(), |it| it.state.clone())
        };
        table.row(1, &interface.name, nodes.iter().map(value).collect());
    }
}

// Label of a check. It contains the plugin if another one has a check of the same name, on either node, and the weight
// for interfaces, and for other checks if it is not the default; if the check takes points off, these.
fn check_label(nodes: &[&Status], own: &Status, check: &CheckStatus) -> String {
    let is_other = |it: &CheckStatus| it.name == check.name && it.plugin != check.plugin;
    let is_shared = nodes.iter().any(|node| node.checks.iter().any(is_other));
    let name = if is_shared {
        format!("{} of {}", check.name, check.plugin)
    } else {
        check.name.clone()
    };
    let interface = own.interfaces.iter().any(|it| it.name == check.name);
    if check.points > 0 {
        return format!("{name} (-{})", check.points);
    }
    if interface || check.weight != 100 {
        format!("{name} ({})", check.weight)
    } else {
        name
    }
}

fn check_cell(check: &CheckStatus) -> String {
    match (check.state, check.why.as_str()) {
        (STATE_UNKNOWN, "") => "not known yet".to_owned(),
        (100, "") => "up".to_owned(),
        (0, "") => "failed".to_owned(),
        (state, "") => format!("{state} of 100"),
        (_, why) => why.to_owned(),
    }
}

fn is_link(own: &Status, interface: &InterfaceStatus) -> bool {
    own.links
        .iter()
        .any(|link| link.interface == interface.name)
}

fn is_checked(own: &Status, interface: &InterfaceStatus) -> bool {
    own.checks.iter().any(|check| check.name == interface.name)
}

fn preferred_row(table: &mut Table, nodes: &[&Status]) {
    let Some(own) = nodes.first() else { return };
    for group in &own.groups {
        let value = |node: &&Status| {
            let preferred = group_of(node, &group.name)?.details.get("preferred")?;
            Some(plain(preferred))
        };
        let values: Vec<Option<String>> = nodes.iter().map(value).collect();
        if values.iter().flatten().all(|value| value == "no") {
            continue;
        }
        let label = match own.groups.len() {
            1 => "preferred".to_owned(),
            _ => format!("preferred ({})", group.name),
        };
        let cells = values.into_iter().map(|it| it.unwrap_or("-".to_owned()));
        table.row(0, &label, cells.collect());
    }
}

// Adds the rows of the plugins. Keys with a dot are details.
fn plugin_rows(table: &mut Table, nodes: &[&Status], verbose: bool) {
    let all = nodes.iter().flat_map(|node| &node.rows);
    let keys: BTreeSet<(&String, &String)> = all
        .flat_map(|(plugin, rows)| rows.keys().map(move |key| (plugin, key)))
        .filter(|(_, key)| verbose || !key.contains('.'))
        .collect();
    for (plugin, key) in keys {
        let value = |node: &&Status| {
            let value = node.rows.get(plugin).and_then(|rows| rows.get(key));
            value.map_or("-".to_owned(), plain)
        };
        let label = match key.as_str() {
            "summary" => plugin.clone(),
            key => format!("{plugin} {key}"),
        };
        table.row(0, &label, nodes.iter().map(value).collect());
    }
}

fn node_rows(table: &mut Table, status: &Status, nodes: &[&Status], verbose: bool) {
    if nodes.len() == 1 && !status.groups.is_empty() {
        table.gap();
    }
    process_rows(table, nodes, verbose);
    let config = |node: &&Status| {
        let digest = if node.node != status.node && node.run.config == status.run.config {
            "same"
        } else {
            &node.run.config
        };
        let until = node.orders.unconfirmed_until.as_deref();
        match until.and_then(|until| between(&status.at, until)) {
            Some(left) => format!("{digest}, taken back in {left}"),
            None => digest.to_owned(),
        }
    };
    let all = |value: fn(&Status) -> String| nodes.iter().map(|node| value(node)).collect();
    table.row(0, "config", nodes.iter().map(config).collect());
    let peer = status.peer.as_deref().filter(|_| nodes.len() > 1);
    if let Some(clock_ms) = peer.and_then(|peer| peer.clock_ms) {
        table.row(0, "clock", vec!["-".to_owned(), format!("{clock_ms:+} ms")]);
    }
    table.row(0, "spared", all(|node| node.run.version.clone()));
    if let Some(ignored) = peer.map(|peer| peer.ignored).filter(|it| *it > 0) {
        let ignored = format!("{ignored} messages");
        table.row(0, "ignored", vec![ignored, "-".to_owned()]);
    }
    table.row(0, "booted", all(|node| clock(&node.run.booted)));
    if verbose {
        table.row(0, "started", all(|node| clock(&node.run.started)));
    }
}

// Adds the states of plugins. A pair shows only plugins that do not run on both nodes, unless `verbose`.
fn process_rows(table: &mut Table, nodes: &[&Status], verbose: bool) {
    let all = nodes.iter().flat_map(|node| &node.plugins);
    let names: BTreeSet<&String> = all.map(|plugin| &plugin.name).collect();
    for name in names {
        let of = |node: &&Status| {
            let plugin = node.plugins.iter().find(|plugin| plugin.name == *name)?;
            Some(match plugin.pid {
                Some(pid) if verbose => format!(
                    "{}, pid {pid}, {}, {} restarts",
                    plugin.state, plugin.confinement.scheduling, plugin.restarts
                ),
                _ => plugin.state.clone(),
            })
        };
        let cells: Vec<String> = nodes
            .iter()
            .map(|node| of(node).unwrap_or("-".to_owned()))
            .collect();
        let dull = nodes.len() > 1 && cells.iter().all(|cell| cell == "running");
        if !dull || verbose {
            table.row(0, name, cells);
        }
    }
}

/// Adds rows about this node alone: links, addresses, fence, and the last event.
fn paths(table: &mut Table, status: &Status, verbose: bool) {
    for link in &status.links {
        table.wide(0, &format!("link {}", link.interface), link_cell(link));
    }
    for group in &status.groups {
        let of = match status.groups.len() {
            1 => String::new(),
            _ => format!(" {}", group.name),
        };
        if status.peer.is_none() || verbose {
            table.wide(0, &format!("addresses{of}"), addresses(group));
        }
        table.wide(0, &format!("fence{of}"), fence(group));
        if verbose {
            group_details(table, group);
        }
    }
    if let Some(event) = &status.last_event {
        let text = format!("{}  {}", clock(&event.at), event_text(event));
        table.wide(0, "last event", text);
    }
}

fn link_cell(link: &LinkStatus) -> String {
    let since = clock(&link.since);
    match (link.state.as_str(), link.round_trip_ms) {
        ("up", Some(round_trip_ms)) => format!("up, {round_trip_ms:.1} ms, since {since}"),
        ("up", None) => format!("up, since {since}"),
        _ if link.why.is_empty() => format!("down since {since}"),
        _ => format!("down since {since}: {}", link.why),
    }
}

fn group_details(table: &mut Table, group: &GroupStatus) {
    table.wide(0, "why", group.why.as_str());
    table.wide(0, "transitions", group.transitions.to_string());
    let addresses = group.addresses.iter().map(|address| {
        let state = format!("{}, {}", address.interface, address_state(address));
        (address.address.clone(), state)
    });
    table.block("addresses", addresses.collect());
    let details = group.details.iter().filter(|(_, value)| !is_empty(value));
    let details = details.map(|(key, value)| (key.clone(), plain(value)));
    table.block("details", details.collect());
}

fn is_empty(value: &Value) -> bool {
    matches!(value, Value::Text(text) if text.is_empty())
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
    let fence = match group.fence.as_str() {
        "passing" => format!("passing, {} ms", group.lease_ms),
        other => other.into(),
    };
    match group.details.get("advert_late_worst_us") {
        Some(Value::Number(late_us)) if *late_us >= 100 && group.role == "active" => {
            let late = match late_us / 1000 {
                0 => format!("0.{}", late_us / 100),
                late_ms => late_ms.to_string(),
            };
            format!("{fence}; adverts at most {late} ms late")
        }
        _ => fence,
    }
}
