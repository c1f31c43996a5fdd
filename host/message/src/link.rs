//! Messages between the host and the process of the link. Both ends are the same binary.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use spared_contract::LogLevel;
use spared_contract::codec::Message;
use zeroize::Zeroize;

use crate::word::{Introduction, Word};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToLink {
    /// Configuration: the first message, and another one after a reload. Only differences are applied.
    Configure(Box<Setup>),
    /// State of a path: usable if its interface is up, has carrier and its address. False ends the path's session at
    /// once. One descriptor may come with it: a raw ICMP socket bound to the interface, to ping the machine of a silent
    /// peer and to check that packets of the size of the MTU pass.
    Path {
        index: usize,
        usable: bool,
        mtu: u32,
    },
    /// Channel of a plugin. The link's end of it comes with the message, and replaces the plugin's previous channel.
    Channel {
        plugin: String,
        /// False for a plugin that only has statements signed and verified: it sends nothing to its peer.
        speaks: bool,
        wire_min: u32,
        wire_max: u32,
    },
    /// Ends the channel of a plugin that has ended.
    NoChannel { plugin: String },
    /// Word to the peer's host.
    Say(#[serde(with = "crate::word::as_json")] Word),
    /// Puts a mark into each of these channels, after all that its worker has queued by now. [`FromLink::Marked`]
    /// follows on the other node. A channel that is not up gets no mark.
    Mark { id: u64, channels: Vec<String> },
    /// Ping. The link's own loop answers by [`FromLink::Pong`].
    Ping { number: u64 },
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FromLink {
    /// The first session with the peer began.
    Up(Introduction),
    /// The last session ended, or the peer was restarted. Every channel went down.
    Down {
        why: String,
    },
    /// Word from the peer's host: well-formed, with untrusted contents.
    Heard(#[serde(with = "crate::word::as_json")] Word),
    /// Agreed version of a plugin's messages, or a sentence why there is none.
    Wire {
        plugin: String,
        agreed: Result<u32, String>,
    },
    /// End of such a refusal: the peer's plugin is gone.
    RefusalOver {
        plugin: String,
    },
    /// The peer's mark has arrived, and everything before it is in the worker's socket.
    Marked {
        id: u64,
        channel: String,
    },
    /// State, once a second and when a path goes up or down.
    State(State),
    /// Event for `sparectl events`: a path went up or down, a station was refused.
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

/// Keys by which the nodes authenticate each other.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Keys {
    /// This node's private key as an Ed25519 seed, and the public keys that the peer may have.
    Pinned { seed: [u8; 32], peer: Vec<[u8; 32]> },
    /// A passphrase from which both nodes derive the keys of both.
    Secret(String),
}

impl Keys {
    /// Overwrites the secret in this value.
    pub fn wipe(&mut self) {
        match self {
            Self::Pinned { seed, .. } => seed.zeroize(),
            Self::Secret(passphrase) => passphrase.zeroize(),
        }
    }
}

impl std::fmt::Debug for Keys {
    /// Hides secrets from logs.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Pinned { .. } => "Pinned(..)",
            Self::Secret(_) => "Secret(..)",
        })
    }
}

/// Path of a `[[link]]` as this node sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkPath {
    pub interface: String,
    pub own: IpAddr,
    pub prefix: u8,
    pub peer: IpAddr,
}

/// Path of a `[[link]]`, as the process of the link needs it.
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
    /// States of channels, by plugin.
    pub channels: BTreeMap<String, ChannelState>,
    /// Clock of the peer minus this node's, in ms.
    pub clock_ms: Option<i64>,
    /// True if the peer's machine answers a ping, while there is no session.
    pub answers_ping: Option<bool>,
    /// Bytes queued for the peer that it has not acknowledged.
    pub backlog: u64,
    /// Number of frames sent again after a change of path.
    pub sent_again: u64,
    /// Number of changes of the path that data uses.
    pub path_changes: u64,
    /// Number of messages that only a later version knows, since the session began.
    pub ignored: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PathState {
    pub interface: String,
    /// True if the path has a session.
    pub up: bool,
    /// True if the peer has not answered for 2 s. The session is kept for some seconds more.
    pub silent: bool,
    /// True if this path carries the data.
    pub carries: bool,
    /// The MTU and the largest size that passes, if packets of the MTU's size do not pass.
    pub narrow: Option<(u32, u32)>,
    /// Reason why the path is not up.
    pub why: String,
    pub round_trip_us: Option<u64>,
    pub sent_bytes: u64,
    pub received_bytes: u64,
    /// Number of sessions begun.
    pub sessions: u64,
    /// Number of connections refused or given up: wrong key, wrong address, garbage, too slow, too many.
    pub refused: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChannelState {
    pub wire: Option<u32>,
    pub sent: u64,
    pub received: u64,
    pub sent_bytes: u64,
    pub received_bytes: u64,
    /// Number of messages queued here that the peer's worker has not taken.
    pub queued: u64,
}
