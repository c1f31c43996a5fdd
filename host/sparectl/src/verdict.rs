//! What a [`Status`] amounts to: one sentence per group, what is degraded, and the exit code.
//!
//! Without a link the only words of another router are its adverts, and in VRRP a backup sends
//! none: an active node cannot know whether somebody stands by, and is not blamed for it.

use spared_control::{AddressStatus, GroupStatus, InterfaceStatus, PluginStatus, Status, Value};

/// From fine to worst; the worst of all groups is the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    Ok,
    Warn,
    Alone,
    Conflict,
    NoneActive,
}

impl Level {
    pub fn word(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::Warn => "WARN",
            Self::Alone => "ALONE",
            Self::Conflict => "CONFLICT",
            Self::NoneActive => "NONE",
        }
    }

    /// As `probe` and `--json` say it.
    pub fn probe_word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "degraded",
            Self::Alone => "alone",
            Self::Conflict => "conflict",
            Self::NoneActive => "none",
        }
    }

    pub fn exit_code(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Warn => 1,
            Self::Alone | Self::Conflict => 2,
            Self::NoneActive => 3,
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct Headline {
    pub level: Level,
    pub text: String,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    /// One per group, in the order of the configuration.
    pub headlines: Vec<Headline>,
    /// What is degraded and what to do, worst first.
    pub notes: Vec<String>,
}

impl Verdict {
    pub fn of(status: &Status) -> Self {
        let mut headlines: Vec<Headline> = status
            .groups
            .iter()
            .map(|group| headline(&status.node, group))
            .collect();
        if headlines.is_empty() {
            headlines.push(without_groups(&status.plugins));
        }
        let notes = notes(status);
        if !notes.is_empty() {
            headlines
                .iter_mut()
                .for_each(|headline| headline.level = headline.level.max(Level::Warn));
        }
        Self { headlines, notes }
    }

    pub fn level(&self) -> Level {
        self.headlines
            .iter()
            .map(|headline| headline.level)
            .max()
            .unwrap_or(Level::Ok)
    }
}

fn without_groups(plugins: &[PluginStatus]) -> Headline {
    let mut wanted = plugins
        .iter()
        .filter(|plugin| plugin.state != "disabled")
        .peekable();
    let (level, text) = if wanted.peek().is_none() {
        (
            Level::Ok,
            "nothing configured: this node is never active on any address.",
        )
    } else if wanted.all(|plugin| plugin.state == "running") {
        (
            Level::Ok,
            "no group configured: this node is never active on any address.",
        )
    } else {
        (
            Level::NoneActive,
            "no group: a plugin that should run does not.",
        )
    };
    Headline {
        level,
        text: text.into(),
    }
}

fn headline(node: &str, group: &GroupStatus) -> Headline {
    let name = &group.name;
    let other = group.other_active.as_deref();
    let rival = group.conflict.as_deref().or(other);
    let (level, text) = match (group.role.as_str(), other) {
        ("active", _) if rival.is_some() => {
            let rival = rival.unwrap_or_default();
            (
                Level::Conflict,
                format!("active on BOTH: {node} and {rival}."),
            )
        }
        ("active", _) => (
            Level::Ok,
            format!("{node} is active (a VRRP backup does not announce itself)."),
        ),
        ("fault", Some(other)) => {
            let why = reason(group);
            (
                Level::Alone,
                format!("{other} is active and {node} cannot take over: {why}."),
            )
        }
        ("fault", None) => {
            let why = reason(group);
            (
                Level::NoneActive,
                format!("nobody is active; {node} cannot be: {why}."),
            )
        }
        (_, Some(other)) => backup(node, other, group),
        (_, None) => (
            Level::NoneActive,
            format!("nobody is active. {}.", bare(&group.why)),
        ),
    };
    Headline {
        level,
        text: format!("{name}: {text}"),
    }
}

fn backup(node: &str, other: &str, group: &GroupStatus) -> (Level, String) {
    if group.forced == "backup" {
        return (
            Level::Warn,
            format!("{other} is active, {node} is kept from taking over."),
        );
    }
    if group.quality < 100 {
        let quality = group.quality;
        let text =
            format!("{other} is active, {node} can take over but is less fit ({quality} of 100).");
        return (Level::Warn, text);
    }
    (Level::Ok, format!("{other} is active, {node} stands by."))
}

fn notes(status: &Status) -> Vec<String> {
    let derived = status
        .groups
        .iter()
        .flat_map(group_notes)
        .chain(status.interfaces.iter().filter_map(interface_note))
        .chain(status.plugins.iter().filter_map(plugin_note));
    let mut notes = status.warnings.clone();
    for note in derived {
        if !notes.contains(&note) {
            notes.push(note);
        }
    }
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

// What the provider says about its wires, by the ends of its keys.
fn detail_note(group: &str, key: &str, value: &Value) -> Option<String> {
    let Value::Text(text) = value else {
        return None;
    };
    match key.rsplit_once('.')? {
        (interface, "disputed") => {
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

fn interface_note(interface: &InterfaceStatus) -> Option<String> {
    let InterfaceStatus { name, state, since } = interface;
    let since = super::render::clock(since);
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

// The part of "r1 is fault because ..." that is new to the reader.
fn reason(group: &GroupStatus) -> &str {
    let why = bare(&group.why);
    why.split_once(" because ")
        .map_or(why, |(_, reason)| reason)
}

// A sentence without its full stop, to go on in another one.
fn bare(sentence: &str) -> &str {
    sentence.trim_end_matches('.')
}
