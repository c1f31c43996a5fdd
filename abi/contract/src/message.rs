//! The messages to a plugin and from it. `abi/RULES.md` has the rules of order and time.
//!
//! Descriptors come with [`ToPlugin::Interface`], in the order of its `sockets`, and with [`ToPlugin::Channel`] and
//! [`ToPlugin::Partner`].

use crate::record::messages;
use crate::{
    Cause, Claims, ConfigTable, Descriptor, Directive, EventRecord, Failure, InterfaceEvent,
    LogLevel, PairStatus, Publication, Role, RoleEvent, RootsFile, Row, Scope, Surroundings,
};

/// Time in ms for which a worker waits for the answer to a [`Call`] before the callback gets -ETIMEDOUT.
pub const CALL_TIMEOUT_MS: u64 = 100;

/// Time in ms for which a worker waits for an answer until its plugin has started. No role depends on it then, and a
/// machine that boots is slow.
pub const CALL_TIMEOUT_AT_START_MS: u64 = 1000;

messages! {
    /// A message to a plugin. One with a token is answered by [`FromPlugin::Returned`] with the same token.
    pub enum ToPlugin {
        /// Apply a configuration, or only check it.
        Configure {
            /// Number of the request, for its answer.
            token: u64 = 0,
            /// The plugin's file as a tree. Tables by node name are as the file has them: which keys may be
            /// such a table, the plugin alone knows.
            table: ConfigTable = 1,
            /// Only check it.
            check: bool = 2,
            /// The host's keys.
            surroundings: Surroundings = 3,
        } = 1,
        /// Begin the work.
        Start {
            /// Number of the request, for its answer.
            token: u64 = 0,
        } = 2,
        /// End the work.
        Stop {
            /// Number of the request, for its answer.
            token: u64 = 0,
        } = 3,
        /// Send the peer all that the plugin has.
        Drain {
            /// Number of the request, for its answer.
            token: u64 = 0,
            /// Monotonic time; afterwards the host goes on without the plugin.
            deadline_ns: u64 = 1,
        } = 4,
        /// Apply all that was received.
        Settle {
            /// Number of the request, for its answer.
            token: u64 = 0,
            /// Monotonic time; afterwards the host goes on without the plugin.
            deadline_ns: u64 = 1,
        } = 5,
        /// A group's role.
        Role {
            /// Number of the request, for its answer.
            token: u64 = 0,
            /// The role.
            event: RoleEvent = 1,
        } = 6,
        /// Answer `sparectl NAME ARGV...`.
        Query {
            /// Number of the request, for its answer.
            token: u64 = 0,
            /// The words.
            argv: Vec<String> = 1,
        } = 7,
        /// State of an interface that the plugin follows.
        Interface(event: InterfaceEvent) = 8,
        /// For the plugin that elects.
        Directive(directive: Directive) = 9,
        /// The channel to the peer; its descriptor travels with the message. It replaces the one before.
        /// When the link's process is gone, its end is closed, and there is no channel.
        Channel = 10,
        /// The channel to another plugin of this node, by abi/RULES.md; its descriptor travels
        /// with the message. It replaces the one before.
        Partner {
            /// The other plugin.
            plugin: String = 0,
        } = 11,
        /// State of the pair, for a plugin that watches it.
        Status(status: PairStatus) = 12,
        /// An event, for a plugin that watches them.
        Event(event: EventRecord) = 13,
        /// Answers the [`FromPlugin::Call`] of the same number.
        Answer {
            /// Number of the call.
            number: u64 = 0,
            /// 0 or -errno for each element of an array, or for the one thing that was asked.
            statuses: Vec<i32> = 1,
        } = 14,
        /// Answered by [`FromPlugin::Pong`] from the plugin's own loop.
        Ping {
            /// Number of the ping.
            number: u64 = 0,
        } = 15,
        /// Configuration that a plugin that runs as root accepts, whatever the daemon says. The process that starts the
        /// plugin sends this before the daemon has the socket: it counts as the first message only.
        RootsFile(file: RootsFile) = 16,
        /// The process is for checks: whatever the daemon says, the plugin only checks a configuration, and ends then.
        /// Sent as [`ToPlugin::RootsFile`] is.
        CheckOnly = 17,
        /// Part of a document that the plugin asked for by [`FromPlugin::Document`].
        Document {
            /// Number of the request.
            ticket: u64 = 0,
            /// 0, or why there is no document: -EBUSY, the one before is not complete; -EAGAIN, more than ten in a
            /// second; -EINVAL, no such document or part; -EPERM, the plugin has not the part `documents`; -EMSGSIZE,
            /// it is longer than `DOCUMENT_MAX`; -EIO, the daemon could not answer.
            status: i32 = 1,
            /// Part of the JSON text, in UTF-8.
            text: String = 2,
            /// Bytes that follow after this part, when the plugin asks for them.
            left: u64 = 3,
        } = 18,
    }
    read by "the plugin"
}

messages! {
    /// A message from a plugin.
    pub enum FromPlugin {
        /// After loading: the plugin's descriptor, or why there is none.
        Loaded(loaded: Result<Descriptor, String>) = 1,
        /// A callback has ended, at once or by done().
        Returned {
            /// Token of the message.
            token: u64 = 0,
            /// 0, a status of this callback, or -errno.
            status: i32 = 1,
            /// Why it failed.
            failures: Vec<Failure> = 2,
            /// The answer to a query.
            rows: Vec<Row> = 3,
            /// Some rows were left out, as the answer was too long.
            missing: bool = 4,
        } = 2,
        /// A start or a stop is pending; [`FromPlugin::Returned`] follows.
        Pending {
            /// Token of the message.
            token: u64 = 0,
        } = 3,
        /// A line for the log, or an event.
        Log {
            /// Level of the line.
            level: LogLevel = 0,
            /// The line.
            text: String = 1,
        } = 4,
        /// A check, within the bounds of [`check`](crate::check).
        Check {
            /// Name, unique within the plugin.
            name: String = 0,
            /// Weight for the quality of the node.
            weight: u32 = 1,
            /// 0-100, `CHECK_UNKNOWN` or `CHECK_LOSES`.
            state: u32 = 2,
            /// Sentence about the state.
            why: String = 3,
            /// Points that the check takes off the node's quality and priority now, 0-253, besides its weight.
            points: u32 = 4,
        } = 5,
        /// Withdraws a check.
        ForgetCheck {
            /// Name of the check.
            name: String = 0,
        } = 6,
        /// Report of the plugin that it is in sync, or not.
        InSync {
            /// True if it is in sync.
            yes: bool = 0,
            /// Reason why it is not.
            why: String = 1,
        } = 7,
        /// A callback that nobody waits for fails, and why, at most once a second; or it works again.
        Callback {
            /// The callback.
            name: String = 0,
            /// Reason of the failure; None: it works again.
            why: Option<String> = 1,
        } = 8,
        /// Scopes of keys. Sent before the [`FromPlugin::Returned`] of a
        /// `configure` that succeeded.
        Scopes {
            /// Keys with their scopes.
            scopes: Vec<(String, Scope)> = 0,
        } = 9,
        /// Answers a ping.
        Pong {
            /// Number of callbacks that took longer than 50 ms, since the plugin was loaded.
            slow_calls: u64 = 0,
            /// Number of the ping.
            number: u64 = 1,
        } = 10,
        /// Asks for a document, which only a plugin with the part `documents` may. [`ToPlugin::Document`] follows in any
        /// case.
        Document {
            /// Number of the request, for its answer.
            ticket: u64 = 0,
            /// `DOCUMENT_*`; of no account if `from` is not 0.
            what: u32 = 1,
            /// Bytes of the document that the plugin has: 0 asks for a document, else for its next part.
            from: u64 = 2,
        } = 11,
        calls Call: Call,
    }
    read by "spared"
}

messages! {
    /// A function that needs the host: the worker blocks on its answer.
    pub enum Call {
        /// Follow an interface.
        Follow {
            /// Name of the interface.
            interface: String = 1,
            /// Sockets to open there, `SOCKETS_*`.
            sockets: u32 = 2,
        } = 0x100,
        /// Follow it no longer.
        Unfollow {
            /// Name of the interface.
            interface: String = 1,
        } = 0x101,
        /// Declare groups or withdraw them.
        Claim {
            /// Each group once; None withdraws it.
            groups: Vec<(String, Option<Claims>)> = 1,
        } = 0x102,
        /// Set the roles of groups.
        Publish {
            /// Each group once.
            groups: Vec<(String, Publication)> = 1,
        } = 0x103,
        /// Announce the addresses of groups again.
        Announce {
            /// Each group once.
            groups: Vec<String> = 1,
        } = 0x104,
        /// Switch a group over to the peer.
        SwitchOver {
            /// The group.
            group: String = 1,
            /// Cause of the switchover.
            cause: Cause = 2,
        } = 0x105,
        /// Addresses and routes that a plugin adds to a group that it does not elect.
        Add {
            /// The group.
            group: String = 1,
            /// None takes away what was added.
            claims: Option<Claims> = 2,
        } = 0x106,
        /// Watch the pair.
        Watch {
            /// `WATCH_*`.
            what: u32 = 1,
        } = 0x107,
        /// Replace the cause of a published role. Not waited for.
        Explain {
            /// The group.
            group: String = 1,
            /// Role of the group.
            role: Role = 2,
            /// The new cause.
            cause: Cause = 3,
        } = 0x108,
    }
    read by "spared"
}
