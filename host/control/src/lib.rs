//! The control socket's JSON lines: one [`Request`] per line, one [`Answer`] per line back.
//!
//! `/run/spared/control.sock`: group `spared` may read, root may change.

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

/// Names that no plugin may have: verbs of sparectl that are, or may come, and processes of the host.
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

/// What `sparectl` asks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "verb", rename_all = "kebab-case")]
pub enum Request {
    /// Everything that there is to see, of both nodes.
    Status,
    /// This node's half of it: what the other node asks.
    OwnStatus,
    /// Why the roles are what they are.
    Why {
        /// None: every group.
        group: Option<String>,
    },
    /// The last changes of roles, of both nodes, over restarts.
    History,
    /// This node's half of them: what the other node asks.
    OwnHistory,
    /// A part of what this node has for `sparectl report`: what the other node asks. The first
    /// question begins to gather it.
    OwnReport {
        /// Where the part begins; 0 until something came.
        from: usize,
    },
    /// The newest `limit` events, oldest first.
    Events {
        /// At most as many as the daemon keeps.
        limit: usize,
    },
    /// Every plugin, running or not.
    Plugins,
    /// Answers when the reload is done or refused.
    Reload {
        /// Even where an active group loses addresses by it.
        #[serde(default)]
        anyway: bool,
    },
    /// Overrules the election on this node.
    Force {
        /// None: every group.
        group: Option<String>,
        /// The role, or none any more.
        to: Force,
        /// Even where the peer is not ready for it.
        #[serde(default)]
        anyway: bool,
    },
    /// Switches groups over: to `to`, or to whichever node is not active.
    Switch {
        /// None: every group.
        group: Option<String>,
        /// A node's name.
        to: Option<String>,
        /// Even where the target is not ready.
        anyway: bool,
    },
    /// This node stands aside, over restarts, until it is switched off or the time is over.
    Maintenance {
        /// Or off.
        on: bool,
        /// None: until switched off.
        for_s: Option<u64>,
        /// Even where the peer is not ready.
        anyway: bool,
    },
    /// No change of role for quality or preference, on both nodes; ends by itself.
    Freeze {
        /// At most an hour; 0 ends it.
        for_ms: u64,
    },
    /// The other node's answer, over the link.
    Node {
        /// Its name.
        node: String,
        /// What it is asked: one that reads, or `Switch`.
        request: Box<Request>,
    },
    /// `sparectl PLUGIN ARGV...`
    Plugin {
        /// Its name.
        name: String,
        /// What it is asked.
        argv: Vec<String>,
    },
}

/// What a group is forced to.
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

/// What the daemon answers.
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
        /// The other node, if it did not tell its half.
        #[serde(default)]
        silent: Option<String>,
    },
    /// To [`Request::OwnReport`].
    Report {
        /// What comes next, of a [`NodeReport`] as JSON in base64. Cut into lines, as the link
        /// carries no endless texts.
        lines: Vec<String>,
        /// Length of the whole base64. None: it is still gathered, ask again.
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
    /// What a changing verb did.
    Done {
        /// A sentence per line.
        lines: Vec<String>,
    },
    /// To [`Request::Plugin`].
    Rows {
        /// Keys like "virtual_router.lan2.received".
        rows: BTreeMap<String, Value>,
        /// Those of them that are more than a plain number.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        kinds: BTreeMap<String, RowKind>,
        /// What they say wants it.
        #[serde(default)]
        attention: bool,
        /// The answer was too long for some of them.
        #[serde(default)]
        missing: bool,
    },
    /// Refused or failed.
    Error {
        /// Whose fault it is.
        code: ErrorCode,
        /// Every fault, a sentence per line.
        lines: Vec<String>,
    },
}

/// Why a request was not served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ErrorCode {
    /// Not JSON, no such verb, group or plugin.
    Usage,
    /// The caller may read only.
    Permission,
    /// The configuration is wrong; the old one keeps running.
    Config,
    /// Understood and refused for now.
    Refused,
    /// A plugin or the kernel did not do it.
    Failed,
}

/// A plugin's value: a number, true or false, or a text in JSON.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Value {
    /// A counter, a time in the unit of its key.
    Number(u64),
    /// One that may be negative.
    Signed(i64),
    /// Yes or no.
    Flag(bool),
    /// Anything else.
    Text(String),
}

/// What a plugin says of a number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RowKind {
    /// What it counts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unit: Option<Unit>,
    /// It only rises while the plugin runs.
    pub counter: bool,
}

/// The unit of a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unit {
    /// A time.
    Ns,
    /// Memory, or traffic.
    Bytes,
}

/// The whole state of a node. All times are RFC 3339, local.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Status {
    /// When this was written.
    pub at: String,
    /// This node's name.
    pub node: String,
    /// Eight hex digits that differ when the configuration differs.
    pub config: String,
    /// Of the daemon.
    pub version: String,
    /// When the host was booted.
    pub booted: String,
    /// When the daemon was started.
    pub started: String,
    /// In the order of their names.
    pub groups: Vec<GroupStatus>,
    /// Those that plugins follow.
    pub interfaces: Vec<InterfaceStatus>,
    /// Running or not.
    pub plugins: Vec<PluginStatus>,
    /// What the pair is as this node knows it; empty in an answer that is itself part of one.
    pub verdict: Verdict,
    /// The newest.
    pub last_event: Option<Event>,
    /// 0 to 100: the checks, weighed.
    pub quality: u8,
    /// Whatever makes this node more or less fit, worst first.
    pub checks: Vec<CheckStatus>,
    /// What is missing for this node to take over without a loss, a sentence each; empty: ready.
    /// None without a link.
    pub missing: Option<Vec<String>>,
    /// This node stands aside.
    pub maintenance: Option<Maintenance>,
    /// Until when roles change neither for quality nor preference.
    pub frozen_until: Option<String>,
    /// The paths to the peer.
    pub links: Vec<LinkStatus>,
    /// None without `[nodes]`, and in an answer that is itself part of one.
    pub peer: Option<Box<PeerStatus>>,
    /// Rows of plugins that say something in `sparectl status`: "flows" of "conntrack".
    pub rows: BTreeMap<String, BTreeMap<String, Value>>,
}

/// A path to the peer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct LinkStatus {
    /// Its interface.
    pub interface: String,
    /// "up", "down".
    pub state: String,
    /// When it got there.
    pub since: String,
    /// Why it is down.
    pub why: String,
    /// Data takes this one.
    pub carries: bool,
    /// To the peer's link and back.
    pub round_trip_ms: Option<f64>,
    /// Payload and overhead.
    pub sent_bytes: u64,
    /// The same.
    pub received_bytes: u64,
    /// Connections refused: wrong key or address, garbage, too slow.
    pub refused: u64,
}

/// The other node.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct PeerStatus {
    /// Its name in `[nodes]`.
    pub node: String,
    /// Whether it is heard over the link.
    pub up: bool,
    /// When it was last heard, on any path.
    pub last_heard: Option<String>,
    /// Where it was heard.
    pub heard_on: Vec<String>,
    /// While it is silent: whether its machine answers a ping.
    pub answers_ping: Option<bool>,
    /// What it says of itself; None where it does not answer.
    pub status: Option<Box<Status>>,
    /// Its clock less this one's.
    pub clock_ms: Option<i64>,
    /// Keys that must be equal and are not.
    pub differences: Vec<Difference>,
}

/// Addresses that move together.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct GroupStatus {
    /// As configured.
    pub name: String,
    /// "active", "backup" or "fault".
    pub role: String,
    /// When it got this role.
    pub since: String,
    /// The sentence of `sparectl why`.
    pub why: String,
    /// "no", "active" or "backup".
    pub forced: String,
    /// 0 to 100.
    pub quality: u8,
    /// "passing", "blocking", "missing", "off".
    pub fence: String,
    /// How long one advert keeps the fence passing.
    pub lease_ms: f64,
    /// What it claims, whether it is here or not.
    pub addresses: Vec<AddressStatus>,
    /// Rows of the elector about this group: timers, counters, who was heard.
    pub details: BTreeMap<String, Value>,
    /// A rival is heard that also claims the group.
    pub conflict: Option<String>,
    /// Somebody else is heard active for this group.
    pub other_active: Option<String>,
    /// How often the role has changed.
    pub transitions: u64,
}

/// An interface that a plugin follows.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct InterfaceStatus {
    /// Of the interface.
    pub name: String,
    /// "up", "no carrier", "down", "absent".
    pub state: String,
    /// When it got there.
    pub since: String,
}

/// A plugin.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct PluginStatus {
    /// The file is NAME.so.
    pub name: String,
    /// Its own.
    pub version: String,
    /// What it does, in a line.
    pub summary: String,
    /// "running", "starting", "stopping", "restarting", "failed", "refused", "disabled".
    pub state: String,
    /// Why it is not running, and what to do.
    pub why: String,
    /// Its worker.
    pub pid: Option<u32>,
    /// How often it was started again.
    pub restarts: u64,
    /// Calls of it that took longer than 50 ms, since it was started.
    pub slow_calls: u64,
    /// What its worker may do, like "net_admin".
    pub capabilities: Vec<String>,
    /// "real-time", "normal", or why not; empty where it does not run.
    pub scheduling: String,
    /// What it may be asked: `sparectl NAME VERB`.
    pub verbs: Vec<PluginVerb>,
}

/// A word that a plugin knows.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct PluginVerb {
    /// Empty for `sparectl NAME` alone.
    pub word: String,
    /// What follows it.
    pub usage: String,
    /// What it does, in a line.
    pub summary: String,
    /// For root alone.
    pub changes: bool,
}

/// Why a group's role is what it is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct GroupWhy {
    /// Its name.
    pub group: String,
    /// What holds the role now: "r1 is active because ..."
    pub sentence: String,
    /// The last change of role on each node, oldest first.
    pub changes: Vec<RoleChange>,
}

/// All that one node has for `sparectl report`, secrets masked.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct NodeReport {
    /// Its name.
    pub node: String,
    /// When it was gathered.
    pub at: String,
    /// Texts by their names in the bundle, like "ip/address.txt".
    pub files: BTreeMap<String, String>,
    /// What could not be had, a sentence each.
    pub missing: Vec<String>,
}

/// Something that an administrator may want to find a week later.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Event {
    /// With milliseconds.
    pub at: String,
    /// From the list in spared(8): "role", "restored", "plugin".
    pub event: String,
    /// Where it is about one.
    pub group: Option<String>,
    /// One word, from the list in spared(8).
    pub reason: Option<String>,
    /// The sentence.
    pub text: String,
}
