//! E15: questions that the active node sends from its virtual MAC address, to learn whether frames to that address
//! arrive.
//!
//! Once a second the active node asks one station of each network for its MAC address, in the name of a virtual address
//! of one virtual router, in turn. The answer to the virtual MAC proves both directions. If none comes, the node
//! repeats the question, and asks from its own address as well: only a station that answers one and not the other
//! proves anything. The frames teach neighbours nothing false: they pass the fence while the node is active, and not
//! otherwise.

use std::net::IpAddr;

use super::group::{Group, State};
use super::interface::Interface;
use super::port::Port;
use super::router::VirtualRouter;
use super::{Action, Engine};
use crate::wire::heartbeat::{Families, Identity};
use crate::wire::neighbour::Reply;
use crate::wire::{Family, Mac, virtual_mac};

/// Time from one question to the next on a network; `SILENT_INTERVAL_NS`: if no station there answers at all.
const INTERVAL_NS: u64 = 1_000_000_000;
const SILENT_INTERVAL_NS: u64 = 5_000_000_000;
/// Time for an answer, after which the question is repeated.
const ANSWER_TIMEOUT_NS: u64 = 150_000_000;
/// Time for which a proof is good.
const PROOF_NS: u64 = 3_000_000_000;
/// Questions in a row without an answer that show a loss: for a station that answered this virtual MAC before;
/// `UNTRIED_MAX`: for one that never did.
const UNANSWERED_MAX: u32 = 5;
const UNTRIED_MAX: u32 = 10;
/// Questions in a row without an answer after which the node asks who else has the virtual address.
const ASK_WHO_HAS_AFTER: u32 = 2;
/// Further questions without an answer after which the network loses too many frames to tell.
const LOSSY_AFTER: u32 = 5;
/// Answers to this node's own address that are needed to show a loss, and unanswered questions from it after which the
/// station counts as silent.
const OWN_ANSWERS_MIN: u32 = 3;

/// Questions on one network.
#[derive(Clone, Debug, Default)]
pub(super) struct VirtualMacProbes {
    next_ns: u64,
    turn: usize,
    current: Option<VirtualMacProbe>,
}

/// Question that waits for its answer, and the results of its repetitions.
#[derive(Clone, Copy, Debug)]
struct VirtualMacProbe {
    family: Family,
    vrid: u8,
    station: IpAddr,
    /// Virtual address that asks, `mac` its MAC address, and `own` this node's own address.
    address: IpAddr,
    mac: Mac,
    own: IpAddr,
    due_ns: u64,
    unanswered: u32,
    own_asked: u32,
    own_answered: u32,
    /// The last question from the own address was answered.
    is_own_answered: bool,
}

/// Answers of stations to the virtual MAC of a virtual router of this node.
#[derive(Clone, Debug, Default)]
pub(super) struct StationAnswers {
    /// Station that answered last.
    station: Option<IpAddr>,
    /// Stations that answered neither address, as long as there is another one to ask.
    silent: Vec<IpAddr>,
    answered_ns: Option<u64>,
    good_until_ns: u64,
    /// The last question has had no answer yet.
    is_doubted: bool,
    /// Stations answer this node's own address, but not the virtual one.
    is_lost: bool,
}

/// Result of a probe so far.
enum Outcome {
    Open,
    /// The station answers neither address.
    Silent,
    Lost,
    /// So many frames are lost that nothing is shown.
    Lossy,
}

impl VirtualMacProbes {
    /// True if a question waits for an answer.
    pub fn waits(&self) -> bool {
        self.current.is_some()
    }

    /// Time when an answer is overdue. The next question itself needs no timer: it goes with the next timeout for any
    /// reason.
    pub fn timeout(&self) -> Option<u64> {
        self.current.map(|probe| probe.due_ns)
    }
}

impl VirtualMacProbe {
    fn outcome(&self, answers: &StationAnswers) -> Outcome {
        let is_tried = answers.station == Some(self.station);
        let patience = if is_tried { OWN_ANSWERS_MIN } else { 1 };
        if self.own_answered == 0 && self.own_asked >= patience {
            return Outcome::Silent;
        }
        // a known loss is checked again each second
        let (unanswered_max, own_answers_min) = match (answers.is_lost, is_tried) {
            (true, _) => (2, 1),
            (false, true) => (UNANSWERED_MAX, OWN_ANSWERS_MIN),
            (false, false) => (UNTRIED_MAX, OWN_ANSWERS_MIN),
        };
        if self.unanswered >= unanswered_max && self.own_answered >= own_answers_min {
            return Outcome::Lost;
        }
        if self.unanswered >= unanswered_max + LOSSY_AFTER {
            Outcome::Lossy
        } else {
            Outcome::Open
        }
    }
}

impl StationAnswers {
    pub fn answered_ns(&self) -> Option<u64> {
        self.answered_ns
    }

    /// Forgets verdicts: this node has become active, or its interface can be used no longer.
    pub fn begin(&mut self) {
        (self.is_doubted, self.is_lost, self.good_until_ns) = (false, false, 0);
    }

    /// True if the virtual MAC is proven, false if it is lost; None while the answer is overdue or the proof is too
    /// old.
    fn verdict(&self, now_ns: u64) -> Option<bool> {
        if self.is_lost {
            return Some(false);
        }
        (now_ns < self.good_until_ns && !self.is_doubted).then_some(true)
    }
}

impl Group {
    /// Answers of stations on a port to the virtual MAC addresses of the active node; true: that node is this one.
    pub(super) fn identity_by_stations(&self, now_ns: u64, port: &Port) -> (bool, Identity) {
        if !self.is_active() {
            let peer = self.mutual_peer(now_ns).filter(|peer| peer.is_active());
            let told = peer.and_then(|_| self.peer_port(port));
            return (false, told.map(|it| it.identity).unwrap_or_default());
        }
        let routers = self.networks.routers_on(port);
        let routers = routers.filter(|it| it.config.vmac.is_some() && it.usable());
        let asked = routers.map(|router| match router.answers.verdict(now_ns) {
            Some(true) => Identity::Heard,
            Some(false) => Identity::NoMac(Families::of(router.config.family)),
            None => Identity::Unknown,
        });
        (true, asked.reduce(Identity::and).unwrap_or_default())
    }

    /// True if this node has been active for so long that its first announcements are over, and no conflict lasts.
    fn may_probe_virtual_macs(&self, now_ns: u64) -> bool {
        let State::Active { since_ns, .. } = self.state else {
            return false;
        };
        now_ns >= since_ns.saturating_add(INTERVAL_NS) && self.conflicts.current().is_none()
    }

    /// Virtual routers of the group on an interface that may ask.
    fn probing_routers(&self, interface: usize) -> impl Iterator<Item = &VirtualRouter> {
        let here = move |router: &VirtualRouter| {
            let port = self.networks.port(router.port);
            port.is_some_and(|port| port.interface == interface)
        };
        let routers = self.routers();
        routers.filter(move |it| {
            let sends = it.usable() && !it.adverts.is_lapsed();
            it.config.vmac.is_some() && sends && here(it)
        })
    }
}

impl Engine {
    /// Sends the questions that are due, and judges those that were not answered in time.
    pub(super) fn probe_virtual_macs(&mut self, now_ns: u64) {
        for interface in 0..self.interfaces.len() {
            let Some(there) = self.interfaces.get(interface) else {
                return;
            };
            match there.virtual_mac_probes.current {
                Some(probe) if now_ns >= probe.due_ns => {
                    self.handle_probe_timeout(now_ns, interface, probe);
                }
                None if now_ns >= there.virtual_mac_probes.next_ns => {
                    self.begin_virtual_mac_probe(now_ns, interface)
                }
                _ => {}
            }
        }
    }

    /// Handles a station's answer to a question of this node; returns true if the question came from a virtual address.
    pub(super) fn handle_virtual_mac_answer(
        &mut self,
        now_ns: u64,
        interface: usize,
        reply: &Reply,
    ) -> bool {
        let Some(there) = self.interfaces.get_mut(interface) else {
            return false;
        };
        let is_virtual = there.virtuals.contains(reply.to);
        let virtual_mac_probes = &mut there.virtual_mac_probes;
        let Some(probe) = &mut virtual_mac_probes.current else {
            return is_virtual;
        };
        if reply.sender != probe.station {
            return is_virtual;
        }
        if reply.to == probe.own && !probe.is_own_answered {
            probe.is_own_answered = true;
            probe.own_answered += 1;
        }
        if reply.to != probe.address {
            return is_virtual;
        }
        let probe = *probe;
        let probing_routers = self.probing_routers_on(now_ns, interface).count() as u64;
        let turns_ns = INTERVAL_NS.saturating_mul(2 + probing_routers);
        self.end_virtual_mac_probe(now_ns, interface, probe, |answers| {
            *answers = StationAnswers {
                station: Some(probe.station),
                silent: Vec::new(),
                answered_ns: Some(now_ns),
                good_until_ns: now_ns.saturating_add(PROOF_NS.max(turns_ns)),
                is_doubted: false,
                is_lost: false,
            };
        });
        true
    }

    /// Virtual routers of all groups that ask on an interface, each in its turn.
    fn probing_routers_on(
        &self,
        now_ns: u64,
        interface: usize,
    ) -> impl Iterator<Item = &VirtualRouter> {
        let groups = self.groups.iter();
        let groups = groups.filter(move |group| group.may_probe_virtual_macs(now_ns));
        groups.flat_map(move |group| group.probing_routers(interface))
    }

    fn begin_virtual_mac_probe(&mut self, now_ns: u64, interface: usize) {
        let Some(there) = self.interfaces.get_mut(interface) else {
            return;
        };
        let virtual_mac_probes = &mut there.virtual_mac_probes;
        virtual_mac_probes.next_ns = now_ns.saturating_add(INTERVAL_NS);
        virtual_mac_probes.turn = virtual_mac_probes.turn.wrapping_add(1);
        let turn = virtual_mac_probes.turn;
        if let Some(probe) = self.next_virtual_mac_probe(now_ns, interface, turn) {
            self.send_from_virtual_mac(now_ns, interface, probe);
        }
    }

    /// Question of the virtual router whose turn it is.
    fn next_virtual_mac_probe(
        &self,
        now_ns: u64,
        interface: usize,
        turn: usize,
    ) -> Option<VirtualMacProbe> {
        let there = self.interfaces.get(interface);
        let there = there.filter(|it| it.fault().is_none())?;
        let mut routers = self.probing_routers_on(now_ns, interface);
        let count = self.probing_routers_on(now_ns, interface).count();
        let router = routers.nth(turn.checked_rem(count)?)?;
        new_probe(now_ns, there, router)
    }

    fn send_from_virtual_mac(&mut self, now_ns: u64, interface: usize, probe: VirtualMacProbe) {
        if let Some(there) = self.interfaces.get_mut(interface) {
            there.virtual_mac_probes.current = Some(probe);
        }
        // before the question, as frames that wait in the socket are dropped then
        self.update_listening(now_ns, interface);
        self.ask_station(
            now_ns,
            interface,
            Some(probe.mac),
            probe.address,
            probe.station,
        );
    }

    /// Asks a station for its MAC address. `mac`: the sender's; None: the interface's own.
    fn ask_station(
        &mut self,
        now_ns: u64,
        interface: usize,
        mac: Option<Mac>,
        own: IpAddr,
        station: IpAddr,
    ) {
        let frame = self.interfaces.get_mut(interface).and_then(|there| {
            let mac = mac.unwrap_or(there.facts.mac);
            there.stations.ask(now_ns, mac, own, station)
        });
        let question = frame.map(|frame| Action::Probe { interface, frame });
        self.actions.extend(question);
    }

    fn handle_probe_timeout(&mut self, now_ns: u64, interface: usize, mut probe: VirtualMacProbe) {
        probe.unanswered += 1;
        let is_of_probe = |router: &VirtualRouter| {
            (router.config.family, router.config.vrid) == (probe.family, probe.vrid)
        };
        let asks = self.probing_routers_on(now_ns, interface).any(is_of_probe);
        // a machine that has the virtual address itself does not answer questions in its name
        let may_judge = asks && !self.is_claimed(interface);
        let Some(answers) = self
            .station_answers(interface, &probe)
            .filter(|_| may_judge)
        else {
            return self.end_virtual_mac_probe(now_ns, interface, probe, StationAnswers::begin);
        };
        answers.is_doubted = true;
        let outcome = probe.outcome(answers);
        if probe.unanswered == ASK_WHO_HAS_AFTER && !answers.is_lost {
            self.probe_who_has(now_ns, interface, probe.address);
        }
        match outcome {
            Outcome::Open => self.send_from_both(now_ns, interface, probe),
            Outcome::Lost => {
                self.end_virtual_mac_probe(now_ns, interface, probe, |it| it.is_lost = true)
            }
            Outcome::Silent => {
                self.end_virtual_mac_probe(now_ns, interface, probe, |it| {
                    (it.station, it.is_lost) = (None, false);
                    it.silent.push(probe.station);
                });
                self.review_silent(now_ns, interface, &probe);
            }
            Outcome::Lossy => self.end_virtual_mac_probe(now_ns, interface, probe, |_| {}),
        }
    }

    /// Forgets which stations are silent if all of them are, so that they are asked again after a pause.
    fn review_silent(&mut self, now_ns: u64, interface: usize, probe: &VirtualMacProbe) {
        let place = self.router_of_probe(interface, probe);
        let group = place.and_then(|(group, _)| self.groups.get_mut(group));
        let router = place
            .zip(group)
            .and_then(|((_, router), group)| group.networks.router_mut(router));
        let (Some(router), Some(there)) = (router, self.interfaces.get_mut(interface)) else {
            return;
        };
        let known: Vec<IpAddr> = probe_targets(there, router)
            .map(|(station, _)| station)
            .collect();
        let silent = &mut router.answers.silent;
        silent.retain(|station| known.contains(station));
        if known.iter().all(|station| silent.contains(station)) {
            silent.clear();
            there.virtual_mac_probes.next_ns = now_ns.saturating_add(SILENT_INTERVAL_NS);
        }
    }

    /// Asks from the virtual address again, and from the node's own.
    fn send_from_both(&mut self, now_ns: u64, interface: usize, mut probe: VirtualMacProbe) {
        probe.due_ns = now_ns.saturating_add(ANSWER_TIMEOUT_NS);
        probe.own_asked += 1;
        probe.is_own_answered = false;
        self.send_from_virtual_mac(now_ns, interface, probe);
        self.ask_station(now_ns, interface, None, probe.own, probe.station);
    }

    fn end_virtual_mac_probe(
        &mut self,
        now_ns: u64,
        interface: usize,
        probe: VirtualMacProbe,
        note: impl FnOnce(&mut StationAnswers),
    ) {
        if let Some(answers) = self.station_answers(interface, &probe) {
            answers.is_doubted = false;
            note(answers);
        }
        if let Some(there) = self.interfaces.get_mut(interface) {
            there.virtual_mac_probes.current = None;
        }
        if let Some((group, _)) = self.router_of_probe(interface, &probe) {
            self.with_group(now_ns, group, |group, _| group.remember_identities(now_ns));
        }
        self.update_listening(now_ns, interface);
    }

    fn router_of_probe(&self, interface: usize, probe: &VirtualMacProbe) -> Option<(usize, usize)> {
        let key = (interface, probe.family, probe.vrid);
        self.routers.get(&key).copied()
    }

    fn station_answers(
        &mut self,
        interface: usize,
        probe: &VirtualMacProbe,
    ) -> Option<&mut StationAnswers> {
        let (group, router) = self.router_of_probe(interface, probe)?;
        let router = self.groups.get_mut(group)?.networks.router_mut(router)?;
        Some(&mut router.answers)
    }
}

/// Question of a virtual router, to the station that answered last or to the next one that is not known to be silent.
fn new_probe(now_ns: u64, there: &Interface, router: &VirtualRouter) -> Option<VirtualMacProbe> {
    let own = router.source?;
    let (config, answers) = (&router.config, &router.answers);
    let targets = || probe_targets(there, router);
    let known = targets().find(|(station, _)| answers.station == Some(*station));
    let other = || targets().find(|(station, _)| !answers.silent.contains(station));
    // if only silent stations are still known, they are asked again
    let (station, address) = known.or_else(other).or_else(|| targets().next())?;
    Some(VirtualMacProbe {
        family: config.family,
        vrid: config.vrid,
        station,
        address,
        mac: virtual_mac(config.family, config.vrid),
        own,
        due_ns: now_ns.saturating_add(ANSWER_TIMEOUT_NS),
        unanswered: 0,
        own_asked: 0,
        own_answered: 0,
        is_own_answered: false,
    })
}

/// Pairs of a station that a virtual router may ask and the virtual address in whose name. Each station is in the
/// network of that address: one in another network need not answer.
fn probe_targets<'r>(
    there: &'r Interface,
    router: &'r VirtualRouter,
) -> impl Iterator<Item = (IpAddr, IpAddr)> + 'r {
    let (config, answers) = (&router.config, &router.answers);
    let heard = there.stations.heard().iter();
    let stations = answers.station.iter().chain(&config.witnesses).chain(heard);
    let others = stations.copied().filter(|station| {
        let is_own = there.facts.addresses.contains(station);
        let is_peers = router.senders.peer_address() == Some(*station);
        let is_peers = is_peers || config.peers.contains(station);
        !(is_own || is_peers || there.virtuals.contains(*station))
    });
    others.filter_map(|station| {
        let mut addresses = config.addresses.iter();
        let near = addresses.find(|it| it.is_in_network(station))?;
        Some((station, near.address))
    })
}
