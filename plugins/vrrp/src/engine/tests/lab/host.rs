//! Links of the fixture, and the part of the host: quality from checks, and switchovers.

use std::collections::{BTreeMap, BTreeSet};

use spared_sdk::Role;

use super::carried_frames::Kind;
use super::invariants::{LastHeartbeat, last_heartbeat};
use super::{Lab, LabEvent, MS, Node, SECOND};
use crate::engine::{Neighbour, Path};
use crate::heartbeats::Heard;
use crate::wire::heartbeat::{Ack, Heartbeat};
use spared_sdk::Directive;

/// Time that a planned switchover may take before the active node releases the group.
const SWITCHOVER_NS: u64 = 2 * SECOND;
/// Time for which packets are carried after the answers end.
const CARRY_NS: u64 = 200 * MS;
/// Time from a hello to the keys.
pub const AGREEMENT_NS: u64 = 5 * MS;

/// Heartbeat under way.
#[derive(Clone, Debug)]
pub(super) struct HeartbeatInFlight {
    from: usize,
    path: HeartbeatPath,
    run: u64,
    sequence: u64,
    /// Run that the heartbeat is for; `acks`: the sender has heard that run.
    to_run: u64,
    acks: bool,
    groups: Vec<Heartbeat>,
}

/// Path of a heartbeat: the index of a link, or a wire and the sender.
#[derive(Clone, Debug)]
enum HeartbeatPath {
    Link(usize),
    Wire(String, Neighbour),
}

/// State of the host of a node.
#[derive(Clone, Debug, Default)]
pub struct Host {
    /// Weight and state of each check of the engine.
    pub checks: BTreeMap<String, (u32, u32)>,
    pub why: BTreeMap<String, &'static str>,
    /// Number of the plugin's start; `sequence`: number of the last heartbeat.
    run: u64,
    sequence: u64,
    pub(super) last_heartbeat: LastHeartbeat,
    /// Runs of the peer with which keys were agreed, and the time when each was last heard.
    keys: BTreeMap<u64, Option<u64>>,
    /// Run of the peer that counts; `newest`: the newest heartbeat of each run that carried each group.
    peer_run: u64,
    newest: BTreeMap<(u64, u64), u64>,
    /// Highest number of a heartbeat of each run on each path.
    highest: BTreeMap<(u64, String), u64>,
    pub(super) waiting: Vec<usize>,
    /// The first frame of a key agreement waits in a socket.
    pub(super) agreement_waits: bool,
    /// A hello of the peer came while the node was stopped, and is in its sockets.
    pub(super) hello_waits: bool,
    /// A directive waits until the node runs again.
    pub(super) directive_waits: bool,
    /// Interfaces that changed while the host was asked for a role: it reports them after its answer.
    pub(super) changed: BTreeSet<String>,
    /// Groups that the node is to release; `prepared`: those for which it is prepared.
    release: BTreeSet<String>,
    prepared: BTreeSet<String>,
    pub unready: bool,
    /// The host declines switchovers.
    pub declines: bool,
    /// Switchovers that the host began, with their causes.
    pub switchovers: Vec<(u64, &'static str)>,
    /// Time until which packets of a group's addresses pass, though nothing is answered.
    carries_until_ns: BTreeMap<String, u64>,
    pub heartbeats_sent: u64,
    /// The peer hears another run of this node, and goes on with that one.
    pub is_second: bool,
}

/// Switchover under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct OngoingSwitchover {
    from: usize,
    to: usize,
    number: u64,
    /// Groups that have not moved yet.
    groups: BTreeSet<String>,
}

impl OngoingSwitchover {
    pub(super) fn is_of(&self, node: usize, group: &str) -> bool {
        self.from == node && self.groups.contains(group)
    }
}

impl Host {
    /// Begins another run: the plugin starts again.
    pub(super) fn restart(&mut self) {
        *self = Host {
            run: self.run + 1,
            unready: self.unready,
            declines: self.declines,
            switchovers: std::mem::take(&mut self.switchovers),
            ..Host::default()
        };
    }

    pub(super) fn run(&self) -> u64 {
        self.run
    }

    pub fn is_prepared(&self) -> bool {
        !self.prepared.is_empty()
    }

    /// Time until which packets of any group pass.
    pub fn carries_until_ns(&self) -> u64 {
        self.carries_until_ns.values().copied().max().unwrap_or(0)
    }

    fn quality(&self) -> u8 {
        let weights: u32 = self.checks.values().map(|(weight, _)| weight).sum();
        let states: u32 = self
            .checks
            .values()
            .map(|(weight, state)| weight * state)
            .sum();
        u8::try_from(states.checked_div(weights).unwrap_or(100)).expect("a share")
    }
}

impl Node {
    pub fn is_dead(&self) -> bool {
        self.dead
    }

    /// Names of the configured groups.
    pub(super) fn groups(&self) -> BTreeSet<String> {
        let groups = self.settings.groups.iter();
        groups.map(|group| group.name.clone()).collect()
    }

    pub fn role(&self) -> Role {
        self.role
    }

    /// Directive of the host: the test's own, with the quality lowered by the checks of the engine.
    fn current_directive(&self, group: &str) -> Directive {
        Directive {
            quality: self.directive.quality.min(self.host.quality()),
            ready: !self.host.unready,
            release: self.host.release.contains(group),
            prepared: self.host.prepared.contains(group),
            ..self.directive.clone()
        }
    }
}

impl Lab {
    /// Returns two nodes with links between them, started and settled.
    pub fn linked(toml: &str, links: &[&str]) -> Lab {
        let mut lab = Lab::without_start(toml, links);
        lab.start(0);
        lab.start(1);
        lab.run(20 * SECOND);
        lab.forget();
        lab
    }

    pub fn without_start(toml: &str, links: &[&str]) -> Lab {
        let mut lab = Lab::new(toml, 2);
        lab.links = links.iter().map(|link| (*link).to_owned()).collect();
        lab.keys = true;
        lab
    }

    /// True if the hosts have a session: some link carries in both directions.
    pub fn session(&self) -> bool {
        if self.session_is_down {
            return false;
        }
        let carries = |link: &String| !self.is_cut(link, 0, 1) && !self.is_cut(link, 1, 0);
        let runs = |node: &Node| !node.dead && !node.stopped;
        self.nodes.iter().take(2).all(runs) && self.links.iter().any(carries)
    }

    pub(super) fn is_cut(&self, wire: &str, from: usize, to: usize) -> bool {
        self.cuts.contains(&(wire.to_owned(), from, to))
    }

    // ---- heartbeats ----------------------------------------------------------------------------

    pub(super) fn send_heartbeat(&mut self, index: usize) {
        let (heartbeats, targets) = self.nodes[index].engine.heartbeat(self.clock.now_ns());
        let targets = targets.to_vec();
        let groups: Vec<Heartbeat> = heartbeats.cloned().collect();
        if groups.is_empty() {
            return;
        }
        self.check_usable(index, &groups);
        let host = &mut self.nodes[index].host;
        host.last_heartbeat = last_heartbeat(self.clock.now_ns(), &groups);
        host.sequence += 1;
        host.heartbeats_sent += 1;
        let (run, sequence) = (host.run, host.sequence);
        let other = 1 - index;
        let theirs = self.nodes[other].host.run;
        let host = &self.nodes[index].host;
        // no key is agreed yet with a new run of the peer: heartbeats are sealed for the run that counts
        let is_agreed = host.keys.contains_key(&theirs);
        let to_run = if is_agreed { theirs } else { host.peer_run };
        let Some(heard_ns) = host.keys.get(&to_run).copied() else {
            return;
        };
        let acks = heard_ns.is_some();
        for target in targets {
            let interface = self.nodes[index].interface(target.interface);
            let wire = self.wire_at(index, &interface);
            let (lost, jitter_ns) = (self.lose(), self.jitter());
            let node = &self.nodes[index];
            let leaves = node.facts[&interface].carrier && !node.refuses_all;
            let filtered = self.filtered.contains(&wire);
            let kind = target.to.map_or(Kind::Multicast, |_| Kind::Unicast);
            let kinds = [kind, Kind::Heartbeats];
            let cut = self.is_cut(&wire, index, other) || self.is_blocked(&wire, index, &kinds);
            if lost || filtered || self.filters || !leaves || cut {
                continue;
            }
            let neighbour = Neighbour {
                mac: target.mac,
                address: target.source,
            };
            self.in_flight.push(HeartbeatInFlight {
                from: index,
                path: HeartbeatPath::Wire(self.interface_at(other, &wire), neighbour),
                run,
                sequence,
                to_run,
                acks,
                groups: groups.clone(),
            });
            let number = self.in_flight.len() - 1;
            let at_ns = self.clock.now_ns() + self.latency_ns + jitter_ns;
            self.enqueue(at_ns, other, LabEvent::Heartbeat(number));
        }
        for link in 0..self.links.len() {
            let lost = self.lose();
            let name = self.links[link].clone();
            let slow_ns = self.slow_links.get(&name).copied().unwrap_or(0);
            let at_ns = self.clock.now_ns() + self.latency_ns + self.jitter() + slow_ns;
            if lost || self.is_cut(&name, index, other) {
                continue;
            }
            self.in_flight.push(HeartbeatInFlight {
                from: index,
                path: HeartbeatPath::Link(link),
                run,
                sequence,
                to_run,
                acks,
                groups: groups.clone(),
            });
            let number = self.in_flight.len() - 1;
            self.enqueue(at_ns, other, LabEvent::Heartbeat(number));
        }
    }

    pub(super) fn deliver_heartbeat(&mut self, index: usize, number: usize) {
        let node = &mut self.nodes[index];
        if node.dead {
            return;
        }
        if node.stopped || node.pending_publication.is_some() {
            node.host.waiting.push(number);
            return;
        }
        self.hear_heartbeat(index, number);
        self.act(index);
    }

    // ---- keys --------------------------------------------------------------------------------

    /// Has a node that no heartbeat has reached say hello, as [`Agreement`](crate::heartbeats::Agreement) does. If the
    /// other node hears it and is heard, both have keys a little later.
    pub(super) fn say_hello(&mut self, index: usize, run: u64) {
        let node = &self.nodes[index];
        if node.dead || node.host.run != run {
            return;
        }
        self.send_host_hello(index);
        self.enqueue(self.clock.now_ns() + SECOND, index, LabEvent::Hello(run));
    }

    pub(super) fn send_host_hello(&mut self, index: usize) {
        if !self.keys || index > 1 {
            return;
        }
        let (node, other) = (&self.nodes[index], &self.nodes[1 - index]);
        let heard = node.host.keys.get(&node.host.peer_run).copied().flatten();
        let patience_ns = node.engine.longest_silence_ns();
        let lives = heard.is_some_and(|at_ns| self.clock.now_ns() < at_ns + patience_ns);
        let reached = self.carries(index, 1 - index) && self.carries(1 - index, index);
        let hears = !lives && !node.stopped && !other.dead && self.carries(index, 1 - index);
        let answers = hears && reached && !other.stopped;
        let reached = reached && !self.nobody_signs;
        let runs = [0, 1].map(|node| self.nodes[node].host.run);
        let says = !lives && reached && !node.stopped && !other.dead;
        let agrees = says && !other.stopped;
        let targets = [(index, 1 - index), (1 - index, index)];
        let linked = targets.map(|(from, to)| self.links_carry(from, to));
        let now_ns = self.clock.now_ns();
        if hears && linked[0] {
            self.enqueue(
                now_ns + self.latency_ns,
                1 - index,
                LabEvent::AgreementFrame,
            );
        }
        if answers && linked[1] {
            self.enqueue(
                now_ns + 2 * self.latency_ns,
                index,
                LabEvent::AgreementFrame,
            );
        }
        if agrees {
            self.enqueue(self.clock.now_ns() + AGREEMENT_NS, 0, LabEvent::Agree(runs));
        } else if says {
            self.nodes[1 - index].host.hello_waits = true;
        }
    }

    /// Delivers a hello, or the answer to one.
    pub(super) fn deliver_agreement_frame(&mut self, index: usize) {
        let now_ns = self.clock.now_ns();
        let node = &mut self.nodes[index];
        if node.stopped || node.pending_publication.is_some() {
            node.host.agreement_waits = true;
        } else if !node.dead {
            node.engine.handle_possible_peer(now_ns);
        }
    }

    /// True if some link carries from one node to the other. Networks do not count: anybody can send the first frame of an agreement
    /// there.
    fn links_carry(&self, from: usize, to: usize) -> bool {
        self.links.iter().any(|link| !self.is_cut(link, from, to))
    }

    /// True if some link or network carries heartbeats from one node to the other.
    fn carries(&self, from: usize, to: usize) -> bool {
        let plugged = |wire: &String| {
            let facts = [from, to].map(|node| self.nodes[node].facts.get(wire));
            facts.iter().all(|facts| facts.is_some_and(|it| it.carrier))
        };
        let speaks = |wire: &&String| {
            let filtered = self.filters || self.filtered.contains(*wire);
            !filtered && plugged(wire) && !self.nodes[from].refuses_all
        };
        let wires = self.nodes[from].facts.keys().filter(speaks);
        let mut paths = wires.chain(&self.links);
        let kinds = [Kind::Multicast, Kind::Heartbeats];
        paths.any(|path| !self.is_cut(path, from, to) && !self.is_blocked(path, from, &kinds))
    }

    /// Has a node begin another run, since another machine has sent its heartbeats.
    pub fn begin_other_run(&mut self, index: usize) {
        let host = &mut self.nodes[index].host;
        host.run += 1;
        host.keys.clear();
        (host.peer_run, host.sequence) = (0, 0);
        let (now_ns, run) = (self.clock.now_ns(), host.run);
        self.nodes[index].engine.handle_cloned(now_ns);
        self.act(index);
        self.enqueue(now_ns, index, LabEvent::Hello(run));
    }

    /// Ends a key agreement: both nodes have signed, and verified.
    pub(super) fn agree(&mut self, runs: [u64; 2]) {
        let reached = self.carries(0, 1) && self.carries(1, 0);
        for index in 0..2 {
            let host = &mut self.nodes[index].host;
            let same = host.run == runs[index] && reached;
            if same && !host.keys.contains_key(&runs[1 - index]) {
                host.keys.insert(runs[1 - index], None);
                let now_ns = self.clock.now_ns();
                self.nodes[index].engine.handle_possible_peer(now_ns);
                self.begin_round_soon(index);
            }
        }
    }

    fn begin_round_soon(&mut self, index: usize) {
        let now_ns = self.clock.now_ns();
        self.nodes[index].engine.begin_round_soon(now_ns);
    }

    /// Returns true if the key of a heartbeat counts, as [`Receiver`](crate::heartbeats::Receiver) decides; None if the
    /// heartbeat is dropped.
    fn accepts_key(&mut self, index: usize, in_flight: &HeartbeatInFlight) -> Option<bool> {
        let now_ns = self.clock.now_ns();
        let node = &mut self.nodes[index];
        let patience_ns = node.engine.longest_silence_ns();
        let host = &mut node.host;
        let current_ns = host.keys.get(&host.peer_run).copied().flatten();
        let heard_ns = host.keys.get_mut(&in_flight.run)?;
        if in_flight.to_run != host.run {
            return None;
        }
        // a replay, or a heartbeat that a later one overtook
        let name = match &in_flight.path {
            HeartbeatPath::Link(link) => link.to_string(),
            HeartbeatPath::Wire(wire, _) => wire.clone(),
        };
        let highest = host.highest.entry((in_flight.run, name)).or_default();
        if in_flight.sequence <= *highest {
            return None;
        }
        *highest = in_flight.sequence;
        let is_first = heard_ns.replace(now_ns).is_none();
        let silent = current_ns.is_none_or(|at_ns| now_ns >= at_ns + patience_ns);
        let confirms = in_flight.run != host.peer_run && in_flight.acks && silent;
        if confirms {
            host.peer_run = in_flight.run;
        }
        let accepts_key = in_flight.run == host.peer_run;
        if is_first || confirms {
            self.begin_round_soon(index);
        }
        (accepts_key || in_flight.acks).then_some(accepts_key)
    }

    /// Delivers a heartbeat as [`Receiver`](crate::heartbeats::Receiver) does: keys that count, and newer heartbeats.
    pub(super) fn hear_heartbeat(&mut self, index: usize, number: usize) {
        let in_flight = self.in_flight[number].clone();
        let host = &self.nodes[index].host;
        let is_unopened = (in_flight.to_run, in_flight.run) != (host.run, host.peer_run);
        if is_unopened && matches!(in_flight.path, HeartbeatPath::Link(_)) {
            let now_ns = self.clock.now_ns();
            self.nodes[index].engine.handle_possible_peer(now_ns);
        }
        let Some(counts) = self.accepts_key(index, &in_flight) else {
            return;
        };
        // heartbeats of another machine of that name are dropped
        if self.nodes[in_flight.from].host.is_second {
            return;
        }
        let now_ns = self.clock.now_ns();
        let node = &mut self.nodes[index];
        let path = match in_flight.path {
            HeartbeatPath::Link(link) => Path::Link(link),
            HeartbeatPath::Wire(wire, neighbour) => {
                let carrier = node.facts.get(&wire).is_some_and(|facts| facts.carrier);
                let at = node.engine.interface_index(&wire);
                let Some(at) = at.filter(|_| carrier) else {
                    return;
                };
                Path::Network(at, neighbour)
            }
        };
        let own = node.host.run;
        for heartbeat in &in_flight.groups {
            let of_run = (in_flight.run, heartbeat.group);
            let newest = node.host.newest.entry(of_run).or_default();
            let heard = Heard {
                run: in_flight.run,
                ack: Ack {
                    run: in_flight.to_run,
                    number: 1,
                    is_second: node.host.is_second,
                },
                heartbeat,
                is_timely: in_flight.sequence + 2 >= *newest,
                is_new: in_flight.sequence > *newest,
                counts,
            };
            *newest = in_flight.sequence.max(*newest);
            node.engine.handle_heartbeat(now_ns, path, &heard, own);
        }
    }

    /// Drops all heartbeats under way.
    pub fn drop_heartbeats_in_flight(&mut self) {
        self.agenda
            .retain(|(_, what)| !matches!(what, LabEvent::Heartbeat(_) | LabEvent::Frame(..)));
    }

    /// Sends a heartbeat of the other node on a wire again, the one `later` before its last.
    pub(super) fn replay(&mut self, to: usize, wire: &str, later: usize) {
        let from = 1 - to;
        let recorded = self
            .in_flight
            .iter()
            .enumerate()
            .rev()
            .filter(|(_, in_flight)| {
                let there = matches!(&in_flight.path, HeartbeatPath::Wire(on, _) if on == wire);
                there && in_flight.from == from
            });
        if let Some(number) = recorded.map(|(number, _)| number).nth(later) {
            self.deliver_heartbeat(to, number);
        }
    }

    // ---- directive ---------------------------------------------------------------------------

    pub(super) fn report(&mut self, index: usize) {
        self.enqueue(
            self.clock.now_ns() + self.report_ns,
            index,
            LabEvent::Directive,
        );
    }

    pub(super) fn send_directive(&mut self, index: usize) {
        let node = &mut self.nodes[index];
        if node.dead {
            return;
        }
        if node.stopped || node.pending_publication.is_some() {
            node.host.directive_waits = true;
            return;
        }
        let groups = node.settings.groups.iter();
        let told = groups.map(|group| (group.name.clone(), node.current_directive(&group.name)));
        let told: Vec<(String, Directive)> = told.collect();
        let now_ns = self.clock.now_ns();
        for (name, directive) in told {
            self.nodes[index]
                .engine
                .handle_directive(now_ns, &name, &directive);
            self.act(index);
        }
    }

    // ---- switchover -------------------------------------------------------------------------

    /// Begins a switchover as `sparectl switch` does.
    pub fn switch(&mut self, from: usize) {
        let groups = self.nodes[from].groups();
        self.switch_over(from, groups, "switchover");
    }

    pub(super) fn switch_over(
        &mut self,
        from: usize,
        groups: BTreeSet<String>,
        reason: &'static str,
    ) -> bool {
        let moves = |switchover: &OngoingSwitchover| !switchover.groups.is_disjoint(&groups);
        if self.ongoing.iter().any(moves) || !self.session() {
            return false;
        }
        self.handed += 1;
        let (to, number) = (1 - from, self.handed);
        self.ongoing.push(OngoingSwitchover {
            from,
            to,
            number,
            groups,
        });
        self.nodes[from]
            .host
            .switchovers
            .push((self.clock.now_ns(), reason));
        let prepared_ns = self.clock.now_ns() + 2 * self.latency_ns + self.drain_ns;
        self.enqueue(prepared_ns, to, LabEvent::Prepare(number));
        self.enqueue(
            self.clock.now_ns() + SWITCHOVER_NS,
            from,
            LabEvent::TimeOut(number),
        );
        true
    }

    fn current(&self, number: u64) -> Option<OngoingSwitchover> {
        let mut ongoing = self.ongoing.iter();
        ongoing
            .find(|switchover| switchover.number == number)
            .cloned()
    }

    /// Prepares the peer: it has settled and put its addresses behind its fence.
    pub(super) fn prepare(&mut self, number: u64) {
        let Some(switchover) = self.current(number).filter(|_| self.session()) else {
            return;
        };
        let to = &self.nodes[switchover.to];
        // "it has not left the group yet"
        let leaves = |group: &String| {
            let until_ns = to.host.carries_until_ns.get(group);
            until_ns.is_some_and(|until_ns| *until_ns > self.clock.now_ns())
        };
        let serves = |group: &String| to.role_of.get(group) == Some(&Role::Active);
        let is_busy = |group| leaves(group) || serves(group);
        if to.host.declines || switchover.groups.iter().any(is_busy) {
            self.ongoing.retain(|other| other.number != number);
            return;
        }
        let host = &mut self.nodes[switchover.to].host;
        host.prepared.extend(switchover.groups);
        self.send_directive(switchover.to);
        self.enqueue(
            self.clock.now_ns() + self.latency_ns,
            switchover.from,
            LabEvent::Release(number),
        );
    }

    /// Has the active node release the group: the word `prepared` has arrived.
    pub(super) fn order_release(&mut self, number: u64) {
        let Some(switchover) = self.current(number).filter(|_| self.session()) else {
            return;
        };
        let host = &mut self.nodes[switchover.from].host;
        host.release.extend(switchover.groups);
        self.send_directive(switchover.from);
    }

    /// Has a node release its groups: the word `prepared` arrived just before the session ended.
    pub fn release_anyway(&mut self, from: usize) {
        self.nodes[from].host.release = self.nodes[from].groups();
        self.send_directive(from);
    }

    /// Takes back what is not done by the time-out of a switchover.
    pub(super) fn time_out(&mut self, number: u64) {
        if let Some(switchover) = self.current(number) {
            self.ongoing.retain(|other| other.number != number);
            for group in &switchover.groups {
                self.end_switchover(&switchover, group);
            }
        }
    }

    fn end_switchover(&mut self, switchover: &OngoingSwitchover, group: &str) {
        self.nodes[switchover.from].host.release.remove(group);
        self.nodes[switchover.to].host.prepared.remove(group);
        self.report(switchover.from);
        self.report(switchover.to);
    }

    /// Notes a role that the host has carried out.
    pub(super) fn note_role(&mut self, index: usize, group: &str, role: Role) {
        let now_ns = self.clock.now_ns();
        let moves = |switchover: &&mut OngoingSwitchover| switchover.groups.contains(group);
        let Some(switchover) = self.ongoing.iter_mut().find(moves) else {
            return;
        };
        let host = &mut self.nodes[index].host;
        if switchover.from == index && role != Role::Active && host.release.contains(group) {
            host.carries_until_ns
                .insert(group.to_owned(), now_ns + SECOND);
        }
        if switchover.to == index && role == Role::Active {
            switchover.groups.remove(group);
            let switchover = switchover.clone();
            self.ongoing.retain(|other| !other.groups.is_empty());
            let carried_ns = now_ns + self.latency_ns + CARRY_NS;
            let carries = &mut self.nodes[switchover.from].host.carries_until_ns;
            if let Some(until_ns) = carries.get_mut(group) {
                *until_ns = carried_ns.min(*until_ns);
            }
            self.end_switchover(&switchover, group);
        }
    }

    /// Number of switchovers that either host began since the last [`Lab::forget`].
    pub fn switchovers(&self) -> usize {
        self.nodes
            .iter()
            .map(|node| node.host.switchovers.len())
            .sum()
    }

    /// Number of times that a node became active since then.
    pub fn failovers(&self) -> usize {
        let count = |node: &Node| {
            let mut last = node.role_before;
            let mut count = 0;
            for (_, role, _) in &node.roles {
                // the same role with another sentence is no change
                count += usize::from(*role == Role::Active && last != Role::Active);
                last = *role;
            }
            count
        };
        self.nodes.iter().map(count).sum()
    }

    /// Longest time without an answer on an interface.
    pub fn longest_silence_ns(&self, interface: &str) -> u64 {
        let mut silences: Vec<(u64, u64)> = Vec::new();
        for (from_ns, to_ns, _) in self.silences.iter().filter(|(.., name)| name == interface) {
            match silences.last_mut() {
                Some((_, end_ns)) if *end_ns == *from_ns => *end_ns = *to_ns,
                _ => silences.push((*from_ns, *to_ns)),
            }
        }
        silences
            .iter()
            .map(|(from_ns, to_ns)| to_ns - from_ns)
            .max()
            .unwrap_or(0)
    }
}
