//! E12: rounds, the node's common heartbeats. A *round* is the heartbeat that carries all groups, at the shortest of
//! their intervals. A change between two rounds goes out at once, in a heartbeat that carries the groups concerned.
//!
//! No advert is sent without its heartbeat: directly before the advert, with nothing in between that waits for the
//! host, goes a heartbeat that says that its group is active. The peer counts the silence of a group from the last
//! heartbeat that carried it, the kernel counts the fence lease from the advert, and the lease is shorter than the
//! silence. So if a node dies, every lease has ended before the peer takes over, whatever the intervals of the other
//! groups. An additional heartbeat between two adverts only makes the peer wait longer.
//!
//! To need one heartbeat and not one for each group, adverts that would be due before the next round go with this one:
//! earlier than they must, never later.

use super::group::{Group, State};
use super::heartbeat_targets::HeartbeatTarget;
use super::{Action, Engine};
use crate::wire::heartbeat::Heartbeat;

/// Time of the next round, and where it is sent.
#[derive(Clone, Debug, Default)]
pub(super) struct Rounds {
    due_ns: u64,
    /// The heartbeat that waits carries all groups.
    is_round: bool,
    /// Targets of the heartbeat that is being sent, in addition to the links.
    targets: Vec<HeartbeatTarget>,
}

impl Engine {
    /// Writes what [`Action::Heartbeat`] sends: the parts of the groups that it carries, and its targets in addition to
    /// the links.
    pub fn heartbeat(
        &mut self,
        now_ns: u64,
    ) -> (impl Iterator<Item = &Heartbeat>, &[HeartbeatTarget]) {
        let is_round = std::mem::take(&mut self.rounds.is_round);
        let mut carries_all = true;
        let mut targets = std::mem::take(&mut self.rounds.targets);
        targets.clear();
        for index in 0..self.groups.len() {
            let Some((group, cx)) = self.context(now_ns, index) else {
                continue;
            };
            if group.join_heartbeat(&cx, is_round) {
                add_targets(&mut targets, group.networks.targets());
            } else {
                carries_all = false;
            }
        }
        self.rounds.targets = targets;
        if carries_all && !is_round {
            self.rounds.due_ns = self.next_round_ns(now_ns, now_ns);
        }
        let groups = self.groups.iter();
        let heartbeats = groups.filter_map(|group| group.own_heartbeat.carried());
        (heartbeats, self.rounds.targets.as_slice())
    }

    /// All targets of heartbeats, in addition to the links.
    pub fn targets(&self) -> Vec<HeartbeatTarget> {
        let mut targets = Vec::new();
        for group in &self.groups {
            add_targets(&mut targets, group.networks.targets());
        }
        targets
    }

    /// Time of the next round if nothing changes before.
    pub(super) fn round_timeout(&self) -> Option<u64> {
        self.round_interval_ns().map(|_| self.rounds.due_ns)
    }

    /// Begins a round at the next timeout, for news to a peer that may know nothing yet.
    pub fn begin_round_soon(&mut self, now_ns: u64) {
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

    /// Time of the next round, counted from the due time so that lateness does not add up.
    fn next_round_ns(&self, now_ns: u64, due_ns: u64) -> u64 {
        let interval_ns = self.round_interval_ns().unwrap_or(0);
        let next_ns = due_ns.saturating_add(interval_ns);
        if next_ns > now_ns {
            next_ns
        } else {
            now_ns.saturating_add(interval_ns)
        }
    }

    /// Shortest interval of the groups that speak; None without keys or if no group speaks.
    fn round_interval_ns(&self) -> Option<u64> {
        let groups = self.groups.iter().filter(|_| self.keys);
        groups.filter_map(Group::heartbeat_interval_ns).min()
    }
}

impl Group {
    fn advert_due_ns(&self) -> Option<u64> {
        match self.state {
            State::Active { advert_ns, .. } => Some(advert_ns),
            _ => None,
        }
    }

    /// Makes the group's adverts due now if they would be due before the next round.
    fn join_round(&mut self, due_ns: u64, interval_ns: u64) {
        if let State::Active { advert_ns, .. } = &mut self.state {
            if *advert_ns < due_ns.saturating_add(interval_ns) {
                *advert_ns = due_ns.min(*advert_ns);
            }
        }
    }
}

/// Adds the targets of a group. If several groups share an interface, one heartbeat goes there, as the first group has
/// it: to the multicast group, or to each peer of one family.
fn add_targets(all: &mut Vec<HeartbeatTarget>, targets: &[HeartbeatTarget]) {
    for target in targets {
        let mut there = all.iter().filter(|one| one.interface == target.interface);
        let is_another_peer = |one: &HeartbeatTarget| {
            let unicast = one.to.zip(target.to);
            unicast.is_some_and(|(one, to)| one != to && one.is_ipv4() == to.is_ipv4())
        };
        if there.all(is_another_peer) {
            all.push(*target);
        }
    }
}
