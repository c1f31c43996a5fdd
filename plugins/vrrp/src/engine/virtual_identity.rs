//! E15: judges whether a network carries the virtual identity of the active node: its adverts, and its virtual MAC
//! address.
//!
//! A heartbeat comes from the node's own MAC address. A hypervisor or a switch that drops frames from other MAC
//! addresses lets it pass, and still no client reaches the virtual addresses. A backup knows which adverts it hears on
//! a network where heartbeats pass in both directions. If it hears none, it asks for an address of that virtual router,
//! and the answer tells whether the MAC address or the protocol is filtered. What follows for the role is in
//! `dropped_mac_memory`.

use std::net::{IpAddr, Ipv4Addr};

use super::group::{Group, State};
use super::interface::Interface;
use super::peer::Peer;
use super::port::Port;
use super::{Action, Context, Engine};
use crate::config::{self, is_link_local};
use crate::error::Discard;
use crate::wire::frame::{Advert, TTL};
use crate::wire::heartbeat::{Families, Identity};
use crate::wire::{Family, Mac, neighbour, virtual_router};

/// Failover times without an advert after which adverts are lost; `PATIENCE_MIN_NS`: their least sum, as a time of
/// milliseconds proves little.
const FAILOVERS: u64 = 3;
const PATIENCE_MIN_NS: u64 = 1_000_000_000;
/// Questions in a row without an answer after which the MAC address is filtered; the last one may still be answered.
const UNANSWERED_MAX: u32 = 3;

/// Own identity of the peer on a network: its heartbeats in both directions, while it is active.
#[derive(Clone, Copy, Debug, Default)]
struct OwnIdentity {
    since_ns: Option<u64>,
    reviewed_ns: u64,
}

/// Both identities of the active peer on a network, as this node hears them.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct HeardIdentity {
    own: OwnIdentity,
    /// Virtual identity: what holds for each virtual router there.
    heard: Identity,
}

/// Virtual router of the active peer, as this node hears it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct VirtualIdentity {
    advert_ns: Option<u64>,
    /// This node asks for the virtual MAC address.
    is_doubted: bool,
    /// Questions in a row without an answer since then; `is_answered`: one was answered.
    unanswered: u32,
    is_answered: bool,
}

/// Questions about virtual routers in doubt on an interface; `unanswered` by family.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct IdentityProbes {
    turn: usize,
    unanswered: [u32; 2],
}

/// Virtual router in doubt.
struct DoubtedRouter {
    interface: usize,
    family: Family,
    group: usize,
    router: usize,
}

impl OwnIdentity {
    fn review(&mut self, now_ns: u64, is_proven: bool, patience_ns: u64) {
        let is_continued = now_ns.saturating_sub(self.reviewed_ns) < patience_ns;
        let since_ns = self.since_ns.filter(|_| is_continued);
        self.since_ns = is_proven.then(|| since_ns.unwrap_or(now_ns));
        self.reviewed_ns = now_ns;
    }

    fn has_lasted(self, now_ns: u64, for_ns: u64) -> bool {
        let since_ns = self.since_ns;
        since_ns.is_some_and(|at_ns| now_ns >= at_ns.saturating_add(for_ns))
    }
}

impl HeardIdentity {
    /// Begins a review of the port; the verdicts on its virtual routers follow.
    fn begin_review(&mut self, now_ns: u64, is_proven: bool, patience_ns: u64) {
        self.own.review(now_ns, is_proven, patience_ns);
        self.heard = if is_proven {
            Identity::Heard
        } else {
            Identity::Unknown
        };
    }
}

impl VirtualIdentity {
    pub fn note_advert(&mut self, now_ns: u64) {
        self.advert_ns = Some(now_ns);
    }

    fn note_virtual_frame(&mut self) {
        // a frame before the first question may have been sent before adverts ceased
        self.is_answered |= self.is_doubted && self.unanswered > 0;
        self.unanswered = 0;
    }

    /// Judges the virtual identity. `unanswered`: questions about all virtual routers in doubt there.
    fn judge(
        &mut self,
        now_ns: u64,
        own: OwnIdentity,
        patience_ns: u64,
        config: &config::VirtualRouter,
        unanswered: u32,
    ) -> Identity {
        let is_settled = own.has_lasted(now_ns, patience_ns);
        let heard_ns = self.advert_ns;
        let hears = heard_ns.is_some_and(|at_ns| now_ns < at_ns.saturating_add(patience_ns));
        // unicast adverts come from the node's own MAC address, so they prove nothing for the virtual one
        let asks = config.vmac.is_some() && config.min_ttl == TTL;
        self.is_doubted = is_settled && asks && (config.unicast || !hears);
        if !self.is_doubted {
            (self.unanswered, self.is_answered) = (0, false);
        }
        let others = if self.is_answered { 0 } else { unanswered };
        let families = Families::of(config.family);
        if self.is_doubted && self.unanswered.max(others) >= UNANSWERED_MAX {
            Identity::NoMac(families)
        } else if hears && own.since_ns.is_some() {
            Identity::Heard
        } else if is_settled && !hears && (!asks || self.is_answered) {
            Identity::NoAdverts(families)
        } else {
            Identity::Unknown
        }
    }

    /// True if another question may give a verdict.
    fn is_undecided(&self) -> bool {
        self.is_doubted && !self.is_answered && self.unanswered < UNANSWERED_MAX
    }
}

impl Group {
    /// Notes an advert of the peer, used or not.
    pub(super) fn note_identity_advert(&mut self, now_ns: u64, index: usize, advert: &Advert<'_>) {
        if self.is_stranger_address(index, advert.source) {
            return;
        }
        if let Some(router) = self.networks.router_mut(index) {
            router.identity.note_advert(now_ns);
        }
    }

    /// Judges the active peer's identities, after each of its heartbeats; returns true if an address is to be asked for
    /// at once.
    pub(super) fn review_identities(&mut self, cx: &Context<'_>) -> bool {
        let now_ns = cx.now_ns;
        let patience_ns = self.active_down_ns();
        let is_served = self.active_peer(now_ns).is_some();
        let is_proven = |group: &Group, port: &Port| {
            let theirs = group.peer_port(port).filter(|_| is_served);
            let can_send = theirs.is_some_and(|theirs| theirs.usable);
            // without a socket nothing is heard there, and that is another fault
            can_send && port.can_send() && group.is_heard_both_ways(now_ns, port)
        };
        self.review_ports(is_proven, |port, is_proven| {
            port.identity.begin_review(now_ns, is_proven, patience_ns);
        });
        let patience_ns = patience_ns.saturating_mul(FAILOVERS).max(PATIENCE_MIN_NS);
        let mut begins = false;
        for index in 0..self.networks.routers().len() {
            let Some((router, Some(port))) = self.networks.router_and_port(index) else {
                continue;
            };
            let identity_probes = cx
                .interface(port.interface)
                .map(|there| there.identity_probes);
            let unanswered = identity_probes.map_or(0, |it| it.unanswered_of(router.config.family));
            let identity = &mut router.identity;
            let was_doubted = identity.is_doubted;
            let own = port.identity.own;
            let judged = identity.judge(now_ns, own, patience_ns, &router.config, unanswered);
            port.identity.heard = port.identity.heard.and(judged);
            begins |= identity.is_doubted && !was_doubted;
        }
        self.remember_identities(now_ns);
        begins
    }

    /// Virtual identity of the active peer on a port, as this backup hears it.
    pub(super) fn identity_on(&self, now_ns: u64, port: &Port) -> Identity {
        let peer = self.active_peer(now_ns);
        peer.map_or(Identity::Unknown, |_| port.identity.heard)
    }

    /// Virtual identity of the active node on a port, as the other node hears it; true: the active node is this one.
    pub(super) fn identity_by_backup(&self, now_ns: u64, port: &Port) -> (bool, Identity) {
        if !self.is_active() {
            return (false, self.identity_on(now_ns, port));
        }
        let peer = self.mutual_peer(now_ns).filter(|peer| !peer.is_active());
        let theirs = peer.and_then(|_| self.peer_port(port));
        (true, theirs.map(|it| it.identity).unwrap_or_default())
    }

    /// Virtual identity of the active node on a port, as far as it is known; true: that node is this one. Answers of
    /// stations count more than what the other node hears: a filter may be at that node's own port.
    pub(super) fn virtual_identity(&self, now_ns: u64, port: &Port) -> (bool, Identity) {
        let (is_own, heard) = self.identity_by_backup(now_ns, port);
        match self.identity_by_stations(now_ns, port).1 {
            Identity::Unknown => (is_own, heard),
            asked => (is_own, asked),
        }
    }

    /// The active peer, while this node is backup and each hears the other.
    fn active_peer(&self, now_ns: u64) -> Option<&Peer> {
        let is_backup = matches!(self.state, State::Backup { .. });
        let peer = self.mutual_peer(now_ns).filter(|_| is_backup)?;
        peer.is_active().then_some(peer)
    }
}

impl Engine {
    /// Notes a frame of a virtual MAC address, which says something about an address.
    pub(super) fn note_virtual_mac(&mut self, interface: usize, mac: Mac) {
        let Some((family, vrid)) = virtual_router(mac) else {
            return;
        };
        let place = self.routers.get(&(interface, family, vrid)).copied();
        let Some((group, router)) = place else { return };
        let group = self.groups.get_mut(group);
        let Some(router) = group.and_then(|group| group.networks.router_mut(router)) else {
            return;
        };
        let is_doubted = router.identity.is_doubted;
        router.identity.note_virtual_frame();
        if let Some(there) = self.interfaces.get_mut(interface).filter(|_| is_doubted) {
            *there.identity_probes.count(family) = 0;
        }
    }

    /// Notes an advert that is not used: the peer sent it all the same, as far as its source tells.
    pub(super) fn note_dropped_advert(
        &mut self,
        now_ns: u64,
        interface: usize,
        reason: Discard,
        advert: Option<&Advert<'_>>,
    ) {
        if matches!(reason, Discard::OwnSource | Discard::Protocol) {
            return;
        }
        let Some(name) = self.interfaces.get(interface).map(|there| &there.name) else {
            return;
        };
        let routers = self
            .groups
            .iter_mut()
            .flat_map(|group| group.networks.routers_mut());
        for router in routers.filter(|router| router.config.interface == *name) {
            let may_be_peers = advert.is_none_or(|advert| {
                let source = !router.senders.is_not_peer(advert.source);
                source && advert.family == router.config.family
            });
            if may_be_peers {
                router.identity.note_advert(now_ns);
            }
        }
    }

    /// Asks for an address of each family on each interface where a virtual router is in doubt; returns true if it is
    /// to be asked again soon.
    pub(super) fn probe_doubted_routers(&mut self) -> bool {
        let doubted = self.doubted();
        let mut is_undecided = false;
        for interface in 0..self.interfaces.len() {
            if let Some(there) = self.interfaces.get_mut(interface) {
                there.identity_probes.begin_turn();
            }
            for family in [Family::V4, Family::V6] {
                let here = |it: &&DoubtedRouter| (it.interface, it.family) == (interface, family);
                let here: Vec<&DoubtedRouter> = doubted.iter().filter(here).collect();
                is_undecided |= self.probe_one_router(interface, family, &here);
            }
        }
        is_undecided
    }

    fn probe_one_router(
        &mut self,
        interface: usize,
        family: Family,
        doubted: &[&DoubtedRouter],
    ) -> bool {
        let Some(there) = self.interfaces.get_mut(interface) else {
            return false;
        };
        let identity_probes = &mut there.identity_probes;
        let place = identity_probes.turn.checked_rem(doubted.len());
        let Some(one) = place.and_then(|place| doubted.get(place)) else {
            *identity_probes.count(family) = 0;
            return false;
        };
        let group = self.groups.get_mut(one.group);
        let Some(router) = group.and_then(|group| group.networks.router_mut(one.router)) else {
            return false;
        };
        let target = router.config.addresses.first().map(|it| it.address);
        let Some(frame) = target.and_then(|target| address_probe(there, target)) else {
            return false;
        };
        router.identity.unanswered = router.identity.unanswered.saturating_add(1);
        let unanswered = there.identity_probes.count(family);
        *unanswered = unanswered.saturating_add(1);
        self.actions.push(Action::Probe { interface, frame });
        router.identity.is_undecided()
    }

    fn doubted(&self) -> Vec<DoubtedRouter> {
        let mut doubted = Vec::new();
        // a node that has taken over does not ask for its own address
        let is_backup = |group: &Group| matches!(group.state, State::Backup { .. });
        let groups = self.groups.iter().enumerate();
        for (place, group) in groups.filter(|(_, group)| is_backup(group)) {
            for (index, router) in group.routers().enumerate() {
                let port = group.networks.port(router.port);
                if let Some(port) = port.filter(|_| router.identity.is_doubted) {
                    doubted.push(DoubtedRouter {
                        interface: port.interface,
                        family: router.config.family,
                        group: place,
                        router: index,
                    });
                }
            }
        }
        doubted
    }
}

impl IdentityProbes {
    fn begin_turn(&mut self) {
        self.turn = self.turn.wrapping_add(1);
    }

    fn unanswered_of(mut self, family: Family) -> u32 {
        *self.count(family)
    }

    fn count(&mut self, family: Family) -> &mut u32 {
        let [v4, v6] = &mut self.unanswered;
        match family {
            Family::V4 => v4,
            Family::V6 => v6,
        }
    }
}

/// Frame that asks for a virtual address. A solicitation comes from an address: duplicate address detection of a
/// station must not hear of another one for the same address.
pub(super) fn address_probe(there: &Interface, target: IpAddr) -> Option<Vec<u8>> {
    let sender = match Family::of(target) {
        Family::V4 => Some(Ipv4Addr::UNSPECIFIED.into()),
        Family::V6 => there.own_addresses().find(|it| is_link_local(*it)),
    };
    neighbour::probe(there.facts.mac, sender?, target)
}
