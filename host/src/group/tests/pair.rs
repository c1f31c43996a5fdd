//! Two nodes in one virtual time: their groups, a kernel each that keeps leases as the fence does,
//! an elector each that follows the rules of VRRP, two followers, the wire and the link.

use std::collections::{BTreeMap, BTreeSet};

use spared_link::word::Word;
use spared_worker::message::{Cause, Stance};

use super::*;

pub const TERM_MS: u64 = 1_500;
const ADVERT: u64 = 100 * MS;
const ACTIVE_DOWN: u64 = 300 * MS;
const LEASE: u64 = 250 * MS;
/// Who is less preferred waits longer by this: two that fell silent together do not wake together.
const SKEW: u64 = 10 * MS;
const CARRY: u64 = 3_000 * MS;

/// How long things take.
#[derive(Clone, Copy, Debug)]
pub struct Delays {
    pub link: u64,
    pub wire: u64,
    pub drain: u64,
    pub settle: u64,
    pub role: u64,
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
    /// From the other node's elector: the priority.
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

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    None,
    /// What would have come next, does not.
    Lost,
    LinkDown,
    Plugin(usize, &'static str),
    /// The host process is killed; its workers resign.
    Host(usize),
    /// Power is lost.
    Machine(usize),
    Terminate(usize),
    ForceActive(usize),
    ForceBackup(usize),
    /// The next word comes twice.
    Twice,
    /// Everything of spared is stopped for a second (SIGSTOP).
    Pause(usize),
}

/// One elector's view of one group.
#[derive(Debug, Default)]
struct Elector {
    active: bool,
    /// When it takes over, or sends its next advert.
    at_ns: u64,
    heir: bool,
    forced_backup: bool,
    barred: bool,
}

#[derive(Debug, Default)]
struct Kernel {
    lease_until: u64,
    carry_until: u64,
    installed: bool,
    prepared: bool,
}

pub struct Node {
    pub groups: Groups,
    electors: BTreeMap<String, Elector>,
    kernels: BTreeMap<String, Kernel>,
    elector_lives: bool,
    pub alive: bool,
    stopping: bool,
    paused_until: u64,
    /// Roles that the follower "ct" took.
    pub roles: Vec<(String, Role)>,
    pub ended: Vec<(u64, Result<Vec<String>, String>)>,
    pub told: Vec<String>,
}

pub struct Pair {
    pub now_ns: u64,
    pub nodes: [Node; 2],
    pub link: bool,
    pub delays: Delays,
    queue: BTreeMap<(u64, u64), (usize, Happening)>,
    serial: u64,
    number: u64,
    /// Calls whose answer is awaited.
    asked: BTreeMap<(usize, u64), (String, Role)>,
    pub handled: usize,
    /// Times at which nobody served a group.
    pub gaps: Vec<(u64, String)>,
    pub watch_gaps: bool,
    names: Vec<String>,
    /// What both did in a handover, in its order.
    pub steps: Vec<String>,
}

impl Node {
    fn new(names: &[String]) -> Self {
        Self {
            groups: Groups::new(200 * MS),
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
            stopping: false,
            paused_until: 0,
            roles: Vec::new(),
            ended: Vec::new(),
            told: Vec::new(),
        }
    }

    /// Its fence lets answers pass, and there is an address to answer for.
    fn answers(&self, now_ns: u64, name: &str) -> bool {
        let kernel = &self.kernels[name];
        now_ns < kernel.lease_until && (kernel.installed || kernel.prepared)
    }

    fn serves(&self, now_ns: u64, name: &str) -> bool {
        let kernel = &self.kernels[name];
        let open = now_ns < kernel.lease_until || now_ns < kernel.carry_until;
        self.alive && open && kernel.installed
    }
}

impl Pair {
    /// Node 0 is active for every group, node 1 its backup; both are linked and ready.
    pub fn new(names: &[&str], delays: Delays) -> Self {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut pair = Self {
            now_ns: 1_000 * MS,
            nodes: [Node::new(&names), Node::new(&names)],
            link: false,
            delays,
            queue: BTreeMap::new(),
            serial: 0,
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
            let later = pair.now_ns + ACTIVE_DOWN;
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

    pub fn answers(&self, node: usize, name: &str) -> bool {
        self.nodes[node].answers(self.now_ns, name)
    }

    fn elector(&mut self, node: usize, name: &str) -> &mut Elector {
        self.nodes[node].electors.get_mut(name).unwrap()
    }

    fn kernel(&mut self, node: usize, name: &str) -> &mut Kernel {
        self.nodes[node].kernels.get_mut(name).unwrap()
    }

    fn start(&mut self, node: usize) {
        let follower = |has_drain| Follower {
            has_role: true,
            has_drain,
            has_settle: true,
            ..Follower::default()
        };
        let now_ns = self.now_ns;
        for name in self.names.clone() {
            self.claim(node, &name);
        }
        let groups = &mut self.nodes[node].groups;
        groups.set_missing(Vec::new());
        groups.handle_plugin_up(now_ns, "vrrp", Follower::default());
        groups.handle_plugin_up(now_ns, "ct", follower(true));
        groups.handle_plugin_up(now_ns, "dhcp", follower(false));
        self.perform_all(node);
    }

    fn claim(&mut self, node: usize, name: &str) {
        self.number += 1;
        let ticket = Ticket {
            plugin: "vrrp".to_owned(),
            number: self.number,
        };
        let groups = &mut self.nodes[node].groups;
        groups.handle_claim(ticket, name.to_owned(), Some(claims()));
        self.perform_all(node);
    }

    fn link_up(&mut self) {
        if !self.nodes.iter().all(|node| node.alive) {
            return;
        }
        self.link = true;
        for node in [0, 1] {
            self.nodes[node].groups.handle_link_up();
        }
        self.channels();
    }

    fn channels(&mut self) {
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

    fn link_down(&mut self) {
        self.link = false;
        self.queue.retain(|_, (_, happening)| {
            !matches!(happening, Happening::Word(_) | Happening::Mark(..))
        });
        for node in [0, 1] {
            if self.nodes[node].alive {
                self.nodes[node].groups.handle_link_down("a test cut it");
                self.perform_all(node);
            }
        }
    }

    fn plan(&mut self, after_ns: u64, node: usize, happening: Happening) {
        self.serial += 1;
        let at = (self.now_ns + after_ns, self.serial);
        self.queue.insert(at, (node, happening));
    }

    fn elect(&mut self, node: usize, name: &str, at_ns: u64) {
        let after = at_ns.saturating_sub(self.now_ns);
        self.plan(after, node, Happening::Elect(name.to_owned()));
    }

    // ---- what happens

    pub fn run_for(&mut self, ns: u64) {
        let end = self.now_ns + ns;
        while self.step(end) {}
        self.now_ns = end;
    }

    /// One happening, unless it comes later than `end`.
    pub fn step(&mut self, end_ns: u64) -> bool {
        self.plan_timeouts();
        let Some((&(at_ns, _), _)) = self.queue.first_key_value() else {
            return false;
        };
        if at_ns > end_ns {
            return false;
        }
        let Some(((at_ns, _), (node, happening))) = self.queue.pop_first() else {
            return false;
        };
        self.now_ns = self.now_ns.max(at_ns);
        let paused_ns = self.nodes[node].paused_until.saturating_sub(self.now_ns);
        if paused_ns > 0 {
            // It waits in a socket, in the order in which it came.
            self.plan(paused_ns, node, happening);
            return true;
        }
        self.handled += 1;
        self.handle(node, happening);
        self.check();
        true
    }

    /// Not an ordinary advert: one that is lost lets a lease outlast the peer's patience, with and
    /// without a handover.
    pub fn lose_next(&mut self) {
        use Happening::{Advert, Drained, Mark, Settled, Word};
        self.plan_timeouts();
        let lost = self.queue.iter().find(|(_, (_, happening))| {
            matches!(
                happening,
                Word(_) | Mark(..) | Advert(_, 0) | Drained(..) | Settled(..)
            )
        });
        if let Some(key) = lost.map(|(key, _)| *key) {
            self.queue.remove(&key);
        }
    }

    pub fn repeat_next_word(&mut self) {
        let word = self
            .queue
            .values()
            .find_map(|(node, happening)| match happening {
                Happening::Word(word) => Some((*node, Happening::Word(word.clone()))),
                _ => None,
            });
        if let Some((node, word)) = word {
            self.plan(2 * self.delays.link, node, word);
        }
    }

    fn plan_timeouts(&mut self) {
        for node in [0, 1] {
            let Some(at_ns) = self.nodes[node].groups.next_timeout() else {
                continue;
            };
            if !self.nodes[node].alive {
                continue;
            }
            self.queue
                .retain(|_, (of, happening)| !(*of == node && *happening == Happening::Timeout));
            let at_ns = at_ns.max(self.nodes[node].paused_until);
            let after = at_ns.saturating_sub(self.now_ns);
            self.plan(after, node, Happening::Timeout);
        }
    }

    fn handle(&mut self, node: usize, happening: Happening) {
        let now_ns = self.now_ns;
        if !self.nodes[node].alive {
            if happening == Happening::HostBack {
                let names = self.names.clone();
                self.nodes[node] = Node::new(&names);
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
                groups.handle_role_done(now_ns, &plugin, &group, epoch, 0);
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
        if self.nodes[node].stopping && !self.nodes[node].groups.is_handing_over() {
            self.end_term(node);
        }
    }

    // Never two that answer; and, where asked, always one that serves.
    fn check(&mut self) {
        for name in self.names.clone() {
            let answering = [0, 1].map(|node| self.answers(node, &name));
            assert!(
                answering != [true, true],
                "{name}: both answer at {} ms",
                self.now_ns / MS
            );
            let now_ns = self.now_ns;
            if self.watch_gaps && !self.nodes.iter().any(|node| node.serves(now_ns, &name)) {
                self.gaps.push((now_ns, name));
            }
        }
    }

    // ---- the elector

    fn listen(&mut self, node: usize, name: &str) {
        let at_ns = self.now_ns + down_ns(node);
        let elector = self.elector(node, name);
        (elector.active, elector.at_ns) = (false, at_ns);
        self.elect(node, name, at_ns);
    }

    fn hear(&mut self, node: usize, name: &str, priority: u8) {
        if !self.nodes[node].elector_lives {
            return;
        }
        let now_ns = self.now_ns;
        let elector = self.elector(node, name);
        match (elector.active, priority) {
            (false, 0) if elector.heir => self.publish(node, name, Role::Active, "handover"),
            (false, 0) => {
                elector.at_ns = now_ns + SKEW;
                self.elect(node, name, now_ns + SKEW);
            }
            (false, _) => {
                elector.at_ns = now_ns + down_ns(node);
                self.elect(node, name, now_ns + down_ns(node));
            }
            (true, 0) => {}
            // Both are active: one of them gives way.
            (true, _) if node == 1 => self.publish(node, name, Role::Backup, "conflict"),
            (true, _) => {}
        }
    }

    fn elect_now(&mut self, node: usize, name: &str) {
        let now_ns = self.now_ns;
        if !self.nodes[node].elector_lives || self.elector(node, name).at_ns > now_ns {
            return;
        }
        let elector = self.elector(node, name);
        if !elector.active && now_ns > elector.at_ns + ADVERT {
            // It was stopped, and does not know what it missed.
            return self.listen(node, name);
        }
        if !elector.active {
            if !elector.forced_backup && !elector.barred {
                self.publish(node, name, Role::Active, "silent");
            }
            return;
        }
        self.advert(node, name, 100);
    }

    fn advert(&mut self, node: usize, name: &str, priority: u8) {
        let now_ns = self.now_ns;
        let kernel = self.kernel(node, name);
        if priority == 0 {
            kernel.lease_until = 0;
        } else if now_ns < kernel.lease_until {
            kernel.lease_until = now_ns + LEASE;
        } else {
            // The fence refuses it, and the elector notices.
            return self.publish(node, name, Role::Backup, "late");
        }
        let heard = Happening::Advert(name.to_owned(), priority);
        self.plan(self.delays.wire, 1 - node, heard);
        if priority > 0 {
            let at_ns = now_ns + ADVERT;
            self.elector(node, name).at_ns = at_ns;
            self.elect(node, name, at_ns);
        }
    }

    fn publish(&mut self, node: usize, name: &str, role: Role, reason: &str) {
        self.number += 1;
        let number = self.number;
        self.asked.insert((node, number), (name.to_owned(), role));
        let ticket = Ticket {
            plugin: "vrrp".to_owned(),
            number,
        };
        let (now_ns, cause) = (self.now_ns, Cause::new(reason, reason));
        let groups = &mut self.nodes[node].groups;
        groups.handle_publish(now_ns, ticket, name, role, cause, now_ns);
        self.perform_all(node);
    }

    fn answered(&mut self, node: usize, number: u64, status: i32) {
        let Some((name, role)) = self.asked.remove(&(node, number)) else {
            return;
        };
        let was = self.elector(node, &name).active;
        if role == Role::Active && status == 0 {
            self.elector(node, &name).active = true;
            return self.advert(node, &name, 100);
        }
        self.listen(node, &name);
        if was {
            // The heir's patience must end first.
            let at_ns = self.now_ns + 2 * down_ns(node);
            self.elector(node, &name).at_ns = at_ns;
            self.elect(node, &name, at_ns);
            self.advert(node, &name, 0);
        }
    }

    fn stance(&mut self, node: usize, stance: &Stance) {
        let forced = stance.forced == Forced::Backup;
        let elector = self.elector(node, &stance.group);
        elector.heir = stance.heir;
        elector.forced_backup = forced;
        elector.barred = !stance.eligible;
        let leaves = elector.active && (stance.yields || stance.resign);
        if leaves && self.nodes[node].elector_lives {
            self.publish(node, &stance.group, Role::Backup, "handover");
        }
    }

    // ---- what goes wrong

    pub fn inject(&mut self, fault: Fault) {
        match fault {
            Fault::None => {}
            Fault::Lost => self.lose_next(),
            Fault::Twice => self.repeat_next_word(),
            Fault::LinkDown => {
                self.link_down();
                self.plan(2_000 * MS, 0, Happening::LinkBack);
            }
            Fault::Plugin(node, plugin) => self.kill_plugin(node, plugin),
            Fault::Pause(node) => self.nodes[node].paused_until = self.now_ns + 1_000 * MS,
            Fault::Host(node) => self.kill_host(node, Some(1_000 * MS)),
            Fault::Machine(node) => {
                self.nodes[node].alive = false;
                self.link_down();
            }
            Fault::Terminate(node) => self.terminate(node),
            Fault::ForceActive(node) => self.force(node, Forced::Active),
            Fault::ForceBackup(node) => self.force(node, Forced::Backup),
        }
        self.check();
    }

    fn force(&mut self, node: usize, forced: Forced) {
        let done = self.nodes[node]
            .groups
            .handle_force(None, forced, "a test", "noon");
        done.unwrap();
        self.perform_all(node);
    }

    fn kill_plugin(&mut self, node: usize, plugin: &str) {
        let lives = self.nodes[node].groups.followers.contains_key(plugin);
        if !self.nodes[node].alive || !lives {
            return;
        }
        if plugin == "vrrp" {
            self.nodes[node].elector_lives = false;
            for elector in self.nodes[node].electors.values_mut() {
                *elector = Elector::default();
            }
        }
        let now_ns = self.now_ns;
        let why = format!("{plugin} was killed");
        self.nodes[node]
            .groups
            .handle_plugin_down(now_ns, plugin, &why);
        self.perform_all(node);
        self.channels();
        self.plan(100 * MS, node, Happening::PluginBack(plugin.to_owned()));
    }

    fn plugin_back(&mut self, node: usize, plugin: &str) {
        let now_ns = self.now_ns;
        let mut follower = Follower::default();
        if plugin == "vrrp" {
            self.nodes[node].elector_lives = true;
            for name in self.names.clone() {
                self.claim(node, &name);
                self.listen(node, &name);
            }
        } else {
            (follower.has_role, follower.has_settle) = (true, true);
            follower.has_drain = plugin == "ct";
        }
        let groups = &mut self.nodes[node].groups;
        groups.handle_plugin_up(now_ns, plugin, follower);
        self.plan(50 * MS, node, Happening::ChannelsBack);
    }

    // Its workers resign; what it left in the kernel goes with the next start.
    fn kill_host(&mut self, node: usize, back_after: Option<u64>) {
        if !self.nodes[node].alive {
            return;
        }
        for name in self.names.clone() {
            if self.elector(node, &name).active {
                self.advert(node, &name, 0);
            }
        }
        self.nodes[node].alive = false;
        self.link_down();
        if let Some(after) = back_after {
            self.plan(after, node, Happening::HostBack);
        }
    }

    fn terminate(&mut self, node: usize) {
        if !self.nodes[node].alive || self.nodes[node].stopping {
            return;
        }
        self.nodes[node].stopping = true;
        let now_ns = self.now_ns;
        self.nodes[node].groups.handle_leave(now_ns);
        self.perform_all(node);
        self.plan(TERM_MS * MS, node, Happening::TermOver);
        if !self.nodes[node].groups.is_handing_over() {
            self.end_term(node);
        }
    }

    fn end_term(&mut self, node: usize) {
        if !self.nodes[node].stopping {
            return;
        }
        self.nodes[node].stopping = false;
        let groups = &mut self.nodes[node].groups;
        groups.cancel_handovers("it took too long");
        groups.close();
        self.perform_all(node);
        for name in self.names.clone() {
            if self.elector(node, &name).active {
                self.publish(node, &name, Role::Backup, "shutdown");
            }
        }
        // The rest of the stop: followers leave, addresses go, the process ends.
        for kernel in self.nodes[node].kernels.values_mut() {
            *kernel = Kernel::default();
        }
        self.nodes[node].alive = false;
        self.link_down();
    }

    // ---- what the groups want

    pub fn perform_all(&mut self, node: usize) {
        while let Some(action) = self.nodes[node].groups.poll_action() {
            self.perform(node, action);
        }
    }

    fn perform(&mut self, node: usize, action: Action) {
        let now_ns = self.now_ns;
        self.steps.extend(step_of(node, &action));
        match action {
            Action::Answer { ticket, status } => self.answered(node, ticket.number, status),
            Action::CheckClaim {
                ticket,
                group,
                claims,
            } => {
                let groups = &mut self.nodes[node].groups;
                groups.handle_checked(ticket, &group, claims, Ok(()));
            }
            Action::Claim { group, .. } => {
                self.nodes[node]
                    .groups
                    .handle_claimed(now_ns, &group, Ok(()));
            }
            Action::OpenLease {
                ticket,
                group,
                cause,
                sent_ns,
            } => {
                let kernel = self.kernel(node, &group);
                (kernel.lease_until, kernel.carry_until) = (now_ns + LEASE, 0);
                let groups = &mut self.nodes[node].groups;
                groups.handle_lease(now_ns, ticket, &group, cause, sent_ns, Ok(()));
            }
            Action::CloseLease { group } => {
                let kernel = self.kernel(node, &group);
                (kernel.lease_until, kernel.carry_until) = (0, 0);
            }
            Action::YieldLease { group } => {
                let kernel = self.kernel(node, &group);
                let lives = now_ns < kernel.lease_until;
                kernel.carry_until = if lives { now_ns + CARRY } else { 0 };
                kernel.lease_until = 0;
            }
            Action::EndCarry { group } => self.kernel(node, &group).carry_until = 0,
            Action::Install { group } => {
                let kernel = self.kernel(node, &group);
                (kernel.installed, kernel.prepared) = (true, false);
                let groups = &mut self.nodes[node].groups;
                groups.handle_installed(now_ns, &group, Ok(String::new()));
            }
            Action::Remove { group } | Action::Release { group } => {
                let kernel = self.kernel(node, &group);
                (kernel.installed, kernel.prepared) = (false, false);
            }
            Action::Prepare { group } => {
                self.kernel(node, &group).prepared = true;
                self.nodes[node]
                    .groups
                    .handle_prepared(now_ns, &group, Ok(()));
            }
            Action::Unprepare { group } => self.kernel(node, &group).prepared = false,
            Action::Announce { .. } => {}
            Action::Drain {
                plugin,
                group,
                epoch,
                ..
            } => {
                let drained = Happening::Drained(plugin, group, epoch, 0);
                self.plan(self.delays.drain, node, drained);
            }
            Action::Settle {
                plugin,
                group,
                epoch,
                ..
            } => {
                let settled = Happening::Settled(plugin, group, epoch);
                self.plan(self.delays.settle, node, settled);
            }
            Action::Role { plugin, order } => {
                if plugin == "ct" {
                    self.nodes[node]
                        .roles
                        .push((order.group.clone(), order.role));
                }
                let done = Happening::RoleDone(plugin, order.group, order.epoch);
                self.plan(self.delays.role, node, done);
            }
            Action::Mark { id, channels } => {
                let linked = self.link;
                for channel in channels.into_iter().filter(|_| linked) {
                    let mark = Happening::Mark(id, channel);
                    self.plan(self.delays.link, 1 - node, mark);
                }
            }
            Action::Say(word) if self.link => {
                self.plan(self.delays.link, 1 - node, Happening::Word(word));
            }
            Action::Say(_) => {}
            Action::Stance { stance, .. } => self.stance(node, &stance),
            Action::HandedOver { wish, result } => self.nodes[node].ended.push((wish, result)),
            Action::Tell(news) => self.nodes[node].told.push(news.text),
        }
    }

    // ---- at the end

    /// Exactly one node answers, and nothing is left on the way, on those that live.
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
                let active = node.answers(self.now_ns, name);
                assert_eq!(group.role == Role::Active, active, "{what}: {name}");
                assert_eq!(kernel.installed, active, "{what}: {name}: its addresses");
                assert!(!kernel.prepared, "{what}: {name}: left prepared");
                assert!(self.now_ns >= kernel.carry_until, "{what}: {name}: carried");
                assert!(group.offer.is_none() && group.heir.is_none(), "{what}");
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

fn down_ns(node: usize) -> u64 {
    ACTIVE_DOWN + SKEW * node as u64
}

fn step_of(node: usize, action: &Action) -> Option<String> {
    let what = match action {
        Action::Say(Word::Offer { .. }) => "offers".to_owned(),
        Action::Say(Word::Prepared { .. }) => "is prepared".to_owned(),
        Action::Say(Word::Took { .. }) => "took".to_owned(),
        Action::Drain { plugin, .. } => format!("drain {plugin}"),
        Action::Mark { channels, .. } => format!("mark {channels:?}"),
        Action::Settle { plugin, .. } => format!("settle {plugin}"),
        Action::Prepare { .. } => "prepare".to_owned(),
        Action::YieldLease { .. } => "yield".to_owned(),
        Action::OpenLease { .. } => "open".to_owned(),
        Action::Install { .. } => "install".to_owned(),
        Action::EndCarry { .. } => "end carry".to_owned(),
        Action::Role { plugin, order } => format!("role {plugin} {}", name_of(order.role)),
        Action::Remove { .. } => "remove".to_owned(),
        _ => return None,
    };
    Some(format!("{node}: {what}"))
}
