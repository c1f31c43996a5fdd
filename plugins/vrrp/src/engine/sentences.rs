//! Reasons for a group's role with a known peer: both nodes in one cause.

use super::Context;
use super::group::Group;
use super::peer::Peer;
use crate::config::Election;
use crate::election::{Aside, Rank, SwitchoverCause, Tie, Why};

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
    pub(super) fn facts_of_both(&self, now_ns: u64) -> Option<Comparison> {
        let peer = self.mutual_peer(now_ns)?;
        Some(Comparison {
            own: self.standing(now_ns),
            peer: peer.standing(),
            peer_active: peer.is_active(),
            was_dropped: self.was_dropped_here(now_ns),
        })
    }

    pub(super) fn active_sentence(&self, cx: &Context<'_>, own: &Rank, peer: &Rank) -> Why {
        let who = self.who_is_peer(cx);
        if self.candidacy.directive().is_forced_active() {
            return self.forced_sentence(cx);
        }
        let how = match (peer.able, peer.class) {
            (false, _) => Some(Aside::Unable),
            (_, 0) if own.class > 0 => Some(Aside::Wanted),
            (_, 1) if own.class > 1 => Some(Aside::Joining),
            _ => None,
        };
        if let Some(how) = how {
            return Why::PeerAside { peer: who, how };
        }
        if self.by_priority(cx.now_ns) {
            let (own, theirs) = (own.priority, peer.priority);
            return Why::Preempts {
                own,
                peer: who,
                theirs,
            };
        }
        let (fitness, theirs) = (own.quality, peer.quality);
        if fitness > theirs {
            let own = fitness;
            return Why::Fitter {
                own,
                peer: who,
                theirs,
            };
        }
        if fitness < theirs {
            let own = fitness;
            return Why::Lesser {
                own,
                peer: who,
                theirs,
            };
        }
        let tie = match (own.preferred, peer.preferred) {
            (true, _) => Tie::Preferred,
            (_, true) => Tie::FirstThough,
            _ => Tie::First,
        };
        Why::Equal {
            quality: fitness,
            peer: who,
            tie,
        }
    }

    /// Cause of a forced role, with the node that would be active without the force.
    pub(super) fn forced_sentence(&self, cx: &Context<'_>) -> Why {
        let without = self.mutual_peer(cx.now_ns).and_then(|peer| {
            let (own, theirs) = (self.standing(cx.now_ns), peer.standing());
            let better = theirs.able && theirs.class == 2 && theirs.quality > own.quality;
            better.then(|| (self.who_is_peer(cx), theirs.quality, own.quality))
        });
        Why::ForcedActive {
            why: self.candidacy.directive().why.clone(),
            without,
        }
    }

    /// Cause of the backup role while the peer is active; None if adverts tell more than the peer's heartbeats.
    pub(super) fn backup_beside_peer(&self, cx: &Context<'_>) -> Option<Why> {
        let said = self
            .facts_of_both(cx.now_ns)
            .filter(|said| said.peer_active)?;
        let (own, peer) = (said.own, said.peer);
        let who = self.who_is_peer(cx);
        if peer.class == 3 && own.class < 3 {
            return Some(Why::PeerForced { peer: who });
        }
        if self.candidacy.directive().stands_aside() {
            let why = self.candidacy.directive().why.clone();
            return Some(Why::StandsAside { why });
        }
        if !own.able {
            return Some(self.isolation(cx));
        }
        if said.was_dropped {
            let what = self.interfaces_dropped_before(cx);
            return Some(Why::Hurt { what });
        }
        if self.by_priority(cx.now_ns) {
            let (own, theirs) = (own.priority, peer.priority);
            return Some(Why::PeerActive {
                peer: who,
                theirs,
                own,
            });
        }
        let Election::Quality {
            failback_delay_ns, ..
        } = self.config.election
        else {
            return None;
        };
        let theirs = peer.quality;
        Some(match own.quality.cmp(&theirs) {
            std::cmp::Ordering::Less => Why::Weaker {
                own: own.quality,
                hurt: self.hurt_interfaces(cx),
                peer: who,
                theirs,
            },
            std::cmp::Ordering::Greater => Why::Awaits {
                own: own.quality,
                peer: who,
                theirs,
            },
            std::cmp::Ordering::Equal if own.preferred => Why::NotYetPreferred {
                peer: who,
                ready: own.ready || cx.links.is_empty(),
                why: self.candidacy.directive().why.clone(),
                failback_ns: failback_delay_ns,
            },
            std::cmp::Ordering::Equal => Why::Equal {
                quality: theirs,
                peer: who,
                tie: if peer.preferred {
                    Tie::PeerPreferred
                } else {
                    Tie::PeerFirst
                },
            },
        })
    }

    // ---- switchover -----------------------------------------------------------------------

    pub(super) fn switchover_sentence(&self, cx: &Context<'_>, cause: SwitchoverCause) -> Why {
        let who = self.who_is_peer(cx);
        let own = self.standing(cx.now_ns);
        let peer = self.peer.last().map_or(own, |peer| peer.standing());
        match cause {
            SwitchoverCause::Isolated => self.isolation(cx),
            SwitchoverCause::Class if peer.class == 3 => Why::PeerForced { peer: who },
            SwitchoverCause::Class => Why::StandsAside {
                why: self.candidacy.directive().why.clone(),
            },
            SwitchoverCause::Joining => Why::NotInSync,
            SwitchoverCause::Hurt | SwitchoverCause::Quality => Why::Weaker {
                own: own.quality,
                hurt: self.hurt_interfaces(cx),
                peer: who,
                theirs: peer.quality,
            },
            SwitchoverCause::Preferred => Why::Equal {
                quality: own.quality,
                peer: who,
                tie: Tie::PeerPreferred,
            },
            SwitchoverCause::Priority => Why::Outranked {
                own: own.priority,
                peer: who,
                theirs: peer.priority,
            },
            SwitchoverCause::Dropped => Why::Hurt {
                what: self.dropped_interfaces(cx),
            },
            SwitchoverCause::Unheard => Why::Unheard {
                interfaces: self.unheard_interfaces(cx),
                peer: who,
            },
        }
    }

    pub(super) fn release_sentence(&self, cx: &Context<'_>, cause: Option<SwitchoverCause>) -> Why {
        let why = match cause {
            Some(cause) => self.switchover_sentence(cx, cause),
            None => Why::Asked {
                why: self.candidacy.directive().why.clone(),
            },
        };
        Why::SwitchesOver {
            peer: self.who_is_peer(cx),
            why: Box::new(why),
        }
    }

    /// Cause of a role that the peer released. It differs from the cause of a role that this node takes by itself, as
    /// the peer may have taken the group back, and the host must be able to tell the two.
    pub(super) fn inheriting_sentence(&self, cx: &Context<'_>) -> Why {
        let who = self.who_is_peer(cx);
        let Some(said) = self.facts_of_both(cx.now_ns) else {
            return Why::SwitchedOver { peer: who };
        };
        let (own, peer) = (said.own, said.peer);
        let by_priority = self.by_priority(cx.now_ns);
        if own.score(by_priority, false) > peer.score(by_priority, false) {
            let why = Box::new(self.active_sentence(cx, &own, &peer));
            Why::Inherits { why }
        } else {
            Why::SwitchedOver { peer: who }
        }
    }

    /// Cause of a role that nobody had, as at the first start of both nodes: the peer lives and has released nothing.
    pub(super) fn first_sentence(&self, cx: &Context<'_>, peer: &Peer) -> Why {
        self.active_sentence(cx, &self.standing(cx.now_ns), &peer.standing())
    }

    /// Text about hurt interfaces, as "lan1 has no carrier, lan2 is down".
    fn hurt_interfaces(&self, cx: &Context<'_>) -> String {
        let mut hurt = Vec::new();
        for port in self.networks.ports() {
            let Some(interface) = cx.interface(port.interface) else {
                continue;
            };
            let bad = port.is_rated_bad().then_some("reaches no other station");
            if let Some(fault) = interface.fault().or(interface.narrowness()).or(bad) {
                hurt.push(format!("{} {fault}", interface.name));
            }
        }
        let tracked = self.networks.tracked().iter().filter_map(|it| it.fault(cx));
        hurt.extend(tracked.map(|(fault, name)| format!("{name} {fault}")));
        hurt.join(", ")
    }
}
