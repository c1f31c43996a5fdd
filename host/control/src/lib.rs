//! The protocol of the control socket: JSON lines, one [`Request`] each, answered by one [`Answer`] each.
//!
//! On `/run/spared/control.sock`, root may send all requests, and group `spared` the read-only ones.

#![forbid(unsafe_code)]
#![deny(missing_docs)]

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

mod client;

pub use client::{AskError, Fault, ask};
pub use spared_pair::{
    AddressStatus, CheckStatus, Difference, Finding, Fitness, Maintenance, RoleChange, Verdict,
};

/// The socket's file name in the runtime directory.
pub const SOCKET_NAME: &str = "control.sock";

/// Names that no plugin may have: present and possible verbs of sparectl, and processes of the host.
pub const RESERVED: [&str; 34] = [
    "all",
    "backup",
    "check",
    "completions",
    "config",
    "daemon",
    "diff",
    "events",
    "force",
    "freeze",
    "group",
    "groups",
    "help",
    "history",
    "host",
    "keygen",
    "link",
    "links",
    "log",
    "maintenance",
    "metrics",
    "pair",
    "peer",
    "plugin",
    "plugins",
    "probe",
    "reload",
    "report",
    "spared",
    "status",
    "switch",
    "watch",
    "why",
    "worker",
];

/// A request of `sparectl`, or of the peer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "verb", rename_all = "kebab-case")]
pub enum Request {
    /// Status of both nodes.
    Status,
    /// Status of this node alone, for the peer.
    OwnStatus,
    /// Causes of the present roles.
    Why {
        /// None: every group.
        group: Option<String>,
    },
    /// History of role changes on both nodes.
    History,
    /// History of this node alone, for the peer.
    OwnHistory,
    /// A part of this node's half of `sparectl report`, for the peer. The first question begins to gather
    /// the report.
    OwnReport {
        /// Offset of the part in the base64; 0 until a part has come.
        from: usize,
    },
    /// The newest `limit` events, oldest first.
    Events {
        /// Number of events.
        limit: usize,
    },
    /// Status of all plugins, running or not.
    Plugins,
    /// Reload of the configuration. Answered when it is done or refused.
    Reload {
        /// Even if an active group loses addresses.
        #[serde(default)]
        anyway: bool,
    },
    /// Forces a role on this node, whatever the election says, or ends that.
    Force {
        /// None: every group.
        group: Option<String>,
        /// The role, or the end of the force.
        to: Force,
        /// Even if the node that would be active is not ready.
        #[serde(default)]
        anyway: bool,
    },
    /// Switches groups over to the node `to`, or to the one that is not active.
    Switch {
        /// None: every group.
        group: Option<String>,
        /// Name of a node. None: the one that is not active.
        to: Option<String>,
        /// Even if the target is not ready.
        anyway: bool,
    },
    /// Begins or ends maintenance of this node, which lasts over restarts.
    Maintenance {
        /// True: begins; false: ends.
        on: bool,
        /// Seconds until it ends. None: until it is switched off.
        for_s: Option<u64>,
        /// Even if the peer is not ready.
        anyway: bool,
    },
    /// Freezes roles on both nodes: no change for quality or preference until the time is over.
    Freeze {
        /// Milliseconds, at most one hour; 0 ends the freeze.
        for_ms: u64,
    },
    /// Passes a request to the other node over the link.
    Node {
        /// Its name.
        node: String,
        /// A read-only request, or `Switch`.
        request: Box<Request>,
    },
    /// `sparectl PLUGIN ARGV...`
    Plugin {
        /// Its name.
        name: String,
        /// Verb and its arguments.
        argv: Vec<String>,
    },
}

/// What a force sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Force {
    /// Active whatever the election says.
    Active,
    /// Never active.
    Backup,
    /// The election decides again.
    Reset,
}

/// An answer of the daemon.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "kebab-case")]
pub enum Answer {
    /// To [`Request::Status`].
    Status(Box<Status>),
    /// To [`Request::Why`].
    Why {
        /// In the order of their names.
        groups: Vec<GroupWhy>,
    },
    /// To [`Request::History`].
    History {
        /// Oldest first.
        changes: Vec<RoleChange>,
        /// The other node's name, if it did not answer.
        #[serde(default)]
        silent: Option<String>,
    },
    /// To [`Request::OwnReport`].
    Report {
        /// The part of a [`NodeReport`], as JSON in base64, in lines, because the link bounds the length of
        /// texts.
        lines: Vec<String>,
        /// Length of the whole base64. None: the report is still being gathered, ask again.
        size: Option<usize>,
    },
    /// To [`Request::Events`].
    Events {
        /// Oldest first.
        events: Vec<Event>,
    },
    /// To [`Request::Plugins`].
    Plugins {
        /// In the order of their names.
        plugins: Vec<PluginStatus>,
    },
    /// To requests that change something: what was done.
    Done {
        /// A sentence per line.
        lines: Vec<String>,
    },
    /// To [`Request::Plugin`].
    Rows {
        /// Values by keys such as "virtual_router.lan2.received".
        rows: BTreeMap<String, Value>,
        /// Kinds of those rows that are not plain numbers.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        kinds: BTreeMap<String, RowKind>,
        /// The rows call for the administrator's attention.
        #[serde(default)]
        attention: bool,
        /// Rows are missing, because the answer was too long.
        #[serde(default)]
        missing: bool,
    },
    /// The request was refused, or failed.
    Error {
        /// Kind of the error.
        code: ErrorCode,
        /// Every fault, a sentence per line.
        lines: Vec<String>,
    },
}

/// Why a request was not served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ErrorCode {
    /// The request is not JSON, or names no known verb, group or plugin.
    Usage,
    /// The caller may read only.
    Permission,
    /// The configuration is wrong; the old one keeps running.
    Config,
    /// The request is refused in the present state.
    Refused,
    /// A plugin, the kernel or the peer failed.
    Failed,
}

/// Value of a plugin's row.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Value {
    /// A number, such as a counter or a time.
    Number(u64),
    /// A number that may be negative.
    Signed(i64),
    /// Yes or no.
    Flag(bool),
    /// Anything else.
    Text(String),
}

/// Unit and kind of a number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RowKind {
    /// Unit; None: a plain number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unit: Option<Unit>,
    /// The number only rises while the plugin runs.
    pub counter: bool,
}

/// The unit of a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unit {
    /// Nanoseconds.
    Ns,
    /// Bytes.
    Bytes,
}

/// Status of a node. All times are RFC 3339, local.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Status {
    /// Time of this status.
    pub at: String,
    /// This node's name.
    pub node: String,
    /// Digest of the configuration, eight hex digits.
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
    pub verbs: Vec<PluginVerb>,
}

/// A verb of a plugin.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct PluginVerb {
    /// The word; empty for `sparectl NAME` alone.
    pub word: String,
    /// Arguments that follow the word.
    pub usage: String,
    /// Summary in one line.
    pub summary: String,
    /// Only root may use the verb.
    pub changes: bool,
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

/// One node's half of `sparectl report`, with secrets masked.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct NodeReport {
    /// Its name.
    pub node: String,
    /// Time at which it was gathered.
    pub at: String,
    /// Texts by their names in the bundle, such as "ip/address.txt".
    pub files: BTreeMap<String, String>,
    /// What could not be gathered, one sentence each.
    pub missing: Vec<String>,
}

/// An event.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Event {
    /// Time, with milliseconds.
    pub at: String,
    /// Kind of the event, from the list in spared(8): "role", "restored", "plugin".
    pub event: String,
    /// Group that the event is about, if any.
    pub group: Option<String>,
    /// Reason in one word, from the list in spared(8).
    pub reason: Option<String>,
    /// Text of the event.
    pub text: String,
}

/// A refusal of one line.
pub fn refusal(code: ErrorCode, line: impl Into<String>) -> Answer {
    Answer::Error {
        code,
        lines: vec![line.into()],
    }
}
