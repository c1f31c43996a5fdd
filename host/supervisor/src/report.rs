//! Reports of the supervisor to the host.

use spared_config::Fault;
use spared_contract::{Call, Scope};
use spared_requests::questions::{Answered, Unanswered};

use spared_message::notice::Notice;

#[derive(Debug)]
pub enum Report {
    /// Call of a host function that the host has to answer; the worker waits.
    Call {
        plugin: String,
        number: u64,
        call: Call,
    },
    /// The plugin has started: replay roles, interfaces, directives.
    Up {
        plugin: String,
    },
    /// Its worker has ended or was killed.
    Down {
        plugin: String,
        why: String,
    },
    /// A worker does not answer any more, or answers again.
    Silence,
    /// It ended too often. Repeated after each further try that fails.
    GivenUp {
        plugin: String,
        why: String,
    },
    /// It was given up, and has run for the whole trial since.
    Recovered {
        plugin: String,
    },
    /// It is no longer configured.
    Removed {
        plugin: String,
    },
    Settled {
        plugin: String,
        group: String,
        epoch: u64,
    },
    /// Result of a drain; with a negative status not everything was sent.
    Drained {
        plugin: String,
        group: String,
        epoch: u64,
        status: i32,
    },
    /// It took the role, or why it could not.
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
    /// Result of a check, by `spared.check/1`.
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
    /// Whether it is in sync, by `spared.peer/1`.
    InSync {
        plugin: String,
        yes: bool,
        why: String,
    },
    /// A callback of it fails, and why, or works again.
    Callback {
        plugin: String,
        callback: String,
        why: Option<String>,
    },
    /// Scopes of keys in its file, by `spared.scope/1`.
    Scopes {
        plugin: String,
        scopes: Vec<(String, Scope)>,
    },
    /// It cannot run: not a plugin, or a wrong configuration.
    Refused {
        plugin: String,
        why: String,
    },
    /// An event in a plugin's own words.
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
