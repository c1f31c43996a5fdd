//! Messages between host and worker: one postcard-coded message per SOCK_SEQPACKET record.
//!
//! Both ends are the same binary, so the encoding carries no version. Descriptors travel beside
//! [`ToWorker::Interface`], in the order of its `sockets`, [`ToWorker::Channel`] and
//! [`ToWorker::Partner`].

use serde::{Deserialize, Serialize};
pub use spared_contract::{
    AddressClaim, CALL_TIMEOUT_MS, Cause, CauseKind, Claims, Descriptor, Directive, EventRecord,
    Failure, Family, FindingRecord, Forced, GroupHeadline, InterfaceEvent, LogLevel, PairStatus,
    Publication, Role, RoleEvent, RouteClaim, Row, Scope, SocketKind, Surroundings, Unit, Value,
    Verb, VerdictWord, VirtualRouterClaim,
};

pub use crate::load::{Asks, Load, RootsFile};

/// Largest record in bytes. A longer one is an error of the sender, and is not sent.
pub const MESSAGE_MAX: usize = 192 * 1024;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToWorker {
    /// The first message: what to load and how to confine it.
    Load(Load),
    /// Answered by [`FromWorker::Returned`] with the same token, as are all that carry one.
    Configure {
        token: u64,
        toml: String,
        check: bool,
        surroundings: Surroundings,
    },
    Start {
        token: u64,
    },
    Stop {
        token: u64,
    },
    Drain {
        token: u64,
        deadline_ns: u64,
    },
    Settle {
        token: u64,
        deadline_ns: u64,
    },
    Role {
        token: u64,
        event: RoleEvent,
    },
    Query {
        token: u64,
        argv: Vec<String>,
    },
    Interface(InterfaceEvent),
    Directive(Directive),
    /// The channel to the peer; its descriptor travels with the message. It replaces the one before.
    /// When the link's process is gone, its end is closed, and there is no channel.
    Channel,
    /// The channel to another plugin of this node, by the worker's `channel.rs`; its descriptor travels
    /// with the message. It replaces the one before.
    Partner {
        plugin: String,
    },
    /// State of the pair, for a plugin that watches it.
    Status(PairStatus),
    /// An event, for a plugin that watches them.
    Event(EventRecord),
    /// Answers the [`FromWorker::Call`] of the same number: 0 or -errno for each element of an array,
    /// or for the one thing that was asked.
    Answer {
        number: u64,
        statuses: Vec<i32>,
    },
    /// Answered by [`FromWorker::Pong`] from the plugin's own loop.
    Ping {
        number: u64,
    },
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FromWorker {
    /// After loading: the plugin's descriptor, or why there is none.
    Loaded(Result<Descriptor, String>),
    /// A callback has ended, at once or by done().
    Returned {
        token: u64,
        status: i32,
        failures: Vec<Failure>,
        rows: Vec<Row>,
        /// Some rows were left out, as the answer was too long.
        missing: bool,
    },
    /// A start or a stop is pending; [`FromWorker::Returned`] follows.
    Pending {
        token: u64,
    },
    Call {
        number: u64,
        call: Call,
    },
    Log {
        level: LogLevel,
        text: String,
    },
    /// A check of `spared.check/1`: weight 0-9999, state 0-100.
    Check {
        name: String,
        weight: u32,
        state: u32,
        why: String,
    },
    ForgetCheck {
        name: String,
    },
    /// Whether the plugin is in sync, by `spared.peer/1`.
    InSync {
        yes: bool,
        why: String,
    },
    /// A callback that nobody waits for fails, and why, at most once a second; or it works again.
    Callback {
        name: String,
        why: Option<String>,
    },
    /// Scopes of keys, by `spared.scope/1`. Sent before the [`FromWorker::Returned`] of a
    /// `configure` that succeeded.
    Scopes {
        scopes: Vec<(String, Scope)>,
    },
    Pong {
        /// Number of callbacks that took longer than 50 ms, since the plugin was loaded.
        slow_calls: u64,
        number: u64,
    },
}

/// A host function that needs the host: the worker blocks on its answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Call {
    Follow {
        interface: String,
        sockets: u32,
    },
    Unfollow {
        interface: String,
    },
    /// Of each group once; None withdraws it.
    Claim {
        groups: Vec<(String, Option<Claims>)>,
    },
    /// Of each group once.
    Publish {
        groups: Vec<(String, Publication)>,
    },
    Announce {
        groups: Vec<String>,
    },
    SwitchOver {
        group: String,
        cause: Cause,
    },
    /// What a plugin that does not elect adds to a group; None takes it away.
    Add {
        group: String,
        claims: Option<Claims>,
    },
    /// `SPARED_WATCH_*`.
    Watch {
        what: u32,
    },
    /// Not waited for.
    Explain {
        group: String,
        role: Role,
        cause: Cause,
    },
}

