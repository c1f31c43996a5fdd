//! Reason for a group's role, which the engine compares and reports to the host.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use spared_sdk::{Cause, CauseKind};

use super::QUALITY_BASE;

/// Another router: its name if known from heartbeats, else its address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OtherRouter {
    Node(Arc<str>),
    Address(IpAddr),
}

impl fmt::Display for OtherRouter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OtherRouter::Node(name) => f.write_str(name),
            OtherRouter::Address(address) => address.fmt(f),
        }
    }
}

/// Reason for a group's role: a [`Cause`] with a peer that is no text yet. It is made and compared at each advert, and
/// must not allocate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RoleReason {
    pub kind: CauseKind,
    flags: u32,
    pub own: u8,
    pub theirs: u8,
    pub peer: Option<OtherRouter>,
    for_ns: u64,
    interface: String,
    text: String,
}

impl RoleReason {
    pub fn of(kind: CauseKind) -> Self {
        Self {
            kind,
            ..Self::default()
        }
    }

    pub fn with_peer(kind: CauseKind, peer: OtherRouter) -> Self {
        Self::of(kind).naming(peer)
    }

    /// Compares priorities or qualities.
    pub fn compared(kind: CauseKind, own: u8, peer: OtherRouter, theirs: u8) -> Self {
        Self {
            own,
            theirs,
            ..Self::with_peer(kind, peer)
        }
    }

    pub fn naming(self, peer: OtherRouter) -> Self {
        let peer = Some(peer);
        Self { peer, ..self }
    }

    pub fn lasting(self, for_ns: u64) -> Self {
        Self { for_ns, ..self }
    }

    pub fn on(self, interface: String) -> Self {
        Self { interface, ..self }
    }

    pub fn saying(self, text: String) -> Self {
        Self { text, ..self }
    }

    pub fn flagged(self, flags: u32) -> Self {
        let flags = self.flags | flags;
        Self { flags, ..self }
    }

    /// Returns the cause for the host, which composes the sentence.
    pub fn cause(&self) -> Cause {
        Cause {
            kind: self.kind,
            flags: self.flags,
            own: self.own.into(),
            theirs: self.theirs.into(),
            for_ns: self.for_ns,
            peer: self
                .peer
                .as_ref()
                .map(OtherRouter::to_string)
                .unwrap_or_default(),
            interface: self.interface.clone(),
            text: self.text.clone(),
        }
    }
}

/// Returns the quality of a priority: E10 reversed.
pub fn quality_of(priority: u8) -> u8 {
    (priority.saturating_sub(QUALITY_BASE) / 2).min(100)
}
