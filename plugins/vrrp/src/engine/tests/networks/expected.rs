//! Required behaviour of a pair at a fault of one network while the other one is whole: from what each node can find
//! out, by the rules of docs/election.md.

use super::super::lab::carried_frames::{CarriedFrames, Kind, StationBehaviour, Stations};

/// Result of a node's questions to stations (E3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Rating {
    /// A station that should answer does not.
    Bad,
    /// There is no station that should answer.
    Unknown,
    Good,
}

/// Answers to the active node's virtual MAC address from stations that answer its own one (E15).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum MacAnswers {
    /// There is no such station, or the node knows none.
    Nobody,
    Yes,
    No,
    /// Some stations answer it and some do not, and it is open which one is asked.
    Either,
}

/// Fault of a network.
#[derive(Clone, Copy, Debug)]
pub struct Fault {
    pub carried_frames: CarriedFrames,
    pub stations: Stations,
    pub vmac: bool,
}

/// Requirement of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Requirement {
    No,
    Yes,
    /// The report depends on which node was faster, or on which station was asked.
    Maybe,
}

/// Required reports on the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequiredReports {
    /// One node does not hear the other (E3).
    pub unheard: Requirement,
    /// SP-0209: the virtual MAC address of the active node does not reach the backup.
    pub dropped: Requirement,
    /// SP-0212: stations do not answer the virtual MAC address of the active node.
    pub unanswered: Requirement,
    /// SP-0211: the virtual MAC address of the backup was dropped while it was active.
    pub before: Requirement,
}

impl From<bool> for Requirement {
    fn from(is_said: bool) -> Requirement {
        if is_said {
            Requirement::Yes
        } else {
            Requirement::No
        }
    }
}

impl Fault {
    /// Node that must be active some time after the fault, if `first` was before.
    pub fn active(self, first: usize) -> usize {
        let moves = self.moves_for_life(first) || self.moves_for_identity(first);
        if moves { 1 - first } else { first }
    }

    /// True if the role moves by E3.
    pub fn moves_for_life(self, first: usize) -> bool {
        let peer = 1 - first;
        let (own, theirs) = (self.rating(first), self.rating(peer));
        if self.hear_each_other() {
            false
        } else if self.hears(peer) {
            // the active node cannot receive or the peer cannot send: only a bad rating tells
            own == Rating::Bad
        } else {
            theirs > own || theirs == own && own != Rating::Good
        }
    }

    /// True if the role moves by E15: once, whatever the network does to the other node's virtual identity, which is
    /// untried. Answers of stations count more than what the backup hears.
    pub fn moves_for_identity(self, first: usize) -> bool {
        let is_lost = match self.answers(first, first) {
            MacAnswers::Nobody => self.is_dropped(first),
            MacAnswers::No => true,
            MacAnswers::Yes | MacAnswers::Either => false,
        };
        self.vmac && self.hear_each_other() && is_lost
    }

    /// Required reports if `first` was active before the fault.
    pub fn required_reports(self, first: usize) -> RequiredReports {
        let active = self.active(first);
        let is_dropped = self.vmac && self.hear_each_other() && self.is_dropped(active);
        let unanswered = match self.answers(active, first) {
            MacAnswers::No if self.vmac && !is_dropped => Requirement::Yes,
            MacAnswers::Either if self.vmac => Requirement::Maybe,
            _ => Requirement::No,
        };
        let was_lost = matches!(
            self.answers(first, first),
            MacAnswers::No | MacAnswers::Either
        );
        let before = if self.moves_for_life(first) && self.vmac && was_lost {
            Requirement::Maybe
        } else {
            self.moves_for_identity(first).into()
        };
        RequiredReports {
            unheard: (!self.hear_each_other()).into(),
            dropped: is_dropped.into(),
            unanswered,
            before,
        }
    }

    /// True if a node knows that the network carries its frames and brings those of others.
    pub fn is_proven(self, node: usize) -> bool {
        self.hear_each_other() || self.rating(node) == Rating::Good
    }

    pub fn hear_each_other(self) -> bool {
        self.hears(0) && self.hears(1)
    }

    /// True if heartbeats of the other node arrive.
    fn hears(self, node: usize) -> bool {
        carries_heartbeats(self.carried_frames, 1 - node)
    }

    /// True if frames from the virtual MAC address do not reach the other side.
    fn is_dropped(self, active: usize) -> bool {
        !self.carried_frames.carries(active, &[Kind::Virtual])
    }

    /// True if the station on a side answers a node's own MAC address.
    fn answers_own(self, node: usize, side: usize) -> bool {
        let is_reached = self.carried_frames.carries(node, &[Kind::Broadcast]);
        side == node || is_reached && self.carried_frames.carries(side, &[Kind::Unicast])
    }

    /// True if the station on a side answers a node's virtual MAC address.
    fn answers_virtual(self, node: usize, side: usize) -> bool {
        let outwards = [Kind::Broadcast, Kind::Virtual];
        let is_reached = self.carried_frames.carries(node, &outwards);
        side == node || is_reached && self.carried_frames.carries(side, &[Kind::Virtual])
    }

    /// Answers that the active node gets, if `first` was active before the fault.
    fn answers(self, active: usize, first: usize) -> MacAnswers {
        let Stations { sides, behaviour } = self.stations;
        // the node asks stations that spoke, also by an answer; of stations that only answer it knows those that E3
        // asked
        let is_known = match behaviour {
            StationBehaviour::SendFrames => true,
            StationBehaviour::Answer => !self.hear_each_other(),
            StationBehaviour::Silent => false,
        };
        let there = |side: &usize| is_known && sides[*side] && self.answers_own(active, *side);
        // the station that answered or spoke last comes first; of two at the same time it is the one on r2's side
        let hears_it = active == first || self.carried_frames.carries(1, &[Kind::Broadcast]);
        let order = if active == 1 || hears_it {
            [1, 0]
        } else {
            [0, 1]
        };
        let there = order.into_iter().filter(there);
        let mut answers = there.map(|side| self.answers_virtual(active, side));
        match (answers.next(), answers.next()) {
            (None, _) => MacAnswers::Nobody,
            (Some(one), Some(other)) if behaviour == StationBehaviour::Answer && one != other => {
                MacAnswers::Either
            }
            (Some(true), _) => MacAnswers::Yes,
            (Some(false), _) => MacAnswers::No,
        }
    }

    fn rating(self, node: usize) -> Rating {
        let Stations { sides, behaviour } = self.stations;
        let answers = |side: usize| self.answers_own(node, side);
        let mut there = (0..2).filter(|side| sides[*side]);
        match behaviour {
            StationBehaviour::SendFrames | StationBehaviour::Answer
                if there.clone().any(answers) =>
            {
                Rating::Good
            }
            StationBehaviour::SendFrames => Rating::Unknown,
            StationBehaviour::Answer | StationBehaviour::Silent if there.next().is_some() => {
                Rating::Bad
            }
            StationBehaviour::Answer | StationBehaviour::Silent => Rating::Unknown,
        }
    }
}

/// True if heartbeats of a node cross a network.
pub fn carries_heartbeats(carried_frames: CarriedFrames, from: usize) -> bool {
    carried_frames.carries(from, &[Kind::Multicast, Kind::Heartbeats])
}
