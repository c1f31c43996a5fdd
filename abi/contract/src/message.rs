//! The messages to a plugin and from it. Rules of order and time are in `abi/RULES.md`.
//!
//! Descriptors travel beside [`ToPlugin::Interface`], in the order of its `sockets`, [`ToPlugin::Channel`] and
//! [`ToPlugin::Partner`].

use serde::{Deserialize, Serialize};

use crate::codec::Message;
use crate::{
    Cause, Claims, Descriptor, Directive, EventRecord, Failure, InterfaceEvent, LogLevel,
    PairStatus, Publication, Role, RoleEvent, Row, Scope, Surroundings,
};

/// How long a worker waits for the answer to a [`Call`] before the callback sees -ETIMEDOUT.
pub const CALL_TIMEOUT_MS: u64 = 100;

/// A message to a plugin. One with a token is answered by [`FromPlugin::Returned`] with the same token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToPlugin {
    /// Apply a configuration, or only check it.
    Configure {
        /// See [`ToPlugin`].
        token: u64,
        /// The plugin's file.
        toml: String,
        /// Only check it.
        check: bool,
        /// The host's keys.
        surroundings: Surroundings,
    },
    /// Begin the work.
    Start {
        /// See [`ToPlugin`].
        token: u64,
    },
    /// End the work.
    Stop {
        /// See [`ToPlugin`].
        token: u64,
    },
    /// Send the peer all that the plugin has.
    Drain {
        /// See [`ToPlugin`].
        token: u64,
        /// Monotonic time; afterwards the host goes on without the plugin.
        deadline_ns: u64,
    },
    /// Apply all that was received.
    Settle {
        /// See [`ToPlugin`].
        token: u64,
        /// Monotonic time; afterwards the host goes on without the plugin.
        deadline_ns: u64,
    },
    /// A group's role.
    Role {
        /// See [`ToPlugin`].
        token: u64,
        /// The role.
        event: RoleEvent,
    },
    /// Answer `sparectl NAME ARGV...`.
    Query {
        /// See [`ToPlugin`].
        token: u64,
        /// The words.
        argv: Vec<String>,
    },
    /// State of an interface that the plugin follows.
    Interface(InterfaceEvent),
    /// For the plugin that elects.
    Directive(Directive),
    /// The channel to the peer; its descriptor travels with the message. It replaces the one before.
    /// When the link's process is gone, its end is closed, and there is no channel.
    Channel,
    /// The channel to another plugin of this node, by the worker's `channel.rs`; its descriptor travels
    /// with the message. It replaces the one before.
    Partner {
        /// The other plugin.
        plugin: String,
    },
    /// State of the pair, for a plugin that watches it.
    Status(PairStatus),
    /// An event, for a plugin that watches them.
    Event(EventRecord),
    /// Answers the [`FromPlugin::Call`] of the same number.
    Answer {
        /// Number of the call.
        number: u64,
        /// 0 or -errno for each element of an array, or for the one thing that was asked.
        statuses: Vec<i32>,
    },
    /// Answered by [`FromPlugin::Pong`] from the plugin's own loop.
    Ping {
        /// Number of the ping.
        number: u64,
    },
}

impl Message for ToPlugin {}

/// A message from a plugin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FromPlugin {
    /// After loading: the plugin's descriptor, or why there is none.
    Loaded(Result<Descriptor, String>),
    /// A callback has ended, at once or by done().
    Returned {
        /// That of the message.
        token: u64,
        /// 0, a status of this callback, or -errno.
        status: i32,
        /// Why it failed.
        failures: Vec<Failure>,
        /// The answer to a query.
        rows: Vec<Row>,
        /// Some rows were left out, as the answer was too long.
        missing: bool,
    },
    /// A start or a stop is pending; [`FromPlugin::Returned`] follows.
    Pending {
        /// That of the message.
        token: u64,
    },
    /// A function that needs the host.
    Call {
        /// Number of the call, for its [`ToPlugin::Answer`].
        number: u64,
        /// The function.
        call: Call,
    },
    /// A line for the log, or an event.
    Log {
        /// Its level.
        level: LogLevel,
        /// The line.
        text: String,
    },
    /// A check of `spared.check/1`, within the bounds of [`check`](crate::check).
    Check {
        /// Name, unique within the plugin.
        name: String,
        /// How much it counts.
        weight: u32,
        /// 0-100, `CHECK_UNKNOWN` or `CHECK_LOSES`.
        state: u32,
        /// Sentence about the state.
        why: String,
    },
    /// Withdraws a check.
    ForgetCheck {
        /// Its name.
        name: String,
    },
    /// Whether the plugin is in sync, by `spared.peer/1`.
    InSync {
        /// It is.
        yes: bool,
        /// Why not.
        why: String,
    },
    /// A callback that nobody waits for fails, and why, at most once a second; or it works again.
    Callback {
        /// The callback.
        name: String,
        /// Why it fails.
        why: Option<String>,
    },
    /// Scopes of keys, by `spared.scope/1`. Sent before the [`FromPlugin::Returned`] of a
    /// `configure` that succeeded.
    Scopes {
        /// Keys with their scopes.
        scopes: Vec<(String, Scope)>,
    },
    /// Answers a ping.
    Pong {
        /// Number of callbacks that took longer than 50 ms, since the plugin was loaded.
        slow_calls: u64,
        /// Number of the ping.
        number: u64,
    },
}

impl Message for FromPlugin {}

/// A function that needs the host: the worker blocks on its answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Call {
    /// Follow an interface.
    Follow {
        /// Its name.
        interface: String,
        /// Sockets to open there, `SOCKETS_*`.
        sockets: u32,
    },
    /// Follow it no longer.
    Unfollow {
        /// Its name.
        interface: String,
    },
    /// Declare groups or withdraw them.
    Claim {
        /// Each group once; None withdraws it.
        groups: Vec<(String, Option<Claims>)>,
    },
    /// Set the roles of groups.
    Publish {
        /// Each group once.
        groups: Vec<(String, Publication)>,
    },
    /// Announce the addresses of groups again.
    Announce {
        /// Each group once.
        groups: Vec<String>,
    },
    /// Switch a group over to the peer.
    SwitchOver {
        /// The group.
        group: String,
        /// Why.
        cause: Cause,
    },
    /// What a plugin that does not elect adds to a group.
    Add {
        /// The group.
        group: String,
        /// None takes away what was added.
        claims: Option<Claims>,
    },
    /// Watch the pair.
    Watch {
        /// `WATCH_*`.
        what: u32,
    },
    /// Replace the cause of a published role. Not waited for.
    Explain {
        /// The group.
        group: String,
        /// Its role.
        role: Role,
        /// The new cause.
        cause: Cause,
    },
}
