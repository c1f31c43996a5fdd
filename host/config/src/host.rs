//! `spared.toml`: the name of this node, and how the host runs.

use std::path::Path;
use std::time::Duration;

use log::LevelFilter;
use spared_config_reader::{Config, Failure, HOST_KEYS, Section};
use spared_contract::Surroundings;
use toml::de::DeTable;

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
    /// Maximum time that a failover waits for plugins to apply what they received.
    pub settle: Duration,
    /// The peer, if there are keys that identify it; see [`linked`](Self::linked).
    pub link: Option<Link>,
    /// Faults of the keys. With them everything but the link runs. See [`Setup::faults`](super::Setup::faults).
    pub key_faults: Vec<Fault>,
    /// True if there is a `[[link]]`, with or without keys.
    pub has_link: bool,
    /// Settings of the comparison of both machines.
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

/// Table of the vrrp plugin's file that people write here most often by mistake.
const GROUP: &str = "group";
/// Table of the nodes by name.
const NODES: &str = "nodes";

impl Host {
    /// The peer, if there is a path to it; None without `[[link]]`.
    pub fn linked(&self) -> Option<&Link> {
        self.link.as_ref().filter(|link| !link.paths.is_empty())
    }

    /// The part of the configuration that plugins get.
    pub fn surroundings(&self) -> Surroundings {
        Surroundings {
            node: self.node.clone(),
            nodes: self.nodes.clone(),
            links: self.link.iter().flat_map(Link::interfaces).collect(),
            peer: self.peer_with_keys(),
            state: None,
        }
    }

    // Name of the peer, if the nodes have keys. A node whose own key is wrong has such a peer as well: it must not take
    // the role by adverts, which prove nothing to that peer.
    fn peer_with_keys(&self) -> Option<String> {
        if let Some(link) = &self.link {
            return Some(link.peer.clone());
        }
        let mut others = self.nodes.iter().filter(|name| **name != self.node);
        let other = others.next().filter(|_| !self.key_faults.is_empty());
        other.cloned()
    }

    /// Parses `spared.toml`, or returns all its faults. `folder` contains the private key of the link.
    pub(super) fn parse(
        file: &str,
        text: &str,
        hostname: &str,
        folder: &Path,
    ) -> Result<Self, Vec<Fault>> {
        match Self::parse_all(file, text, hostname, folder) {
            (Some(host), faults) if faults.is_empty() => Ok(host),
            (host, mut faults) => {
                faults.extend(host.into_iter().flat_map(|host| host.key_faults));
                Err(faults)
            }
        }
    }

    /// Parses `spared.toml`, and returns its faults together with the contents. A value that could not be read has its
    /// default, and this node is one of `[nodes]`, so that the files of plugins can be read as well. If the text is not
    /// TOML, the contents are what the parser recovered.
    pub(super) fn parse_all(
        file: &str,
        text: &str,
        hostname: &str,
        folder: &Path,
    ) -> (Option<Self>, Vec<Fault>) {
        let (name, nodes) = names(text);
        let node = name.unwrap_or_else(|| hostname.to_owned());
        let syntax = Fault::of_syntax(file, text);
        let readable = if syntax.is_some() { "" } else { text };
        let config = match Config::parse(readable, &node, &nodes) {
            Ok(config) => config,
            Err(error) => return (None, vec![Fault::whole(file, error.to_string())]),
        };
        let mut host = read(&config.root(), node, nodes);
        if let Some(fault) = syntax {
            host.assume_first_node();
            return (Some(host), vec![fault]);
        }
        let read = link::read(&config, folder);
        host.link = read.link;
        host.has_link = config.root().has("link");
        let mut found = config.finish().err().unwrap_or_default();
        let of_peer = read.of_peer.into_iter();
        let new: Vec<_> = of_peer.filter(|f| !found.contains(f)).collect();
        found.extend(new);
        explain_nodes(&mut found);
        let located = |found: Vec<Failure>| {
            let found = found.into_iter().map(|fault| match fault.key.as_str() {
                GROUP => (fault.key, "belongs in plugins/vrrp.toml".to_owned()),
                _ => (fault.key, fault.why),
            });
            Fault::of_keys(file, text, found)
        };
        host.key_faults = located(read.of_keys);
        let mut faults = located(found);
        faults.extend(unknown_node_fault(file, text, &host));
        host.assume_first_node();
        (Some(host), faults)
    }

    /// Gives a host that is not in `[nodes]` the name of the first node, so that the files of plugins can be read.
    fn assume_first_node(&mut self) {
        let first = self.nodes.first();
        if let Some(first) = first.filter(|_| !self.nodes.contains(&self.node)) {
            self.node = first.clone();
        }
    }
}

/// Replaces the faults that `[[nodes]]` causes by one that says how to write it.
fn explain_nodes(found: &mut Vec<Failure>) {
    let is_array = |it: &&mut Failure| it.key == NODES && it.why.starts_with("found [[");
    let Some(fault) = found.iter_mut().find(is_array) else {
        return;
    };
    let sample = "r1.public_key = \"sk1:...\"";
    fault.why = format!(
        "found [[nodes]], allowed [nodes], one table with each node under its name: {sample}"
    );
    let below = format!("{NODES}.");
    let is_effect = |it: &Failure| it.key.starts_with(&below) || it.why.starts_with("found no [");
    found.retain(|it| !is_effect(it));
}

// Name of this node and names in `[nodes]`. They are looked up first, because the reader needs the node before it
// reads.
fn names(text: &str) -> (Option<String>, Vec<String>) {
    let (document, _) = DeTable::parse_recoverable(text);
    let table = |key: &str| document.get_ref().get(key)?.get_ref().as_table();
    let name = table("node").and_then(|node| node.get("name"));
    let name = name.and_then(|name| name.get_ref().as_str());
    let nodes = table(NODES).into_iter().flat_map(|nodes| nodes.keys());
    let mut nodes: Vec<String> = nodes.map(|name| name.get_ref().to_string()).collect();
    nodes.sort();
    (name.map(str::to_owned), nodes)
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

// Fault of a host that is not in `[nodes]`. It is refused, not guessed: two nodes with one name would go unnoticed and
// do great harm.
fn unknown_node_fault(file: &str, text: &str, host: &Host) -> Option<Fault> {
    if host.nodes.is_empty() || host.nodes.contains(&host.node) {
        return None;
    }
    let named = super::locate(text, "node.name");
    let (node, nodes) = (&host.node, host.nodes.join(", "));
    let why = format!("this node is \"{node}\", but [nodes] has {nodes}: set node.name");
    Some(Fault {
        line: named.or_else(|| super::locate(text, NODES)),
        ..Fault::whole(file, why)
    })
}

fn is_name(name: &str) -> bool {
    (1..=64).contains(&name.len()) && !name.chars().any(|c| c.is_whitespace() || c.is_control())
}
