//! Status of a node: what `sparectl status` and `sparectl why` print.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    AddressStatus, CheckStatus, Difference, Event, Maintenance, RoleChange, Value, Verb, Verdict,
};

/// Status of a node. All times are RFC 3339, local.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Status {
    /// Time of this status.
    pub at: String,
    /// This node's name.
    pub node: String,
    /// Digest of the configuration as far as it is compared with the other node's, eight hex digits: equal on both if
    /// nothing differs. Of a node without a link, of the whole files.
    pub config: String,
    /// Version of the daemon.
    pub version: String,
    /// Time at which the machine was booted.
    pub booted: String,
    /// Time at which the daemon was started.
    pub started: String,
    /// In the order of their names.
    pub groups: Vec<GroupStatus>,
    /// Interfaces that plugins follow.
    pub interfaces: Vec<InterfaceStatus>,
    /// All plugins, running or not.
    pub plugins: Vec<PluginStatus>,
    /// Verdict about the pair; empty in a peer's half.
    pub verdict: Verdict,
    /// The newest event.
    pub last_event: Option<Event>,
    /// Weighted mean of the checks, 0 to 100.
    pub quality: u8,
    /// Checks of this node, worst first.
    pub checks: Vec<CheckStatus>,
    /// What this node lacks for a failover to it without loss, one sentence each; empty: ready. None without
    /// a link.
    pub missing: Option<Vec<String>>,
    /// Maintenance of this node.
    pub maintenance: Option<Maintenance>,
    /// End of a freeze.
    pub frozen_until: Option<String>,
    /// Paths to the peer.
    pub links: Vec<LinkStatus>,
    /// Status of the peer; None without a link, and in a peer's half.
    pub peer: Option<Box<PeerStatus>>,
    /// Rows of `sparectl status` by plugin and key, such as "flows" of "conntrack".
    pub rows: BTreeMap<String, BTreeMap<String, Value>>,
}

/// A path to the peer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct LinkStatus {
    /// Interface of the path.
    pub interface: String,
    /// "up" or "down".
    pub state: String,
    /// Time since which it has this state.
    pub since: String,
    /// Why the path is down.
    pub why: String,
    /// This path carries the data.
    pub carries: bool,
    /// Round trip to the peer, in milliseconds.
    pub round_trip_ms: Option<f64>,
    /// Bytes sent, with overhead.
    pub sent_bytes: u64,
    /// Bytes received, with overhead.
    pub received_bytes: u64,
    /// Refused connections: wrong key or address, garbage, too slow.
    pub refused: u64,
}

/// The other node.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct PeerStatus {
    /// Its name in `[nodes]`.
    pub node: String,
    /// The peer is heard over the link.
    pub up: bool,
    /// Time at which it was last heard, on any path.
    pub last_heard: Option<String>,
    /// Interfaces on which it was heard.
    pub heard_on: Vec<String>,
    /// Whether its machine answers a ping, while the peer is silent.
    pub answers_ping: Option<bool>,
    /// The peer's own status; None if it does not answer.
    pub status: Option<Box<Status>>,
    /// The peer's clock minus this node's, in milliseconds.
    pub clock_ms: Option<i64>,
    /// Keys that differ but must be equal.
    pub differences: Vec<Difference>,
}

/// Status of a group on this node.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct GroupStatus {
    /// As configured.
    pub name: String,
    /// "active", "backup" or "fault".
    pub role: String,
    /// Time since which it has this role.
    pub since: String,
    /// Cause of the role, a sentence as in `sparectl why`.
    pub why: String,
    /// Forced role: "no", "active" or "backup".
    pub forced: String,
    /// 0 to 100.
    pub quality: u8,
    /// Fence: "passing", "blocking", "missing" or "off".
    pub fence: String,
    /// Duration of the fence lease that an advert renews, in milliseconds.
    pub lease_ms: f64,
    /// Addresses of the group, whether they are present or not.
    pub addresses: Vec<AddressStatus>,
    /// Rows of the elector about this group: timers, counters, heard routers.
    pub details: BTreeMap<String, Value>,
    /// Another router that is active for the group beside this node.
    pub conflict: Option<String>,
    /// Another router that is heard active for the group.
    pub other_active: Option<String>,
    /// Number of role changes.
    pub transitions: u64,
}

/// An interface that a plugin follows.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct InterfaceStatus {
    /// Name of the interface.
    pub name: String,
    /// "up", "no carrier", "down" or "absent".
    pub state: String,
    /// Time since which it has this state.
    pub since: String,
}

/// Status of a plugin.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct PluginStatus {
    /// Name; its library is NAME.so.
    pub name: String,
    /// Version of the plugin.
    pub version: String,
    /// Summary in one line.
    pub summary: String,
    /// "running", "starting", "stopping", "restarting", "failed", "refused", "disabled".
    pub state: String,
    /// Why the plugin does not run, and what to do.
    pub why: String,
    /// Process id of the worker.
    pub pid: Option<u32>,
    /// Number of restarts.
    pub restarts: u64,
    /// Calls of the plugin that took longer than 50 ms, since its start.
    pub slow_calls: u64,
    /// Number of times that the plugin sent more than its share and was not read from for a while.
    pub pauses: u64,
    /// Memory that its process has, in MiB.
    pub memory_mib: u64,
    /// Memory that each of its processes may have, in MiB; None for a plugin that runs as root.
    pub memory_max_mib: Option<u64>,
    /// Limits of the control group of its processes, or why it has none; empty if it does not run.
    pub control_group: String,
    /// Groups of system calls that it is held to, such as "basic"; empty without a list.
    pub system_calls: Vec<String>,
    /// Capabilities of its worker, such as "net_admin".
    pub capabilities: Vec<String>,
    /// The same in words, such as "changes network, firewall and tunnels (net_admin)".
    pub rights: Vec<String>,
    /// "real-time", "normal", or why not; empty if the plugin does not run.
    pub scheduling: String,
    /// Verbs of the plugin: `sparectl NAME VERB`.
    pub verbs: Vec<Verb>,
}

/// Cause of a group's role.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct GroupWhy {
    /// Its name.
    pub group: String,
    /// Cause of the present role: "r1 is active because ..."
    pub sentence: String,
    /// The last change of role on each node, oldest first.
    pub changes: Vec<RoleChange>,
}
