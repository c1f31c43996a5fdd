//! What is degraded and what to do about it, worst first.

use spared_control::{
    AddressStatus, CheckStatus, GroupStatus, InterfaceStatus, LinkStatus, PeerStatus, PluginStatus,
    Status, Value,
};

use super::bare;
use crate::time;

pub(super) fn of(status: &Status) -> Vec<String> {
    let mut notes = status.warnings.clone();
    let peer = status.peer.as_deref();
    let theirs = peer.and_then(|peer| peer.status.as_deref());
    let derived = status
        .groups
        .iter()
        .flat_map(group_notes)
        .chain(fitness(status, status))
        .chain(
            theirs
                .into_iter()
                .flat_map(|theirs| fitness(status, theirs)),
        )
        .chain(links(status))
        .chain(status.plugins.iter().filter_map(plugin_note))
        .chain(peer.into_iter().flat_map(differences))
        .chain(standing_orders(status))
        .chain(theirs.into_iter().flat_map(theirs_alone));
    for note in derived {
        if !notes.contains(&note) {
            notes.push(note);
        }
    }
    notes
}

/// What makes a node less fit. A node that knows another is named.
fn fitness(asked: &Status, node: &Status) -> Vec<String> {
    let name = asked.peer.as_ref().map(|_| node.node.as_str());
    // a link's is said with the link
    let is_link = |it: &&InterfaceStatus| asked.links.iter().any(|link| link.interface == it.name);
    let interfaces = node.interfaces.iter().filter(|it| !is_link(it));
    let mut notes: Vec<String> = interfaces
        .filter_map(|interface| interface_note(name, &asked.at, interface))
        .collect();
    let failing = node.checks.iter().filter(|check| check.state < 100);
    let others = failing.filter(|check| !node.interfaces.iter().any(|it| it.name == check.name));
    notes.extend(others.map(|check| check_note(name, &asked.at, check)));
    notes
}

fn check_note(node: Option<&str>, now: &str, check: &CheckStatus) -> String {
    let node = node.map_or(String::new(), |node| format!("{node}: "));
    let CheckStatus {
        name,
        state,
        why,
        since,
        ..
    } = check;
    let fails = match state {
        0 => "fails".to_owned(),
        state => format!("is at {state} of 100"),
    };
    let since = time::since(since, now);
    format!(
        "{node}check \"{name}\" {fails} since {since}: {}.",
        bare(why)
    )
}

fn links(status: &Status) -> Vec<String> {
    let up = status
        .links
        .iter()
        .filter(|link| link.state == "up")
        .count();
    let left = match up {
        0 => "No link is left.",
        1 => "One link is left.",
        _ => "",
    };
    let down = status.links.iter().filter(|link| link.state != "up");
    down.map(|link| link_note(link, &status.at, left)).collect()
}

fn link_note(link: &LinkStatus, now: &str, left: &str) -> String {
    let since = time::clock_on(now, &link.since);
    let why = match link.why.as_str() {
        "" => String::new(),
        why => format!(" ({})", bare(why)),
    };
    format!("link {}: down since {since}{why}. {left}", link.interface)
}

fn differences(peer: &PeerStatus) -> Vec<String> {
    let keys = peer.differences.iter();
    let keys = keys.map(|it| format!("config: {}.", it.sentence(&peer.node)));
    let refused = peer.refused.iter().map(|why| format!("{}.", bare(why)));
    keys.chain(refused).collect()
}

// What somebody told this node to do, and how to end it.
fn standing_orders(status: &Status) -> Vec<String> {
    let node = &status.node;
    let mut notes = Vec::new();
    if let Some(maintenance) = &status.maintenance {
        let since = time::since(&maintenance.since, &status.at);
        let until = maintenance.until.as_ref().map_or(String::new(), |until| {
            format!(", until {}", time::clock_on(&status.at, until))
        });
        notes.push(format!(
            "{node} is in maintenance since {since}{until}, by {}. End: sparectl maintenance off",
            maintenance.by
        ));
    }
    if let Some(until) = &status.frozen_until {
        let until = time::clock_on(&status.at, until);
        notes.push(format!(
            "frozen until {until}: no change for quality or preference. End: sparectl freeze off"
        ));
    }
    notes
}

// Of the other node only what is not to be seen in the table, and is not this node's to mend.
fn theirs_alone(theirs: &Status) -> Vec<String> {
    let node = &theirs.node;
    let warnings = theirs.warnings.iter();
    let mut notes: Vec<String> = warnings.map(|it| format!("{node}: {it}")).collect();
    let plugins = theirs.plugins.iter().filter_map(plugin_note);
    notes.extend(plugins.map(|it| format!("{node}: {it}")));
    for group in &theirs.groups {
        if group.forced != "no" && !group.forced.is_empty() {
            let (name, forced) = (&group.name, &group.forced);
            notes.push(format!(
                "{name}: {node} is forced {forced}. Undo there: sparectl force reset {name}"
            ));
        }
    }
    notes.extend(theirs.maintenance.as_ref().map(|maintenance| {
        format!(
            "{node} is in maintenance since {}, by {}. End there: sparectl maintenance off",
            time::clock(&maintenance.since),
            maintenance.by
        )
    }));
    notes
}

fn group_notes(group: &GroupStatus) -> Vec<String> {
    let name = &group.name;
    let mut notes = Vec::new();
    if group.role == "active" {
        let missing = group.addresses.iter().filter(|address| !address.present);
        notes.extend(missing.map(|address| missing_note(name, address)));
    }
    for (key, value) in &group.details {
        notes.extend(detail_note(name, key, value));
    }
    if group.forced != "no" && !group.forced.is_empty() {
        notes.push(format!(
            "{name}: forced {}. Undo: sparectl force reset {name}",
            group.forced
        ));
    }
    notes
}

fn missing_note(group: &str, status: &AddressStatus) -> String {
    let AddressStatus {
        address,
        interface,
        restored,
        ..
    } = status;
    format!(
        "{group}: {address} is missing on {interface}, put back {restored} times before. \
         sparectl events shows whether somebody deletes it."
    )
}

// What the elector says about its wires, by the ends of its keys.
fn detail_note(group: &str, key: &str, value: &Value) -> Option<String> {
    let Value::Text(text) = value else {
        return None;
    };
    match key.rsplit_once('.')? {
        (interface, "unheard") => {
            let interface = interface.trim_start_matches("interface.");
            Some(format!(
                "{group}: interface {interface}: the other router is heard elsewhere, not here (this \
                 wire is {text}). Check its switch."
            ))
        }
        (router, "muted") => Some(format!("{group}: {router}: {text}.")),
        _ => None,
    }
}

fn interface_note(node: Option<&str>, now: &str, interface: &InterfaceStatus) -> Option<String> {
    let InterfaceStatus { name, state, since } = interface;
    let Some(node) = node else {
        return lone_interface_note(interface);
    };
    let since = time::since(since, now);
    let what = match state.as_str() {
        "up" => return None,
        "no carrier" => format!("lost carrier at {since}. Check its cable or switch port."),
        "down" => format!("is down since {since}. ip link set {name} up"),
        "absent" => format!("is absent since {since}. It is used as soon as it is there."),
        other => format!("is {other} since {since}."),
    };
    Some(format!("{node}: interface \"{name}\" {what}"))
}

fn lone_interface_note(interface: &InterfaceStatus) -> Option<String> {
    let InterfaceStatus { name, state, since } = interface;
    let since = time::clock(since);
    match state.as_str() {
        "up" => None,
        "no carrier" => Some(format!(
            "interface {name}: no carrier since {since}. Check its cable or switch port."
        )),
        "down" => Some(format!(
            "interface {name}: down since {since}. ip link set {name} up"
        )),
        "absent" => Some(format!(
            "interface {name}: absent since {since}. It is used as soon as it is there."
        )),
        other => Some(format!("interface {name}: {other} since {since}.")),
    }
}

fn plugin_note(plugin: &PluginStatus) -> Option<String> {
    match plugin.state.as_str() {
        "running" | "disabled" => None,
        state if plugin.why.is_empty() => Some(format!("plugin {}: {state}.", plugin.name)),
        state => Some(format!(
            "plugin {}: {state}: {}.",
            plugin.name,
            bare(&plugin.why)
        )),
    }
}
