//! Fixture of the tests: engines, wires that can be cut, a kernel that holds the leases, and one clock.
//!
//! A node here stands for host, worker and kernel together. `publish` grants or revokes leases; an advert passes the
//! fence only while its lease is valid, and renews it; a lease ends by time alone.

pub mod carried_frames;
mod forger;
mod host;
mod invariants;
mod stations;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use spared_sdk::config::Config;
use spared_sdk::{Cause, Forced, Role, Value};
use spared_sim::{Agenda, Clock, Random};
use spared_verdict::{Fitness, Sentence as _};

use crate::config::{Settings, read};
use crate::engine::{Action, Engine, InterfaceFacts, PacketId, SwitchoverAnswer, Table};
use crate::wire::frame::{Advert, parse};
use crate::wire::{Family, Mac};
use spared_sdk::Directive;

use carried_frames::{Kind, Network};
use forger::Forger;
pub use forger::{Forgery, LONGEST_NS};
pub use host::AGREEMENT_NS;
use host::{HeartbeatInFlight, Host, OngoingSwitchover};

pub const MS: u64 = 1_000_000;
pub const SECOND: u64 = 1000 * MS;
/// No two readings of the clock are equal.
const READING_NS: u64 = 1;
/// HZ 250.
const TICK: Duration = Duration::from_millis(4);
const START_NS: u64 = 1000 * SECOND;
const STATION: Mac = [0x02, 0, 0, 0, 0, 0x99];

/// Interface, family and VRID of a virtual router, for which a node answers.
pub type Key = (String, Family, u8);

#[derive(Clone)]
pub struct Node {
    pub name: String,
    pub engine: Engine,
    pub settings: Settings,
    pub facts: BTreeMap<String, InterfaceFacts>,
    /// Time until which the kernel answers for a virtual router.
    leases: BTreeMap<Key, u64>,
    /// Leases that were revoked without carrier, to be granted again.
    held_back: BTreeSet<Key>,
    /// Leases that a test ended behind the node's back.
    tampered: BTreeSet<Key>,
    stopped: bool,
    dead: bool,
    /// The node dies when the host has answered.
    leaving: bool,
    /// Publication that waits: group, role, sentence, and whether the host has carried it out.
    pending_publication: Option<(String, Role, String, bool)>,
    /// The publication asks for every lease again.
    reopens: bool,
    /// Frames that arrived while the node was stopped, or waited for the host.
    waiting: Vec<(String, Vec<u8>)>,
    listening: BTreeSet<String>,
    pub directive: Directive,
    pub host_fails: bool,
    /// The system refuses every packet.
    pub refuses_all: bool,
    /// Interfaces on which the system refuses every packet.
    pub refuses_on: BTreeSet<String>,
    /// The system refuses packets to unicast peers.
    pub refuses_unicast: bool,
    pub publish_ns: u64,
    /// Time that the answer takes after the fence is passing.
    pub answer_ns: u64,
    role: Role,
    /// Role in each group.
    role_of: BTreeMap<String, Role>,
    /// Role at the last [`Lab::forget`].
    role_before: Role,
    /// Times when the node became active, and the group.
    pub activations: Vec<(u64, String)>,
    pub roles: Vec<(u64, Role, String)>,
    /// Causes that replaced others of the same role.
    pub explained: Vec<(u64, String)>,
    pub events: Vec<String>,
    pub warnings: Vec<String>,
    pub infos: Vec<String>,
    /// The latest role was published as moved by a switchover.
    pub is_planned: bool,
    pub announced: u32,
    pub probes: u32,
    pub host: Host,
}

#[derive(Clone, Debug, PartialEq)]
enum LabEvent {
    Frame(String, Vec<u8>),
    Station(String, Vec<u8>),
    /// A station speaks on a wire.
    StationTraffic(String),
    Heartbeat(usize),
    /// A run says hello.
    Hello(u64),
    /// The first frame of a key agreement arrives.
    AgreementFrame,
    /// Two runs have agreed.
    Agree([u64; 2]),
    /// The forger sends its frames again.
    Forge,
    /// The host has computed a directive from the checks.
    Directive,
    /// The peer is prepared, in the switchover with this number.
    Prepare(u64),
    Release(u64),
    TimeOut(u64),
    /// The host carries out what was published.
    Opens,
    /// The host answers.
    Answers,
}

/// Frames that a filter at a node drops.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FilteredFrames {
    Adverts,
    /// Frames from the virtual MAC addresses.
    VirtualMac,
    /// Frames to the virtual MAC addresses.
    ToVirtualMac,
    /// Frames of the other node from its virtual MAC addresses.
    VirtualMacThere,
}

/// Advert on its wire.
#[derive(Clone, Debug)]
pub struct SentAdvert {
    pub at_ns: u64,
    pub node: usize,
    pub priority: u8,
    pub interval_ns: u64,
}

#[derive(Clone)]
pub struct Lab {
    pub clock: Clock,
    pub nodes: Vec<Node>,
    agenda: Agenda<(usize, LabEvent)>,
    /// Directions that carry nothing: wire, from, to.
    cuts: BTreeSet<(String, usize, usize)>,
    /// Interfaces of the first two nodes on a wire, if they do not have the wire's name.
    pub interfaces: BTreeMap<String, [String; 2]>,
    /// Wires that carry some kinds of frames and lose others.
    networks: BTreeMap<String, Network>,
    /// Pairs of a wire and a node that reaches other stations there.
    pub stations: BTreeSet<(String, usize)>,
    /// Neighbours that each node's kernel knows on every wire.
    pub neighbours: Vec<IpAddr>,
    /// MAC address from which the stations answer.
    pub station_mac: Mac,
    /// Number of probes that are lost before one comes through.
    pub lost_probes: u32,
    pub latency_ns: u64,
    pub jitter_ns: u64,
    pub loss_percent: u64,
    random: Random,
    pub sent: Vec<SentAdvert>,
    /// Links between the first two nodes.
    pub links: Vec<String>,
    /// The first two nodes have keys by which they know each other.
    pub keys: bool,
    /// The processes that would sign are gone.
    pub nobody_signs: bool,
    /// Wires that carry everything but heartbeats.
    pub filtered: BTreeSet<String>,
    /// Filters: a wire, a node and the frames of it that are dropped.
    pub dropped: BTreeSet<(String, usize, FilteredFrames)>,
    /// Additional latency of a link in ns, compared with a wire.
    pub slow_links: BTreeMap<String, u64>,
    in_flight: Vec<HeartbeatInFlight>,
    forger: Option<Forger>,
    /// The process of the links is dead, or TCP does not get through.
    pub session_is_down: bool,
    /// Time that the host takes from a check to the directive.
    pub report_ns: u64,
    /// Time for which followers drain, and the peer settles.
    pub drain_ns: u64,
    ongoing: Vec<OngoingSwitchover>,
    handed: u64,
    pub watches_silence: bool,
    /// Questions from virtual MAC addresses that left: time, node and wire.
    pub asked_from_virtual: Vec<(u64, usize, String)>,
    /// The networks carry adverts, but no heartbeats.
    pub filters: bool,
    /// Times in which no node answered on an interface.
    pub silences: Vec<(u64, u64, String)>,
    /// Times in which two nodes answered for one router.
    pub overlaps: Vec<(u64, u64, Key)>,
}

impl Lab {
    /// Returns nodes r1, r2, ... with one configuration; none has started.
    pub fn new(toml: &str, count: usize) -> Lab {
        let names: Vec<String> = (1..=count).map(|n| format!("r{n}")).collect();
        let nodes = (0..count)
            .map(|index| Node::new(toml, &names, index))
            .collect();
        Lab {
            clock: Clock::at(START_NS),
            nodes,
            agenda: Agenda::default(),
            cuts: BTreeSet::new(),
            interfaces: BTreeMap::new(),
            networks: BTreeMap::new(),
            stations: BTreeSet::new(),
            neighbours: Vec::new(),
            station_mac: STATION,
            lost_probes: 0,
            latency_ns: MS / 10,
            jitter_ns: 0,
            loss_percent: 0,
            random: Random::new(0),
            sent: Vec::new(),
            links: Vec::new(),
            keys: false,
            nobody_signs: false,
            filtered: BTreeSet::new(),
            dropped: BTreeSet::new(),
            slow_links: BTreeMap::new(),
            in_flight: Vec::new(),
            forger: None,
            session_is_down: false,
            report_ns: 0,
            drain_ns: MS,
            ongoing: Vec::new(),
            handed: 0,
            watches_silence: false,
            asked_from_virtual: Vec::new(),
            filters: false,
            silences: Vec::new(),
            overlaps: Vec::new(),
        }
    }

    /// Returns nodes r1, r2, ... with one configuration, all started and settled.
    pub fn settled(toml: &str, count: usize) -> Lab {
        let mut lab = Lab::new(toml, count);
        for node in 0..count {
            lab.start(node);
        }
        lab.run(20 * SECOND);
        lab.forget();
        lab
    }

    /// Drops what was recorded.
    pub fn forget(&mut self) {
        self.sent.clear();
        self.overlaps.clear();
        self.silences.clear();
        self.asked_from_virtual.clear();
        for node in &mut self.nodes {
            node.roles.clear();
            node.activations.clear();
            node.explained.clear();
            node.role_before = node.role;
            node.events.clear();
            node.warnings.clear();
            node.infos.clear();
            node.host.switchovers.clear();
            node.announced = 0;
        }
    }

    pub fn seed(&mut self, seed: u64) {
        self.random = Random::new(seed);
    }

    // ---- events of nodes ------------------------------------------------------------------

    pub fn start(&mut self, index: usize) {
        let now_ns = self.clock.now_ns();
        let node = &mut self.nodes[index];
        node.engine = Engine::new(&node.name);
        (
            node.dead,
            node.stopped,
            node.leaving,
            node.pending_publication,
        ) = (false, false, false, None);
        node.leases.clear();
        node.role = Role::Backup;
        node.role_of.clear();
        node.waiting.clear();
        node.listening.clear();
        node.host.restart();
        if index < 2 {
            node.engine.set_links(now_ns, &self.links);
            node.engine.set_keys(self.keys);
        }
        let node = &mut self.nodes[index];
        node.engine.configure(now_ns, &node.settings);
        self.act(index);
        let facts: Vec<(String, InterfaceFacts)> = self.nodes[index]
            .facts
            .iter()
            .map(|(name, facts)| (name.clone(), facts.clone()))
            .collect();
        for (name, facts) in facts {
            self.nodes[index]
                .engine
                .handle_interface(now_ns, &name, &facts);
            self.act(index);
        }
        let directive = self.nodes[index].directive.clone();
        self.directive(index, directive);
        if self.keys && index < 2 {
            let run = self.nodes[index].host.run();
            self.enqueue(now_ns, index, LabEvent::Hello(run));
        }
    }

    /// Kills everything on a node with SIGKILL: the kernel's leases end by time.
    pub fn kill(&mut self, index: usize) {
        self.nodes[index].dead = true;
        self.nodes[index].directive.held = false;
    }

    /// Ends the elector; its host blocks the fence. [`Lab::start`] starts another.
    pub fn crash(&mut self, index: usize) {
        let node = &mut self.nodes[index];
        node.directive.held |= node.role == Role::Active;
        node.role = Role::Backup;
        node.role_of.clear();
        node.leases.clear();
        node.dead = true;
    }

    pub fn shut_down(&mut self, index: usize) {
        let now_ns = self.clock.now_ns();
        self.nodes[index].engine.shut_down(now_ns);
        self.nodes[index].leaving = true;
        self.act(index);
        self.nodes[index].dead = self.nodes[index].pending_publication.is_none();
    }

    pub fn stop(&mut self, index: usize) {
        self.nodes[index].stopped = true;
    }

    /// Sends SIGCONT: the driver reads its sockets before it looks at its timers.
    pub fn resume(&mut self, index: usize) {
        self.nodes[index].stopped = false;
        let now_ns = self.clock.now_ns();
        for _ in 0..self.nodes[index].waiting.len() {
            if let Some((interface, frame)) = first(&mut self.nodes[index].waiting) {
                self.deliver(index, &interface, &frame);
            }
        }
        for _ in 0..self.nodes[index].host.waiting.len() {
            if let Some(number) = first(&mut self.nodes[index].host.waiting) {
                self.deliver_heartbeat(index, number);
            }
        }
        if std::mem::take(&mut self.nodes[index].host.agreement_waits) {
            self.nodes[index].engine.handle_possible_peer(now_ns);
        }
        if std::mem::take(&mut self.nodes[index].host.directive_waits) {
            self.send_directive(index);
        }
        if std::mem::take(&mut self.nodes[index].host.hello_waits) {
            self.send_host_hello(1 - index);
        }
        if self.nodes[index].pending_publication.is_some() {
            return;
        }
        self.nodes[index].engine.handle_timeout(now_ns);
        self.act(index);
        // its own hello is overdue if it was stopped for long
        self.send_host_hello(index);
    }

    pub fn carrier(&mut self, index: usize, interface: &str, carrier: bool) {
        let node = &mut self.nodes[index];
        let Some(facts) = node.facts.get_mut(interface) else {
            return;
        };
        facts.carrier = carrier;
        let facts = facts.clone();
        if !carrier {
            // the host blocks its fence before it reports the interface
            let lost: Vec<Key> = node
                .leases
                .keys()
                .filter(|key| key.0 == interface)
                .cloned()
                .collect();
            for key in lost {
                node.leases.remove(&key);
                node.held_back.insert(key);
            }
        }
        if node.dead {
            return;
        }
        self.report_interface(index, interface, &facts);
    }

    /// Reports a changed interface to the engine.
    pub fn report_interface(&mut self, index: usize, interface: &str, facts: &InterfaceFacts) {
        let now_ns = self.clock.now_ns();
        let node = &mut self.nodes[index];
        if node.pending_publication.is_some() {
            node.host.changed.insert(interface.to_owned());
            return;
        }
        node.engine.handle_interface(now_ns, interface, facts);
        self.act(index);
    }

    /// Ends one lease while its node lives.
    pub fn lapse(&mut self, index: usize, interface: &str) {
        let now_ns = self.clock.now_ns();
        let node = &mut self.nodes[index];
        for (key, until_ns) in &mut node.leases {
            if key.0 == interface {
                *until_ns = now_ns;
                node.tampered.insert(key.clone());
            }
        }
    }

    pub fn force(&mut self, index: usize, forced: Forced) {
        let why = "root forced it".to_owned();
        let directive = Directive {
            forced,
            why,
            ..self.nodes[index].directive.clone()
        };
        self.directive(index, directive);
    }

    pub fn directive(&mut self, index: usize, directive: Directive) {
        self.nodes[index].directive = directive;
        self.send_directive(index);
    }

    pub fn reload(&mut self, index: usize, toml: &str) {
        self.configure(index, toml);
        self.report_interfaces(index);
    }

    /// Reloads a configuration whose new interfaces the host has not reported yet.
    pub fn configure(&mut self, index: usize, toml: &str) {
        let names: Vec<String> = self.nodes.iter().map(|node| node.name.clone()).collect();
        let settings = settings(toml, &names, index);
        let now_ns = self.clock.now_ns();
        let node = &mut self.nodes[index];
        node.settings = settings;
        for name in interfaces(&node.settings) {
            node.facts
                .entry(name.clone())
                .or_insert_with(|| facts_of(&name, index));
        }
        let node = &mut self.nodes[index];
        node.engine.configure(now_ns, &node.settings);
        self.act(index);
    }

    pub fn report_interfaces(&mut self, index: usize) {
        let now_ns = self.clock.now_ns();
        let known: Vec<(String, InterfaceFacts)> = self.nodes[index]
            .facts
            .iter()
            .map(|(n, f)| (n.clone(), f.clone()))
            .collect();
        for (name, facts) in known {
            self.nodes[index]
                .engine
                .handle_interface(now_ns, &name, &facts);
            self.act(index);
        }
    }

    // ---- events of wires ------------------------------------------------------------------

    /// Cuts one direction of a wire: nothing goes from one node to the other any more.
    pub fn cut_one_way(&mut self, wire: &str, from: usize, to: usize) {
        self.cuts.insert((wire.to_owned(), from, to));
    }

    pub fn cut(&mut self, wire: &str, one: usize, other: usize) {
        self.cut_one_way(wire, one, other);
        self.cut_one_way(wire, other, one);
    }

    pub fn fix(&mut self) {
        self.cuts.clear();
    }

    /// Wire at an interface of a node.
    pub(super) fn wire_at(&self, node: usize, interface: &str) -> String {
        let there = |names: &[String; 2]| names.get(node).is_some_and(|name| name == interface);
        let wire = self.interfaces.iter().find(|(_, names)| there(names));
        wire.map_or(interface, |(wire, _)| wire).to_owned()
    }

    /// Interface of a node on a wire.
    pub(super) fn interface_at(&self, node: usize, wire: &str) -> String {
        let names = self.interfaces.get(wire);
        let name = names.and_then(|names| names.get(node));
        name.map_or(wire, |name| name).to_owned()
    }

    /// Begins to drop frames at a node's port.
    pub fn drop_there(&mut self, wire: &str, node: usize, what: FilteredFrames) {
        self.dropped.insert((wire.to_owned(), node, what));
    }

    pub fn drops(&self, wire: &str, node: usize, what: FilteredFrames) -> bool {
        self.dropped.contains(&(wire.to_owned(), node, what))
    }

    /// Delivers a test's advert as if a stranger had sent it.
    pub fn inject(&mut self, index: usize, interface: &str, frame: Vec<u8>) {
        self.deliver(index, interface, &frame);
    }

    // ---- time -----------------------------------------------------------------------------

    pub fn run(&mut self, for_ns: u64) {
        let end_ns = self.clock.now_ns() + for_ns;
        while self.step(end_ns) {}
        self.watch(end_ns);
        self.clock.move_to(end_ns);
    }

    /// Runs until `done` returns true; None if it does not within the time.
    pub fn run_until(&mut self, within_ns: u64, done: impl Fn(&Lab) -> bool) -> Option<u64> {
        let (start_ns, end_ns) = (self.clock.now_ns(), self.clock.now_ns() + within_ns);
        while !done(self) {
            if !self.step(end_ns) {
                return None;
            }
        }
        Some(self.clock.now_ns() - start_ns)
    }

    fn step(&mut self, end_ns: u64) -> bool {
        let timer = self.nodes.iter().enumerate().filter_map(|(index, node)| {
            if node.dead || node.stopped || node.pending_publication.is_some() {
                return None;
            }
            Some((node.engine.next_timeout()?.max(self.clock.now_ns()), index))
        });
        let timer = timer.min();
        let frame_ns = self.agenda.next_at();
        // frames first: the driver empties its sockets before it looks at its timers
        let frame_first = match (frame_ns, timer) {
            (Some(frame_ns), Some((timer_ns, _))) => frame_ns <= timer_ns,
            (Some(_), None) => true,
            _ => false,
        };
        if frame_first {
            let Some((at_ns, (index, what))) = self.agenda.take(end_ns) else {
                return false;
            };
            self.watch(at_ns);
            self.clock.move_to(at_ns);
            match what {
                LabEvent::Frame(interface, frame) => self.deliver(index, &interface, &frame),
                LabEvent::Station(interface, frame) => self.station(index, &interface, &frame),
                LabEvent::StationTraffic(wire) => self.send_station_frame(&wire),
                LabEvent::Heartbeat(number) => self.deliver_heartbeat(index, number),
                LabEvent::Hello(run) => self.say_hello(index, run),
                LabEvent::AgreementFrame => self.deliver_agreement_frame(index),
                LabEvent::Agree(runs) => self.agree(runs),
                LabEvent::Forge => self.send_forgery(),
                LabEvent::Directive => self.send_directive(index),
                LabEvent::Prepare(number) => self.prepare(number),
                LabEvent::Release(number) => self.order_release(number),
                LabEvent::TimeOut(number) => self.time_out(number),
                LabEvent::Opens => self.open(index),
                LabEvent::Answers => self.answer(index),
            }
            return true;
        }
        let Some((at_ns, index)) = timer.filter(|(at_ns, _)| *at_ns <= end_ns) else {
            return false;
        };
        self.watch(at_ns);
        self.clock.move_to(at_ns);
        self.nodes[index].engine.handle_timeout(at_ns);
        self.act(index);
        true
    }

    /// Notes which nodes answer together between now and then.
    fn watch(&mut self, until_ns: u64) {
        let keys: BTreeSet<Key> = self
            .nodes
            .iter()
            .flat_map(|node| node.leases.keys().cloned())
            .collect();
        if self.watches_silence {
            self.watch_silence(until_ns);
        }
        for key in keys {
            let mut ends: Vec<u64> = self
                .nodes
                .iter()
                .filter_map(|node| node.leases.get(&key).copied())
                .filter(|end_ns| *end_ns > self.clock.now_ns())
                .collect();
            ends.sort_unstable();
            if ends.len() < 2 {
                continue;
            }
            let end_ns = ends[ends.len() - 2].min(until_ns);
            if end_ns > self.clock.now_ns() {
                self.overlaps.push((self.clock.now_ns(), end_ns, key));
            }
        }
    }

    /// Notes the interfaces on which no node answers between now and then.
    fn watch_silence(&mut self, until_ns: u64) {
        let wires: BTreeSet<&String> = self.nodes.iter().flat_map(|n| n.facts.keys()).collect();
        for wire in wires {
            let leases = self.nodes.iter().flat_map(|node| node.leases.iter());
            let of_wire = leases.filter(|(key, _)| key.0 == *wire);
            let end_ns = of_wire.map(|(_, end_ns)| *end_ns).max().unwrap_or(0);
            let from_ns = end_ns.max(self.clock.now_ns());
            if from_ns < until_ns {
                self.silences.push((from_ns, until_ns, wire.clone()));
            }
        }
    }

    fn deliver(&mut self, index: usize, interface: &str, frame: &[u8]) {
        let now_ns = self.clock.now_ns();
        let node = &mut self.nodes[index];
        if node.dead || !node.facts.get(interface).is_some_and(|facts| facts.carrier) {
            return;
        }
        if node.stopped || node.pending_publication.is_some() {
            node.waiting.push((interface.to_owned(), frame.to_vec()));
            return;
        }
        if let Some(at) = node.engine.interface_index(interface) {
            node.engine.handle_frame(now_ns, at, frame);
            self.act(index);
        }
    }

    // ---- the host's and the kernel's part ---------------------------------------------------

    fn act(&mut self, index: usize) {
        while let Some(action) = self.next_action(index) {
            let now_ns = self.clock.now_ns();
            match action {
                Action::Publish { group, role, cause } => {
                    self.nodes[index].is_planned = cause.is_by_switchover();
                    let why = self.sentence(index, role, cause);
                    if self.publish_to_host(index, group.to_string(), role, why, false) {
                        return;
                    }
                }
                Action::Explain { role, cause, .. } => {
                    let why = self.sentence(index, role, cause);
                    self.nodes[index].explained.push((now_ns, why.clone()));
                    match self.nodes[index].roles.last_mut() {
                        Some(told) => told.2 = why,
                        None => self.nodes[index].roles.push((now_ns, role, why)),
                    }
                }
                Action::Reopen { group, cause } => {
                    let why = self.sentence(index, Role::Active, cause);
                    if self.publish_to_host(index, group.to_string(), Role::Active, why, true) {
                        return;
                    }
                }
                Action::Transmit(id) => self.transmit(index, now_ns, id),
                Action::LastAdvert {
                    interface,
                    to,
                    bytes,
                } => {
                    let name = self.nodes[index].interface(interface);
                    let key = parse_any(to, &bytes)
                        .map(|advert| (name.clone(), advert.family, advert.vrid));
                    if let Some(key) = key {
                        self.nodes[index].leases.remove(&key);
                    }
                    self.send(index, now_ns, &name, to, &bytes);
                }
                Action::Heartbeat => self.send_heartbeat(index),
                Action::Check {
                    name,
                    weight,
                    state,
                    why,
                } => {
                    let host = &mut self.nodes[index].host;
                    host.checks.insert(name.clone(), (weight, state));
                    host.why.insert(name, why);
                    self.report(index);
                }
                Action::ForgetCheck(name) => {
                    self.nodes[index].host.checks.remove(&name);
                    self.report(index);
                }
                Action::SwitchOver { group, cause } => {
                    let reason = cause.reason(Role::Backup);
                    let mut ongoing = self.ongoing.iter();
                    let under_way = ongoing.any(|switchover| switchover.is_of(index, &group));
                    let groups = BTreeSet::from([group.to_string()]);
                    let answer = if under_way {
                        SwitchoverAnswer::AlreadyBegun
                    } else if self.switch_over(index, groups, reason) {
                        SwitchoverAnswer::Begun
                    } else {
                        SwitchoverAnswer::Refused
                    };
                    let session = self.session();
                    let node = &mut self.nodes[index];
                    node.engine.set_session(now_ns, session);
                    node.engine
                        .handle_switch_over_answer(now_ns, &group, answer);
                }
                Action::Announce(_) => self.nodes[index].announced += 1,
                Action::Event(text) | Action::Conflict(text) => self.nodes[index].events.push(text),
                Action::Warn(text) => self.nodes[index].warnings.push(text),
                Action::Info(text) => self.nodes[index].infos.push(text),
                Action::Listen { interface, on } => {
                    let name = self.nodes[index].interface(interface);
                    let listening = &mut self.nodes[index].listening;
                    if on {
                        listening.insert(name.clone());
                        self.empty_socket(index, &name);
                    } else {
                        listening.remove(&name);
                    }
                }
                Action::FindNeighbours(interface) => {
                    let known = self.neighbours_on(index, interface);
                    let engine = &mut self.nodes[index].engine;
                    engine.handle_neighbours(now_ns, interface, &known);
                }
                Action::Probe { interface, frame } => {
                    self.nodes[index].probes += 1;
                    if self.lost_probes > 0 {
                        self.lost_probes -= 1;
                        continue;
                    }
                    let name = self.nodes[index].interface(interface);
                    self.carry_question(index, &name, &frame);
                }
            }
        }
    }

    fn next_action(&mut self, index: usize) -> Option<Action> {
        if self.nodes[index].engine.asks_to_be_active() {
            self.hear_all(index);
        }
        self.nodes[index].engine.poll_action()
    }

    /// Passes every waiting frame to the engine, and leaves its actions for later.
    fn hear_all(&mut self, index: usize) {
        let now_ns = self.clock.now_ns();
        let node = &mut self.nodes[index];
        for (interface, frame) in std::mem::take(&mut node.waiting) {
            if let Some(at) = node.engine.interface_index(&interface) {
                node.engine.handle_frame(now_ns, at, &frame);
            }
        }
        if std::mem::take(&mut node.host.agreement_waits) {
            node.engine.handle_possible_peer(now_ns);
        }
        for number in std::mem::take(&mut node.host.waiting) {
            self.hear_heartbeat(index, number);
        }
    }

    /// Cause as an administrator reads it.
    fn sentence(&self, index: usize, role: Role, cause: Cause) -> String {
        let own = Fitness {
            node: self.nodes[index].name.clone(),
            ..Fitness::default()
        };
        cause.sentence(role, &own, None)
    }

    /// Publishes a role to the host; returns true if the answer comes later.
    fn publish_to_host(
        &mut self,
        index: usize,
        group: String,
        role: Role,
        why: String,
        reopens: bool,
    ) -> bool {
        let now_ns = self.clock.now_ns();
        let node = &mut self.nodes[index];
        let (publish_ns, answer_ns) = (node.publish_ns, node.answer_ns);
        node.pending_publication = Some((group, role, why, false));
        node.reopens = reopens;
        if publish_ns + answer_ns > 0 {
            self.enqueue(now_ns + publish_ns, index, LabEvent::Opens);
            self.enqueue(now_ns + publish_ns + answer_ns, index, LabEvent::Answers);
            return true;
        }
        self.open(index);
        let node = &mut self.nodes[index];
        let (group, role, _, done) = node.pending_publication.take().expect("asked");
        node.engine.handle_published(now_ns, &group, role, done);
        false
    }

    /// Takes the host's answer, after the frames that came meanwhile.
    fn answer(&mut self, index: usize) {
        let now_ns = self.clock.now_ns();
        let node = &mut self.nodes[index];
        let Some((group, role, _, done)) = node.pending_publication.take() else {
            return;
        };
        if node.dead {
            return;
        }
        self.hear_all(index);
        let node = &mut self.nodes[index];
        node.engine.handle_published(now_ns, &group, role, done);
        self.act(index);
        self.nodes[index].dead |= self.nodes[index].leaving;
        for interface in std::mem::take(&mut self.nodes[index].host.changed) {
            let facts = self.nodes[index].facts[&interface].clone();
            self.report_interface(index, &interface, &facts);
        }
        if self.nodes[index].pending_publication.is_none()
            && std::mem::take(&mut self.nodes[index].host.directive_waits)
        {
            self.send_directive(index);
        }
    }

    fn open(&mut self, index: usize) {
        let now_ns = self.clock.now_ns();
        let node = &mut self.nodes[index];
        node.open(now_ns);
        let done = node.pending_publication.as_ref().filter(|(.., done)| *done);
        if let Some((group, role)) = done.map(|(group, role, ..)| (group.clone(), *role)) {
            self.note_role(index, &group, role);
        }
    }

    fn lose(&mut self) -> bool {
        self.random.chance(10 * self.loss_percent)
    }

    fn jitter(&mut self) -> u64 {
        self.random.below(self.jitter_ns)
    }

    fn enqueue(&mut self, at_ns: u64, index: usize, what: LabEvent) {
        self.agenda.plan(at_ns, (index, what));
    }

    fn transmit(&mut self, index: usize, now_ns: u64, id: PacketId) {
        let node = &mut self.nodes[index];
        let outgoing = node.engine.packet(id).expect("an action's packet");
        let (to, bytes) = (outgoing.to, outgoing.bytes.to_vec());
        let name = node.interface(outgoing.interface);
        let advert = parse_any(to, &bytes).expect("a valid packet");
        let key = (name.clone(), advert.family, advert.vrid);
        let is_refused = to.is_some() && node.refuses_unicast;
        if node.refuses_all || is_refused || node.refuses_on.contains(&name) {
            return self.refuse(index, id);
        }
        if advert.priority == 0 {
            node.leases.remove(&key);
        } else {
            let lease_ns = node.lease_ns(&key);
            match node.leases.get_mut(&key) {
                Some(until_ns) if *until_ns > now_ns => {
                    *until_ns = now_ns + lease_ns;
                    node.tampered.remove(&key);
                }
                // dropped at the egress hook
                _ => return self.refuse(index, id),
            }
            self.check_round(index, &key);
        }
        self.sent.push(SentAdvert {
            at_ns: now_ns,
            node: index,
            priority: advert.priority,
            interval_ns: advert.interval_ns,
        });
        self.send(index, now_ns, &name, to, &bytes);
    }

    fn refuse(&mut self, index: usize, id: PacketId) {
        self.clock.move_to(self.clock.now_ns() + READING_NS);
        let now_ns = self.clock.now_ns();
        self.nodes[index].engine.handle_unsent(now_ns, id);
    }

    fn send(&mut self, index: usize, now_ns: u64, on: &str, to: Option<IpAddr>, bytes: &[u8]) {
        let facts = self.nodes[index].facts.get(on);
        if !facts.is_some_and(|facts| facts.carrier) {
            return;
        }
        let wire = &self.wire_at(index, on);
        let frame = ethernet(to, bytes);
        // no switch sends a frame back to where it came from
        if to.is_none() && frame[..6] == frame[6..12] {
            return;
        }
        let is_virtual = frame[6..10] == [0, 0, 0x5e, 0];
        if self.drops(wire, index, FilteredFrames::Adverts)
            || is_virtual && self.drops(wire, index, FilteredFrames::VirtualMac)
        {
            return;
        }
        for other in (0..self.nodes.len()).filter(|other| *other != index) {
            let lost = self.lose();
            let is_dropped = is_virtual && self.drops(wire, other, FilteredFrames::VirtualMacThere);
            let kind = to.map_or(Kind::Multicast, |_| Kind::Unicast);
            let kinds = [Some(kind), is_virtual.then_some(Kind::Virtual)];
            let kinds: Vec<Kind> = kinds.into_iter().flatten().collect();
            let is_lost = is_dropped || self.is_blocked(wire, index, &kinds);
            let cut = is_lost || self.is_cut(wire, index, other);
            let there = self.interface_at(other, wire);
            let elsewhere = to.is_some_and(|to| {
                let facts = self.nodes[other].facts.get(&there);
                !facts.is_some_and(|facts| facts.addresses.contains(&to))
            });
            let jitter_ns = self.jitter();
            if !(lost || cut || elsewhere) {
                let at_ns = now_ns + self.latency_ns + jitter_ns;
                self.enqueue(at_ns, other, LabEvent::Frame(there, frame.clone()));
            }
        }
    }

    // ---- questions --------------------------------------------------------------------------

    /// Nodes that are active for the first group.
    pub fn active(&self) -> Vec<usize> {
        let active = |node: &Node| !node.dead && node.engine.groups.iter().any(|g| g.is_active());
        (0..self.nodes.len())
            .filter(|index| active(&self.nodes[*index]))
            .collect()
    }

    /// Nodes that answer for a virtual router now.
    pub fn answering(&self, interface: &str) -> Vec<usize> {
        let answers = |node: &Node| {
            node.leases
                .iter()
                .any(|(key, until)| key.0 == interface && *until > self.clock.now_ns())
        };
        (0..self.nodes.len())
            .filter(|index| answers(&self.nodes[*index]))
            .collect()
    }

    /// Times when two nodes began to answer together, and durations in ns.
    pub fn spans_of_overlap(&self) -> Vec<(u64, u64)> {
        let mut spans = BTreeMap::<&Key, Vec<(u64, u64)>>::new();
        for (from_ns, to_ns, key) in &self.overlaps {
            let of_key = spans.entry(key).or_default();
            match of_key.last_mut() {
                Some(last) if last.1 >= *from_ns => last.1 = *to_ns,
                _ => of_key.push((*from_ns, *to_ns)),
            }
        }
        let spans = spans.into_values().flatten();
        spans
            .map(|(from_ns, to_ns)| (from_ns, to_ns - from_ns))
            .collect()
    }

    /// Longest time for which two nodes answered together.
    pub fn longest_overlap_ns(&self) -> u64 {
        let spans = self.spans_of_overlap().into_iter();
        spans.map(|(_, length_ns)| length_ns).max().unwrap_or(0)
    }

    pub fn sent_by(&self, node: usize) -> Vec<SentAdvert> {
        self.sent
            .iter()
            .filter(|sent| sent.node == node)
            .cloned()
            .collect()
    }

    /// Row of a node's status.
    pub fn text(&self, index: usize, key: &str) -> Option<String> {
        let engine = &self.nodes[index].engine;
        let rows = engine.rows(self.clock.now_ns(), Table::Status);
        let (_, value) = rows.into_iter().find(|(it, _)| it == key)?;
        match value {
            Value::Text(text) => Some(text),
            other => panic!("{other:?}"),
        }
    }

    pub fn why(&self, index: usize) -> &str {
        self.nodes[index]
            .roles
            .last()
            .map_or("", |(_, _, why)| why.as_str())
    }

    pub fn role(&self, index: usize) -> Role {
        self.nodes[index].role
    }
}

impl Node {
    fn new(toml: &str, names: &[String], index: usize) -> Node {
        let settings = settings(toml, names, index);
        let facts = interfaces(&settings)
            .into_iter()
            .map(|name| (name.clone(), facts_of(&name, index)));
        Node {
            name: names[index].clone(),
            engine: Engine::new(&names[index]),
            facts: facts.collect(),
            settings,
            leases: BTreeMap::new(),
            held_back: BTreeSet::new(),
            tampered: BTreeSet::new(),
            stopped: false,
            dead: true,
            leaving: false,
            pending_publication: None,
            reopens: false,
            waiting: Vec::new(),
            listening: BTreeSet::new(),
            directive: Directive::default(),
            host_fails: false,
            refuses_all: false,
            refuses_on: BTreeSet::new(),
            refuses_unicast: false,
            publish_ns: 0,
            answer_ns: 0,
            role: Role::Backup,
            role_of: BTreeMap::new(),
            role_before: Role::Backup,
            activations: Vec::new(),
            roles: Vec::new(),
            explained: Vec::new(),
            events: Vec::new(),
            warnings: Vec::new(),
            infos: Vec::new(),
            is_planned: false,
            announced: 0,
            probes: 0,
            host: Host::default(),
        }
    }

    /// True if the node reads frames of stations.
    pub fn listens(&self) -> bool {
        !self.listening.is_empty()
    }

    pub fn interface(&self, index: usize) -> String {
        self.engine
            .interfaces()
            .nth(index)
            .expect("an action's interface")
            .to_owned()
    }

    fn lease_ns(&self, key: &Key) -> u64 {
        self.group_of(key).map_or(0, |group| group.lease_ns)
    }

    fn group_of(&self, key: &Key) -> Option<&crate::config::Group> {
        let of_key = |group: &&crate::config::Group| {
            group.routers.iter().any(|router| {
                (&router.interface, router.family, router.vrid) == (&key.0, key.1, key.2)
            })
        };
        self.settings.groups.iter().find(of_key)
    }

    fn open(&mut self, now_ns: u64) {
        if let Some((group, role, why, _)) = self.pending_publication.take() {
            let done = self.publish(now_ns, &group, role, &why);
            self.pending_publication = Some((group, role, why, done));
        }
    }

    fn publish(&mut self, now_ns: u64, group: &str, role: Role, why: &str) -> bool {
        self.roles.push((now_ns, role, why.to_owned()));
        if self.host_fails {
            if role == Role::Active {
                // a node whose role is refused is backup, and its fence blocks
                self.role = Role::Backup;
                self.role_of.clear();
                self.leases.clear();
                self.held_back.clear();
            }
            return false;
        }
        self.role = role;
        let before = self.role_of.insert(group.to_owned(), role);
        let before = before.unwrap_or(Role::Backup);
        if role == Role::Active && before != Role::Active {
            self.activations.push((now_ns, group.to_owned()));
        }
        let reopens = std::mem::take(&mut self.reopens);
        let Some(group) = self.settings.groups.iter().find(|g| g.name == group) else {
            self.leases.clear();
            return true;
        };
        let keys: Vec<Key> = group
            .routers
            .iter()
            .map(|router| (router.interface.clone(), router.family, router.vrid))
            .collect();
        for key in keys {
            let carrier = self.facts.get(&key.0).is_some_and(|facts| facts.carrier);
            match role {
                Role::Active if before == Role::Active && !reopens => {
                    // the same role again: leases that were revoked without carrier, or are new
                    let fresh = self.held_back.remove(&key) || !self.leases.contains_key(&key);
                    if carrier && fresh {
                        self.leases.insert(key, now_ns + group.lease_ns);
                    }
                }
                Role::Active => {
                    if carrier {
                        self.leases.insert(key, now_ns + group.lease_ns);
                    } else {
                        self.held_back.insert(key);
                    }
                }
                _ => {
                    self.leases.remove(&key);
                    self.held_back.remove(&key);
                }
            }
        }
        true
    }
}

fn first<T>(waiting: &mut Vec<T>) -> Option<T> {
    (!waiting.is_empty()).then(|| waiting.remove(0))
}

fn settings(toml: &str, names: &[String], index: usize) -> Settings {
    let config = Config::parse(toml, &names[index], names).expect("TOML");
    let settings = read(&config, TICK);
    config.finish().expect("no faults");
    settings.expect("settings")
}

fn interfaces(settings: &Settings) -> BTreeSet<String> {
    let routers = settings.groups.iter().flat_map(|group| &group.routers);
    let routers = routers.map(|router| router.interface.as_str());
    let tracked = settings.groups.iter().flat_map(|group| group.tracked());
    let all = routers.chain(tracked.map(|(name, _)| name));
    all.map(str::to_owned).collect()
}

/// State of an interface: node n has the addresses 10.x.0.(n + 2) and fe80::(n + 2) on every wire.
fn facts_of(name: &str, index: usize) -> InterfaceFacts {
    let host = u8::try_from(index).expect("few nodes") + 2;
    let wire = name.bytes().last().map_or(0, |byte| byte - b'0');
    let link_local = format!("fe80::{host}").parse().expect("an address");
    InterfaceFacts {
        present: true,
        up: true,
        carrier: true,
        mac: [2, 0, 0, 0, wire, host],
        mtu: 1500,
        addresses: vec![IpAddr::from([10, wire, 0, host]), link_local],
        broadcasts: vec![[10, wire, 0, 255].into()],
        link_socket: true,
    }
}

fn ethernet(to: Option<IpAddr>, bytes: &[u8]) -> Vec<u8> {
    let Some(to) = to else { return bytes.to_vec() };
    let ethertype: [u8; 2] = if to.is_ipv4() {
        [0x08, 0x00]
    } else {
        [0x86, 0xdd]
    };
    let mut frame = vec![2; 12];
    frame.extend_from_slice(&ethertype);
    frame.extend_from_slice(bytes);
    frame
}

/// Family, VRID, priority and interval of an advert.
struct ReadAdvert {
    family: Family,
    vrid: u8,
    priority: u8,
    interval_ns: u64,
}

fn parse_any(to: Option<IpAddr>, bytes: &[u8]) -> Option<ReadAdvert> {
    let frame = ethernet(to, bytes);
    let Advert {
        family,
        vrid,
        priority,
        interval_ns,
        ..
    } = parse(&frame).ok()?;
    Some(ReadAdvert {
        family,
        vrid,
        priority,
        interval_ns,
    })
}

/// Configuration of a group by priorities, with additional keys of the group and of its router.
pub fn by_priority(priorities: &[u8], group: &str, router: &str) -> String {
    let priorities: Vec<String> = priorities
        .iter()
        .enumerate()
        .map(|(n, p)| format!("r{} = {p}", n + 1))
        .collect();
    format!(
        "[[group]]\nname = \"g\"\nelection = \"priority\"\npriority = {{ {} }}\n{group}\n\
         [[group.interface]]\ninterface = \"lan1\"\nvrid = 7\naddresses = [\"10.1.0.1/24\"]\n{router}\n",
        priorities.join(", ")
    )
}

/// Second interface of the same group.
pub const SECOND_ROUTER: &str =
    "[[group.interface]]\ninterface = \"lan2\"\nvrid = 7\naddresses = [\"10.2.0.1/24\"]";
