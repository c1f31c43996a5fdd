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

/// Time of the last event of each kind.
#[derive(Debug, Default)]
pub struct EventLimiter(BTreeMap<Kind, u64>);

impl EventLimiter {
    /// Returns true if the refusal is an event.
    pub fn is_event(&mut self, now_ns: u64, kind: Kind) -> bool {
        let told_ns = self.0.get(&kind);
        let is_event = told_ns.is_none_or(|told_ns| now_ns.saturating_sub(*told_ns) >= QUIET_NS);
        if is_event {
            self.0.insert(kind, now_ns);
        }
        is_event
    }
}
