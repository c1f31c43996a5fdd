//! Reports of the supervisor to the host.

use spared_config::Fault;
use spared_contract::{Call, Scope};
use spared_requests::questions::{Answered, Unanswered};

use spared_message::notice::Notice;

#[derive(Debug)]
pub enum Report {
    /// Call of a host function. The host has to answer it, and the worker waits.
    Call {
        plugin: String,
        number: u64,
        call: Call,
    },
    /// The plugin has started: the host replays roles, interfaces and directives.
    Up {
        plugin: String,
    },
    /// The plugin's worker has ended or was killed.
    Down {
        plugin: String,
        why: String,
    },
    /// A worker no longer answers, or answers again.
    Silence,
    /// The plugin was given up because it ended too often. Repeated after each further attempt that fails.
    GivenUp {
        plugin: String,
        why: String,
    },
    /// The plugin was given up before, and has run for the whole trial since.
    Recovered {
        plugin: String,
    },
    /// The plugin is no longer configured.
    Removed {
        plugin: String,
    },
    Settled {
        plugin: String,
        group: String,
        epoch: u64,
    },
    /// Result of a drain. A negative status means that not everything was sent.
    Drained {
        plugin: String,
        group: String,
        epoch: u64,
        status: i32,
    },
    /// The plugin took the role, or reports why it could not.
    RoleDone {
        plugin: String,
        group: String,
        epoch: u64,
        result: Result<(), String>,
    },
    Answered {
        id: u64,
        result: Result<Answered, Unanswered>,
    },
    Stopped {
        plugin: String,
    },
    Reconfigured {
        plugin: String,
        result: Result<Returned, Vec<String>>,
    },
    /// A check of a new configuration has ended.
    Validated {
        plugin: String,
        faults: Vec<Fault>,
    },
    /// Result of a check.
    Check {
        plugin: String,
        check: String,
        weight: u32,
        state: u32,
        why: String,
    },
    ForgetCheck {
        plugin: String,
        check: String,
    },
    /// The plugin is in sync or not.
    InSync {
        plugin: String,
        yes: bool,
        why: String,
    },
    /// A callback of the plugin fails, with the reason, or works again.
    Callback {
        plugin: String,
        callback: String,
        why: Option<String>,
    },
    /// Scopes of the keys in the plugin's file.
    Scopes {
        plugin: String,
        scopes: Vec<(String, Scope)>,
    },
    /// The plugin cannot run: the file is not a plugin, or its configuration is wrong.
    Refused {
        plugin: String,
        why: String,
    },
    /// An event with the plugin's own text.
    Event {
        plugin: String,
        is_conflict: bool,
        text: String,
    },
    Tell(Notice),
}

/// Result of `configure` in a running plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Returned {
    /// The change is applied.
    Live,
    /// The change is valid, but needs a restart of the plugin.
    Restart,
}
