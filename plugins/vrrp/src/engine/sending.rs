//! Output of a group: adverts to the networks, roles to the host.

use spared_sdk::CauseKind;

use super::group::{Group, State};
use super::own_adverts::AdvertContent;
use super::peer::Peer;
use super::{Action, Context, PacketId};
use crate::election::RoleReason;
use crate::wire::neighbour;

/// Time by which the kernel may end a lease early, as it counts in ticks.
pub(super) const TICK_NS: u64 = 10_000_000;

impl Group {
    pub(super) fn advert_content(&self) -> AdvertContent {
        AdvertContent {
            version: self.config.version,
            priority: self.candidacy.priority(),
            interval_ns: self.config.interval_ns,
        }
    }

    pub(super) fn advertise(&mut self, cx: &mut Context<'_>) {
        // the heartbeat goes before the adverts: the peer counts silence from it, and the kernel counts the lease from
        // them
        self.request_heartbeat(cx);
        self.lease.renew(cx.now_ns, &self.config);
        self.transmit(cx, false);
    }

    /// Sends adverts between two that are due; the next interval counts from them.
    pub(super) fn advertise_now(&mut self, cx: &mut Context<'_>) {
        self.advertise(cx);
        self.rearm_advert(self.lease.next_advert_ns(cx.now_ns));
    }

    pub(super) fn advertise_ahead(&mut self, cx: &mut Context<'_>) {
        if self.is_active() {
            self.advertise_now(cx);
        }
    }

    pub(super) fn transmit(&mut self, cx: &mut Context<'_>, resign: bool) {
        let patience_ns = self.active_down_ns();
        for (index, router) in self.networks.routers_mut().iter_mut().enumerate() {
            if !router.usable() || !resign && router.is_cut_off() {
                continue;
            }
            let counters = &mut router.counters;
            if resign {
                counters.sent_priority_zero += 1;
            } else {
                counters.sent += 1;
                let lease_ns = self.config.lease_ns;
                router
                    .adverts
                    .begin_advert(cx.now_ns, lease_ns, patience_ns);
            }
            for packet in 0..router.adverts.packets().len() {
                let group = cx.group;
                cx.push(Action::Transmit(PacketId {
                    group,
                    router: index,
                    packet,
                    resign,
                }));
            }
        }
    }

    /// Sends a probe to each unicast peer. A peer that sent without success while this node was away asks for its MAC
    /// only once a second; from the probe it learns the MAC before this node takes its silence for death.
    pub(super) fn probe_unicast_peers(&mut self, cx: &mut Context<'_>) {
        for router in self.routers().filter(|router| router.config.unicast) {
            let port = self.networks.port(router.port);
            let Some(interface) = port.map(|port| port.interface) else {
                continue;
            };
            let mac = cx.interface(interface).map(|found| found.facts.mac);
            let Some((mac, own)) = mac.zip(router.source) else {
                continue;
            };
            for peer in router.config.peers.iter().filter(|peer| **peer != own) {
                if let Some(frame) = neighbour::probe(mac, own, *peer) {
                    cx.push(Action::Probe { interface, frame });
                }
            }
        }
    }

    /// Handles a packet that the system refused. If it refuses all of a router's adverts, the kernel may have blocked
    /// the fence, and the fence decides.
    pub fn handle_unsent(&mut self, cx: &mut Context<'_>, index: usize, packet: usize) {
        let lease_ns = self.config.lease_ns;
        let Some(router) = self.networks.router_mut(index) else {
            return;
        };
        let Some(refusal) = router.handle_refused_packet(cx.now_ns, packet) else {
            return;
        };
        let State::Active { since_ns, .. } = self.state else {
            return;
        };
        // the refusal arrives a moment after the advert was sent
        let is_first = refusal.sent_ns == since_ns;
        let spacing_ns = cx.now_ns.saturating_sub(refusal.left_ns);
        let lapsed = spacing_ns > lease_ns;
        if lapsed {
            router.adverts.handle_lapse();
        }
        if lapsed && is_first {
            // the host's answer took longer than the lease that it granted
            self.counters.publish_failed += 1;
            return self.lapse_at_once(cx);
        }
        if !refusal.is_repeated && spacing_ns.saturating_add(TICK_NS) > lease_ns {
            // this node was late, its interface works
            self.lease.shorten(refusal.left_ns.saturating_add(lease_ns));
            let by_ns = spacing_ns.saturating_sub(self.lease.interval_ns());
            return self.lapse(cx, by_ns);
        }
        if !lapsed {
            return;
        }
        if router.handle_refused_lease(cx.now_ns) {
            let interface = router.config.interface.clone();
            let newly = router.muting.is_first();
            return self.mute(cx, interface, newly);
        }
        // either only the router's lease has lapsed, or something refuses its packets: a new grant shows which
        if !cx.actions.publishes() {
            self.resume_routers(cx);
        }
    }

    /// Handles that a router is muted, as its adverts cannot leave: only its interface is hurt (E13).
    fn mute(&mut self, cx: &mut Context<'_>, interface: String, newly: bool) {
        self.networks.note_checks_changed();
        self.update_priority(cx);
        let stays =
            self.mutual_peer(cx.now_ns).is_some() || self.candidacy.directive().is_forced_active();
        if newly && self.networks.can_send() && !stays {
            // E2: another router gets the chance; if there is none, this node resumes
            let why = RoleReason::of(CauseKind::AdvertsUnsent).on(interface);
            self.listen_again(cx, why);
        }
        self.refresh(cx);
    }

    /// Ends the pauses that have lasted long enough.
    pub(super) fn unmute(&mut self, now_ns: u64) {
        let served = self.is_served(now_ns);
        for router in self.networks.routers_mut() {
            if router
                .muting
                .unmute_at_ns(served)
                .is_some_and(|at_ns| now_ns >= at_ns)
            {
                router.muting.end();
            }
        }
    }

    /// Ends mutings while backup: a fault that was fixed must not lower the node's quality forever.
    pub(super) fn expire_mutings(&mut self, cx: &mut Context<'_>) {
        let mut any = false;
        for router in self.networks.routers_mut() {
            if router
                .muting
                .expires_at_ns()
                .is_some_and(|at_ns| cx.now_ns >= at_ns)
            {
                router.muting.end();
                any = true;
            }
        }
        if any {
            self.networks.note_checks_changed();
            self.update_priority(cx);
        }
    }

    /// Earliest time for [`Self::expire_mutings`].
    pub(super) fn muting_timeout(&self) -> Option<u64> {
        let at_ns = self
            .routers()
            .filter_map(|router| router.muting.expires_at_ns());
        at_ns.min()
    }

    /// Tries muted routers again while active; their leases are granted again as well.
    pub(super) fn retry_muted(&mut self, cx: &mut Context<'_>) {
        let count = |group: &Group| {
            group
                .routers()
                .filter(|router| router.muting.is_muted())
                .count()
        };
        let before = count(self);
        if before == 0 {
            return;
        }
        self.unmute(cx.now_ns);
        if count(self) < before {
            for router in self.networks.routers_mut() {
                router.adverts.retry(cx.now_ns);
            }
            self.networks.note_checks_changed();
            self.update_priority(cx);
            self.resume_routers(cx);
        }
    }

    /// True if this node or another one that was heard is active.
    pub(super) fn is_served(&self, now_ns: u64) -> bool {
        let peer = self.living_peer(now_ns).is_some_and(Peer::is_active);
        let silent_ns = self.active_silent_at_ns();
        self.is_active() || peer || silent_ns.is_some_and(|at_ns| now_ns < at_ns)
    }
}
