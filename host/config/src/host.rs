//! `spared.toml`: the name of this node, and how the host runs.

use std::path::Path;
use std::time::Duration;

use log::LevelFilter;
use spared_message::worker::Surroundings;
use spared_sdk::config::{Config, HOST_KEYS, Section};

use super::{Equal, Fault, Link, link};

/// Contents of `spared.toml`, with defaults filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    pub node: String,
    /// Names in `[nodes]`, sorted; empty for a router without a link.
    pub nodes: Vec<String>,
    pub log_level: LevelFilter,
    pub realtime: bool,
    /// False if the administrator switched the fence off.
    pub fenced: bool,
    /// Longest time that a failover waits for plugins to apply what they received.
    pub settle: Duration,
    /// The peer, if there are keys that identify it; see [`linked`](Self::linked).
    pub link: Option<Link>,
    /// Faults of the keys: everything but the link runs. See [`Setup::faults`](super::Setup::faults).
    pub key_faults: Vec<Fault>,
    /// There is a `[[link]]`, with or without keys.
    pub has_link: bool,
    /// How the machines of both nodes are compared.
    pub equal: Equal,
}

const FENCE: [(&str, bool); 2] = [("required", true), ("off", false)];

const LEVELS: [(&str, LevelFilter); 5] = [
    ("error", LevelFilter::Error),
    ("warn", LevelFilter::Warn),
    ("info", LevelFilter::Info),
    ("debug", LevelFilter::Debug),
    ("trace", LevelFilter::Trace),
];

impl Host {
    /// The peer, if there is a path to it; None without `[[link]]`.
    pub fn linked(&self) -> Option<&Link> {
        self.link.as_ref().filter(|link| !link.paths.is_empty())
    }

    /// The part of it that plugins get.
    pub fn surroundings(&self) -> Surroundings {
        Surroundings {
            node: self.node.clone(),
            nodes: self.nodes.clone(),
            links: self.link.iter().flat_map(Link::interfaces).collect(),
            peer: self.peer_with_keys(),
            state: None,
        }
    }

    // A node whose own key is wrong has a peer with keys all the same, and must not take the role from it by
    // adverts, which prove nothing to that peer.
    fn peer_with_keys(&self) -> Option<String> {
        if let Some(link) = &self.link {
            return Some(link.peer.clone());
        }
        let mut others = self.nodes.iter().filter(|name| **name != self.node);
        let other = others.next().filter(|_| !self.key_faults.is_empty());
        other.cloned()
    }

    /// `folder` has the private key of the link.
    pub(super) fn parse(
        file: &str,
        text: &str,
        hostname: &str,
        folder: &Path,
    ) -> Result<Self, Vec<Fault>> {
        if let Some(fault) = Fault::of_syntax(file, text) {
            return Err(vec![fault]);
        }
        let (name, nodes) = names(text);
        let node = name.unwrap_or_else(|| hostname.to_owned());
        let config = Config::parse(text, &node, &nodes)
            .map_err(|error| vec![Fault::whole(file, error.to_string())])?;
        let mut host = read(&config.root(), node, nodes);
        let read = link::read(&config, folder);
        host.link = read.link;
        host.has_link = config.root().has("link");
        let mut found = config.finish().err().unwrap_or_default();
        let of_peer = read.of_peer.into_iter();
        let new: Vec<_> = of_peer.filter(|f| !found.contains(f)).collect();
        found.extend(new);
        let located = |found: Vec<spared_sdk::config::Fault>| {
            let found = found.into_iter().map(|fault| (fault.key, fault.why));
            Fault::of_keys(file, text, found)
        };
        host.key_faults = located(read.of_keys);
        let mut faults = located(found);
        faults.extend(stranger(file, text, &host));
        if faults.is_empty() {
            Ok(host)
        } else {
            faults.append(&mut host.key_faults);
            Err(faults)
        }
    }
}

// These two are looked up first, as the reader needs the node before it reads.
fn names(text: &str) -> (Option<String>, Vec<String>) {
    let table: toml::Table = text.parse().unwrap_or_default();
    let name = table
        .get("node")
        .and_then(|node| node.get("name"))
        .and_then(|name| name.as_str())
        .map(str::to_owned);
    let nodes = table
        .get("nodes")
        .and_then(|nodes| nodes.as_table())
        .map(|nodes| nodes.keys().cloned().collect())
        .unwrap_or_default();
    (name, nodes)
}

fn read(root: &Section<'_>, node: String, nodes: Vec<String>) -> Host {
    for key in HOST_KEYS {
        if root.has(key) {
            root.fault(key, "belongs in a file under plugins/");
        }
    }
    if let Some(section) = root.section("node") {
        let name = section.text("name");
        if name.is_some_and(|name| !is_name(&name)) {
            section.fault("name", "allowed a name without spaces, at most 64 bytes");
        }
    }
    let log_level = root
        .section("log")
        .and_then(|log| log.choice("level", &LEVELS));
    Host {
        node,
        nodes,
        log_level: log_level.unwrap_or(LevelFilter::Info),
        realtime: root.flag("realtime").unwrap_or(true),
        fenced: root.choice("fence", &FENCE).unwrap_or(true),
        settle: Duration::from_millis(root.integer("settle_ms", 0..=10_000).unwrap_or(200)),
        link: None,
        key_faults: Vec::new(),
        has_link: false,
        equal: Equal::read(root),
    }
}

// A host that is not in `[nodes]` is refused, not guessed: two nodes with one name would go
// unnoticed and do great harm.
fn stranger(file: &str, text: &str, host: &Host) -> Option<Fault> {
    if host.nodes.is_empty() || host.nodes.contains(&host.node) {
        return None;
    }
    let named = super::locate(text, "node.name");
    let (node, nodes) = (&host.node, host.nodes.join(", "));
    let why = format!("this host is \"{node}\"; [nodes] has {nodes}: set node.name");
    Some(Fault {
        line: named.or_else(|| super::locate(text, "nodes")),
        ..Fault::whole(file, why)
    })
}

fn is_name(name: &str) -> bool {
    (1..=64).contains(&name.len()) && !name.chars().any(|c| c.is_whitespace() || c.is_control())
}
