//! Reasons for a group's role with a known peer: both nodes in one cause.

use std::cmp::Ordering;

use spared_sdk::{CauseKind, abi};

use super::Context;
use super::group::Group;
use super::peer::Peer;
use crate::config::Election;
use crate::election::{OtherRouter, Rank, RoleReason, SwitchoverCause};

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
        let obstacle = match (peer.able, peer.class) {
            (false, _) => Some(CauseKind::PeerUnable),
            (_, 0) if own.class > 0 => Some(CauseKind::PeerAside),
            (_, 1) if own.class > 1 => Some(CauseKind::PeerJoining),
            _ => None,
        };
        if let Some(obstacle) = obstacle {
            return RoleReason::with_peer(obstacle, who);
        }
        if self.by_priority(cx.now_ns) {
            return by_priority(own, who, peer);
        }
        let why = by_quality(own, who, peer);
        match (own.preferred, peer.preferred) {
            _ if own.quality != peer.quality => why,
            (true, _) => why.flagged(abi::CAUSE_OWN_PREFERRED),
            (_, true) => why.flagged(abi::CAUSE_PEER_PREFERRED),
            _ => why,
        }
    }

    /// Cause of a forced role, with the node that would be active without the force.
    pub(super) fn forced_reason(&self, cx: &Context<'_>) -> RoleReason {
        let without = self.mutual_peer(cx.now_ns).and_then(|peer| {
            let (own, theirs) = (self.rank(cx.now_ns), peer.rank());
            let better = theirs.able && theirs.class == 2 && theirs.quality > own.quality;
            let (kind, who) = (CauseKind::Forced, self.peer_name(cx));
            better.then(|| RoleReason::compared(kind, own.quality, who, theirs.quality))
        });
        let forced = without.unwrap_or_else(|| RoleReason::of(CauseKind::Forced));
        forced.saying(self.candidacy.directive().why.clone())
    }

    /// Cause of the backup role while the peer is active; None if adverts tell more than the peer's heartbeats.
    pub(super) fn backup_reason_with_peer(&self, cx: &Context<'_>) -> Option<RoleReason> {
        let comparison = self
            .compare_with_peer(cx.now_ns)
            .filter(|comparison| comparison.peer_active)?;
        let (own, peer) = (comparison.own, comparison.peer);
        let who = self.peer_name(cx);
        if peer.class == 3 && own.class < 3 {
            return Some(RoleReason::with_peer(CauseKind::PeerForced, who));
        }
        if self.candidacy.directive().stands_aside() {
            return Some(self.directed(CauseKind::StandsAside));
        }
        if !own.able {
            return Some(self.isolation(cx));
        }
        if comparison.was_dropped {
            let what = self.interfaces_dropped_before(cx);
            return Some(RoleReason::of(CauseKind::InterfaceHurt).saying(what));
        }
        if self.by_priority(cx.now_ns) {
            let (own, theirs) = (own.priority, peer.priority);
            let kind = CauseKind::PeerActive;
            return Some(RoleReason::compared(kind, own, who, theirs));
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
        Some(match own.quality.cmp(&peer.quality) {
            Ordering::Less => by_quality(own, who, peer).saying(self.hurt_interfaces(cx)),
            Ordering::Greater => by_quality(own, who, peer),
            Ordering::Equal if own.preferred => {
                let is_ready = own.ready || cx.links.is_empty();
                RoleReason::with_peer(CauseKind::Failback, who)
                    .flagged(if is_ready { abi::CAUSE_READY } else { 0 })
                    .lasting(failback_delay_ns)
                    .saying(self.candidacy.directive().why.clone())
            }
            Ordering::Equal if peer.preferred => {
                by_quality(own, who, peer).flagged(abi::CAUSE_PEER_PREFERRED)
            }
            Ordering::Equal => by_quality(own, who, peer),
        })
    }

    // ---- switchover -----------------------------------------------------------------------

    pub(super) fn switchover_reason(&self, cx: &Context<'_>, cause: SwitchoverCause) -> RoleReason {
        let who = self.peer_name(cx);
        let own = self.rank(cx.now_ns);
        let peer = self.peer.last().map_or(own, |peer| peer.rank());
        match cause {
            SwitchoverCause::Isolated => self.isolation(cx),
            SwitchoverCause::Class if peer.class == 3 => {
                RoleReason::with_peer(CauseKind::PeerForced, who)
            }
            SwitchoverCause::Class => self.directed(CauseKind::StandsAside),
            SwitchoverCause::Joining => RoleReason::of(CauseKind::NotInSync),
            SwitchoverCause::Hurt | SwitchoverCause::Quality => {
                by_quality(&own, who, &peer).saying(self.hurt_interfaces(cx))
            }
            SwitchoverCause::Preferred => {
                by_quality(&own, who, &own).flagged(abi::CAUSE_PEER_PREFERRED)
            }
            SwitchoverCause::Priority => by_priority(&own, who, &peer),
            SwitchoverCause::Dropped => {
                RoleReason::of(CauseKind::InterfaceHurt).saying(self.dropped_interfaces(cx))
            }
            SwitchoverCause::Unheard => {
                let unheard = RoleReason::with_peer(CauseKind::UnheardInterface, who);
                unheard.on(self.unheard_interfaces(cx))
            }
        }
    }

    pub(super) fn release_reason(
        &self,
        cx: &Context<'_>,
        cause: Option<SwitchoverCause>,
    ) -> RoleReason {
        let why = match cause {
            Some(cause) => self.switchover_reason(cx, cause),
            None => self.directed(CauseKind::Asked),
        };
        why.flagged(abi::CAUSE_BY_SWITCHOVER)
            .naming(self.peer_name(cx))
    }

    /// Cause of a role that the peer released. It differs from the cause of a role that this node takes by itself, as
    /// the peer may have taken the group back, and the host must be able to tell the two.
    pub(super) fn inheriting_reason(&self, cx: &Context<'_>) -> RoleReason {
        let who = self.peer_name(cx);
        let Some(comparison) = self.compare_with_peer(cx.now_ns) else {
            return RoleReason::with_peer(CauseKind::Switchover, who);
        };
        let (own, peer) = (comparison.own, comparison.peer);
        let by_priority = self.by_priority(cx.now_ns);
        if own.score(by_priority, false) > peer.score(by_priority, false) {
            let why = self.active_reason(cx, &own, &peer);
            why.flagged(abi::CAUSE_BY_SWITCHOVER)
        } else {
            RoleReason::with_peer(CauseKind::Switchover, who)
        }
    }

    /// Cause of a role that nobody had, as at the first start of both nodes: the peer lives and has released nothing.
    pub(super) fn first_reason(&self, cx: &Context<'_>, peer: &Peer) -> RoleReason {
        self.active_reason(cx, &self.rank(cx.now_ns), &peer.rank())
    }

    /// Makes a reason with the directive's text.
    fn directed(&self, kind: CauseKind) -> RoleReason {
        RoleReason::of(kind).saying(self.candidacy.directive().why.clone())
    }

    /// Text about hurt interfaces, as "lan1 has no carrier, lan2 is down".
    fn hurt_interfaces(&self, cx: &Context<'_>) -> String {
        let mut hurt = Vec::new();
        for (port, interface) in self.ports_with(cx.interfaces) {
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

fn by_priority(own: &Rank, who: OtherRouter, peer: &Rank) -> RoleReason {
    RoleReason::compared(CauseKind::Priority, own.priority, who, peer.priority)
}

fn by_quality(own: &Rank, who: OtherRouter, peer: &Rank) -> RoleReason {
    RoleReason::compared(CauseKind::Quality, own.quality, who, peer.quality)
}
