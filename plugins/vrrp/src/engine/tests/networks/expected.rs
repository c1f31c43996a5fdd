//! What a pair must do about a fault of one network while the other one is whole: from what each node can find out,
//! as docs/election.md has it.

use super::super::lab::carriage::{Carriage, Habit, Kind, Stations};

/// E3: what a node finds out by asking stations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Rating {
    /// One that should answer does not.
    Bad,
    /// There is nobody who should answer.
    Unknown,
    Good,
}

/// E15: what stations that answer the active node's own MAC address answer to its virtual one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answers {
    /// There is no such station, or this node knows none.
    Nobody,
    Yes,
    No,
    /// Some answer it and some do not, and it is not known which one is asked.
    Either,
}

/// A fault of a network.
#[derive(Clone, Copy, Debug)]
pub struct Fault {
    pub carriage: Carriage,
    pub stations: Stations,
    pub vmac: bool,
}

/// Whether something is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said {
    No,
    Yes,
    /// It depends on who was faster, or on which station was asked.
    Maybe,
}

/// What must be said of the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told {
    /// E3: one of both does not hear the other.
    pub unheard: Said,
    /// SP-0209: the virtual MAC address of the active node does not reach the backup.
    pub dropped: Said,
    /// SP-0212: stations do not answer it.
    pub unanswered: Said,
    /// SP-0211: that of the backup was dropped while it was active.
    pub before: Said,
}

impl From<bool> for Said {
    fn from(is_said: bool) -> Said {
        if is_said { Said::Yes } else { Said::No }
    }
}

impl Fault {
    /// Who must be active some time after the fault, if `first` was.
    pub fn active(self, first: usize) -> usize {
        let moves = self.moves_for_life(first) || self.moves_for_identity(first);
        if moves { 1 - first } else { first }
    }

    /// E3.
    pub fn moves_for_life(self, first: usize) -> bool {
        let peer = 1 - first;
        let (own, theirs) = (self.rating(first), self.rating(peer));
        if self.hear_each_other() {
            false
        } else if self.hears(peer) {
            // whether the active node cannot receive or the peer cannot send: only a bad rating tells
            own == Rating::Bad
        } else {
            theirs > own || theirs == own && own != Rating::Good
        }
    }

    /// E15: once, whatever the network does to the other node's virtual identity, which nobody has tried. What stations
    /// answer counts more than what the backup hears.
    pub fn moves_for_identity(self, first: usize) -> bool {
        let is_lost = match self.answers(first, first) {
            Answers::Nobody => self.is_dropped(first),
            Answers::No => true,
            Answers::Yes | Answers::Either => false,
        };
        self.vmac && self.hear_each_other() && is_lost
    }

    /// What must be said if `first` was active before the fault.
    pub fn told(self, first: usize) -> Told {
        let active = self.active(first);
        let is_dropped = self.vmac && self.hear_each_other() && self.is_dropped(active);
        let unanswered = match self.answers(active, first) {
            Answers::No if self.vmac && !is_dropped => Said::Yes,
            Answers::Either if self.vmac => Said::Maybe,
            _ => Said::No,
        };
        let was_lost = matches!(self.answers(first, first), Answers::No | Answers::Either);
        let before = match self.moves_for_life(first) && self.vmac && was_lost {
            true => Said::Maybe,
            false => self.moves_for_identity(first).into(),
        };
        Told {
            unheard: (!self.hear_each_other()).into(),
            dropped: is_dropped.into(),
            unanswered,
            before,
        }
    }

    /// Whether a node knows that the network carries its frames and brings those of others.
    pub fn is_proven(self, node: usize) -> bool {
        self.hear_each_other() || self.rating(node) == Rating::Good
    }

    pub fn hear_each_other(self) -> bool {
        self.hears(0) && self.hears(1)
    }

    /// Heartbeats of the other node arrive.
    fn hears(self, node: usize) -> bool {
        carries_heartbeats(self.carriage, 1 - node)
    }

    /// Frames of the virtual MAC address do not reach the other side.
    fn is_dropped(self, active: usize) -> bool {
        !self.carriage.carries(active, &[Kind::Virtual])
    }

    /// The station on a side answers a node's own MAC address.
    fn answers_own(self, node: usize, side: usize) -> bool {
        let is_reached = self.carriage.carries(node, &[Kind::Broadcast]);
        side == node || is_reached && self.carriage.carries(side, &[Kind::Unicast])
    }

    /// The same of its virtual one.
    fn answers_virtual(self, node: usize, side: usize) -> bool {
        let outwards = [Kind::Broadcast, Kind::Virtual];
        let is_reached = self.carriage.carries(node, &outwards);
        side == node || is_reached && self.carriage.carries(side, &[Kind::Virtual])
    }

    /// What the active node gets to know, if `first` was active before the fault.
    fn answers(self, active: usize, first: usize) -> Answers {
        let Stations { sides, habit } = self.stations;
        // it asks whoever spoke, and an answer is speaking: of those that only answer it knows whom E3 asked
        let is_known = match habit {
            Habit::Talk => true,
            Habit::Answer => !self.hear_each_other(),
            Habit::Silent => false,
        };
        let there = |side: &usize| is_known && sides[*side] && self.answers_own(active, *side);
        // the one that answered last, or spoke last: at the same time, that on the side of r2 is the later one
        let hears_it = active == first || self.carriage.carries(1, &[Kind::Broadcast]);
        let order = if active == 1 || hears_it {
            [1, 0]
        } else {
            [0, 1]
        };
        let there = order.into_iter().filter(there);
        let mut answers = there.map(|side| self.answers_virtual(active, side));
        match (answers.next(), answers.next()) {
            (None, _) => Answers::Nobody,
            (Some(one), Some(other)) if habit == Habit::Answer && one != other => Answers::Either,
            (Some(true), _) => Answers::Yes,
            (Some(false), _) => Answers::No,
        }
    }

    fn rating(self, node: usize) -> Rating {
        let Stations { sides, habit } = self.stations;
        let answers = |side: usize| self.answers_own(node, side);
        let mut there = (0..2).filter(|side| sides[*side]);
        match habit {
            Habit::Talk | Habit::Answer if there.clone().any(answers) => Rating::Good,
            Habit::Talk => Rating::Unknown,
            Habit::Answer | Habit::Silent if there.next().is_some() => Rating::Bad,
            Habit::Answer | Habit::Silent => Rating::Unknown,
        }
    }
}

/// Heartbeats of a node cross a network.
pub fn carries_heartbeats(carriage: Carriage, from: usize) -> bool {
    carriage.carries(from, &[Kind::Multicast, Kind::Heartbeats])
}
