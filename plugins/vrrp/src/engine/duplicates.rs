//! Virtual addresses for which another machine answers: RFC 5227 section 2.4, and the equivalent for neighbour
//! discovery.
//!
//! Once a second a node judges the claims of stations since the last look, and asks for one virtual address of each
//! network, in turn: by an ARP probe, whose sender is 0.0.0.0, or a solicitation. If a machine that is neither node of
//! the pair was heard for an address, the node asks for that address again soon. It names the machine if it was heard
//! in two looks. The pair's own answers are recognized by their MAC addresses, so that it does not matter when they
//! were sent. Nothing here decides a role, and no role waits for it.

use std::net::IpAddr;
use std::sync::Arc;

use super::group::{Group, State};
use super::virtual_identity::address_probe;
use super::{Action, Engine};
use crate::limit::{Limit, Suppressed};
use crate::wire::neighbour::{self, Claim};
use crate::wire::{Mac, virtual_mac, virtual_router};

/// Interval of looks.
const PAUSE_NS: u64 = 1_000_000_000;
/// Interval of looks while a machine was heard once, in which stations can answer.
const SOON_NS: u64 = 200_000_000;
/// Number of such looks in a row: whatever is heard, a network sees at most four questions a second.
const SOON_MAX: u32 = 2;
/// Shortest time between two defences of an address (DEFEND_INTERVAL of RFC 5227).
const DEFEND_NS: u64 = 10_000_000_000;
/// Questions in a row without an answer after which a named machine is gone: at one a second, 5 s.
const UNANSWERED_MAX: u32 = 5;
/// Questions in a row without an answer after which a machine that was heard once is gone.
const UNCONFIRMED_MAX: u32 = 2;
/// Time after a change of the role or a conflict in which the peer's frames may have been sent before it.
pub(super) const SETTLED_NS: u64 = 5_000_000_000;
/// Most machines that are known at once: more MAC addresses are a flood.
const KNOWN_MAX: usize = 64;

/// Machines that answer for virtual addresses, and the state of the questions.
#[derive(Debug, Default)]
#[cfg_attr(test, derive(Clone))]
pub(super) struct Duplicates {
    next_ns: u64,
    /// Short looks since the last one after a full second.
    short_looks: u32,
    known: Vec<Duplicate>,
    /// Addresses for which a node of the pair was heard since the last look, each with its interface.
    answered: Vec<(usize, IpAddr)>,
    /// Questions and defences on each interface.
    networks: Vec<Network>,
}

#[derive(Clone, Debug, Default)]
struct Network {
    /// Index of the next address to ask for.
    turn: usize,
    /// Address that is asked for out of turn.
    next_out_of_turn: Option<IpAddr>,
    /// Times of the last defences.
    defended: Vec<(IpAddr, u64)>,
    limit: Limit,
}

/// A machine that answers for an address.
#[derive(Clone, Debug)]
struct Duplicate {
    interface: usize,
    address: IpAddr,
    mac: Mac,
    group: Arc<str>,
    is_peer: bool,
    /// Heard since the last look.
    is_heard: bool,
    /// Heard in an earlier look.
    was_heard: bool,
    /// The address was asked for since the last look.
    is_asked: bool,
    asked_ns: u64,
    unanswered: u32,
    /// The machine was heard again, and is named.
    is_confirmed: bool,
    /// The event of its beginning was not suppressed, so its end is an event as well.
    is_told: bool,
}

/// Machines that answer for one address, for a row of the status.
pub(super) struct NamedDuplicate<'e> {
    pub address: IpAddr,
    pub interface: &'e str,
    /// MAC addresses, as "02:00:00:00:00:99, 02:00:00:00:00:98".
    pub macs: String,
    pub is_peer: bool,
}

/// Sender of a claim, by its MAC address.
enum Claimant {
    /// This node, whose frame the network returned, or a router that has a finding of its own.
    Known,
    /// The active node of the pair, as far as this node can tell.
    Pair,
    /// The peer, which should not answer.
    Peer,
    Other,
}

impl Engine {
    /// Handles the claim of an address, from a frame of a stations' socket.
    pub fn handle_claim(&mut self, now_ns: u64, interface: usize, claim: Claim) {
        let Claim { mac, address } = claim;
        self.note_virtual_mac(interface, mac);
        let Some(group) = self.group_of(interface, address) else {
            return self.note_station(interface, claim);
        };
        let is_peer = match self.claimant(now_ns, interface, group, mac) {
            Claimant::Known => return,
            Claimant::Pair => {
                let answered = &mut self.duplicates.answered;
                if !answered.contains(&(interface, address)) {
                    answered.push((interface, address));
                }
                return;
            }
            Claimant::Peer => true,
            Claimant::Other => false,
        };
        let known = &mut self.duplicates.known;
        let same =
            |it: &&mut Duplicate| (it.interface, it.address, it.mac) == (interface, address, mac);
        if let Some(known) = known.iter_mut().find(same) {
            (known.is_heard, known.is_peer) = (true, is_peer);
            return;
        }
        let name = self.groups.get(group).map(|group| Arc::clone(&group.name));
        if let Some(name) = name.filter(|_| known.len() < KNOWN_MAX) {
            known.push(Duplicate {
                interface,
                address,
                mac,
                group: name,
                is_peer,
                is_heard: true,
                was_heard: false,
                is_asked: false,
                asked_ns: 0,
                unanswered: 0,
                is_confirmed: false,
                is_told: false,
            });
        }
    }

    /// Time of the next [`Engine::check_addresses`].
    pub fn address_check_timeout(&self) -> Option<u64> {
        (!self.groups.is_empty()).then_some(self.duplicates.next_ns)
    }

    /// True if another machine was heard that answers for an address on an interface.
    pub(super) fn is_claimed(&self, interface: usize) -> bool {
        let mut known = self.duplicates.known.iter();
        known.any(|it| it.interface == interface && !it.is_peer)
    }

    /// E15: brings the next look forward to now.
    pub(super) fn check_addresses_soon(&mut self, now_ns: u64) {
        let duplicates = &mut self.duplicates;
        (duplicates.short_looks, duplicates.next_ns) = (0, duplicates.next_ns.min(now_ns));
    }

    /// E15: asks for a virtual address out of turn: stations that do not answer in its name may have it themselves.
    pub(super) fn probe_who_has(&mut self, now_ns: u64, interface: usize, address: IpAddr) {
        let count = self.interfaces.len();
        self.duplicates.networks.resize(count, Network::default());
        if let Some(network) = self.duplicates.networks.get_mut(interface) {
            network.next_out_of_turn = Some(address);
            self.check_addresses_soon(now_ns);
        }
    }

    /// Judges the claims since the last look, and asks again. Pass in the frames that wait in the stations' sockets
    /// before. If somebody listens on an interface, its frames are passed in anyway.
    pub fn check_addresses(&mut self, now_ns: u64) {
        let count = self.interfaces.len();
        self.duplicates.networks.resize(count, Network::default());
        let mut known = std::mem::take(&mut self.duplicates.known);
        known.retain_mut(|it| self.update_duplicate(now_ns, it));
        self.duplicates.answered.clear();
        let has_turn = self.duplicates.short_looks == 0;
        for interface in 0..count {
            self.ask_for_addresses(now_ns, interface, has_turn, &mut known);
        }
        let is_undecided = self.probe_doubted_routers();
        let is_unsure = is_undecided || known.iter().any(|it| !it.is_confirmed);
        let duplicates = &mut self.duplicates;
        (duplicates.short_looks, duplicates.next_ns) =
            if is_unsure && duplicates.short_looks < SOON_MAX {
                (duplicates.short_looks + 1, now_ns.saturating_add(SOON_NS))
            } else {
                (0, now_ns.saturating_add(PAUSE_NS))
            };
        duplicates.known = known;
    }

    /// Machines that answer for addresses of a group: for each address, their MAC addresses.
    pub(super) fn duplicates_of(&self, group: &Group) -> Vec<NamedDuplicate<'_>> {
        let known = self.duplicates.known.iter();
        let mut named: Vec<NamedDuplicate<'_>> = Vec::new();
        for it in known.filter(|it| it.is_confirmed && it.group == group.name) {
            let Some(interface) = self.interfaces.get(it.interface) else {
                continue;
            };
            let mac = mac_text(it.mac);
            let same = |known: &&mut NamedDuplicate<'_>| {
                known.interface == interface.name
                    && (known.address, known.is_peer) == (it.address, it.is_peer)
            };
            match named.iter_mut().find(same) {
                Some(known) => known.macs += &format!(", {mac}"),
                None => named.push(NamedDuplicate {
                    address: it.address,
                    interface: &interface.name,
                    macs: mac,
                    is_peer: it.is_peer,
                }),
            }
        }
        named
    }

    fn group_of(&self, interface: usize, address: IpAddr) -> Option<usize> {
        let name = self.interfaces.get(interface)?.name.as_str();
        self.groups.iter().position(|group| {
            let mut virtuals = group.config.virtual_addresses();
            virtuals.any(|it| it == (name, address))
        })
    }

    fn claimant(&self, now_ns: u64, interface: usize, group: usize, mac: Mac) -> Claimant {
        let is_own = self.interfaces.iter().any(|it| it.facts.mac == mac);
        let Some(group) = self.groups.get(group).filter(|_| !is_own) else {
            return Claimant::Known;
        };
        let is_of_pair = virtual_router(mac)
            .is_some_and(|(family, vrid)| self.routers.contains_key(&(interface, family, vrid)));
        if is_of_pair {
            return Claimant::Pair;
        }
        let mut ports = self.groups.iter().flat_map(|group| group.networks.ports());
        if ports.any(|port| port.reception.is_mac(mac)) {
            return if group.has_peer_withdrawn(now_ns) {
                Claimant::Peer
            } else {
                Claimant::Pair
            };
        }
        let mut routers = self
            .groups
            .iter()
            .flat_map(|group| group.networks.routers());
        if routers.any(|router| router.senders.is_strangers_mac(now_ns, mac)) {
            Claimant::Known
        } else {
            Claimant::Other
        }
    }

    /// Judges a machine; returns false if it is gone.
    fn update_duplicate(&mut self, now_ns: u64, it: &mut Duplicate) -> bool {
        let place = self.group_of(it.interface, it.address);
        let group = place.and_then(|place| self.groups.get(place));
        let Some(group) = group.filter(|group| group.name == it.group) else {
            return false;
        };
        let (is_active, has_peer_withdrawn) = (group.is_active(), group.has_peer_withdrawn(now_ns));
        // the claim may have come before it was known whose MAC address that is
        let claimant = place.map(|place| self.claimant(now_ns, it.interface, place, it.mac));
        let is_of_pair = !it.is_peer && matches!(claimant, Some(Claimant::Pair | Claimant::Peer));
        let is_asked = std::mem::take(&mut it.is_asked);
        if is_of_pair || !std::mem::take(&mut it.is_heard) {
            it.unanswered += u32::from(is_asked);
        } else {
            it.unanswered = 0;
            self.handle_duplicate_heard(now_ns, it, is_active);
        }
        let most = if it.is_confirmed {
            UNANSWERED_MAX
        } else {
            UNCONFIRMED_MAX
        };
        let is_gone = is_of_pair || it.unanswered >= most || it.is_peer && !has_peer_withdrawn;
        if is_gone && it.is_told {
            let text = self.event_text(it, "no longer answers", Suppressed::default());
            self.actions.push(Action::Event(text));
        }
        !is_gone
    }

    fn handle_duplicate_heard(&mut self, now_ns: u64, it: &mut Duplicate, is_active: bool) {
        if is_active {
            self.defend(now_ns, it);
        }
        // a backup must hear two machines: a single answer may be the active node's, from a MAC address that is not
        // known yet
        let here = (it.interface, it.address);
        let counts = is_active || self.duplicates.answered.contains(&here);
        if it.was_heard && counts && !it.is_confirmed {
            it.is_confirmed = true;
            self.report_duplicate(now_ns, it);
        }
        it.was_heard = true;
    }

    fn report_duplicate(&mut self, now_ns: u64, it: &mut Duplicate) {
        let network = self.duplicates.networks.get_mut(it.interface);
        let Some(more) = network.and_then(|network| network.limit.allow(now_ns)) else {
            return;
        };
        it.is_told = true;
        let text = self.event_text(it, "answers", more);
        self.actions.push(Action::Event(text));
    }

    fn event_text(&self, it: &Duplicate, answers: &str, more: Suppressed) -> String {
        let interface = self.interfaces.get(it.interface);
        let interface = interface.map_or("?", |interface| interface.name.as_str());
        let (group, mac, address) = (&it.group, mac_text(it.mac), it.address);
        let who = match self.peer.as_ref().filter(|_| it.is_peer) {
            Some(peer) => format!("{peer} ({mac}) is not active and"),
            None => format!("another machine ({mac})"),
        };
        format!("{group}: {who} {answers} for {address} on {interface}{more}")
    }

    /// Announces an address again, as RFC 5227 section 2.4 (c) lets a node do that may not give it up.
    fn defend(&mut self, now_ns: u64, it: &Duplicate) {
        let Some(network) = self.duplicates.networks.get_mut(it.interface) else {
            return;
        };
        let defended = &mut network.defended;
        defended.retain(|(_, at_ns)| now_ns < at_ns.saturating_add(DEFEND_NS));
        if defended.iter().any(|(address, _)| *address == it.address) {
            return;
        }
        defended.push((it.address, now_ns));
        if let Some(mac) = self.rightful_mac(it.interface, it.address) {
            let frame = neighbour::announcement(mac, it.address);
            let interface = it.interface;
            self.actions.push(Action::Probe { interface, frame });
        }
    }

    /// MAC address with which the pair answers for an address.
    fn rightful_mac(&self, interface: usize, address: IpAddr) -> Option<Mac> {
        let there = self.interfaces.get(interface)?;
        let routers = self
            .groups
            .iter()
            .flat_map(|group| group.networks.routers());
        let mut routers = routers.filter(|router| router.config.interface == there.name);
        let of = routers.find(|router| {
            let mut addresses = router.config.addresses.iter();
            addresses.any(|it| it.address == address)
        });
        let moved = of.filter(|router| router.config.vmac.is_some());
        let moved = moved.map(|router| virtual_mac(router.config.family, router.config.vrid));
        Some(moved.unwrap_or(there.facts.mac))
    }

    /// Asks for one address in turn, and for one for which another machine was heard. A look soon after the last one
    /// asks only for a machine that is not named yet.
    fn ask_for_addresses(
        &mut self,
        now_ns: u64,
        interface: usize,
        has_turn: bool,
        known: &mut [Duplicate],
    ) {
        let suspects = known.iter_mut().filter(|it| it.interface == interface);
        let suspects = suspects.filter(|it| has_turn || !it.is_confirmed);
        let there = self.interfaces.get(interface);
        let Some(there) = there.filter(|there| there.fault().is_none()) else {
            // no station answers there
            return suspects.for_each(|it| it.is_asked = true);
        };
        let suspect = suspects.min_by_key(|it| it.asked_ns).map(|it| it.address);
        let groups = || self.groups.iter().filter(|group| group.is_settled_role());
        let all = || {
            let all = groups().flat_map(|group| group.config.virtual_addresses());
            all.filter(|(name, _)| *name == there.name)
                .map(|(_, address)| address)
        };
        let count = all().count();
        let network = self.duplicates.networks.get_mut(interface);
        let turn = network.filter(|_| has_turn).and_then(|network| {
            if let Some(next_out_of_turn) = network.next_out_of_turn.take() {
                return Some(next_out_of_turn);
            }
            network.turn = network.turn.wrapping_add(1).checked_rem(count).unwrap_or(0);
            all().nth(network.turn)
        });
        let second = turn.filter(|address| suspect != Some(*address));
        for address in suspect.into_iter().chain(second) {
            let here = |it: &&mut Duplicate| (it.interface, it.address) == (interface, address);
            let asked = known.iter_mut().filter(here);
            asked.for_each(|it| (it.is_asked, it.asked_ns) = (true, now_ns));
            let frame = address_probe(there, address);
            self.actions
                .extend(frame.map(|frame| Action::Probe { interface, frame }));
        }
    }
}

impl Group {
    /// True if this node has been active for so long that the peer, which is not, no longer answers for any of the
    /// addresses.
    fn has_peer_withdrawn(&self, now_ns: u64) -> bool {
        let State::Active { since_ns, .. } = self.state else {
            return false;
        };
        let ended_ns = self.conflicts.ended_ns().unwrap_or(0).max(since_ns);
        let settled = now_ns.saturating_sub(ended_ns) >= SETTLED_NS;
        let active = self
            .living_peer(now_ns)
            .is_some_and(|peer| peer.is_active());
        // a peer whose adverts go on is active too
        let mut ports = self.ports();
        let alone = ports.any(|port| self.adverts_alone(now_ns, port).is_some());
        settled
            && !active
            && !alone
            && self.conflicts.current().is_none()
            && !self.config.any_router
    }

    /// True if the group is active or backup: it neither waits nor is between two roles.
    fn is_settled_role(&self) -> bool {
        matches!(self.state, State::Active { .. } | State::Backup { .. })
    }
}

/// MAC address as "02:00:00:00:00:99".
pub(super) fn mac_text(mac: Mac) -> String {
    let [a, b, c, d, e, f] = mac;
    format!("{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}")
}
