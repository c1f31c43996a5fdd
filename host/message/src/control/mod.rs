//! The protocol of the control socket: JSON lines, one [`Request`] each, answered by one [`Answer`] each.
//!
//! On `/run/spared/control.sock`, root may send all requests, and group `spared` the read-only ones.
//!
//! Directly before the daemon carries out an order, it writes the first byte of the answer's line, a space ([`BEGUN`]).
//! A client that gives up closes its end for reading first. Then either the byte has arrived, or the daemon can no
//! longer write it and drops the order. So no order is carried out after its client reported that nothing was done.

#![deny(missing_docs)]

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

mod client;
mod order;
mod place;
mod status;

pub use client::{AskError, Fault, ask};
pub use place::{DEFAULT_RUNTIME_DIR, DEFAULT_STATE_DIR, UNARMED_MARK, state_dir};
pub use spared_contract::{Unit, Verb};
pub use spared_verdict::{
    AddressStatus, CheckStatus, Difference, Finding, Fitness, Maintenance, OrderFacts, Past,
    PastFinding, PastQuery, PastRun, RoleChange, Verdict,
};
pub use status::{
    Confinement, DaemonRun, GroupStatus, GroupWhy, InterfaceStatus, LinkStatus, PeerStatus,
    PluginStatus, Status,
};

/// The socket's file name in the runtime directory.
pub const SOCKET_NAME: &str = "control.sock";

/// Byte sent before an order is carried out: white space before the JSON of its answer.
pub const BEGUN: u8 = b' ';

/// Names that no plugin may have: present and possible verbs of sparectl, and processes of the host.
pub const RESERVED: &[&str] = &[
    "all",
    "arm",
    "backup",
    "check",
    "completions",
    "config",
    "confirm",
    "daemon",
    "diff",
    "events",
    "firewall",
    "force",
    "freeze",
    "group",
    "groups",
    "help",
    "history",
    "host",
    "identity",
    "import",
    "init",
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
    "replace",
    "report",
    "restart",
    "snmp",
    "spared",
    "starter",
    "status",
    "switch",
    "unpair",
    "upgrade",
    "watch",
    "why",
    "worker",
];

/// Request of `sparectl`, or of the peer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "verb", rename_all = "kebab-case")]
pub enum Request {
    /// Status of both nodes.
    Status,
    /// Status of this node alone, for the peer.
    OwnStatus,
    /// Snapshot of this node's status for metrics, at most a second old.
    Metrics,
    /// Causes of the present roles.
    Why {
        /// Name of the group; None for every group.
        group: Option<String>,
    },
    /// History of both nodes: role changes, findings, and runs of the daemons.
    History(PastQuery),
    /// History of this node alone, for the peer.
    OwnHistory(PastQuery),
    /// Part of this node's half of `sparectl report`, for the peer. The first request begins to gather the report.
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
        /// True to reload even if an active group loses addresses.
        #[serde(default)]
        anyway: bool,
    },
    /// Reload that is taken back, files and all, unless [`Request::Confirm`] comes in time.
    ReloadToConfirm {
        /// True to reload even if an active group loses addresses.
        #[serde(default)]
        anyway: bool,
        /// Seconds until it is taken back: 5 to 86400.
        within_s: u64,
        /// True if a restart of the daemon before that time does not take it back.
        #[serde(default)]
        across_restarts: bool,
    },
    /// Confirms the last reload of this node and, if an administrator asks, also that of the peer.
    Confirm,
    /// Takes back now what waits for a confirmation on this node.
    TakeBack,
    /// Forces a role on this node, whatever the election decides, or ends a force.
    Force {
        /// Name of the group; None for every group.
        group: Option<String>,
        /// Forced role, or the end of the force.
        to: Force,
        /// True to force even if the node that would be active is not ready.
        #[serde(default)]
        anyway: bool,
    },
    /// Switches groups over to the node `to`, or to the node that is not active.
    Switch {
        /// Name of the group; None for every group.
        group: Option<String>,
        /// Name of the node that becomes active; None for the node that is not active.
        to: Option<String>,
        /// True to switch even if the target is not ready.
        anyway: bool,
    },
    /// Begins or ends maintenance of this node, which outlasts restarts.
    Maintenance {
        /// True to begin, false to end.
        on: bool,
        /// Seconds until the maintenance ends; None until it is switched off.
        for_s: Option<u64>,
        /// True to begin even if the peer is not ready.
        anyway: bool,
    },
    /// Freezes roles on both nodes: no change for quality or preference until the time is over.
    Freeze {
        /// Duration in ms, at most one hour; 0 ends the freeze.
        for_ms: u64,
    },
    /// Arms this node and, if an administrator asks, also the peer: from then on they may be active.
    Arm,
    /// Ends this node's daemon, which the service manager starts again in the build that is installed. Refused while a
    /// group is active here.
    Restart,
    /// Passes a request to the other node over the link.
    Node {
        /// Name of the node.
        node: String,
        /// A read-only request, `Switch`, `Arm`, `Confirm`, `TakeBack` or `Restart`.
        request: Box<Request>,
    },
    /// `sparectl PLUGIN ARGV...`
    Plugin {
        /// Name of the plugin.
        name: String,
        /// Verb and arguments.
        argv: Vec<String>,
    },
}

/// Effect of a force.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Force {
    /// The node is active, whatever the election decides.
    Active,
    /// The node is never active.
    Backup,
    /// The election decides again.
    Reset,
}

/// Answer of the daemon.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "kebab-case")]
pub enum Answer {
    /// Answer to [`Request::Status`].
    Status(Box<Status>),
    /// Answer to [`Request::Why`].
    Why {
        /// Groups in the order of their names.
        groups: Vec<GroupWhy>,
    },
    /// Answer to [`Request::History`].
    History(Box<Past>),
    /// Answer to [`Request::OwnReport`].
    Report {
        /// Part of a [`NodeReport`], as JSON in base64. It is split into lines, because the link bounds the length of
        /// texts.
        lines: Vec<String>,
        /// Length of the whole base64; None while the report is being gathered: repeat the request.
        size: Option<usize>,
    },
    /// Answer to [`Request::Events`].
    Events {
        /// Events, oldest first.
        events: Vec<Event>,
    },
    /// Answer to [`Request::Plugins`].
    Plugins {
        /// Plugins in the order of their names.
        plugins: Vec<PluginStatus>,
    },
    /// Answer to requests that change something.
    Done {
        /// Sentences about what was done, one per line.
        lines: Vec<String>,
    },
    /// Answer to [`Request::Plugin`].
    Rows {
        /// Values by keys such as "virtual_router.lan2.received".
        rows: BTreeMap<String, Value>,
        /// Kinds of those rows that are not plain numbers.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        kinds: BTreeMap<String, RowKind>,
        /// True if the rows call for the administrator's attention.
        #[serde(default)]
        attention: bool,
        /// True if rows are missing because the answer was too long.
        #[serde(default)]
        missing: bool,
    },
    /// The request was refused, or failed.
    Error {
        /// Kind of the error.
        code: ErrorCode,
        /// Faults, a sentence per line.
        lines: Vec<String>,
    },
}

/// Reason why a request was not served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ErrorCode {
    /// The request is not JSON, or names no known verb, group or plugin.
    Usage,
    /// The caller may only read.
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
    /// Unit; None for a plain number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unit: Option<Unit>,
    /// True if the number only rises while the plugin runs.
    pub counter: bool,
}

/// One node's half of `sparectl report`, with secrets masked.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct NodeReport {
    /// Name of the node.
    pub node: String,
    /// Time at which the report was gathered.
    pub at: String,
    /// Texts by their names in the bundle, such as "ip/address.txt".
    pub files: BTreeMap<String, String>,
    /// Sentences about what could not be gathered.
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
