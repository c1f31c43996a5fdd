//! Status of a node: what `sparectl status` and `sparectl why` print. Parts that are marked `flatten` are flat in JSON.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::control::{
    AddressStatus, CheckStatus, Difference, Event, OrderFacts, RoleChange, Value, Verb, Verdict,
};

/// Status of a node. All times are RFC 3339, local.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Status {
    /// Time of this status.
    pub at: String,
    /// This node's name.
    pub node: String,
    /// Run of the daemon.
    #[serde(flatten)]
    pub run: DaemonRun,
    /// Groups in the order of their names.
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
    /// Sentences about what this node lacks for a failover to it without loss; empty if it is ready. None without a
    /// link.
    pub missing: Option<Vec<String>>,
    /// Orders of administrators.
    #[serde(flatten)]
    pub orders: OrderFacts,
    /// Paths to the peer.
    pub links: Vec<LinkStatus>,
    /// Status of the peer; None without a link, and in a peer's half.
    pub peer: Option<Box<PeerStatus>>,
    /// Rows of `sparectl status` by plugin and key, such as "flows" of "conntrack".
    pub rows: BTreeMap<String, BTreeMap<String, Value>>,
}

/// A run of the daemon, and its configuration.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct DaemonRun {
    /// Digest of the parts of the configuration that are compared with the other node's, as eight hex digits. It is
    /// equal on both nodes if nothing differs. On a node without a link it covers whole files.
    pub config: String,
    /// Version of the daemon.
    pub version: String,
    /// Time at which the machine was booted.
    pub booted: String,
    /// Time at which the daemon was started.
    pub started: String,
}

/// A path to the peer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct LinkStatus {
    /// Interface of the path.
    pub interface: String,
    /// "up" or "down".
    pub state: String,
    /// Time of the last change of the state.
    pub since: String,
    /// Reason why the path is down.
    pub why: String,
    /// True if this path carries the data.
    pub carries: bool,
    /// Round trip to the peer, in ms.
    pub round_trip_ms: Option<f64>,
    /// Bytes sent, with overhead.
    pub sent_bytes: u64,
    /// Bytes received, with overhead.
    pub received_bytes: u64,
    /// Number of refused connections: wrong key or address, garbage, too slow.
    pub refused: u64,
}

/// The other node.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct PeerStatus {
    /// Name of the peer in `[nodes]`.
    pub node: String,
    /// True if the peer is heard over the link.
    pub up: bool,
    /// Time at which the peer was last heard, on any path.
    pub last_heard: Option<String>,
    /// Interfaces on which the peer was heard.
    pub heard_on: Vec<String>,
    /// True if the peer's machine answers a ping, while the peer is silent.
    pub answers_ping: Option<bool>,
    /// The peer's own status; None if it does not answer.
    pub status: Option<Box<Status>>,
    /// Clock of the peer minus this node's, in ms.
    pub clock_ms: Option<i64>,
    /// Number of messages of the peer that only a later version knows, since the session began.
    pub ignored: u64,
    /// Keys that must be equal and differ.
    pub differences: Vec<Difference>,
}

/// Status of a group on this node.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct GroupStatus {
    /// Name in the configuration.
    pub name: String,
    /// "active", "backup" or "fault".
    pub role: String,
    /// Time of the last role change.
    pub since: String,
    /// Cause of the role, a sentence as in `sparectl why`.
    pub why: String,
    /// Cause of the role as a word: "peer-silent".
    pub reason: String,
    /// Forced role: "no", "active" or "backup".
    pub forced: String,
    /// Quality, 0 to 100.
    pub quality: u8,
    /// Fence: "passing", "blocking", "missing" or "off".
    pub fence: String,
    /// Duration of the fence lease that an advert renews, in ms.
    pub lease_ms: f64,
    /// Addresses of the group, whether they are present or not.
    pub addresses: Vec<AddressStatus>,
    /// Rows of the elector about this group: timers, counters, heard routers.
    pub details: BTreeMap<String, Value>,
    /// Another router that is active for the group at the same time as this node.
    pub conflict: Option<String>,
    /// Another router that is active for the group, as far as this node hears.
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
    /// Time of the last change of the state.
    pub since: String,
}

/// Status of a plugin.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct PluginStatus {
    /// Name of the plugin; its library is NAME.so.
    pub name: String,
    /// Version of the plugin.
    pub version: String,
    /// Summary in one line.
    pub summary: String,
    /// "running", "starting", "stopping", "restarting", "failed", "refused", "disabled".
    pub state: String,
    /// Reason why the plugin does not run, and what to do.
    pub why: String,
    /// Process id of the worker.
    pub pid: Option<u32>,
    /// Number of restarts.
    pub restarts: u64,
    /// Number of the plugin's calls that took longer than 50 ms, since its start.
    pub slow_calls: u64,
    /// Number of times that the plugin sent more than its share and its socket was not read for a while.
    pub pauses: u64,
    /// Resources and rights of the plugin's processes.
    #[serde(flatten)]
    pub confinement: Confinement,
    /// Verbs of the plugin: `sparectl NAME VERB`.
    pub verbs: Vec<Verb>,
}

/// Resources and rights of a plugin's processes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Confinement {
    /// Memory that the plugin's process uses, in MiB.
    pub memory_mib: u64,
    /// Memory limit of each of the plugin's processes, in MiB; None for a plugin that runs as root.
    pub memory_max_mib: Option<u64>,
    /// Limits of the control group of the plugin's processes, or the reason why there is none; empty if the plugin does
    /// not run.
    pub control_group: String,
    /// Groups of system calls that the plugin may use, such as "basic"; empty if its calls are not limited.
    pub system_calls: Vec<String>,
    /// Capabilities of the plugin's worker, such as "net_admin".
    pub capabilities: Vec<String>,
    /// Capabilities in words, such as "changes network, firewall and tunnels (net_admin)".
    pub rights: Vec<String>,
    /// "real-time", "normal", or the reason why it is not real-time; empty if the plugin does not run.
    pub scheduling: String,
}

/// Cause of a group's role.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct GroupWhy {
    /// Name of the group.
    pub group: String,
    /// Cause of the present role: "r1 is active because ..."
    pub sentence: String,
    /// Last role change of each node, oldest first.
    pub changes: Vec<RoleChange>,
}
