//! Reasons for a group's role with a known peer: both nodes in one cause.

use super::Context;
use super::group::Group;
use super::peer::Peer;
use crate::config::Election;
use crate::election::{PeerObstacle, Rank, RoleReason, SwitchoverCause, TieBreaker};

/// Inputs of a sentence: the sentence changes only with them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Comparison {
    pub own: Rank,
    pub peer: Rank,
    pub peer_active: bool,
    /// The virtual identity of this node, which is backup, was dropped when it was active last (E15).
    was_dropped: bool,
}

impl Group {
    pub(super) fn compare_with_peer(&self, now_ns: u64) -> Option<Comparison> {
        let peer = self.mutual_peer(now_ns)?;
        Some(Comparison {
            own: self.rank(now_ns),
            peer: peer.rank(),
            peer_active: peer.is_active(),
            was_dropped: self.was_dropped_here(now_ns),
        })
    }

    pub(super) fn active_reason(&self, cx: &Context<'_>, own: &Rank, peer: &Rank) -> RoleReason {
        let who = self.peer_name(cx);
        if self.candidacy.directive().is_forced_active() {
            return self.forced_reason(cx);
        }
        let how = match (peer.able, peer.class) {
            (false, _) => Some(PeerObstacle::Unable),
            (_, 0) if own.class > 0 => Some(PeerObstacle::StandsAside),
            (_, 1) if own.class > 1 => Some(PeerObstacle::Joining),
            _ => None,
        };
        if let Some(how) = how {
            return RoleReason::PeerAside { peer: who, how };
        }
        if self.by_priority(cx.now_ns) {
            let (own, theirs) = (own.priority, peer.priority);
            return RoleReason::Preempts {
                own,
                peer: who,
                theirs,
            };
        }
        let (fitness, theirs) = (own.quality, peer.quality);
        if fitness > theirs {
            let own = fitness;
            return RoleReason::Fitter {
                own,
                peer: who,
                theirs,
            };
        }
        if fitness < theirs {
            let own = fitness;
            return RoleReason::Lesser {
                own,
                peer: who,
                theirs,
            };
        }
        let tie = match (own.preferred, peer.preferred) {
            (true, _) => TieBreaker::Preferred,
            (_, true) => TieBreaker::FirstByName,
            _ => TieBreaker::First,
        };
        RoleReason::Equal {
            quality: fitness,
            peer: who,
            tie,
        }
    }

    /// Cause of a forced role, with the node that would be active without the force.
    pub(super) fn forced_reason(&self, cx: &Context<'_>) -> RoleReason {
        let without = self.mutual_peer(cx.now_ns).and_then(|peer| {
            let (own, theirs) = (self.rank(cx.now_ns), peer.rank());
            let better = theirs.able && theirs.class == 2 && theirs.quality > own.quality;
            better.then(|| (self.peer_name(cx), theirs.quality, own.quality))
        });
        RoleReason::ForcedActive {
            why: self.candidacy.directive().why.clone(),
            without,
        }
    }

    /// Cause of the backup role while the peer is active; None if adverts tell more than the peer's heartbeats.
    pub(super) fn backup_reason_with_peer(&self, cx: &Context<'_>) -> Option<RoleReason> {
        let comparison = self
            .compare_with_peer(cx.now_ns)
            .filter(|comparison| comparison.peer_active)?;
        let (own, peer) = (comparison.own, comparison.peer);
        let who = self.peer_name(cx);
        if peer.class == 3 && own.class < 3 {
            return Some(RoleReason::PeerForced { peer: who });
        }
        if self.candidacy.directive().stands_aside() {
            let why = self.candidacy.directive().why.clone();
            return Some(RoleReason::StandsAside { why });
        }
        if !own.able {
            return Some(self.isolation(cx));
        }
        if comparison.was_dropped {
            let what = self.interfaces_dropped_before(cx);
            return Some(RoleReason::Hurt { what });
        }
        if self.by_priority(cx.now_ns) {
            let (own, theirs) = (own.priority, peer.priority);
            return Some(RoleReason::PeerActive {
                peer: who,
                theirs,
                own,
            });
        }
        self.backup_reason_by_quality(cx, &own, &peer)
    }

    fn backup_reason_by_quality(
        &self,
        cx: &Context<'_>,
        own: &Rank,
        peer: &Rank,
    ) -> Option<RoleReason> {
        let Election::Quality {
            failback_delay_ns, ..
        } = self.config.election
        else {
            return None;
        };
        let who = self.peer_name(cx);
        let theirs = peer.quality;
        Some(match own.quality.cmp(&theirs) {
            std::cmp::Ordering::Less => RoleReason::Weaker {
                own: own.quality,
                hurt: self.hurt_interfaces(cx),
                peer: who,
                theirs,
            },
            std::cmp::Ordering::Greater => RoleReason::Awaits {
                own: own.quality,
                peer: who,
                theirs,
            },
            std::cmp::Ordering::Equal if own.preferred => RoleReason::NotYetPreferred {
                peer: who,
                ready: own.ready || cx.links.is_empty(),
                why: self.candidacy.directive().why.clone(),
                failback_ns: failback_delay_ns,
            },
            std::cmp::Ordering::Equal => RoleReason::Equal {
                quality: theirs,
                peer: who,
                tie: if peer.preferred {
                    TieBreaker::PeerPreferred
                } else {
                    TieBreaker::PeerFirst
                },
            },
        })
    }

    // ---- switchover -----------------------------------------------------------------------

    pub(super) fn switchover_reason(&self, cx: &Context<'_>, cause: SwitchoverCause) -> RoleReason {
        let who = self.peer_name(cx);
        let own = self.rank(cx.now_ns);
        let peer = self.peer.last().map_or(own, |peer| peer.rank());
        match cause {
            SwitchoverCause::Isolated => self.isolation(cx),
            SwitchoverCause::Class if peer.class == 3 => RoleReason::PeerForced { peer: who },
            SwitchoverCause::Class => RoleReason::StandsAside {
                why: self.candidacy.directive().why.clone(),
            },
            SwitchoverCause::Joining => RoleReason::NotInSync,
            SwitchoverCause::Hurt | SwitchoverCause::Quality => RoleReason::Weaker {
                own: own.quality,
                hurt: self.hurt_interfaces(cx),
                peer: who,
                theirs: peer.quality,
            },
            SwitchoverCause::Preferred => RoleReason::Equal {
                quality: own.quality,
                peer: who,
                tie: TieBreaker::PeerPreferred,
            },
            SwitchoverCause::Priority => RoleReason::Outranked {
                own: own.priority,
                peer: who,
                theirs: peer.priority,
            },
            SwitchoverCause::Dropped => RoleReason::Hurt {
                what: self.dropped_interfaces(cx),
            },
            SwitchoverCause::Unheard => RoleReason::Unheard {
                interfaces: self.unheard_interfaces(cx),
                peer: who,
            },
        }
    }

    pub(super) fn release_reason(
        &self,
        cx: &Context<'_>,
        cause: Option<SwitchoverCause>,
    ) -> RoleReason {
        let why = match cause {
            Some(cause) => self.switchover_reason(cx, cause),
            None => RoleReason::Asked {
                why: self.candidacy.directive().why.clone(),
            },
        };
        RoleReason::SwitchesOver {
            peer: self.peer_name(cx),
            why: Box::new(why),
        }
    }

    /// Cause of a role that the peer released. It differs from the cause of a role that this node takes by itself, as
    /// the peer may have taken the group back, and the host must be able to tell the two.
    pub(super) fn inheriting_reason(&self, cx: &Context<'_>) -> RoleReason {
        let who = self.peer_name(cx);
        let Some(comparison) = self.compare_with_peer(cx.now_ns) else {
            return RoleReason::SwitchedOver { peer: who };
        };
        let (own, peer) = (comparison.own, comparison.peer);
        let by_priority = self.by_priority(cx.now_ns);
        if own.score(by_priority, false) > peer.score(by_priority, false) {
            let why = Box::new(self.active_reason(cx, &own, &peer));
            RoleReason::Inherits { why }
        } else {
            RoleReason::SwitchedOver { peer: who }
        }
    }

    /// Cause of a role that nobody had, as at the first start of both nodes: the peer lives and has released nothing.
    pub(super) fn first_reason(&self, cx: &Context<'_>, peer: &Peer) -> RoleReason {
        self.active_reason(cx, &self.rank(cx.now_ns), &peer.rank())
    }

    /// Text about hurt interfaces, as "lan1 has no carrier, lan2 is down".
    fn hurt_interfaces(&self, cx: &Context<'_>) -> String {
        let mut hurt = Vec::new();
        for port in self.networks.ports() {
            let Some(interface) = cx.interface(port.interface) else {
                continue;
            };
            let bad = port.is_rated_bad().then_some("reaches no other station");
            if let Some(fault) = interface.fault().or(interface.mtu_fault()).or(bad) {
                hurt.push(format!("{} {fault}", interface.name));
            }
        }
        let tracked = self.networks.tracked().iter().filter_map(|it| it.fault(cx));
        hurt.extend(tracked.map(|(fault, name)| format!("{name} {fault}")));
        hurt.join(", ")
    }
}
