//! Reason for a group's role, which the engine compares and reports to the host.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use spared_sdk::{Cause, CauseKind, abi};

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

/// Reason for a group's role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RoleReason {
    /// No router was heard since this node began to listen.
    NobodyHeard {
        interfaces: String,
        for_ns: u64,
    },
    PeerSilent {
        peer: OtherRouter,
        interfaces: String,
        for_ns: u64,
    },
    PeerResigned {
        peer: OtherRouter,
    },
    Preempts {
        own: u8,
        peer: OtherRouter,
        theirs: u8,
    },
    Fitter {
        own: u8,
        peer: OtherRouter,
        theirs: u8,
    },
    Preferred {
        peer: OtherRouter,
    },
    /// The nodes are equally good, and hear each other.
    Equal {
        quality: u8,
        peer: OtherRouter,
        tie: TieBreaker,
    },
    /// Active, though the other node is better.
    Lesser {
        own: u8,
        peer: OtherRouter,
        theirs: u8,
    },
    /// Active: the other node cannot or should not be active.
    PeerAside {
        peer: OtherRouter,
        how: PeerObstacle,
    },
    Owner,
    Claims {
        interface: String,
        peer: OtherRouter,
    },
    ForcedActive {
        why: String,
        /// The node that would be active otherwise, and both qualities.
        without: Option<(OtherRouter, u8, u8)>,
    },
    /// Active: the other node switched over, both by priority.
    SwitchedOver {
        peer: OtherRouter,
    },
    /// Active: the other node switched over, for this reason.
    Inherits {
        why: Box<RoleReason>,
    },
    /// Active: the other node was active, too, and gave way.
    Won {
        peer: OtherRouter,
        for_ns: u64,
    },
    /// Backup: this node switched over to the other.
    SwitchesOver {
        peer: OtherRouter,
        why: Box<RoleReason>,
    },
    /// Backup: the other node is active and better.
    Weaker {
        own: u8,
        hurt: String,
        peer: OtherRouter,
        theirs: u8,
    },
    /// Backup although better: the other node should switch over.
    Awaits {
        own: u8,
        peer: OtherRouter,
        theirs: u8,
    },
    PeerForced {
        peer: OtherRouter,
    },
    /// Switches over: the other node has the higher priority.
    Outranked {
        own: u8,
        peer: OtherRouter,
        theirs: u8,
    },
    /// Switches over: the other node receives no adverts there.
    Unheard {
        interfaces: String,
        peer: OtherRouter,
    },
    /// Switches over: it is not yet in sync.
    NotInSync,
    /// Switches over: an administrator requested it.
    Asked {
        why: String,
    },
    /// Backup although preferred.
    NotYetPreferred {
        peer: OtherRouter,
        ready: bool,
        why: String,
        failback_ns: u64,
    },
    /// Backup: an active router was heard.
    PeerActive {
        peer: OtherRouter,
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
pub enum TieBreaker {
    Preferred,
    First,
    /// First by name: the other node is preferred, but not ready for long enough.
    FirstByName,
    PeerPreferred,
    PeerFirst,
}

/// Reason why the other node cannot be active.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerObstacle {
    Unable,
    StandsAside,
    Joining,
}

impl RoleReason {
    /// Returns the cause for the host, which composes the sentence.
    pub fn cause(&self) -> Cause {
        let other = |kind, peer: &OtherRouter| Cause {
            peer: peer.to_string(),
            ..Cause::of(kind)
        };
        let compared = |kind, own: u8, peer: &OtherRouter, theirs: u8| Cause {
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
            RoleReason::NobodyHeard { interfaces, for_ns } => Cause {
                interface: interfaces.clone(),
                ..timed(CauseKind::NobodyHeard, *for_ns)
            },
            RoleReason::PeerSilent {
                peer,
                interfaces,
                for_ns,
            } => Cause {
                interface: interfaces.clone(),
                for_ns: *for_ns,
                ..other(CauseKind::PeerSilent, peer)
            },
            RoleReason::PeerResigned { peer } => other(CauseKind::PeerResigned, peer),
            RoleReason::Preempts { own, peer, theirs }
            | RoleReason::Outranked { own, peer, theirs } => {
                compared(CauseKind::Priority, *own, peer, *theirs)
            }
            RoleReason::Fitter { own, peer, theirs }
            | RoleReason::Lesser { own, peer, theirs }
            | RoleReason::Awaits { own, peer, theirs } => {
                compared(CauseKind::Quality, *own, peer, *theirs)
            }
            RoleReason::Weaker {
                own,
                hurt,
                peer,
                theirs,
            } => Cause {
                text: hurt.clone(),
                ..compared(CauseKind::Quality, *own, peer, *theirs)
            },
            RoleReason::Equal { quality, peer, tie } => Cause {
                flags: tie.flags(),
                ..compared(CauseKind::Quality, *quality, peer, *quality)
            },
            RoleReason::Preferred { peer } => other(CauseKind::Preferred, peer),
            RoleReason::PeerAside { peer, how } => other(how.kind(), peer),
            RoleReason::Owner => Cause::of(CauseKind::Owner),
            RoleReason::Claims {
                interface: interfaces,
                peer,
            }
            | RoleReason::Unheard { interfaces, peer } => Cause {
                interface: interfaces.clone(),
                ..other(CauseKind::UnheardInterface, peer)
            },
            RoleReason::ForcedActive { why, without } => {
                let without = without.as_ref();
                let without = without
                    .map(|(peer, theirs, own)| compared(CauseKind::Forced, *own, peer, *theirs));
                Cause {
                    text: why.clone(),
                    ..without.unwrap_or(Cause::of(CauseKind::Forced))
                }
            }
            RoleReason::Won { peer, for_ns } => Cause {
                for_ns: *for_ns,
                ..other(CauseKind::Conflict, peer)
            },
            RoleReason::SwitchedOver { peer } => other(CauseKind::Switchover, peer),
            RoleReason::Inherits { why } => {
                let cause = why.cause();
                Cause {
                    flags: cause.flags | abi::CAUSE_BY_SWITCHOVER,
                    ..cause
                }
            }
            RoleReason::SwitchesOver { peer, why } => {
                let cause = why.cause();
                Cause {
                    peer: peer.to_string(),
                    flags: cause.flags | abi::CAUSE_BY_SWITCHOVER,
                    ..cause
                }
            }
            RoleReason::PeerForced { peer } => other(CauseKind::PeerForced, peer),
            RoleReason::NotInSync => Cause::of(CauseKind::NotInSync),
            RoleReason::Asked { why } => told(CauseKind::Asked, why),
            RoleReason::NotYetPreferred {
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
            RoleReason::PeerActive { peer, theirs, own } => {
                compared(CauseKind::PeerActive, *own, peer, *theirs)
            }
            RoleReason::Listens { for_ns } => timed(CauseKind::Listening, *for_ns),
            RoleReason::Hurt { what } => told(CauseKind::InterfaceHurt, what),
            RoleReason::StandsAside { why } => told(CauseKind::StandsAside, why),
            RoleReason::Late { by_ns } => timed(CauseKind::Late, *by_ns),
            RoleReason::PublishFailed => Cause::of(CauseKind::FenceBlocking),
            RoleReason::Cloned => Cause::of(CauseKind::Cloned),
            RoleReason::Second => Cause::of(CauseKind::Second),
            RoleReason::Muted { interface } => Cause {
                interface: interface.clone(),
                ..Cause::of(CauseKind::AdvertsUnsent)
            },
            RoleReason::Isolated { what } => told(CauseKind::Isolated, what),
            RoleReason::Barred { why } => told(CauseKind::Barred, why),
            RoleReason::Withdrawn => Cause::of(CauseKind::Withdrawn),
            RoleReason::ShutsDown => Cause::of(CauseKind::Shutdown),
        }
    }
}

impl TieBreaker {
    fn flags(self) -> u32 {
        match self {
            TieBreaker::Preferred => abi::CAUSE_OWN_PREFERRED,
            TieBreaker::FirstByName | TieBreaker::PeerPreferred => abi::CAUSE_PEER_PREFERRED,
            TieBreaker::First | TieBreaker::PeerFirst => 0,
        }
    }
}

impl PeerObstacle {
    fn kind(self) -> CauseKind {
        match self {
            PeerObstacle::Unable => CauseKind::PeerUnable,
            PeerObstacle::StandsAside => CauseKind::PeerAside,
            PeerObstacle::Joining => CauseKind::PeerJoining,
        }
    }
}

/// Returns the quality of a priority: E10 reversed.
pub fn quality_of(priority: u8) -> u8 {
    (priority.saturating_sub(QUALITY_BASE) / 2).min(100)
}
