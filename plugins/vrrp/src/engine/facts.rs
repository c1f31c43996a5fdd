//! Facts of a group: sources, priority, peers, and the sentences made of them.

use std::net::IpAddr;

use super::group::{Group, State};
use super::networks::Changed;
use super::peer::Peer;
use super::port::Port;
use super::router::VirtualRouter;
use super::senders::Sender;
use super::watch::ActiveRouter;
use super::{Action, Context};
use crate::config::Election;
use crate::election::{self, PriorityInputs, Who, Why, quality_of};
use crate::wire::frame::Advert;

impl Group {
    pub(super) fn facts(&self) -> PriorityInputs<'_> {
        PriorityInputs {
            election: self.config.election,
            carrier_weight: self.config.carrier_weight,
            directive: self.candidacy.directive(),
            hurt: self.networks.hurt(),
            claims: self.candidacy.claims(),
        }
    }

    /// Computes the priority; the packets carry a new one from the next advert on.
    pub(super) fn update_priority(&mut self, cx: &mut Context<'_>) {
        self.networks.update_ports(cx);
        self.speaking.note_changed();
        let priority = election::priority(&self.facts());
        if self.candidacy.handle_priority(priority) {
            let speech = self.speech();
            self.networks.build(cx, speech);
        }
    }

    pub(super) fn update_sources(&mut self, cx: &Context<'_>) -> Changed {
        let (speech, patience_ns) = (self.speech(), self.active_down_ns());
        self.networks.update_sources(cx, speech, patience_ns)
    }

    /// Reason why this node must not be active, if any.
    pub(super) fn barred(&self, cx: &Context<'_>) -> Option<Why> {
        if !self.candidacy.directive().eligible || self.candidacy.directive().resign {
            return Some(Why::Barred {
                why: self.candidacy.directive().why.clone(),
            });
        }
        let alone = self.counts_as_alone(cx.now_ns);
        let isolated = alone && !self.networks.routers().iter().any(VirtualRouter::usable);
        isolated.then(|| self.isolation(cx))
    }

    /// True if no peer could serve instead of this node. With a link, exactly one of two isolated nodes is active. If
    /// the peer leaves, an isolated node does not become active: no advert would follow the grant of its lease.
    pub(super) fn counts_as_alone(&self, now_ns: u64) -> bool {
        let serves = matches!(
            self.state,
            State::Active { .. } | State::Promoting { .. } | State::Lapsed { .. }
        );
        self.mutual_peer(now_ns)
            .is_none_or(|peer| !serves && peer.is_barred())
    }

    pub(super) fn isolation(&self, cx: &Context<'_>) -> Why {
        let what: Vec<String> = self
            .networks
            .ports()
            .iter()
            .filter_map(|port| cx.interface(port.interface))
            .map(|interface| {
                let unknown = if interface.known {
                    None
                } else {
                    Some("is not known yet")
                };
                let is_bare = interface.own_addresses().next().is_none();
                let nothing = if is_bare {
                    "has no source address"
                } else {
                    "cannot send adverts"
                };
                let missing = unknown.or(interface.fault()).unwrap_or(nothing);
                format!("{} {missing}", interface.name)
            })
            .collect();
        Why::Isolated {
            what: what.join(", "),
        }
    }

    /// Sender of an advert: the peer's name if the address is known to be the peer's.
    pub(super) fn who_speaks(&self, cx: &Context<'_>, address: IpAddr) -> Who {
        let peers = |router: &VirtualRouter| router.senders.is_peer(address);
        if self.networks.routers().iter().any(peers) {
            self.who_is_peer(cx)
        } else {
            Who::Address(address)
        }
    }

    fn failover_from_peer(&self, cx: &Context<'_>, peer: &Peer, interfaces: String) -> Why {
        let who = self.who_is_peer(cx);
        let idle = self.living_peer(cx.now_ns);
        if let Some(peer) = idle.filter(|_| !self.watch.has_resigned()) {
            return self.first_sentence(cx, peer);
        }
        if self.watch.has_resigned() {
            return Why::PeerResigned { peer: who };
        }
        let adverts_ns = self.watch.router().map_or(0, |peer| peer.heard_ns);
        let for_ns = cx.now_ns.saturating_sub(peer.heard_ns.max(adverts_ns));
        let mut everywhere: Vec<&str> = cx.links.iter().map(String::as_str).collect();
        if !interfaces.is_empty() {
            everywhere.push(&interfaces);
        }
        Why::PeerSilent {
            peer: who,
            interfaces: everywhere.join(", "),
            for_ns,
        }
    }

    /// Counts an advert and learns from it; returns false if it must not decide anything.
    pub(super) fn note_advert(
        &mut self,
        cx: &mut Context<'_>,
        index: usize,
        advert: &Advert<'_>,
    ) -> bool {
        let now_ns = cx.now_ns;
        let speech = self.speech();
        let believed_ns = self.believed_interval_ns(advert);
        let sender = match advert.priority {
            0 => Sender::Peer,
            _ => self.learn_source(now_ns, index, advert),
        };
        let Some((router, port)) = self.networks.router_and_port(index) else {
            return false;
        };
        router.counters.received += 1;
        router.counters.received_priority_zero += u64::from(advert.priority == 0);
        let peers = &router.config.peers;
        let listed = peers.contains(&advert.source);
        let foreign = if peers.is_empty() {
            sender == Sender::Stranger
        } else {
            !listed
        };
        let unsure = peers.is_empty() && sender == Sender::Unsure;
        if !self.config.any_router && unsure {
            return false;
        }
        if !self.config.any_router && foreign {
            router.note_stranger(now_ns, advert);
            if let Some(more) = router.limits.foreign.pass(now_ns) {
                let what = if router.config.peers.is_empty() {
                    "is not the peer"
                } else {
                    "is not in peers"
                };
                let who = router.sender_of(advert);
                let text = format!("{}: {who} {what}: its advert is ignored{more}", self.name);
                cx.push(Action::Event(text));
            }
            return false;
        }
        let interval = advert.interval_ns != self.config.interval_ns;
        let list = !advert.addresses.same(&router.config.advertised);
        router.counters.interval_mismatch += u64::from(interval);
        router.counters.address_list_mismatch += u64::from(list);
        for (differs, what, limit) in [
            (interval, "advert interval", &mut router.limits.interval),
            (list, "addresses", &mut router.limits.addresses),
        ] {
            let Some(more) = differs.then(|| limit.pass(now_ns)).flatten() else {
                continue;
            };
            let text = format!(
                "{}: {} on {} (vrid {}) has another {what}{more}",
                self.name, advert.source, router.config.interface, advert.vrid
            );
            cx.push(Action::Warn(text));
        }
        if let Some(form) = router.adverts.other_form(advert) {
            router.counters.checksum_changes += 1;
            router.adverts.set_form(form);
            let interface = port.as_ref().and_then(|it| cx.interface(it.interface));
            if let Some(interface) = interface {
                router.build(interface, speech);
            }
        }
        router.senders.handle_advert(now_ns, advert, believed_ns);
        let port_index = router.port;
        if let Some(port) = port {
            port.hearing.handle_advert(now_ns, advert.source_mac);
        }
        self.note_heard(cx, port_index);
        true
    }

    pub(super) fn note_active_router(&mut self, cx: &Context<'_>, advert: &Advert<'_>) {
        if advert.priority > 0 {
            self.watch.handle_advert(cx.now_ns, advert);
        }
    }

    /// Time until which the active router may be alive, by its adverts.
    pub(super) fn active_silent_at_ns(&self) -> Option<u64> {
        let peer = self.watch.serving()?;
        let patience_ns = self.active_down_of(self.candidacy.priority(), peer.interval_ns);
        Some(peer.heard_ns.saturating_add(patience_ns))
    }

    pub(super) fn names(&self, cx: &Context<'_>) -> String {
        let usable = self
            .networks
            .ports()
            .iter()
            .filter(|port| port.usable_since_ns().is_some());
        let name = |port: &Port| cx.interface(port.interface).map(|i| i.name.clone());
        usable.filter_map(name).collect::<Vec<_>>().join(", ")
    }

    /// One address of the active router: its address on the first of this node's routers that heard it lately, so that
    /// sentences do not change with every advert.
    pub(super) fn active_address(&self) -> Option<IpAddr> {
        let peer = self.watch.router()?;
        let patience_ns = peer
            .interval_ns
            .saturating_mul(u64::from(self.config.advert_loss));
        let horizon_ns = peer.heard_ns.saturating_sub(patience_ns);
        let mut talkers = self
            .networks
            .routers()
            .iter()
            .filter_map(|router| router.senders.talker());
        let lately = talkers.find(|talker| talker.heard_ns > horizon_ns);
        Some(lately.map_or(peer.address, |talker| talker.address))
    }

    pub(super) fn backup_sentence(&self, cx: &Context<'_>) -> Why {
        if let Some(why) = self.backup_beside_peer(cx) {
            return why;
        }
        let peer = self.watch.serving();
        match (peer, self.active_address()) {
            (
                Some(ActiveRouter {
                    priority: theirs, ..
                }),
                Some(peer),
            ) => Why::PeerActive {
                peer: self.who_speaks(cx, peer),
                theirs,
                own: self.candidacy.priority(),
            },
            _ => Why::Listens {
                for_ns: self.active_down_ns(),
            },
        }
    }

    pub(super) fn failover_sentence(&self, cx: &Context<'_>) -> Why {
        let since_ns = match self.state {
            State::Backup { since_ns, .. } => since_ns,
            _ => cx.now_ns,
        };
        let interfaces = self.names(cx);
        let peer = self.peer.last().filter(|peer| peer.heard_ns >= since_ns);
        if let Some(peer) = peer {
            return self.failover_from_peer(cx, peer, interfaces);
        }
        let Some(peer) = self.watch.router().filter(|peer| peer.heard_ns >= since_ns) else {
            let for_ns = cx.now_ns.saturating_sub(since_ns);
            return Why::NobodyHeard { interfaces, for_ns };
        };
        let address = self.active_address().unwrap_or(peer.address);
        let peer_is = self.who_speaks(cx, address);
        if self.watch.has_resigned() {
            return Why::PeerResigned { peer: peer_is };
        }
        let for_ns = cx.now_ns.saturating_sub(peer.heard_ns);
        Why::PeerSilent {
            peer: peer_is,
            interfaces,
            for_ns,
        }
    }

    pub(super) fn preempt_sentence(&self, cx: &Context<'_>, advert: &Advert<'_>) -> Why {
        let (own, theirs) = (self.candidacy.priority(), advert.priority);
        let peer = self.who_speaks(cx, advert.source);
        if self.candidacy.directive().is_forced_active() {
            return self.forced_sentence(cx);
        }
        let claimed = self
            .networks
            .ports()
            .iter()
            .find(|port| port.unheard.claims() && self.candidacy.claims());
        if let Some(interface) = claimed.and_then(|port| cx.interface(port.interface)) {
            return Why::Claims {
                interface: interface.name.clone(),
                peer,
            };
        }
        match self.config.election {
            Election::Priority { .. } => Why::Preempts { own, peer, theirs },
            Election::Quality {
                preferred: Some(true),
                ..
            } if own - theirs.min(own) <= 1 => Why::Preferred { peer },
            Election::Quality { .. } => Why::Fitter {
                own: quality_of(own),
                peer,
                theirs: quality_of(theirs),
            },
        }
    }
}
