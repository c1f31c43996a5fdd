//! The fixture's links, and the host's part: quality from checks, and handovers.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use spared_sdk::Role;

use super::{Lab, MS, Node, SECOND, What};
use crate::election::Stance;
use crate::wire::beat::Beat;

/// How long a planned handover may take before the active node goes.
const HANDOVER_NS: u64 = 2 * SECOND;
/// How long packets are carried after the answers end.
const CARRY_NS: u64 = 200 * MS;

/// A beat under way.
#[derive(Clone, Debug)]
pub(super) struct Flying {
    link: usize,
    run: u64,
    sequence: u64,
    beat: Beat,
}

/// What the host of a node keeps.
#[derive(Clone, Debug, Default)]
pub struct Host {
    /// (weight, state) of each check of the engine.
    pub checks: BTreeMap<String, (u32, u32)>,
    pub why: BTreeMap<String, &'static str>,
    /// Which start of the plugin it is, and how many beats it has sent.
    run: u64,
    sequence: u64,
    /// The peer's, as far as a session told it, and the newest beat of it.
    peer_run: u64,
    newest: u64,
    pub(super) waiting: Vec<usize>,
    /// A stance is to be told when it runs again.
    pub(super) stance_waits: bool,
    yields: bool,
    heir: bool,
    pub unready: bool,
    /// It does not take a handover.
    pub declines: bool,
    /// Handovers that it began, with their reason.
    pub handovers: Vec<(u64, &'static str)>,
    /// Until when packets of the addresses pass, though nothing is answered.
    pub carries_until_ns: u64,
    pub beats_sent: u64,
}

/// The handover that is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Handing {
    from: usize,
    to: usize,
    number: u64,
}

impl Host {
    /// The plugin starts anew.
    pub(super) fn restart(&mut self) {
        *self = Host {
            run: self.run + 1,
            unready: self.unready,
            declines: self.declines,
            handovers: std::mem::take(&mut self.handovers),
            ..Host::default()
        };
    }

    pub fn is_heir(&self) -> bool {
        self.heir
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
    /// What its host tells it: the test's word, lowered by the checks of the engine.
    pub fn role(&self) -> Role {
        self.role
    }

    fn told(&self) -> Stance {
        Stance {
            quality: self.stance.quality.min(self.host.quality()),
            ready: !self.host.unready,
            yields: self.host.yields,
            heir: self.host.heir,
            ..self.stance.clone()
        }
    }
}

impl Lab {
    /// Two nodes with links between them, started and settled.
    pub fn linked(toml: &str, links: &[&str]) -> Lab {
        let mut lab = Lab::unstarted(toml, links);
        lab.start(0);
        lab.start(1);
        lab.run(20 * SECOND);
        lab.forget();
        lab
    }

    pub fn unstarted(toml: &str, links: &[&str]) -> Lab {
        let mut lab = Lab::new(toml, 2);
        lab.links = links.iter().map(|link| (*link).to_owned()).collect();
        lab
    }

    /// The host's session is up: over some link both directions carry.
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

    // ---- beats ----------------------------------------------------------------------------

    pub(super) fn send_beat(&mut self, index: usize, group: usize) {
        let beat = self.nodes[index]
            .engine
            .beat(group)
            .expect("an action's beat")
            .clone();
        let host = &mut self.nodes[index].host;
        host.sequence += 1;
        host.beats_sent += 1;
        let (run, sequence) = (host.run, host.sequence);
        let other = 1 - index;
        for link in 0..self.links.len() {
            let lost = self.lose();
            let name = self.links[link].clone();
            let slow_ns = self.slow_links.get(&name).copied().unwrap_or(0);
            let at_ns = self.now_ns + self.latency_ns + self.jitter() + slow_ns;
            if lost || self.is_cut(&name, index, other) {
                continue;
            }
            self.flying.push(Flying {
                link,
                run,
                sequence,
                beat: beat.clone(),
            });
            let number = self.flying.len() - 1;
            self.enqueue(at_ns, other, What::Beat(number));
        }
    }

    pub(super) fn deliver_beat(&mut self, index: usize, number: usize) {
        let node = &mut self.nodes[index];
        if node.dead {
            return;
        }
        if node.stopped || node.asked.is_some() {
            node.host.waiting.push(number);
            return;
        }
        self.hear_beat(index, number);
        self.act(index);
    }

    /// What [`Receiver`](crate::beats::Receiver) does: a key that a session told, and newer beats.
    pub(super) fn hear_beat(&mut self, index: usize, number: usize) {
        let flying = self.flying[number].clone();
        if flying.run > self.nodes[index].host.peer_run && self.session() {
            let host = &mut self.nodes[index].host;
            (host.peer_run, host.newest) = (flying.run, 0);
        }
        let now_ns = self.now_ns;
        let node = &mut self.nodes[index];
        if flying.run != node.host.peer_run || flying.sequence <= node.host.newest {
            return;
        }
        node.host.newest = flying.sequence;
        node.engine.handle_beat(now_ns, flying.link, &flying.beat);
    }

    /// What is under way is lost.
    pub fn drop_flying(&mut self) {
        self.queue
            .retain(|Reverse((.., what))| !matches!(what, What::Beat(_) | What::Frame(..)));
    }

    // ---- stance ---------------------------------------------------------------------------

    pub(super) fn report(&mut self, index: usize) {
        self.enqueue(self.now_ns + self.report_ns, index, What::Stance);
    }

    pub(super) fn tell_stance(&mut self, index: usize) {
        let node = &mut self.nodes[index];
        if node.dead {
            return;
        }
        if node.stopped || node.asked.is_some() {
            node.host.stance_waits = true;
            return;
        }
        let stance = node.told();
        let names: Vec<String> = node
            .settings
            .groups
            .iter()
            .map(|g| g.name.clone())
            .collect();
        let now_ns = self.now_ns;
        for name in names {
            self.nodes[index]
                .engine
                .handle_stance(now_ns, &name, &stance);
            self.act(index);
        }
    }

    // ---- handover -------------------------------------------------------------------------

    /// `sparectl switch`: the host's own wish.
    pub fn switch(&mut self, from: usize) {
        self.hand_over(from, "handover");
    }

    pub(super) fn hand_over(&mut self, from: usize, reason: &'static str) -> bool {
        if self.handing.is_some() || !self.session() {
            return false;
        }
        self.handed += 1;
        let handing = Handing {
            from,
            to: 1 - from,
            number: self.handed,
        };
        self.handing = Some(handing);
        self.nodes[from].host.handovers.push((self.now_ns, reason));
        let prepared_ns = self.now_ns + 2 * self.latency_ns + self.drain_ns;
        self.enqueue(prepared_ns, handing.to, What::Prepare(handing.number));
        self.enqueue(
            self.now_ns + HANDOVER_NS,
            from,
            What::TimeOut(handing.number),
        );
        true
    }

    fn current(&self, number: u64) -> Option<Handing> {
        self.handing.filter(|handing| handing.number == number)
    }

    /// The peer has settled and put its addresses behind its fence.
    pub(super) fn prepare(&mut self, number: u64) {
        let Some(handing) = self.current(number).filter(|_| self.session()) else {
            return;
        };
        let to = &self.nodes[handing.to];
        if to.host.declines || to.role == Role::Active {
            self.handing = None;
            return;
        }
        self.nodes[handing.to].host.heir = true;
        self.tell_stance(handing.to);
        self.enqueue(
            self.now_ns + self.latency_ns,
            handing.from,
            What::Yield(number),
        );
    }

    /// "Prepared" has arrived at the active node.
    pub(super) fn tell_to_yield(&mut self, number: u64) {
        let Some(handing) = self.current(number).filter(|_| self.session()) else {
            return;
        };
        self.nodes[handing.from].host.yields = true;
        self.tell_stance(handing.from);
    }

    /// "Prepared" came with the session's last breath.
    pub fn yield_anyway(&mut self, from: usize) {
        self.nodes[from].host.yields = true;
        self.tell_stance(from);
    }

    /// Whatever is not done by then is taken back.
    pub(super) fn time_out(&mut self, number: u64) {
        if let Some(handing) = self.current(number) {
            self.end_handover(handing);
        }
    }

    fn end_handover(&mut self, handing: Handing) {
        self.handing = None;
        self.nodes[handing.from].host.yields = false;
        self.nodes[handing.to].host.heir = false;
        self.report(handing.from);
        self.report(handing.to);
    }

    /// The host did what was published.
    pub(super) fn note_role(&mut self, index: usize, role: Role) {
        let Some(handing) = self.handing else { return };
        let node = &mut self.nodes[index];
        if handing.from == index && role != Role::Active && node.host.yields {
            node.host.carries_until_ns = self.now_ns + SECOND;
        }
        if handing.to == index && role == Role::Active {
            let carried_ns = self.now_ns + self.latency_ns + CARRY_NS;
            let from = &mut self.nodes[handing.from];
            from.host.carries_until_ns = from.host.carries_until_ns.min(carried_ns);
            self.end_handover(handing);
        }
    }

    /// Handovers that were begun by anybody since the last [`Lab::forget`].
    pub fn handovers(&self) -> usize {
        self.nodes
            .iter()
            .map(|node| node.host.handovers.len())
            .sum()
    }

    /// How often somebody became active since then.
    pub fn takeovers(&self) -> usize {
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

    /// The longest time without an answer on an interface.
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
