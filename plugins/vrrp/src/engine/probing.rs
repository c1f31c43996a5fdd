//! E3: probes stations on a network: one round of questions and one reading of the answers, for all groups that wait
//! for them and for the active node's questions from its virtual MAC addresses (E15).

use std::collections::HashSet;
use std::net::IpAddr;

use super::group::Group;
use super::one_way::OneWayLoss;
use super::port::Port;
use super::unheard_port::Unheard;
use super::{Action, Engine};
use crate::wire::neighbour::{Claim, Reply, claim, reply};
use crate::wire::{Mac, virtual_router};

/// Interval of probes while a group waits for answers: one frame that a loaded network loses is no verdict.
const PROBE_NS: u64 = 100_000_000;
/// Number of stations of a family probed in addition to the configured witnesses.
const NEIGHBOURS_MAX: usize = 8;

/// Stations that a round asks.
struct Targets {
    /// Stations in addition to the witnesses.
    stations: Vec<IpAddr>,
    /// Stations of these that only spoke: one that does not answer this node may never have done so.
    only_heard: Vec<IpAddr>,
    /// Addresses of both nodes and of their groups, which are no other stations.
    of_pair: HashSet<IpAddr>,
}

/// Pairs of an own address and the address that it asks for.
type Questions = Vec<(IpAddr, IpAddr)>;

impl Engine {
    /// True if somebody waits for answers of stations on an interface.
    pub fn listens(&self, interface: usize) -> bool {
        let there = self.interfaces.get(interface);
        there.is_some_and(|there| there.virtual_mac_probes.waits()) || self.probes(interface)
    }

    fn probes(&self, interface: usize) -> bool {
        self.groups.iter().any(|group| group.listens(interface))
    }

    /// Begins to read answers on an interface when the first group waits for them, and ends when the last one no longer
    /// does: to begin drops what waits in the socket, which may be the answer for another group.
    pub(super) fn update_listening(&mut self, now_ns: u64, interface: usize) {
        let (on, is_probed) = (self.listens(interface), self.probes(interface));
        let Some(there) = self.interfaces.get_mut(interface) else {
            return;
        };
        if std::mem::replace(&mut there.is_read, on) != on {
            self.actions.push(Action::Listen { interface, on });
        }
        let begins = is_probed && !there.is_probed;
        there.is_probed = is_probed;
        if begins {
            self.probe_network(now_ns, interface);
        }
    }

    pub(super) fn update_listening_of(&mut self, now_ns: u64, group: usize) {
        let count = self
            .groups
            .get(group)
            .map_or(0, |group| group.networks.ports().len());
        for port in 0..count {
            let group = self.groups.get(group);
            if let Some(port) = group.and_then(|group| group.networks.port(port)) {
                self.update_listening(now_ns, port.interface);
            }
        }
    }

    /// Time of the next round.
    pub(super) fn probe_timeout(&self) -> Option<u64> {
        let probed = self.interfaces.iter().filter(|there| there.is_probed);
        let due_ns = probed.map(|there| {
            let after = |at_ns: u64| at_ns.saturating_add(PROBE_NS);
            there.probed_ns.map_or(0, after)
        });
        due_ns.min()
    }

    /// Begins the rounds that are due.
    pub(super) fn probe_networks(&mut self, now_ns: u64) {
        for interface in 0..self.interfaces.len() {
            self.probe_network(now_ns, interface);
        }
    }

    fn probe_network(&mut self, now_ns: u64, interface: usize) {
        let Some(there) = self.interfaces.get(interface) else {
            return;
        };
        let pauses = |at_ns: u64| now_ns < at_ns.saturating_add(PROBE_NS);
        let question = Action::FindNeighbours(interface);
        let is_due = there.is_probed && !there.probed_ns.is_some_and(pauses);
        if is_due && !self.actions.holds(&question) {
            self.actions.push(question);
        }
    }

    /// Answers [`Action::FindNeighbours`].
    pub fn handle_neighbours(&mut self, now_ns: u64, interface: usize, neighbours: &[IpAddr]) {
        let Some(targets) = self.probe_targets(interface, neighbours) else {
            return;
        };
        let (mut questions, mut asked) = (Vec::new(), 0);
        for group in &self.groups {
            group.ask_peer(interface, &mut questions);
            asked = asked.max(group.add_questions(interface, &targets, &mut questions));
        }
        for group in &mut self.groups {
            if let Some(unheard) = group.asking_on(interface) {
                unheard.handle_asked(asked);
            }
        }
        let Some(there) = self.interfaces.get_mut(interface) else {
            return;
        };
        there.probed_ns = Some(now_ns);
        let mac = there.facts.mac;
        for (own, target) in questions {
            if let Some(frame) = there.stations.ask(now_ns, mac, own, target) {
                self.actions.push(Action::Probe { interface, frame });
            }
        }
    }

    /// Stations to ask on an interface: those that spoke last, and neighbours of the kernel.
    fn probe_targets(&self, interface: usize, neighbours: &[IpAddr]) -> Option<Targets> {
        let there = self.interfaces.get(interface)?;
        let mut of_pair: HashSet<IpAddr> = there.facts.addresses.iter().copied().collect();
        for group in &self.groups {
            of_pair.extend(group.watch.router().map(|router| router.address));
            // virtual addresses are the pair's, whichever group has them
            let virtuals = group.config.virtual_addresses();
            of_pair.extend(virtuals.map(|(_, address)| address));
            for router in group.networks.routers() {
                of_pair.extend(router.senders.peer_address());
                of_pair.extend(&router.config.peers);
            }
        }
        let heard = there.stations.heard().iter();
        let mut stations: Vec<IpAddr> = Vec::new();
        for station in heard.clone().chain(neighbours) {
            let is_new = !of_pair.contains(station) && !stations.contains(station);
            let same = stations
                .iter()
                .filter(|it| it.is_ipv4() == station.is_ipv4());
            if is_new && same.count() < NEIGHBOURS_MAX {
                stations.push(*station);
            }
        }
        let only_heard = heard.filter(|it| !neighbours.contains(it));
        Some(Targets {
            only_heard: only_heard.copied().collect(),
            stations,
            of_pair,
        })
    }

    /// Handles a frame of a stations' socket, while somebody listens there.
    pub fn handle_station(&mut self, now_ns: u64, interface: usize, frame: &[u8]) {
        if let Some(claim) = claim(frame) {
            self.handle_claim(now_ns, interface, claim);
        }
        if let Some(reply) = reply(frame) {
            self.handle_reply(now_ns, interface, &reply);
        }
    }

    fn handle_reply(&mut self, now_ns: u64, interface: usize, reply: &Reply) {
        let there = self.interfaces.get(interface);
        if !there.is_some_and(|there| there.stations.is_answer(now_ns, reply)) {
            return;
        }
        if self.handle_virtual_mac_answer(now_ns, interface, reply) {
            return;
        }
        let is_third = !self.is_mac_of_pair(interface, reply.mac);
        self.each_group(now_ns, |group, cx| {
            group.handle_answer(cx, interface, reply.sender, is_third);
        });
    }

    /// Remembers a station that this node may have to ask.
    pub(super) fn note_station(&mut self, interface: usize, claim: Claim) {
        if self.is_mac_of_pair(interface, claim.mac) {
            return;
        }
        if let Some(there) = self.interfaces.get_mut(interface) {
            there.stations.note_heard(claim.address);
        }
    }

    /// True if a MAC address is the pair's. The virtual MAC of another pair, such as the provider's gateway, is not.
    fn is_mac_of_pair(&self, interface: usize, mac: Mac) -> bool {
        let is_virtual = virtual_router(mac)
            .is_some_and(|(family, vrid)| self.routers.contains_key(&(interface, family, vrid)));
        let is_own = self.interfaces.iter().any(|there| there.facts.mac == mac);
        let mut ports = self.groups.iter().flat_map(|group| group.networks.ports());
        is_virtual || is_own || ports.any(|port| port.reception.is_mac(mac))
    }
}

impl Group {
    /// Adds a question to the peer, if the group has to know whether it answers there.
    fn ask_peer(&self, interface: usize, questions: &mut Questions) {
        let asks = |port: &Port| {
            port.interface == interface && port.one_way_loss.is_some_and(OneWayLoss::is_asking)
        };
        let port = self.ports().find(|port| asks(port));
        let question = port.and_then(|port| self.peer_on(port));
        if let Some(question) = question.filter(|it| !questions.contains(it)) {
            questions.push(question);
        }
    }

    /// Adds the group's questions on an interface to those of other groups. Returns the number of stations that should
    /// answer.
    fn add_questions(
        &self,
        interface: usize,
        targets: &Targets,
        questions: &mut Questions,
    ) -> usize {
        let asks = |port: &Port| port.interface == interface && port.unheard.is_asking();
        let port = self.ports().find(|port| asks(port));
        let routers = port.map(|port| self.networks.routers_on(port));
        let mut asked = 0;
        for router in routers.into_iter().flatten() {
            let Some(own) = router.source else { continue };
            let witnesses = &router.config.witnesses;
            for target in witnesses.iter().chain(&targets.stations) {
                if targets.of_pair.contains(target) || own.is_ipv4() != target.is_ipv4() {
                    continue;
                }
                let is_witness = witnesses.contains(target);
                asked += usize::from(is_witness || !targets.only_heard.contains(target));
                if !questions.contains(&(own, *target)) {
                    questions.push((own, *target));
                }
            }
        }
        asked
    }

    fn asking_on(&mut self, interface: usize) -> Option<&mut Unheard> {
        let port = self.networks.port_on_mut(interface)?;
        Some(&mut port.unheard).filter(|unheard| unheard.is_asking())
    }
}
