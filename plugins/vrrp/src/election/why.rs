//! Reason for a group's role, which the engine compares and reports to the host.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use spared_sdk::{Cause, CauseKind, abi};

use super::QUALITY_BASE;

/// Another router: its name if known from heartbeats, else its address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Who {
    Node(Arc<str>),
    Address(IpAddr),
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Who::Node(name) => f.write_str(name),
            Who::Address(address) => address.fmt(f),
        }
    }
}

/// Reason for a group's role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// No router was heard since this node began to listen.
    NobodyHeard {
        interfaces: String,
        for_ns: u64,
    },
    PeerSilent {
        peer: Who,
        interfaces: String,
        for_ns: u64,
    },
    PeerResigned {
        peer: Who,
    },
    Preempts {
        own: u8,
        peer: Who,
        theirs: u8,
    },
    Fitter {
        own: u8,
        peer: Who,
        theirs: u8,
    },
    Preferred {
        peer: Who,
    },
    /// The nodes are equally good, and hear each other.
    Equal {
        quality: u8,
        peer: Who,
        tie: Tie,
    },
    /// Active, though the other node is better.
    Lesser {
        own: u8,
        peer: Who,
        theirs: u8,
    },
    /// Active: the other node cannot or should not be active.
    PeerAside {
        peer: Who,
        how: Aside,
    },
    Owner,
    Claims {
        interface: String,
        peer: Who,
    },
    ForcedActive {
        why: String,
        /// The node that would be active otherwise, and both qualities.
        without: Option<(Who, u8, u8)>,
    },
    /// Active: the other node switched over, both by priority.
    SwitchedOver {
        peer: Who,
    },
    /// Active: the other node switched over, for this reason.
    Inherits {
        why: Box<Why>,
    },
    /// Active: the other node was active, too, and gave way.
    Won {
        peer: Who,
        for_ns: u64,
    },
    /// Backup: this node switched over to the other.
    SwitchesOver {
        peer: Who,
        why: Box<Why>,
    },
    /// Backup: the other node is active and better.
    Weaker {
        own: u8,
        hurt: String,
        peer: Who,
        theirs: u8,
    },
    /// Backup although better: the other node should switch over.
    Awaits {
        own: u8,
        peer: Who,
        theirs: u8,
    },
    PeerForced {
        peer: Who,
    },
    /// Switches over: the other node has the higher priority.
    Outranked {
        own: u8,
        peer: Who,
        theirs: u8,
    },
    /// Switches over: the other node receives no adverts there.
    Unheard {
        interfaces: String,
        peer: Who,
    },
    /// Switches over: it is not yet in sync.
    NotInSync,
    /// Switches over: an administrator requested it.
    Asked {
        why: String,
    },
    /// Backup although preferred.
    NotYetPreferred {
        peer: Who,
        ready: bool,
        why: String,
        failback_ns: u64,
    },
    /// Backup: an active router was heard.
    PeerActive {
        peer: Who,
        theirs: u8,
        own: u8,
    },
    Listens {
        for_ns: u64,
    },
    Hurt {
        what: String,
    },
    StandsAside {
        why: String,
    },
    Late {
        by_ns: u64,
    },
    PublishFailed,
    /// Another machine has sent heartbeats as this run.
    Cloned,
    /// The peer receives heartbeats of another machine with this node's keys.
    Second,
    Muted {
        interface: String,
    },
    /// Fault: no interface is usable.
    Isolated {
        what: String,
    },
    Barred {
        why: String,
    },
    Withdrawn,
    ShutsDown,
}

/// Tie-breaker between two equal nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tie {
    Preferred,
    First,
    /// First by name: the other node is preferred, but not ready for long enough.
    FirstThough,
    PeerPreferred,
    PeerFirst,
}

/// Reason why the other node cannot be active.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aside {
    Unable,
    Wanted,
    Joining,
}

impl Why {
    /// Returns the cause for the host, which composes the sentence.
    pub fn cause(&self) -> Cause {
        let other = |kind, peer: &Who| Cause {
            peer: peer.to_string(),
            ..Cause::of(kind)
        };
        let compared = |kind, own: u8, peer: &Who, theirs: u8| Cause {
            own: own.into(),
            theirs: theirs.into(),
            ..other(kind, peer)
        };
        let timed = |kind, for_ns| Cause {
            for_ns,
            ..Cause::of(kind)
        };
        let told = |kind, text: &str| Cause {
            text: text.to_owned(),
            ..Cause::of(kind)
        };
        match self {
            Why::NobodyHeard { interfaces, for_ns } => Cause {
                interface: interfaces.clone(),
                ..timed(CauseKind::NobodyHeard, *for_ns)
            },
            Why::PeerSilent {
                peer,
                interfaces,
                for_ns,
            } => Cause {
                interface: interfaces.clone(),
                for_ns: *for_ns,
                ..other(CauseKind::PeerSilent, peer)
            },
            Why::PeerResigned { peer } => other(CauseKind::PeerResigned, peer),
            Why::Preempts { own, peer, theirs } | Why::Outranked { own, peer, theirs } => {
                compared(CauseKind::Priority, *own, peer, *theirs)
            }
            Why::Fitter { own, peer, theirs }
            | Why::Lesser { own, peer, theirs }
            | Why::Awaits { own, peer, theirs } => {
                compared(CauseKind::Quality, *own, peer, *theirs)
            }
            Why::Weaker {
                own,
                hurt,
                peer,
                theirs,
            } => Cause {
                text: hurt.clone(),
                ..compared(CauseKind::Quality, *own, peer, *theirs)
            },
            Why::Equal { quality, peer, tie } => Cause {
                flags: tie.flags(),
                ..compared(CauseKind::Quality, *quality, peer, *quality)
            },
            Why::Preferred { peer } => other(CauseKind::Preferred, peer),
            Why::PeerAside { peer, how } => other(how.kind(), peer),
            Why::Owner => Cause::of(CauseKind::Owner),
            Why::Claims {
                interface: interfaces,
                peer,
            }
            | Why::Unheard { interfaces, peer } => Cause {
                interface: interfaces.clone(),
                ..other(CauseKind::UnheardInterface, peer)
            },
            Why::ForcedActive { why, without } => {
                let without = without.as_ref();
                let without = without
                    .map(|(peer, theirs, own)| compared(CauseKind::Forced, *own, peer, *theirs));
                Cause {
                    text: why.clone(),
                    ..without.unwrap_or(Cause::of(CauseKind::Forced))
                }
            }
            Why::Won { peer, for_ns } => Cause {
                for_ns: *for_ns,
                ..other(CauseKind::Conflict, peer)
            },
            Why::SwitchedOver { peer } => other(CauseKind::Switchover, peer),
            Why::Inherits { why } => {
                let cause = why.cause();
                Cause {
                    flags: cause.flags | abi::CAUSE_BY_SWITCHOVER,
                    ..cause
                }
            }
            Why::SwitchesOver { peer, why } => {
                let cause = why.cause();
                Cause {
                    peer: peer.to_string(),
                    flags: cause.flags | abi::CAUSE_BY_SWITCHOVER,
                    ..cause
                }
            }
            Why::PeerForced { peer } => other(CauseKind::PeerForced, peer),
            Why::NotInSync => Cause::of(CauseKind::NotInSync),
            Why::Asked { why } => told(CauseKind::Asked, why),
            Why::NotYetPreferred {
                peer,
                ready,
                why,
                failback_ns,
            } => Cause {
                flags: if *ready { abi::CAUSE_READY } else { 0 },
                for_ns: *failback_ns,
                text: why.clone(),
                ..other(CauseKind::Failback, peer)
            },
            Why::PeerActive { peer, theirs, own } => {
                compared(CauseKind::PeerActive, *own, peer, *theirs)
            }
            Why::Listens { for_ns } => timed(CauseKind::Listening, *for_ns),
            Why::Hurt { what } => told(CauseKind::InterfaceHurt, what),
            Why::StandsAside { why } => told(CauseKind::StandsAside, why),
            Why::Late { by_ns } => timed(CauseKind::Late, *by_ns),
            Why::PublishFailed => Cause::of(CauseKind::FenceBlocking),
            Why::Cloned => Cause::of(CauseKind::Cloned),
            Why::Second => Cause::of(CauseKind::Second),
            Why::Muted { interface } => Cause {
                interface: interface.clone(),
                ..Cause::of(CauseKind::AdvertsUnsent)
            },
            Why::Isolated { what } => told(CauseKind::Isolated, what),
            Why::Barred { why } => told(CauseKind::Barred, why),
            Why::Withdrawn => Cause::of(CauseKind::Withdrawn),
            Why::ShutsDown => Cause::of(CauseKind::Shutdown),
        }
    }
}

impl Tie {
    fn flags(self) -> u32 {
        match self {
            Tie::Preferred => abi::CAUSE_OWN_PREFERRED,
            Tie::FirstThough | Tie::PeerPreferred => abi::CAUSE_PEER_PREFERRED,
            Tie::First | Tie::PeerFirst => 0,
        }
    }
}

impl Aside {
    fn kind(self) -> CauseKind {
        match self {
            Aside::Unable => CauseKind::PeerUnable,
            Aside::Wanted => CauseKind::PeerAside,
            Aside::Joining => CauseKind::PeerJoining,
        }
    }
}

/// Returns the quality of a priority: E10 reversed.
pub fn quality_of(priority: u8) -> u8 {
    (priority.saturating_sub(QUALITY_BASE) / 2).min(100)
}
