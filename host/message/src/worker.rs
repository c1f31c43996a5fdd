//! Messages between host and worker: one postcard-coded message per SOCK_SEQPACKET record.
//!
//! Both ends are the same binary, so the encoding carries no version. Descriptors travel beside
//! [`ToWorker::Interface`], in the order of its `sockets`, [`ToWorker::Channel`] and
//! [`ToWorker::Partner`].

use serde::{Deserialize, Serialize};
pub use spared_contract::{
    AddressClaim, Cause, CauseKind, Claims, Directive, EventRecord, Family, FindingRecord, Forced,
    GroupHeadline, InterfaceEvent, LogLevel, PairStatus, Role, RouteClaim, Row, SocketKind, Unit,
    Value, VerdictWord, VirtualRouterClaim,
};

pub use crate::load::{Asks, Load, RootsFile};

/// Largest record in bytes. A longer one is an error of the sender, and is not sent.
pub const MESSAGE_MAX: usize = 192 * 1024;

/// How long a worker waits for the answer to a [`Call`] before the callback sees -ETIMEDOUT.
pub const CALL_TIMEOUT_MS: u64 = 100;

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
        group: String,
        role: Role,
        maintenance: bool,
        /// The last role of this group that the plugin was told.
        before: Option<Role>,
        epoch: u64,
        /// The cause in words, and as data.
        why: String,
        cause: Cause,
        deadline_ns: u64,
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

/// The host's keys of the configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Surroundings {
    /// "@node": this node's name.
    pub node: String,
    /// "@nodes.0": the names of `[nodes]`; may be empty.
    pub nodes: Vec<String>,
    /// "@links.0": the interfaces of the links to the peer.
    pub links: Vec<String>,
    /// "@peer": the peer's name, if keys are configured that identify it.
    pub peer: Option<String>,
    /// "@state": the plugin's own folder, if it has one.
    pub state: Option<String>,
}

/// How a key compares between the nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Scope {
    /// Must be equal.
    Pair,
    /// May differ.
    Node,
    /// Is never compared.
    Local,
    /// Must be equal, and is shown nowhere.
    Secret,
}

/// The plain-data half of `struct spared_plugin`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Descriptor {
    pub name: String,
    pub version: String,
    pub vendor: String,
    pub summary: String,
    pub minor: u32,
    pub flags: u32,
    pub wire_min: u32,
    pub wire_max: u32,
    pub capabilities: u64,
    /// Groups of system calls that it makes, `CALLS_*`; 0 if it has no list.
    pub calls: u32,
    /// Files and folders beyond those of its configuration; a leading `+` asks to write there.
    pub paths: Vec<String>,
    /// Optional callbacks that it has: the host does not wait for the others.
    pub has_drain: bool,
    pub has_settle: bool,
    pub has_role: bool,
    /// The verbs of its query.
    pub verbs: Vec<Verb>,
    /// It answers the extension `spared.group/1`: it decides roles.
    pub provides_groups: bool,
    /// It answers the extension `spared.peer/1`: it has a channel to its peer.
    pub has_peer: bool,
    /// It answers the extension `spared.identity/1`: it has statements signed and verified.
    pub has_identity: bool,
    /// Plugins of this node with which it exchanges messages, by `spared.local/1`, if they name it
    /// as well.
    pub partners: Vec<String>,
}

impl Descriptor {
    /// The verb of a query, by its first word; the empty verb if it has none.
    pub fn verb(&self, argv: &[String]) -> Option<&Verb> {
        let word = argv.first().map_or("", String::as_str);
        self.verbs.iter().find(|verb| verb.word == word)
    }
}

/// A verb of a plugin's query.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verb {
    /// Empty for a query without words.
    pub word: String,
    pub usage: String,
    pub summary: String,
    /// Whether it changes something. Read-only verbs are open to users who may only read.
    pub changes: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// "group.0.interface.1.vrid"; empty for the whole file.
    pub key: String,
    pub why: String,
}

impl Failure {
    /// A failure that concerns no single key.
    pub fn of_whole(why: impl Into<String>) -> Self {
        Self {
            key: String::new(),
            why: why.into(),
        }
    }
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

/// A role, as the elector publishes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Publication {
    pub role: Role,
    /// Grants all fence leases again, also those that lapsed.
    pub reopens: bool,
    pub cause: Cause,
    /// Monotonic time, by which the host refuses a call that lay in the queue of a stopped process:
    /// an ACTIVE older than CALL_TIMEOUT_MS grants no fence lease.
    pub sent_ns: u64,
}
