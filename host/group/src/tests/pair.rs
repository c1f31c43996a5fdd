//! Simulates two nodes in the same virtual time. Each has its groups, a kernel that keeps leases as the fence does, an
//! elector that follows the rules of VRRP, and two followers. The network and the link join them.

use std::collections::{BTreeMap, BTreeSet};

use spared_message::word::Word;
use spared_sim::{Agenda, Clock};

use super::*;

pub const TERM_MS: u64 = 1_500;
pub const ADVERT: u64 = 100 * MS;
pub const ACTIVE_DOWN: u64 = 300 * MS;
pub const LEASE: u64 = 250 * MS;
/// Additional time that node 1 waits, so that two nodes that became silent together do not become active together.
pub const SKEW: u64 = 10 * MS;
pub const CARRY: u64 = 3_000 * MS;

/// Durations of steps, in ns.
#[derive(Clone, Copy, Debug)]
pub struct Delays {
    pub link: u64,
    pub wire: u64,
    pub drain: u64,
    pub settle: u64,
    pub role: u64,
}

/// Makes an offer of the group "office", with a mark in one channel.
pub fn offer(switchover: u64) -> Word {
    Word::Offer {
        switchover,
        group: "office".to_owned(),
        reason: String::new(),
        why: String::new(),
        anyway: false,
        unserved: false,
        within_ms: 1_000,
        channels: vec!["ct".to_owned()],
    }
}

impl Default for Delays {
    fn default() -> Self {
        Self {
            link: MS,
            wire: MS / 5,
            drain: 5 * MS,
            settle: 3 * MS,
            role: MS,
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub enum Happening {
    Word(Word),
    Mark(u64, String),
    /// Advert of the other node's elector: group and priority.
    Advert(String, u8),
    Drained(String, String, u64, i32),
    Settled(String, String, u64),
    RoleDone(String, String, u64),
    /// The elector's turn.
    Elect(String),
    Timeout,
    PluginBack(String),
    ChannelsBack,
    LinkBack,
    HostBack,
    TermOver,
}

/// State of one elector for one group.
#[derive(Debug, Default)]
pub struct Elector {
    pub active: bool,
    /// Time at which the elector becomes active, or sends its next advert.
    pub at_ns: u64,
    pub successor: bool,
    pub forced_backup: bool,
    pub barred: bool,
}

#[derive(Debug, Default)]
pub struct Kernel {
    pub lease_until: u64,
    pub carry_until: u64,
    pub installed: bool,
    pub prepared: bool,
}

pub struct Node {
    pub groups: Groups,
    pub electors: BTreeMap<String, Elector>,
    pub kernels: BTreeMap<String, Kernel>,
    pub elector_lives: bool,
    pub alive: bool,
    /// The mark of a node that is not armed, which outlives the host.
    pub unarmed: bool,
    pub stopping: bool,
    pub paused_until: u64,
    /// Roles that the follower "ct" took.
    pub roles: Vec<(String, Role)>,
    pub ended: Vec<(u64, Result<Vec<String>, String>)>,
    pub told: Vec<String>,
}

pub struct Pair {
    pub clock: Clock,
    pub nodes: [Node; 2],
    pub link: bool,
    pub delays: Delays,
    pub agenda: Agenda<(usize, Happening)>,
    pub number: u64,
    /// Calls whose answer is pending.
    pub asked: BTreeMap<(usize, u64), (String, Role)>,
    pub handled: usize,
    /// Times at which no node answered for a group.
    pub gaps: Vec<(u64, String)>,
    pub watch_gaps: bool,
    pub names: Vec<String>,
    /// Steps of both nodes in a switchover, in order.
    pub steps: Vec<String>,
}

impl Node {
    pub(super) fn new(names: &[String]) -> Self {
        Self {
            groups: Groups::new(200 * MS, String::new),
            electors: names
                .iter()
                .map(|name| (name.clone(), Elector::default()))
                .collect(),
            kernels: names
                .iter()
                .map(|name| (name.clone(), Kernel::default()))
                .collect(),
            elector_lives: true,
            alive: true,
            unarmed: false,
            stopping: false,
            paused_until: 0,
            roles: Vec::new(),
            ended: Vec::new(),
            told: Vec::new(),
        }
    }

    /// Returns true if the fence passes and an address is installed or prepared.
    pub(super) fn answers(&self, now_ns: u64, name: &str) -> bool {
        let kernel = &self.kernels[name];
        now_ns < kernel.lease_until && (kernel.installed || kernel.prepared)
    }

    pub(super) fn serves(&self, now_ns: u64, name: &str) -> bool {
        let kernel = &self.kernels[name];
        let open = now_ns < kernel.lease_until || now_ns < kernel.carry_until;
        self.alive && open && kernel.installed
    }
}

impl Pair {
    /// Makes a pair in which node 0 is active for every group and node 1 is backup. Both are linked and ready.
    pub fn new(names: &[&str], delays: Delays) -> Self {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut pair = Self {
            clock: Clock::at(1_000 * MS),
            nodes: [Node::new(&names), Node::new(&names)],
            link: false,
            delays,
            agenda: Agenda::default(),
            number: 0,
            asked: BTreeMap::new(),
            handled: 0,
            gaps: Vec::new(),
            watch_gaps: false,
            names,
            steps: Vec::new(),
        };
        for node in [0, 1] {
            pair.start(node);
        }
        pair.link_up();
        for name in pair.names.clone() {
            let later = pair.now_ns() + ACTIVE_DOWN;
            pair.elector(1, &name).at_ns = later;
            pair.elect(1, &name, later);
            pair.publish(0, &name, Role::Active, "first");
        }
        pair.run_for(500 * MS);
        for name in pair.names.clone() {
            assert!(pair.answers(0, &name), "the fixture: {name}");
        }
        pair.handled = 0;
        pair.steps.clear();
        pair.watch_gaps = true;
        pair
    }

    pub fn now_ns(&self) -> u64 {
        self.clock.now_ns()
    }

    pub fn answers(&self, node: usize, name: &str) -> bool {
        self.nodes[node].answers(self.now_ns(), name)
    }

    pub(super) fn elector(&mut self, node: usize, name: &str) -> &mut Elector {
        self.nodes[node].electors.get_mut(name).unwrap()
    }

    pub(super) fn kernel(&mut self, node: usize, name: &str) -> &mut Kernel {
        self.nodes[node].kernels.get_mut(name).unwrap()
    }

    pub(super) fn start(&mut self, node: usize) {
        let follower = |has_drain| Follower {
            has_role: true,
            has_drain,
            has_settle: true,
            ..Follower::default()
        };
        let now_ns = self.now_ns();
        for name in self.names.clone() {
            self.claim(node, &name);
        }
        let unarmed = self.nodes[node].unarmed;
        let groups = &mut self.nodes[node].groups;
        groups.set_unarmed(unarmed);
        groups.set_missing(Vec::new());
        groups.handle_plugin_up(now_ns, "vrrp", Follower::default());
        groups.handle_plugin_up(now_ns, "ct", follower(true));
        groups.handle_plugin_up(now_ns, "dhcp", follower(false));
        self.perform_all(node);
    }

    pub(super) fn claim(&mut self, node: usize, name: &str) {
        self.number += 1;
        let ticket = Ticket {
            plugin: "vrrp".to_owned(),
            number: self.number,
            part: 0,
        };
        let groups = &mut self.nodes[node].groups;
        groups.handle_claim(ticket, name.to_owned(), Some(claims()));
        self.perform_all(node);
    }

    pub(super) fn link_up(&mut self) {
        if !self.nodes.iter().all(|node| node.alive) {
            return;
        }
        self.link = true;
        for node in [0, 1] {
            self.nodes[node].groups.handle_link_up();
            self.nodes[node].groups.set_missing(Vec::new());
        }
        self.channels();
    }

    pub(super) fn channels(&mut self) {
        if !self.link {
            return;
        }
        let both = |node: &Node| node.groups.followers.contains_key("ct");
        let up = self.nodes.iter().all(both);
        let channels: BTreeSet<String> = up.then(|| "ct".to_owned()).into_iter().collect();
        for node in [0, 1] {
            self.nodes[node].groups.set_channels(channels.clone());
            self.perform_all(node);
        }
    }

    pub(super) fn link_down(&mut self) {
        self.link = false;
        self.agenda.retain(|(_, happening)| {
            !matches!(happening, Happening::Word(_) | Happening::Mark(..))
        });
        for node in [0, 1] {
            if self.nodes[node].alive {
                self.nodes[node].groups.handle_link_down("a test cut it");
                self.perform_all(node);
            }
        }
    }

    pub(super) fn plan(&mut self, after_ns: u64, node: usize, happening: Happening) {
        self.agenda
            .plan(self.now_ns() + after_ns, (node, happening));
    }

    pub(super) fn elect(&mut self, node: usize, name: &str, at_ns: u64) {
        let after = at_ns.saturating_sub(self.now_ns());
        self.plan(after, node, Happening::Elect(name.to_owned()));
    }

    // ---- happenings

    pub fn run_for(&mut self, ns: u64) {
        let end = self.now_ns() + ns;
        while self.step(end) {}
        self.clock.move_to(end);
    }

    /// Handles one happening, unless it is due later than `end_ns`.
    pub fn step(&mut self, end_ns: u64) -> bool {
        self.plan_timeouts();
        let Some((at_ns, (node, happening))) = self.agenda.take(end_ns) else {
            return false;
        };
        self.clock.move_to(at_ns);
        let paused_ns = self.nodes[node].paused_until.saturating_sub(self.now_ns());
        if paused_ns > 0 {
            // The happening waits in a socket, in order.
            self.plan(paused_ns, node, happening);
            return true;
        }
        self.handled += 1;
        self.handle(node, happening);
        self.check();
        true
    }

    pub(super) fn plan_timeouts(&mut self) {
        for node in [0, 1] {
            let Some(at_ns) = self.nodes[node].groups.next_timeout() else {
                continue;
            };
            if !self.nodes[node].alive {
                continue;
            }
            self.agenda.retain(|it| *it != (node, Happening::Timeout));
            let at_ns = at_ns.max(self.nodes[node].paused_until);
            let after = at_ns.saturating_sub(self.now_ns());
            self.plan(after, node, Happening::Timeout);
        }
    }

    pub(super) fn handle(&mut self, node: usize, happening: Happening) {
        let now_ns = self.now_ns();
        if !self.nodes[node].alive {
            if happening == Happening::HostBack {
                let names = self.names.clone();
                let unarmed = self.nodes[node].unarmed;
                self.nodes[node] = Node {
                    unarmed,
                    ..Node::new(&names)
                };
                self.start(node);
                for name in names {
                    self.listen(node, &name);
                }
                self.link_up();
            }
            return;
        }
        let groups = &mut self.nodes[node].groups;
        match happening {
            Happening::Word(word) => groups.handle_peer_word(now_ns, word),
            Happening::Mark(id, channel) => groups.handle_marked(id, &channel),
            Happening::Drained(plugin, group, epoch, status) => {
                if groups.followers.contains_key(&plugin) {
                    groups.handle_drained(&plugin, &group, epoch, status);
                }
            }
            Happening::Settled(plugin, group, epoch) => {
                if groups.followers.contains_key(&plugin) {
                    groups.handle_settled(now_ns, &plugin, &group, epoch);
                }
            }
            Happening::RoleDone(plugin, group, epoch) => {
                groups.handle_role_done(now_ns, &plugin, &group, epoch, Ok(()));
            }
            Happening::Timeout => groups.handle_timeout(now_ns),
            Happening::Advert(name, priority) => self.hear(node, &name, priority),
            Happening::Elect(name) => self.elect_now(node, &name),
            Happening::PluginBack(plugin) => self.plugin_back(node, &plugin),
            Happening::ChannelsBack => self.channels(),
            Happening::LinkBack => self.link_up(),
            Happening::TermOver => self.end_term(node),
            Happening::HostBack => {}
        }
        self.perform_all(node);
        if self.nodes[node].stopping && !self.nodes[node].groups.is_switching_over() {
            self.end_term(node);
        }
    }

    // Checks that the nodes never both answer. Times at which no node answers are noted if `watch_gaps` is set.
    pub(super) fn check(&mut self) {
        for name in self.names.clone() {
            let answering = [0, 1].map(|node| self.answers(node, &name));
            assert!(
                answering != [true, true],
                "{name}: both answer at {} ms",
                self.now_ns() / MS
            );
            for (node, is_answering) in self.nodes.iter().zip(answering) {
                let is_wrong = node.unarmed && is_answering;
                assert!(!is_wrong, "{name}: a node that is not armed answers");
            }
            let now_ns = self.now_ns();
            if self.watch_gaps && !self.nodes.iter().any(|node| node.serves(now_ns, &name)) {
                self.gaps.push((now_ns, name));
            }
        }
    }

    // ---- at the end

    /// Asserts that exactly one node answers, and that live nodes have nothing unfinished.
    pub fn assert_settled(&self, what: &str) {
        for name in &self.names {
            let answering: Vec<usize> = [0, 1]
                .into_iter()
                .filter(|node| self.answers(*node, name))
                .collect();
            assert_eq!(answering.len(), 1, "{what}: {name}: {answering:?} answer");
            for node in self.nodes.iter().filter(|node| node.alive) {
                let group = node.groups.get(name).unwrap();
                let kernel = &node.kernels[name];
                let active = node.answers(self.now_ns(), name);
                assert_eq!(group.role == Role::Active, active, "{what}: {name}");
                assert_eq!(kernel.installed, active, "{what}: {name}: its addresses");
                assert!(!kernel.prepared, "{what}: {name}: left prepared");
                assert!(
                    self.now_ns() >= kernel.carry_until,
                    "{what}: {name}: carried"
                );
                assert!(group.offer.is_none() && group.successor.is_none(), "{what}");
                let role = node.roles.iter().rev().find(|(of, _)| of == name);
                let role = role.map(|(_, role)| *role);
                assert_eq!(
                    role == Some(Role::Active),
                    active,
                    "{what}: {name}: ct's role"
                );
            }
        }
    }
}
