//! Why a group is what it is, where the twin is known: both nodes in one sentence.

use spared_sdk::{Forced, Role};

use super::Context;
use super::group::{Group, State};
use super::twin::Contact;
use crate::config::Election;
use crate::election::{Aside, Cause, Standing, Tie, Why};

/// What a sentence is made of: as long as that stays, so does the sentence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Said {
    own: Standing,
    twin: Standing,
    twin_active: bool,
}

/// A sentence that is not about a takeover is told anew at most that often.
const RETELL_NS: u64 = 1_000_000_000;

/// How long the host's answer may take.
const ANSWER_NS: u64 = 100_000_000;

impl Group {
    /// The sentence of the active node follows the facts while the twin is heard.
    pub(super) fn retell(&mut self, cx: &mut Context<'_>) {
        let State::Active { since_ns, .. } = self.state else {
            return;
        };
        let Some(said) = self.facts_of_both(cx.now_ns) else {
            return;
        };
        let told_ns = self.published_ns.max(since_ns);
        if said.twin_active || self.said == Some(said) || cx.now_ns < told_ns + RETELL_NS {
            return;
        }
        self.said = Some(said);
        let why = self.active_sentence(cx, &said.own, &said.twin);
        let same = self
            .published
            .as_ref()
            .is_some_and(|(_, last)| *last == why);
        if same {
            return;
        }
        // the host may take its time to answer: that must delay no advert beyond its lease
        let room_ns = self.config.lease_ns.saturating_sub(self.config.interval_ns);
        if room_ns > ANSWER_NS {
            self.publish(cx, Role::Active, why);
        } else {
            self.published = Some((Role::Active, why));
        }
    }

    pub(super) fn facts_of_both(&self, now_ns: u64) -> Option<Said> {
        let twin = self.mutual_twin(now_ns)?;
        Some(Said {
            own: self.standing(now_ns),
            twin: twin.standing(),
            twin_active: twin.is_active(),
        })
    }

    fn active_sentence(&self, cx: &Context<'_>, own: &Standing, twin: &Standing) -> Why {
        let peer = self.who_is_twin(cx);
        if self.stance.forced == Forced::Active {
            return self.forced_sentence(cx);
        }
        let how = match (twin.able, twin.class) {
            (false, _) => Some(Aside::Unable),
            (_, 0) if own.class > 0 => Some(Aside::Wanted),
            (_, 1) if own.class > 1 => Some(Aside::Joining),
            _ => None,
        };
        if let Some(how) = how {
            return Why::PeerAside { peer, how };
        }
        if self.by_priority(cx.now_ns) {
            let (own, theirs) = (own.priority, twin.priority);
            return Why::Preempts { own, peer, theirs };
        }
        let (fitness, theirs) = (own.quality, twin.quality);
        if fitness > theirs {
            let own = fitness;
            return Why::Fitter { own, peer, theirs };
        }
        if fitness < theirs {
            let own = fitness;
            return Why::Lesser { own, peer, theirs };
        }
        let tie = match (own.preferred, twin.preferred) {
            (true, _) => Tie::Preferred,
            (_, true) => Tie::FirstThough,
            _ => Tie::First,
        };
        Why::Equal {
            quality: fitness,
            peer,
            tie,
        }
    }

    /// UX: who would be active without the force.
    pub(super) fn forced_sentence(&self, cx: &Context<'_>) -> Why {
        let without = self.mutual_twin(cx.now_ns).and_then(|twin| {
            let (own, theirs) = (self.standing(cx.now_ns), twin.standing());
            let better = theirs.able && theirs.class == 2 && theirs.quality > own.quality;
            better.then(|| (self.who_is_twin(cx), theirs.quality, own.quality))
        });
        Why::ForcedActive {
            why: self.stance.why.clone(),
            without,
        }
    }

    /// None where adverts tell more than the twin does.
    pub(super) fn backup_beside_twin(&self, cx: &Context<'_>) -> Option<Why> {
        let said = self
            .facts_of_both(cx.now_ns)
            .filter(|said| said.twin_active)?;
        let (own, twin) = (said.own, said.twin);
        let peer = self.who_is_twin(cx);
        if twin.class == 3 && own.class < 3 {
            return Some(Why::PeerForced { peer });
        }
        if self.stance.stands_aside() {
            let why = self.stance.why.clone();
            return Some(Why::StandsAside { why });
        }
        if !own.able {
            return Some(self.isolation(cx));
        }
        if self.by_priority(cx.now_ns) {
            let (own, theirs) = (own.priority, twin.priority);
            return Some(Why::PeerActive { peer, theirs, own });
        }
        let Election::Quality {
            fallback_delay_ns, ..
        } = self.config.election
        else {
            return None;
        };
        let theirs = twin.quality;
        Some(match own.quality.cmp(&theirs) {
            std::cmp::Ordering::Less => Why::Weaker {
                own: own.quality,
                hurt: self.hurt_interfaces(cx),
                peer,
                theirs,
            },
            std::cmp::Ordering::Greater => Why::Awaits {
                own: own.quality,
                peer,
                theirs,
            },
            std::cmp::Ordering::Equal if own.preferred => Why::NotYetPreferred {
                peer,
                ready: own.ready,
                why: self.stance.why.clone(),
                fallback_ns: fallback_delay_ns,
            },
            std::cmp::Ordering::Equal => Why::Equal {
                quality: theirs,
                peer,
                tie: if twin.preferred {
                    Tie::PeerPreferred
                } else {
                    Tie::PeerFirst
                },
            },
        })
    }

    /// Whether the backup's sentence would be the same again.
    pub(super) fn has_said(&mut self, now_ns: u64) -> bool {
        if self.contact != Contact::Mutual {
            self.said = None;
            return false;
        }
        let said = self.facts_of_both(now_ns).filter(|said| said.twin_active);
        said.is_some() && self.said == said
    }

    // ---- handover -----------------------------------------------------------------------

    pub(super) fn handover_sentence(&self, cx: &Context<'_>, cause: Cause) -> Why {
        let peer = self.who_is_twin(cx);
        let own = self.standing(cx.now_ns);
        let twin = self.twin.as_ref().map_or(own, |twin| twin.standing());
        match cause {
            Cause::Isolated => self.isolation(cx),
            Cause::Class if twin.class == 3 => Why::PeerForced { peer },
            Cause::Class => Why::StandsAside {
                why: self.stance.why.clone(),
            },
            Cause::Joining => Why::NotInSync,
            Cause::Hurt | Cause::Quality => Why::Weaker {
                own: own.quality,
                hurt: self.hurt_interfaces(cx),
                peer,
                theirs: twin.quality,
            },
            Cause::Preferred => Why::Equal {
                quality: 100,
                peer,
                tie: Tie::PeerPreferred,
            },
            Cause::Priority => Why::Outranked {
                own: own.priority,
                peer,
                theirs: twin.priority,
            },
            Cause::Disputed => Why::Disputed {
                interfaces: self.disputed_interfaces(cx),
                peer,
            },
        }
    }

    pub(super) fn yielding_sentence(&self, cx: &Context<'_>, cause: Option<Cause>) -> Why {
        let why = match cause {
            Some(cause) => self.handover_sentence(cx, cause),
            None => Why::Asked {
                why: self.stance.why.clone(),
            },
        };
        Why::HandsOver {
            peer: self.who_is_twin(cx),
            why: Box::new(why),
        }
    }

    pub(super) fn inheriting_sentence(&self, cx: &Context<'_>) -> Why {
        let peer = self.who_is_twin(cx);
        let Some(said) = self.facts_of_both(cx.now_ns) else {
            return Why::HandedOver { peer };
        };
        let (own, twin) = (said.own, said.twin);
        let by_priority = self.by_priority(cx.now_ns);
        if own.score(by_priority, false) > twin.score(by_priority, false) {
            self.active_sentence(cx, &own, &twin)
        } else {
            Why::HandedOver { peer }
        }
    }

    /// "lan1 has no carrier, lan2 is down"
    fn hurt_interfaces(&self, cx: &Context<'_>) -> String {
        let mut hurt = Vec::new();
        for port in &self.ports {
            let Some(interface) = cx.interface(port.interface) else {
                continue;
            };
            let bad = port.is_rated_bad().then_some("reaches nobody");
            if let Some(fault) = interface.fault().or(bad) {
                hurt.push(format!("{} {fault}", interface.name));
            }
        }
        hurt.join(", ")
    }
}
