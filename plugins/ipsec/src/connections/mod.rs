//! Checks an IKE daemon's configuration: faults for a pair, and differences between the daemons of both nodes.
//!
//! It does no I/O. [`Listed`] holds charon's lists, [`PeerConnections`] the peer's report about its own; [`findings`]
//! and [`differences`] name faults, with the line to write.

mod pool;
mod sessions;
mod wire;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

pub use pool::{Pool, shared_pools};
pub use sessions::{HA_SETTINGS, HaState, session_obstacle};
pub use wire::CONNECTIONS;

/// Kind of the finding of [`left_running`].
pub const SERVICE: &str = "service";
/// Limit of connections that are named in one sentence.
const NAMED_MAX: usize = 5;

/// A connection that charon has loaded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Connection {
    pub name: String,
    /// Digest of all that charon reports of it.
    pub digest: u64,
    pub local: Vec<String>,
    /// Only the other end can initiate it.
    pub responds_only: bool,
    /// The connection uses IKEv1, which has no MOBIKE.
    pub is_ikev1: bool,
    /// Uniqueness policy as charon writes it: "UNIQUE_NO".
    pub unique: String,
    /// MOBIKE is in use, as its IKE SAs show; None if none shows it.
    pub mobike: Option<bool>,
}

/// Connections of this node's daemon.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listed {
    pub connections: Vec<Connection>,
    pub pools: Vec<Pool>,
}

/// Report of the peer about its daemon's connections.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PeerConnections {
    /// Digests of all connections by name, or of those that had room.
    pub digests: BTreeMap<String, u64>,
    pub is_whole: bool,
    pub pools: Vec<Pool>,
}

/// Addresses of this node.
#[derive(Clone, Debug, Default)]
pub struct NodeAddresses {
    /// Replicated ends of tunnels that are here.
    pub moved: BTreeSet<IpAddr>,
    /// Addresses that are only this node's.
    pub own: BTreeSet<IpAddr>,
    /// No other node has an end of a replicated tunnel.
    pub is_alone: bool,
}

/// One finding about a connection or a pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Name of the connection or of the pool.
    pub name: String,
    /// Kind of the finding, such as "mobike".
    pub kind: &'static str,
    /// True for a fault, false for information.
    pub is_fault: bool,
    pub sentence: String,
    /// Line to write into the configuration.
    pub line: Option<String>,
}

impl Finding {
    fn new(name: &str, kind: &'static str, sentence: impl Into<String>) -> Self {
        Self {
            name: name.to_owned(),
            kind,
            is_fault: true,
            sentence: sentence.into(),
            line: None,
        }
    }

    fn with_line(mut self, line: impl Into<String>) -> Self {
        self.line = Some(line.into());
        self
    }

    /// Returns the text, with the line to write.
    pub fn text(&self) -> String {
        match &self.line {
            Some(line) => format!("{}; write {line}", self.sentence),
            None => self.sentence.clone(),
        }
    }
}

/// Returns faults in the connections of this node's daemon for a pair.
pub fn findings(listed: &Listed, addresses: &NodeAddresses) -> Vec<Finding> {
    let each = listed.connections.iter();
    each.flat_map(|it| connection_findings(it, addresses))
        .collect()
}

fn connection_findings(connection: &Connection, addresses: &NodeAddresses) -> Vec<Finding> {
    if is_local_only(connection, addresses) {
        let sentence = "local_addrs is an address of this node that does not move: the tunnel is not replicated";
        let mut finding = Finding::new(&connection.name, "local_addrs", sentence);
        finding.is_fault = false;
        return vec![finding];
    }
    let others = [mobike(connection), unique(connection)];
    let ends = ends(connection, addresses).into_iter();
    ends.chain(others.into_iter().flatten()).collect()
}

/// Returns true if the connection belongs to this node only, which may configure it freely.
fn is_local_only(connection: &Connection, addresses: &NodeAddresses) -> bool {
    let is_own = |address: &String| address.parse().is_ok_and(|ip| addresses.own.contains(&ip));
    !connection.local.is_empty() && connection.local.iter().all(is_own)
}

fn mobike(connection: &Connection) -> Option<Finding> {
    let sentence = "MOBIKE is on: in a switchover charon moves the tunnel to an address of this node that does not move";
    let is_on = connection.mobike == Some(true);
    is_on.then(|| Finding::new(&connection.name, "mobike", sentence).with_line("mobike = no"))
}

/// Checks `unique`. A connection that only the other end initiates sends no INITIAL_CONTACT.
fn unique(connection: &Connection) -> Option<Finding> {
    let word = connection.unique.strip_prefix("UNIQUE_")?.to_lowercase();
    let sentence = format!(
        "unique is {word}: after a failover charon says that it has no tunnels, and the far end drops the replicated ones"
    );
    let is_fault = word != "never" && !connection.responds_only;
    is_fault.then(|| Finding::new(&connection.name, "unique", sentence).with_line("unique = never"))
}

fn ends(connection: &Connection, addresses: &NodeAddresses) -> Option<Finding> {
    let finding = |sentence: String| {
        let moved = addresses.moved.iter().map(IpAddr::to_string);
        let moved = match moved.collect::<Vec<_>>().join(" or ") {
            none if none.is_empty() => "the address that spared moves".to_owned(),
            moved => moved,
        };
        let finding = Finding::new(&connection.name, "local_addrs", sentence);
        Some(finding.with_line(format!("local_addrs = {moved}")))
    };
    // a responder answers from the address that was called
    let begins = !connection.responds_only;
    if begins && connection.local.is_empty() {
        return finding("local_addrs is missing: charon takes any address of this node".to_owned());
    }
    for address in &connection.local {
        if is_any_address(address) {
            let sentence =
                format!("local_addrs is {address}: charon takes any address of this node");
            return finding(sentence).filter(|_| begins);
        }
        // a host name may be any address
        let Ok(ip) = address.parse() else { continue };
        if !addresses.moved.contains(&ip) && (addresses.is_alone || addresses.own.contains(&ip)) {
            return finding(format!(
                "local_addrs is {ip}, an address that spared does not move"
            ));
        }
    }
    None
}

/// Returns true for any address, a network or a range.
pub fn is_any_address(address: &str) -> bool {
    let is_range = address.split_once('-').is_some_and(|(low, high)| {
        low.trim().parse::<IpAddr>().is_ok() && high.trim().parse::<IpAddr>().is_ok()
    });
    let is_unspecified = address.parse().is_ok_and(|ip: IpAddr| ip.is_unspecified());
    address.starts_with("%any") || address.contains('/') || is_range || is_unspecified
}

/// Finds a daemon that runs on a backup, which lacks the address of a connection that moves. That is no fault of one that
/// gets the sessions with the address, and forgets them when it leaves.
pub fn left_running(
    listed: &Listed,
    addresses: &NodeAddresses,
    gets_sessions: bool,
) -> Option<Finding> {
    let mut connections = listed.connections.iter();
    let moves = connections.any(|it| !is_local_only(it, addresses));
    let sentence = if gets_sessions {
        "it runs on the backup too: until it gets the sessions with the addresses, what it begins by itself has no address"
    } else {
        "it runs on the backup: it deletes tunnels that are replicated, and negotiates without an address"
    };
    let finding = moves.then(|| Finding::new("charon", SERVICE, sentence));
    finding.map(|it| match gets_sessions {
        true => Finding {
            is_fault: false,
            ..it
        },
        false => it.with_line("after = [\"ipsec\"] and its unit into service.toml"),
    })
}

/// Names in one sentence the connections whose use of MOBIKE is not visible yet.
pub fn unseen_mobike(listed: &Listed, addresses: &NodeAddresses) -> Option<String> {
    let connections = listed.connections.iter();
    let unseen = connections.filter(|it| {
        let has_mobike = !it.responds_only && !it.is_ikev1 && !is_local_only(it, addresses);
        has_mobike && it.mobike.is_none()
    });
    let unseen: Vec<&str> = unseen.map(|it| it.name.as_str()).collect();
    (!unseen.is_empty()).then(|| {
        format!(
            "not known yet for {}: only an IKE SA that charon here began, without NAT, shows it; write mobike = no",
            named(&unseen)
        )
    })
}

/// Returns the differences between the connections of both nodes' daemons.
pub fn differences(here: &Listed, there: &PeerConnections) -> Vec<Finding> {
    let (ours, is_whole) = wire::digests(here);
    let mut found = Vec::new();
    let mut differs = |name: &str, sentence: &str| found.push(Finding::new(name, "peer", sentence));
    for (name, digest) in &ours {
        match there.digests.get(name) {
            Some(other) if other == digest => {}
            Some(_) => differs(
                name,
                "the peer's charon has another connection of this name",
            ),
            None if there.is_whole => differs(name, "the peer's charon has no such connection"),
            None => {}
        }
    }
    let missing = there.digests.keys().filter(|it| !ours.contains_key(*it));
    for name in missing.filter(|_| is_whole) {
        differs(name, "only the peer's charon has this connection");
    }
    found
}

/// Names some, and counts the others: "far, near and 3 more".
fn named(names: &[&str]) -> String {
    let shown = names.iter().take(NAMED_MAX).copied().collect::<Vec<_>>();
    let shown = shown.join(", ");
    match names.len().saturating_sub(NAMED_MAX) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

#[cfg(test)]
mod tests;
