//! The control socket's JSON lines: one [`Request`] per line, one [`Answer`] per line back.
//!
//! `/run/spared/control.sock`: group `spared` may read, root may change.

#![forbid(unsafe_code)]

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

mod client;

pub use client::{AskError, ask};

/// The socket's file name in the runtime directory.
pub const SOCKET_NAME: &str = "control.sock";

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "verb", rename_all = "kebab-case")]
pub enum Request {
    Status,
    Why {
        group: Option<String>,
    },
    /// The newest `limit` events, oldest first.
    Events {
        limit: usize,
    },
    Plugins,
    /// Answers when the reload is done or refused.
    Reload,
    Force {
        group: Option<String>,
        to: Force,
    },
    /// `sparectl PLUGIN ARGV...`
    Plugin {
        name: String,
        argv: Vec<String>,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Force {
    Active,
    Backup,
    Reset,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "kebab-case")]
pub enum Answer {
    Status(Box<Status>),
    Why {
        groups: Vec<GroupWhy>,
    },
    Events {
        events: Vec<Event>,
    },
    Plugins {
        plugins: Vec<PluginStatus>,
    },
    /// What a changing verb did, a sentence per line.
    Done {
        lines: Vec<String>,
    },
    Rows {
        rows: BTreeMap<String, Value>,
    },
    /// Refused or failed: every fault, a sentence per line.
    Error {
        code: ErrorCode,
        lines: Vec<String>,
    },
}

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

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Value {
    Number(u64),
    Text(String),
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Status {
    pub node: String,
    /// First eight hex digits of the configuration's digest.
    pub config: String,
    pub version: String,
    /// RFC 3339 local times, as all times here.
    pub booted: String,
    pub started: String,
    pub groups: Vec<GroupStatus>,
    pub interfaces: Vec<InterfaceStatus>,
    pub plugins: Vec<PluginStatus>,
    /// What is degraded and is not to be seen in the fields beside: sentences, worst first.
    /// `sparectl status` adds those that follow from the fields, and what to do.
    pub warnings: Vec<String>,
    pub last_event: Option<Event>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct GroupStatus {
    pub name: String,
    /// "active", "backup" or "fault".
    pub role: String,
    pub since: String,
    pub why: String,
    /// "no", "active" or "backup".
    pub forced: String,
    pub quality: u8,
    /// "held", "closed", "unfenced".
    pub fence: String,
    pub lease_ms: f64,
    pub addresses: Vec<AddressStatus>,
    /// Rows of the provider about this group: timers, counters, who was heard.
    pub details: BTreeMap<String, Value>,
    /// A rival is heard that also claims the group.
    pub conflict: Option<String>,
    /// Somebody else is heard active for this group.
    pub other_active: Option<String>,
    pub transitions: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct AddressStatus {
    pub address: String,
    pub interface: String,
    pub present: bool,
    /// Times that somebody deleted it and it was put back.
    pub restored: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct InterfaceStatus {
    pub name: String,
    /// "up", "no carrier", "down", "absent".
    pub state: String,
    pub since: String,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PluginStatus {
    pub name: String,
    pub version: String,
    pub summary: String,
    /// "running", "starting", "restarting", "failed", "refused", "disabled".
    pub state: String,
    /// Why it is not running, and what to do.
    pub why: String,
    pub pid: Option<u32>,
    pub restarts: u64,
    pub capabilities: Vec<String>,
    /// "real-time", or why not.
    pub scheduling: String,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct GroupWhy {
    pub group: String,
    pub sentence: String,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Local time with milliseconds.
    pub at: String,
    /// From the documented list, e.g. "role", "takeover", "restored", "conflict", "plugin".
    pub event: String,
    pub group: Option<String>,
    pub reason: Option<String>,
    pub text: String,
}
