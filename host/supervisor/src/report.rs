//! Reports of the supervisor to the host.

use spared_config::Fault;
use spared_contract::{Call, Scope};
use spared_message::query::{Answered, DocumentRequest, Unanswered};

use spared_message::notice::Notice;

#[derive(Debug)]
pub enum Report {
    /// Report about the plugin of this name.
    Plugin(String, PluginReport),
    /// A worker no longer answers, or answers again.
    Silence,
    Answered {
        id: u64,
        result: Result<Answered, Unanswered>,
    },
    Tell(Notice),
}

#[derive(Debug)]
pub enum PluginReport {
    /// Call of a host function. The host has to answer it, and the worker waits.
    Call {
        number: u64,
        call: Call,
    },
    /// The plugin has started: the host replays roles, interfaces and directives.
    Up,
    /// The plugin's worker has ended or was killed, with the reason.
    Down(String),
    /// The plugin was given up because it ended too often, with the reason. Repeated after each further attempt that
    /// fails.
    GivenUp(String),
    /// The plugin was given up before, and has run for the whole trial since.
    Recovered,
    /// The plugin is no longer configured.
    Removed,
    Settled {
        group: String,
        epoch: u64,
    },
    /// Result of a drain. A negative status means that not everything was sent.
    Drained {
        group: String,
        epoch: u64,
        status: i32,
    },
    /// The plugin took the role, or reports why it could not.
    RoleDone {
        group: String,
        epoch: u64,
        result: Result<(), String>,
    },
    Stopped,
    Reconfigured(Result<Returned, Vec<String>>),
    /// The plugin ended before it answered to its new file, or does not run, with the reason. Its next start is with that
    /// file.
    NotReconfigured(String),
    /// A check of a new configuration has ended.
    Validated(Vec<Fault>),
    /// Result of a check.
    Check {
        check: String,
        weight: u32,
        state: u32,
        why: String,
        /// Points that it takes off the quality now, besides its weight.
        points: u32,
    },
    ForgetCheck(String),
    /// The plugin is in sync or not.
    InSync {
        yes: bool,
        why: String,
    },
    /// A callback of the plugin fails, with the reason, or works again.
    Callback {
        callback: String,
        why: Option<String>,
    },
    /// The plugin asks for a document, or for the next part of one.
    Document(DocumentRequest),
    /// Scopes of the keys in the plugin's file.
    Scopes(Vec<(String, Scope)>),
    /// The plugin cannot run, with the reason: the file is not a plugin, or its configuration is wrong.
    Refused(String),
    /// An event with the plugin's own text.
    Event {
        is_conflict: bool,
        text: String,
    },
}

/// Result of `configure` in a running plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Returned {
    /// The change is applied.
    Live,
    /// The change is valid, but needs a restart of the plugin.
    Restart,
}
