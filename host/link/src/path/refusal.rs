//! Defines why connections are refused, and limits which refusals are events.

use std::collections::BTreeMap;

/// Time after an event in which further refusals of the same kind are only counted.
const QUIET_NS: u64 = 600_000_000_000;

/// Kind of a refusal. A stranger can cause any number of texts of one kind, but no new kinds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// The address is not the peer's.
    Address,
    /// More connections than may wait for a key.
    Crowd,
    /// No key arrived in time.
    Late,
    /// TCP has no connection, or has lost it.
    Network,
    /// This node does not accept the key.
    PeerKey,
    /// The peer does not accept this node's key.
    OwnKey,
    /// Any other fault of TLS.
    Tls,
    /// The session refuses data of the peer.
    Session,
}

/// Reason why a connection is refused, or has ended.
#[derive(Debug)]
pub struct Refusal {
    pub kind: Kind,
    pub why: String,
}

impl Refusal {
    pub fn new(kind: Kind, why: impl Into<String>) -> Self {
        let why = why.into();
        Self { kind, why }
    }
}

/// Converts a sentence of the session.
impl From<String> for Refusal {
    fn from(why: String) -> Self {
        Self::new(Kind::Session, why)
    }
}

/// Events about refusals, for the host. A kind is an event once within [`QUIET_NS`].
#[derive(Debug, Default)]
pub struct RefusalEvents {
    /// Time of the last event of each kind.
    last_ns: BTreeMap<Kind, u64>,
    /// Reason and sentence of each event that was not taken yet.
    events: Vec<(&'static str, String)>,
}

impl RefusalEvents {
    /// Adds a refusal, if it is an event.
    pub fn note(&mut self, now_ns: u64, kind: Kind, text: impl FnOnce() -> String) {
        let last_ns = self.last_ns.get(&kind);
        if last_ns.is_none_or(|last_ns| now_ns.saturating_sub(*last_ns) >= QUIET_NS) {
            self.last_ns.insert(kind, now_ns);
            self.events.push(("refused", text()));
        }
    }

    /// Makes the next refusal of each kind an event again.
    pub fn forget(&mut self) {
        self.last_ns.clear();
    }

    pub fn take(&mut self) -> Vec<(&'static str, String)> {
        std::mem::take(&mut self.events)
    }
}
