//! `[[link]]`: the paths to the peer, and the keys of both nodes, which need no path.

use std::path::Path;

use spared_config_reader::{Config, Failure, IpNet, Section, node};
use spared_message::firewall::{Chain, Passage};
use spared_message::link::LinkPath;

use super::link_keys::{self, LinkKeys};
use super::subnet::{is_link_local, unfit};

/// Default port of the link, TCP and UDP.
const PORT: u16 = 3780;
const PATHS_MAX: usize = 2;

/// The peer and the paths to it. Without paths the keys are used only for statements that plugins have signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Name of the peer, which is the other node in `[nodes]`.
    pub peer: String,
    pub port: u16,
    pub keys: LinkKeys,
    /// Paths, at most two, in the order of the file.
    pub paths: Vec<LinkPath>,
    pub chain: Option<Chain>,
}

impl Link {
    /// The link as a firewall of `node` sees it.
    pub fn passage(&self, node: &str) -> Passage {
        Passage {
            paths: self.paths.clone(),
            port: self.port,
            // The node whose name sorts first listens; the other node receives only answers.
            listens: node < self.peer.as_str(),
            chain: self.chain.clone(),
        }
    }

    pub fn interfaces(&self) -> impl Iterator<Item = String> + '_ {
        self.paths.iter().map(|path| path.interface.clone())
    }
}

/// A `[[link]]` as either node sees it.
struct End<'c> {
    section: Section<'c>,
    interface: Option<String>,
    address: Option<IpNet>,
}

/// Result of reading the link.
#[derive(Default)]
pub(super) struct Read {
    /// None if there is neither a `[[link]]` nor keys of both nodes, or if something is wrong.
    pub(super) link: Option<Link>,
    /// Faults in the values for the peer; all other faults go to the sections.
    pub(super) of_peer: Vec<Failure>,
    /// Faults of the keys. With them everything but the link runs.
    pub(super) of_keys: Vec<Failure>,
}

/// Reads all keys of the link; `folder` contains the private key.
pub(super) fn read(config: &Config, folder: &Path) -> Read {
    let root = config.root();
    let port = root.integer("port", 1..=u64::from(u16::MAX));
    let chain = chain(&root);
    let own = ends(&root);
    let (keys, of_keys) = match link_keys::read(config, folder, !own.is_empty()) {
        Ok(keys) => (keys, Vec::new()),
        Err(faults) => (None, faults),
    };
    let mut read = Read {
        of_keys,
        ..Read::default()
    };
    let port = port.and_then(|port| port.try_into().ok()).unwrap_or(PORT);
    if own.is_empty() {
        read.link = other_of(config).zip(keys).map(|(peer, keys)| Link {
            peer,
            port,
            keys,
            paths: Vec::new(),
            chain,
        });
        return read;
    }
    if own.len() > PATHS_MAX {
        let why = format!("found {} [[link]], allowed one or two", own.len());
        root.fault("link", why);
    }
    let Some(peer) = peer_of(&root, config) else {
        return read;
    };
    // This is the file as the peer reads it.
    let their_config = config.of_node(&peer);
    let theirs = ends(&their_config.root());
    let paths: Vec<LinkPath> = own
        .iter()
        .zip(&theirs)
        .filter_map(|(own, theirs)| path(own, theirs))
        .collect();
    refuse_doubles(&own);
    read.of_peer = faults_of(&their_config);
    let complete = paths.len() == own.len() && read.of_peer.is_empty();
    read.link = keys.filter(|_| complete).map(|keys| Link {
        peer,
        port,
        keys,
        paths,
        chain,
    });
    read
}

fn chain(root: &Section<'_>) -> Option<Chain> {
    const ALLOWED: &str = "family, table and name of a chain, like \"inet filter input\"";
    let section = root.section("firewall")?;
    section.required("chain", section.parsed("chain", ALLOWED))
}

fn ends<'c>(root: &Section<'c>) -> Vec<End<'c>> {
    root.sections("link").into_iter().map(end).collect()
}

fn end(section: Section<'_>) -> End<'_> {
    let interface = section.text(node("interface"));
    let mut interface = section.required(node("interface"), interface);
    if interface.as_ref().is_some_and(|name| !is_interface(name)) {
        section.fault("interface", "allowed the name of an interface, 1-15 bytes");
        interface = None;
    }
    let address = section.cidr(node("address"));
    let mut address = section.required(node("address"), address);
    if let Some(why) = address.and_then(unfit) {
        section.fault("address", why);
        address = None;
    }
    End {
        section,
        interface,
        address,
    }
}

fn is_interface(name: &str) -> bool {
    // Quotes and wildcards have a special meaning in a rule of the firewall.
    let fits = |c: char| !c.is_whitespace() && !c.is_control() && !"/\"\\*".contains(c);
    (1..=15).contains(&name.len()) && name.chars().all(fits) && name != "." && name != ".."
}

// Name of the peer, if there are two nodes. A host that is not one of them is reported elsewhere.
fn peer_of(root: &Section<'_>, config: &Config) -> Option<String> {
    if config.nodes().len() != 2 {
        let (key, found) = match config.nodes().len() {
            0 => ("link", "no [nodes]".to_owned()),
            names => ("nodes", format!("{names} names")),
        };
        let why = format!("found {found}, [[link]] needs exactly two nodes");
        root.fault(key, why);
    }
    other_of(config)
}

/// The other one of two nodes, if this node is one of them.
pub(super) fn other_of(config: &Config) -> Option<String> {
    match config.nodes() {
        [own, other] | [other, own] if own == config.node() => Some(other.clone()),
        _ => None,
    }
}

fn path(own: &End<'_>, theirs: &End<'_>) -> Option<LinkPath> {
    let (here, there) = (own.address?, theirs.address?);
    if here.addr() == there.addr() {
        let why = format!("found {here} for both nodes, allowed one for each");
        own.section.fault("address", why);
        return None;
    }
    if here.trunc() != there.trunc() {
        let why = format!("found {here} and {there}, allowed two addresses of one network");
        own.section.fault("address", why);
        return None;
    }
    Some(LinkPath {
        interface: own.interface.clone()?,
        own: here.addr(),
        prefix: here.prefix_len(),
        peer: there.addr(),
    })
}

// Reports two links with the same interface or network: the second link must not fail together with the first.
fn refuse_doubles(ends: &[End<'_>]) {
    let [first, second, ..] = ends else { return };
    if first.interface.is_some() && first.interface == second.interface {
        let why = "found that of the first [[link]], allowed another";
        second.section.fault("interface", why);
    }
    let (Some(one), Some(other)) = (first.address, second.address) else {
        return;
    };
    let overlap = one.contains(&other.addr()) || other.contains(&one.addr());
    if overlap && !is_link_local(one.addr()) {
        let why = format!("found {other}, allowed another network than that of the first [[link]]");
        second.section.fault("address", why);
    }
}

// Faults of a file that is read only for its links.
fn faults_of(config: &Config) -> Vec<Failure> {
    let faults = config.finish().err().unwrap_or_default().into_iter();
    faults
        .filter(|fault| fault.key.starts_with("link."))
        .collect()
}
