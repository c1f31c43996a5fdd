//! E12: ignores the peer's adverts on a network on which its heartbeats are heard: they prove nothing, as any station
//! there can send them.

use std::net::IpAddr;

use super::conflict::Conflict;
use super::dropped_mac_memory::IdentityMemory;
use super::group::{Group, State};
use super::heartbeat_targets::Neighbour;
use super::port::Port;
use super::router::VirtualRouter;
use super::senders::Sender;
use super::{Action, Context};
use crate::heartbeats::Heard;
use crate::wire::frame::Advert;
use crate::wire::heartbeat::HeartbeatPort;

impl Group {
    /// Handles a heartbeat that arrived over a network.
    pub(super) fn handle_network_heartbeat(
        &mut self,
        cx: &mut Context<'_>,
        interface: usize,
        neighbour: Neighbour,
        heard: &Heard<'_>,
        own: u64,
    ) {
        let port = self.networks.port_on_mut(interface);
        let port = port.filter(|port| port.reception.is_expected());
        let is_confirmed = heard.ack.run == own;
        let Some(port) = port.filter(|_| heard.is_timely && is_confirmed) else {
            return;
        };
        let reception = &mut port.reception;
        let begins = reception.handle_heartbeat(cx.now_ns, neighbour.mac, heard.run);
        let index = port.place;
        for router in self
            .networks
            .routers_mut()
            .iter_mut()
            .filter(|router| router.port == index)
        {
            if router
                .source
                .is_some_and(|own| own.is_ipv4() == neighbour.address.is_ipv4())
            {
                let (now_ns, address) = (cx.now_ns, neighbour.address);
                router.senders.handle_peer_address(now_ns, address);
            }
        }
        if begins {
            self.forget_adverts(cx.now_ns);
        }
        // for an active node, the peer judges whether the network carries
        if !self.is_active() {
            self.note_heard(cx, index);
        }
    }

    /// Forgets earlier adverts, which no longer count.
    fn forget_adverts(&mut self, now_ns: u64) {
        self.watch.forget_adverts();
        if let Some(peer) = self.peer.last() {
            self.watch.learn_interval(peer.heartbeat.advert_interval_ns);
        }
        let latest_ns = now_ns.saturating_add(self.active_down_ns());
        if let State::Backup { down_ns, .. } = self.state {
            self.rearm_down(down_ns.min(latest_ns));
        }
    }

    /// Notes that the peer was heard on a port.
    pub(super) fn note_heard(&mut self, cx: &mut Context<'_>, index: usize) {
        if let Some(port) = self.networks.port_mut(index) {
            port.unheard.handle_heard();
        }
        self.end_unheard_port(cx, index);
        if !self.is_active() && !self.ports().any(|port| port.unheard.claims()) {
            self.drop_claim(cx);
        }
    }

    /// Takes a confirmed run of the peer in place of the previous one: its heartbeats say on which networks it can be
    /// heard, and its virtual identity is untried (E15).
    pub(super) fn update_heartbeat_runs(&mut self, run: u64, confirmed: bool) {
        if !confirmed {
            return;
        }
        let is_another = self.peer.handle_run(run);
        let sends = |group: &Group, port: &Port| {
            let theirs = group.peer_port(port);
            theirs.is_some_and(|theirs| theirs.sends)
        };
        self.review_ports(sends, |port, sends| {
            port.reception.handle_run(run, sends);
            if is_another {
                port.virtual_there = IdentityMemory::default();
            }
        });
    }

    /// The peer's report on one of its interfaces.
    pub(super) fn peer_port(&self, port: &Port) -> Option<&HeartbeatPort> {
        self.peer.last()?.port(port.heartbeat_id, port.place)
    }

    /// Router that was heard last on a virtual router's network: the peer, if its last heartbeats also came there; on a
    /// network without heartbeats, the router that advertises.
    pub(super) fn last_heard_there(&self, router: &VirtualRouter) -> Option<IpAddr> {
        let port = self.networks.port(router.port)?;
        if !port.reception.has_heartbeats() {
            return router.senders.last_advertiser().map(|it| it.address);
        }
        let last_ns = self.peer.last()?.heard_ns;
        let since_ns = last_ns.saturating_sub(self.active_down_ns());
        let is_recent = port.reception.is_heard_since(since_ns);
        router.senders.peer().filter(|_| is_recent)
    }

    /// Priority of the peer's adverts on a port while none of its heartbeats is heard on any path: the peer may be
    /// active as well, and these adverts prove nothing.
    pub(super) fn adverts_alone(&self, now_ns: u64, port: &Port) -> Option<u8> {
        let (at_ns, priority) = port.reception.advert_alone()?;
        let is_fresh = now_ns < at_ns.saturating_add(self.active_down_ns());
        (is_fresh && self.living_peer(now_ns).is_none()).then_some(priority)
    }

    // ---- adverts ---------------------------------------------------------------------------

    /// True if an advert decides nothing: on a network with the peer's heartbeats only adverts of third routers count,
    /// if others may take part at all.
    pub(super) fn ignores_adverts_of(&self, now_ns: u64, index: usize, source: IpAddr) -> bool {
        let Some(router) = self.networks.router(index) else {
            return false;
        };
        let proven = self
            .networks
            .port(router.port)
            .is_some_and(|port| port.reception.has_heartbeats());
        let third = router.senders.is_not_peer(source);
        // if third routers take part, a peer that heartbeats do not show alive is judged as they are
        let alone = self.config.any_router && (third || self.living_peer(now_ns).is_none());
        proven && !alone
    }

    /// Counts an advert that decides nothing, and reports a station that advertises in the peer's name.
    pub(super) fn note_ignored_advert(
        &mut self,
        cx: &mut Context<'_>,
        index: usize,
        advert: &Advert<'_>,
    ) {
        let now_ns = cx.now_ns;
        let living = self.living_peer(now_ns).is_some();
        let sender = if living && advert.priority > 0 {
            self.learn_source(now_ns, index, advert)
        } else {
            Sender::Peer
        };
        let Some((router, port)) = self.networks.router_and_port(index) else {
            return;
        };
        router.counters.received += 1;
        router.counters.received_priority_zero += u64::from(advert.priority == 0);
        let known = !router.senders.is_not_peer(advert.source);
        let foreign = sender == Sender::Stranger || !known;
        if !foreign && living {
            return self.note_contradicting_advert(cx, index, advert);
        }
        if foreign {
            router.note_stranger(now_ns, advert);
        }
        let is_alone = !foreign && advert.priority > 0 && router.senders.is_peer(advert.source);
        if let Some(port) = port.filter(|_| is_alone) {
            port.reception.handle_advert_alone(now_ns, advert.priority);
        }
        let limits = &mut router.limits;
        let (limit, what) = if foreign {
            (
                &mut limits.foreign,
                "is not the peer: its advert is ignored",
            )
        } else {
            let what =
                "advertises as the peer, whose heartbeats are not heard: its advert is ignored";
            (&mut limits.contradicting, what)
        };
        if let Some(more) = limit.allow(now_ns) {
            let who = router.sender_of(advert);
            let text = format!("{}: {who} {what}{more}", self.name);
            cx.push(Action::Event(text));
        }
    }

    /// Reports that the peer's adverts are heard on a port, but not the heartbeats that it sends there.
    pub(super) fn note_advert_without_heartbeat(&mut self, cx: &mut Context<'_>, router: usize) {
        let sends = |port: &Port| self.peer_port(port).is_some_and(|theirs| theirs.sends);
        let port = self.networks.port_of(router);
        let sends = self.mutual_peer(cx.now_ns).is_some() && port.is_some_and(sends);
        let Some((_, Some(port))) = self.networks.router_and_port(router) else {
            return;
        };
        if !port
            .reception
            .handle_advert_without_heartbeat(cx.now_ns, sends)
        {
            return;
        }
        let name = cx
            .interface(port.interface)
            .map_or("?", |i| i.name.as_str());
        let text = format!(
            "{}: heartbeats are filtered on {name}: adverts are heard there, which anybody can send; let UDP port 3780 pass as protocol 112 does, or set heartbeats = false",
            self.name
        );
        cx.push(Action::Event(text));
    }

    /// True if this node leaves the group to any advertising router: it has a configured peer but no confirmed key. The
    /// peer may know only a previous run of it, and this run's adverts prove nothing there.
    pub(super) fn gives_way_to_all(&self, cx: &Context<'_>) -> bool {
        // with third routers the origin of an advert is unknown
        let paired = cx.peer.is_some() && !self.config.any_router;
        self.own_heartbeat.is_enabled() && paired && self.peer.mutual_ns().is_none()
    }

    /// True if this node has to give way, and has told its rival for long enough that it is active.
    pub(super) fn gives_way_after_telling(&self, cx: &Context<'_>) -> bool {
        let patience_ns = self.active_down_ns().saturating_mul(2);
        let is_long = |conflict: &Conflict| conflict.age_ns(cx.now_ns) >= patience_ns;
        let active = matches!(self.state, State::Active { .. });
        active && self.gives_way_to_all(cx) && self.conflicts.current().is_some_and(is_long)
    }
}
