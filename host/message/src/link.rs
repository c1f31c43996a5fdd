//! Messages between host and link process. Both ends are the same binary.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use spared_contract::LogLevel;
use spared_contract::codec::Message;
use zeroize::Zeroize;

use crate::word::{Introduction, Word};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToLink {
    /// The first message, and again after a reload: only differences are applied.
    Configure(Box<Setup>),
    /// Whether a path's interface is up, has carrier and its address; false ends its session at
    /// once. One descriptor may come with it: a raw ICMP socket bound to the interface, to ping the
    /// machine of a silent peer, and to see whether packets of the size of the MTU pass.
    Path {
        index: usize,
        usable: bool,
        mtu: u32,
    },
    /// The link's end of a worker's channel comes with it and replaces the plugin's previous
    /// channel.
    Channel {
        plugin: String,
        /// False for a plugin that only has statements signed and verified: nothing goes to its
        /// peer.
        speaks: bool,
        wire_min: u32,
        wire_max: u32,
    },
    /// The plugin has ended and needs no channel.
    NoChannel { plugin: String },
    /// To the peer's host.
    Say(#[serde(with = "crate::word::as_json")] Word),
    /// Put a mark into each of these channels, behind all that its worker has queued by now:
    /// [`FromLink::Marked`] on the other node. A channel that is not up gets none.
    Mark { id: u64, channels: Vec<String> },
    /// Answered by [`FromLink::Pong`] from the link's own loop.
    Ping { number: u64 },
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FromLink {
    /// The first session with the peer is up.
    Up(Introduction),
    /// The last session has ended, or the peer was restarted: every channel went down.
    Down {
        why: String,
    },
    /// From the peer's host: well-formed, with untrusted contents.
    Heard(#[serde(with = "crate::word::as_json")] Word),
    /// The agreed version of a plugin's messages; or a sentence why there is none.
    Wire {
        plugin: String,
        agreed: Result<u32, String>,
    },
    /// The peer's mark has arrived, and everything before it is in the worker's socket.
    Marked {
        id: u64,
        channel: String,
    },
    /// Once a second, and when a path goes up or down.
    State(State),
    /// For `sparectl events`: a path went up or down, a station was refused.
    Event {
        reason: String,
        text: String,
    },
    Log {
        level: LogLevel,
        text: String,
    },
    Pong {
        number: u64,
    },
}

impl Message for ToLink {}

impl Message for FromLink {}

/// The configuration of the link.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Setup {
    pub node: String,
    pub peer: String,
    pub port: u16,
    pub keys: Keys,
    pub paths: Vec<PathSetup>,
    pub introduction: Introduction,
}

/// How the nodes authenticate each other.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Keys {
    /// This node's private key as an Ed25519 seed, and the public keys that the peer may have.
    Pinned { seed: [u8; 32], peer: Vec<[u8; 32]> },
    /// A passphrase from which both nodes derive the keys of both.
    Secret(String),
}

impl Keys {
    /// Leaves no copy of the secret in this value.
    pub fn wipe(&mut self) {
        match self {
            Self::Pinned { seed, .. } => seed.zeroize(),
            Self::Secret(passphrase) => passphrase.zeroize(),
        }
    }
}

impl std::fmt::Debug for Keys {
    /// Keeps secrets out of logs.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Pinned { .. } => "Pinned(..)",
            Self::Secret(_) => "Secret(..)",
        })
    }
}

/// A `[[link]]` as this node sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkPath {
    pub interface: String,
    pub own: IpAddr,
    pub prefix: u8,
    pub peer: IpAddr,
}

/// One `[[link]]`, as the link needs it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PathSetup {
    pub interface: String,
    pub own: IpAddr,
    pub peer: IpAddr,
}

/// State of the link.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    pub paths: Vec<PathState>,
    /// By plugin.
    pub channels: BTreeMap<String, ChannelState>,
    /// The peer's clock less this node's, in milliseconds.
    pub clock_ms: Option<i64>,
    /// Without a session: whether the peer's machine answers a ping.
    pub answers_ping: Option<bool>,
    /// Bytes queued for the peer that it has not acknowledged.
    pub backlog: u64,
    /// Frames sent again after a change of path.
    pub sent_again: u64,
    /// Number of changes of the path that data uses.
    pub path_changes: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PathState {
    pub interface: String,
    /// The path has a session.
    pub up: bool,
    /// The peer has not answered for 2 s; the session is kept for some seconds more.
    pub silent: bool,
    /// Data uses this path.
    pub carries: bool,
    /// The MTU, where packets of that size do not pass, and the largest size that does.
    pub narrow: Option<(u32, u32)>,
    /// Why it is not up.
    pub why: String,
    pub round_trip_us: Option<u64>,
    pub sent_bytes: u64,
    pub received_bytes: u64,
    /// Sessions begun.
    pub sessions: u64,
    /// Connections refused or given up: wrong key, wrong address, garbage, too slow, too many.
    pub refused: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChannelState {
    pub wire: Option<u32>,
    pub sent: u64,
    pub received: u64,
    pub sent_bytes: u64,
    pub received_bytes: u64,
    /// Messages queued here that the peer's worker has not taken.
    pub queued: u64,
}
