//! Reasons for a group's role by adverts; `peer_reasons.rs` compares both nodes if there is a known peer.

use std::net::IpAddr;

use spared_sdk::CauseKind;

use super::Context;
use super::group::{Group, State};
use super::peer::Peer;
use super::port::Port;
use crate::config::Election;
use crate::election::{RoleReason, quality_of};
use crate::wire::frame::Advert;

impl Group {
    pub(super) fn isolation(&self, cx: &Context<'_>) -> RoleReason {
        let what: Vec<String> = self
            .ports()
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
        RoleReason::of(CauseKind::Isolated).saying(what.join(", "))
    }

    pub(super) fn usable_interfaces(&self, cx: &Context<'_>) -> String {
        let usable = self.ports().filter(|port| port.usable_since_ns().is_some());
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
        let mut advertisers = self
            .routers()
            .filter_map(|router| router.senders.last_advertiser());
        let lately = advertisers.find(|it| it.heard_ns > horizon_ns);
        Some(lately.map_or(peer.address, |it| it.address))
    }

    pub(super) fn backup_reason(&self, cx: &Context<'_>) -> RoleReason {
        if let Some(why) = self.backup_reason_with_peer(cx) {
            return why;
        }
        match (self.watch.serving(), self.active_address()) {
            (Some(router), Some(address)) => {
                let (own, peer) = (self.candidacy.priority(), self.router_at(cx, address));
                RoleReason::compared(CauseKind::PeerActive, own, peer, router.priority)
            }
            _ => RoleReason::of(CauseKind::Listening).lasting(self.active_down_ns()),
        }
    }

    pub(super) fn failover_reason(&self, cx: &Context<'_>) -> RoleReason {
        let since_ns = match self.state {
            State::Backup { since_ns, .. } => since_ns,
            _ => cx.now_ns,
        };
        let interfaces = self.usable_interfaces(cx);
        let peer = self.peer.last().filter(|peer| peer.heard_ns >= since_ns);
        if let Some(peer) = peer {
            return self.failover_from_peer(cx, peer, interfaces);
        }
        let Some(peer) = self.watch.router().filter(|peer| peer.heard_ns >= since_ns) else {
            let for_ns = cx.now_ns.saturating_sub(since_ns);
            let nobody = RoleReason::of(CauseKind::NobodyHeard);
            return nobody.on(interfaces).lasting(for_ns);
        };
        let address = self.active_address().unwrap_or(peer.address);
        let peer_is = self.router_at(cx, address);
        if self.watch.has_resigned() {
            return RoleReason::with_peer(CauseKind::PeerResigned, peer_is);
        }
        let for_ns = cx.now_ns.saturating_sub(peer.heard_ns);
        let silent = RoleReason::with_peer(CauseKind::PeerSilent, peer_is);
        silent.on(interfaces).lasting(for_ns)
    }

    fn failover_from_peer(&self, cx: &Context<'_>, peer: &Peer, interfaces: String) -> RoleReason {
        let who = self.peer_name(cx);
        let idle = self.living_peer(cx.now_ns);
        if let Some(peer) = idle.filter(|_| !self.watch.has_resigned()) {
            return self.first_reason(cx, peer);
        }
        if self.watch.has_resigned() {
            return RoleReason::with_peer(CauseKind::PeerResigned, who);
        }
        let adverts_ns = self.watch.router().map_or(0, |peer| peer.heard_ns);
        let for_ns = cx.now_ns.saturating_sub(peer.heard_ns.max(adverts_ns));
        let mut everywhere: Vec<&str> = cx.links.iter().map(String::as_str).collect();
        if !interfaces.is_empty() {
            everywhere.push(&interfaces);
        }
        let silent = RoleReason::with_peer(CauseKind::PeerSilent, who);
        silent.on(everywhere.join(", ")).lasting(for_ns)
    }

    pub(super) fn preempt_reason(&self, cx: &Context<'_>, advert: &Advert<'_>) -> RoleReason {
        let (own, theirs) = (self.candidacy.priority(), advert.priority);
        let peer = self.router_at(cx, advert.source);
        if self.candidacy.directive().is_forced_active() {
            return self.forced_reason(cx);
        }
        let claimed = self
            .ports()
            .find(|port| port.unheard.claims() && self.candidacy.claims());
        if let Some(interface) = claimed.and_then(|port| cx.interface(port.interface)) {
            let claims = RoleReason::with_peer(CauseKind::UnheardInterface, peer);
            return claims.on(interface.name.clone());
        }
        match self.config.election {
            Election::Priority { .. } => {
                RoleReason::compared(CauseKind::Priority, own, peer, theirs)
            }
            Election::Quality {
                preferred: Some(true),
                ..
            } if own - theirs.min(own) <= 1 => RoleReason::with_peer(CauseKind::Preferred, peer),
            Election::Quality { .. } => {
                let (own, theirs) = (quality_of(own), quality_of(theirs));
                RoleReason::compared(CauseKind::Quality, own, peer, theirs)
            }
        }
    }
}
