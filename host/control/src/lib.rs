//! The protocol of the control socket: JSON lines, one [`Request`] each, answered by one [`Answer`] each.
//!
//! On `/run/spared/control.sock`, root may send all requests, and group `spared` the read-only ones.
//!
//! Directly before the daemon carries out an order, it writes the first byte of the answer's line, a space ([`BEGUN`]). A
//! client that gives up closes its end for reading first: either the byte is there, or the daemon, which can no longer
//! write it, drops the order. So no order is carried out whose client has said that nothing was done.

#![forbid(unsafe_code)]
#![deny(missing_docs)]

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

mod client;
mod order;
mod status;

pub use client::{AskError, Fault, ask};
pub use spared_contract::{Unit, Verb};
pub use spared_pair::{
    AddressStatus, CheckStatus, Difference, Finding, Fitness, Maintenance, RoleChange, Verdict,
};
pub use status::{
    GroupStatus, GroupWhy, InterfaceStatus, LinkStatus, PeerStatus, PluginStatus, Status,
};

/// The socket's file name in the runtime directory.
pub const SOCKET_NAME: &str = "control.sock";

/// Said before an order is carried out: white space before the JSON of its answer.
pub const BEGUN: u8 = b' ';

/// Names that no plugin may have: present and possible verbs of sparectl, and processes of the host.
pub const RESERVED: [&str; 36] = [
    "all",
    "backup",
    "check",
    "completions",
    "config",
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
    "starter",
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
