//! The control socket's JSON lines: one [`Request`] per line, one [`Answer`] per line back.
//!
//! `/run/spared/control.sock`: group `spared` may read, root may change.

#![forbid(unsafe_code)]
#![deny(missing_docs)]

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

mod client;

pub use client::{AskError, Fault, ask};

/// The socket's file name in the runtime directory.
pub const SOCKET_NAME: &str = "control.sock";

/// What `sparectl` asks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "verb", rename_all = "kebab-case")]
pub enum Request {
    /// Everything that there is to see.
    Status,
    /// Why the roles are what they are.
    Why {
        /// None: every group.
        group: Option<String>,
    },
    /// The newest `limit` events, oldest first.
    Events {
        /// At most as many as the daemon keeps.
        limit: usize,
    },
    /// Every plugin, running or not.
    Plugins,
    /// Answers when the reload is done or refused.
    Reload,
    /// Overrules the election on this node.
    Force {
        /// None: every group.
        group: Option<String>,
        /// The role, or none any more.
        to: Force,
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
        /// Keys like "router.lan2.received".
        rows: BTreeMap<String, Value>,
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

/// A plugin's value: a number or a text in JSON.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Value {
    /// A counter, a time in the unit of its key.
    Number(u64),
    /// Anything else.
    Text(String),
}

/// The whole state of a node. All times are RFC 3339, local.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Status {
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
    /// What is degraded and is not to be seen in the fields beside: sentences, worst first.
    /// `sparectl status` adds those that follow from the fields, and what to do.
    pub warnings: Vec<String>,
    /// The newest.
    pub last_event: Option<Event>,
}

/// Addresses that move together.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
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
    /// "held", "closed", "unfenced".
    pub fence: String,
    /// How long one advert keeps the fence open.
    pub lease_ms: f64,
    /// What it claims, whether it is here or not.
    pub addresses: Vec<AddressStatus>,
    /// Rows of the provider about this group: timers, counters, who was heard.
    pub details: BTreeMap<String, Value>,
    /// A rival is heard that also claims the group.
    pub conflict: Option<String>,
    /// Somebody else is heard active for this group.
    pub other_active: Option<String>,
    /// How often the role has changed.
    pub transitions: u64,
}

/// A virtual address.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct AddressStatus {
    /// "192.0.2.1/24".
    pub address: String,
    /// Where it belongs.
    pub interface: String,
    /// Whether the kernel has it.
    pub present: bool,
    /// Times that somebody deleted it and it was put back.
    pub restored: u64,
}

/// An interface that a plugin follows.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
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
    /// What its worker may do, like "net_admin".
    pub capabilities: Vec<String>,
    /// "real-time", "normal", or why not; empty where it does not run.
    pub scheduling: String,
}

/// Why a group's role is what it is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct GroupWhy {
    /// Its name.
    pub group: String,
    /// "r1 is active because ..."
    pub sentence: String,
}

/// Something that an administrator may want to find a week later.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
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
