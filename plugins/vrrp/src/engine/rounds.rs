//! E12: one heartbeat for the node. A *round* is the heartbeat that carries all groups, at the shortest of
//! their intervals; what changes between two rounds is said at once, by one that carries the groups
//! concerned.
//!
//! No advert goes without its heartbeat: right before it, with nothing between that waits for the host,
//! goes a heartbeat that says that its group is active. The peer counts the silence of a group from the
//! last heartbeat that carried it, and the kernel the fence lease from the advert, and the lease is
//! shorter than the silence: so at a node's death every lease has ended before the peer takes over,
//! whatever the intervals of the other groups. A heartbeat more, between two adverts, only makes the
//! peer wait longer.
//!
//! So that this takes one heartbeat and not one for each group, the adverts that would be due before the
//! next round go with this one: earlier than they must, never later.

use super::group::{Group, State};
use super::ways::Way;
use super::{Action, Engine};
use crate::wire::heartbeat::Heartbeat;

/// When the next round is due, and what it leaves by.
#[derive(Clone, Debug, Default)]
pub(super) struct Rounds {
    due_ns: u64,
    /// The heartbeat that waits carries all groups.
    is_round: bool,
    /// What the one that is being sent leaves by, beside the links.
    ways: Vec<Way>,
}

impl Engine {
    /// Writes what [`Action::Heartbeat`] sends: what the groups that it carries say, and where it goes
    /// beside the links.
    pub fn heartbeat(&mut self, now_ns: u64) -> (impl Iterator<Item = &Heartbeat>, &[Way]) {
        let is_round = std::mem::take(&mut self.rounds.is_round);
        let mut carries_all = true;
        let mut ways = std::mem::take(&mut self.rounds.ways);
        ways.clear();
        for index in 0..self.groups.len() {
            let Some((group, cx)) = self.context(now_ns, index) else {
                continue;
            };
            if group.join_heartbeat(&cx, is_round) {
                add_ways(&mut ways, group.networks.ways());
            } else {
                carries_all = false;
            }
        }
        self.rounds.ways = ways;
        if carries_all && !is_round {
            self.rounds.due_ns = self.next_round_ns(now_ns, now_ns);
        }
        let groups = self.groups.iter();
        let heartbeats = groups.filter_map(|group| group.speaking.carried());
        (heartbeats, self.rounds.ways.as_slice())
    }

    /// Where anything can leave by, beside the links.
    pub fn ways(&self) -> Vec<Way> {
        let mut ways = Vec::new();
        for group in &self.groups {
            add_ways(&mut ways, group.networks.ways());
        }
        ways
    }

    /// When the next round goes of its own accord.
    pub(super) fn round_timeout(&self) -> Option<u64> {
        self.round_interval_ns().map(|_| self.rounds.due_ns)
    }

    /// Something new is to be told to a peer that may know nothing yet: a round at the next timeout.
    pub fn hurry_round(&mut self, now_ns: u64) {
        self.rounds.due_ns = self.rounds.due_ns.min(now_ns);
    }

    /// Begins a round if one is due, or the adverts of a group are.
    pub(super) fn begin_round(&mut self, now_ns: u64) {
        let Some(interval_ns) = self.round_interval_ns() else {
            return;
        };
        let adverts_ns = self.groups.iter().filter_map(Group::advert_due_ns);
        let due_ns = adverts_ns.fold(self.rounds.due_ns, u64::min);
        if now_ns < due_ns {
            return;
        }
        self.rounds.due_ns = self.next_round_ns(now_ns, due_ns);
        self.rounds.is_round = true;
        for group in &mut self.groups {
            group.join_round(due_ns, interval_ns);
        }
        if !self.actions.has_heartbeat() {
            self.actions.push(Action::Heartbeat);
        }
    }

    /// From the due time, so that lateness does not add up.
    fn next_round_ns(&self, now_ns: u64, due_ns: u64) -> u64 {
        let interval_ns = self.round_interval_ns().unwrap_or(0);
        let next_ns = due_ns.saturating_add(interval_ns);
        if next_ns > now_ns {
            next_ns
        } else {
            now_ns.saturating_add(interval_ns)
        }
    }

    /// The shortest of the groups that speak; None while nobody can be told anything.
    fn round_interval_ns(&self) -> Option<u64> {
        let groups = self.groups.iter().filter(|_| self.keys);
        groups.filter_map(Group::speaking_interval_ns).min()
    }
}

impl Group {
    fn advert_due_ns(&self) -> Option<u64> {
        match self.state {
            State::Active { advert_ns, .. } => Some(advert_ns),
            _ => None,
        }
    }

    /// Adverts that would be due before the next round go with this one.
    fn join_round(&mut self, due_ns: u64, interval_ns: u64) {
        if let State::Active { advert_ns, .. } = &mut self.state {
            if *advert_ns < due_ns.saturating_add(interval_ns) {
                *advert_ns = due_ns.min(*advert_ns);
            }
        }
    }
}

/// Where several groups share an interface one heartbeat goes there, as the first of them has it: to the
/// multicast group, or to each peer of one family.
fn add_ways(all: &mut Vec<Way>, ways: &[Way]) {
    for way in ways {
        let mut there = all.iter().filter(|one| one.interface == way.interface);
        let fits = |one: &Way| {
            let unicast = one.to.zip(way.to);
            unicast.is_some_and(|(one, to)| one != to && one.is_ipv4() == to.is_ipv4())
        };
        if there.all(fits) {
            all.push(*way);
        }
    }
}
