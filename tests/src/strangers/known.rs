// SPDX-License-Identifier: MIT OR Apache-2.0
//! What is known of faults without a word of the nodes: who may be active, by which time a node must say that
//! something is broken, and how long its mend takes to be noticed.

use std::time::Duration;

use super::fault::{Fault, Frames, What};
use super::kind::{Kind, Serves};
use crate::lab::{Direction, Wire};

/// Longest time in which a node notices a fault, if the manual says nothing else.
const NOTICED: Duration = Duration::from_secs(3);
/// E15: what the network drops is asked for, three times, after a second without an advert.
const ASKED_FOR: Duration = Duration::from_secs(5);
/// SP-0507 comes after some five seconds.
const NARROW: Duration = Duration::from_secs(8);
/// Of SP-0109: two looks, one a second, and a second question.
const TWO_LOOKS: Duration = Duration::from_secs(3);
/// Questions without an answer after which a third machine is gone; one address of a network is asked for a second.
const UNANSWERED: u32 = 5;

/// What stands beside a fault.
pub struct Beside<'a> {
    pub kind: Kind,
    /// The only active node, if there is one.
    pub active: Option<usize>,
    /// All faults that stand, itself as well.
    pub standing: &'a [Fault],
    /// A daemon has begun since the fault began.
    pub is_restarted: bool,
}

/// Time within which OK ends beside a fault; None if no node can know it, or need say it.
pub fn named_within(fault: &Fault, beside: &Beside) -> Option<Duration> {
    let is_sent = |way: Direction| {
        let active = beside.active?;
        let from_active = if active == fault.site {
            Direction::From
        } else {
            Direction::To
        };
        (way == Direction::Both || way == from_active).then_some(())
    };
    match fault.what {
        What::Lost { frames, way, .. } => match frames {
            Frames::All | Frames::Multicast if way == Direction::Both => Some(NOTICED),
            // whether heartbeats passed there before is what a new run does not know
            Frames::All | Frames::Multicast | Frames::Heartbeats => {
                (!beside.is_restarted).then_some(NOTICED)
            }
            Frames::Adverts => {
                is_sent(way)?;
                is_alone(fault, beside).then_some(ASKED_FOR)
            }
            Frames::VirtualMacs => {
                is_sent(way)?;
                let is_used = beside.kind.serves == Serves::Vmac;
                (is_used && is_alone(fault, beside)).then_some(ASKED_FOR)
            }
            // questions of stations: heartbeats and adverts pass
            Frames::Broadcast => None,
        },
        What::Muted(_) if beside.active != Some(fault.site) => None,
        // the fence is on the virtual device, which the filter is not: the other node misses the adverts
        What::Muted(_) if beside.kind.serves == Serves::Vmac => {
            is_alone(fault, beside).then_some(ASKED_FOR)
        }
        What::Muted(_) => Some(NOTICED),
        What::Third(_) => is_alone(fault, beside).then(|| named_third(fault, beside.kind)),
        What::LinkNarrow => Some(NARROW),
        What::Renumbered(_) | What::OutputChain | What::Flushed => None,
        What::Carrier(_)
        | What::Switch(_)
        | What::Parted(_)
        | What::OwnAddress(_)
        | What::Renamed(_)
        | What::NotForwarding
        | What::Killed
        | What::DaemonKilled
        | What::Frozen
        | What::Stopped
        | What::LinkCut
        | What::LinkOneWay(_)
        | What::LinkHeartbeats(_) => Some(NOTICED),
    }
}

/// Whether both nodes know it without a link: each finds it by itself, or by what the heartbeats of the other one say of
/// each network.
pub fn is_in_heartbeats(fault: &Fault) -> bool {
    match fault.what {
        What::Lost { .. }
        | What::Carrier(_)
        | What::Switch(_)
        | What::Parted(_)
        | What::OwnAddress(_)
        | What::Renumbered(_)
        | What::Renamed(_)
        | What::Third(_) => true,
        // of the node alone
        What::NotForwarding
        | What::Muted(_)
        | What::OutputChain
        | What::Flushed
        | What::Killed
        | What::DaemonKilled
        | What::Frozen
        | What::Stopped => false,
        // see the session
        What::LinkCut | What::LinkOneWay(_) | What::LinkHeartbeats(_) | What::LinkNarrow => false,
    }
}

fn named_third(fault: &Fault, kind: Kind) -> Duration {
    let wires = fault.wires().iter();
    let turns = wires.map(|wire| kind.addresses_on(*wire)).max();
    TWO_LOOKS + Duration::from_secs(turns.unwrap_or_default().into())
}

/// No other fault hides it: none concerns the same network, and no daemon is away.
fn is_alone(fault: &Fault, beside: &Beside) -> bool {
    let others = beside.standing.iter().filter(|other| *other != fault);
    let hides = |other: &Fault| {
        let mut wires = other.wires().iter();
        other.is_of_daemon() || wires.any(|wire| fault.wires().contains(wire))
    };
    !others.into_iter().any(hides)
}

/// The longest that [`named_within`] gives a fault in any circumstances.
pub fn longest(fault: &Fault, kind: Kind) -> Duration {
    let on_each = [0, 1].map(|active| {
        named_within(
            fault,
            &Beside {
                kind,
                active: Some(active),
                standing: &[*fault],
                is_restarted: false,
            },
        )
    });
    on_each.into_iter().flatten().max().unwrap_or_default()
}

/// Time after a mend in which the pair may say that the fault still stands, beyond that of all faults.
pub fn mend_takes(fault: &Fault, kind: Kind) -> Duration {
    match fault.what {
        What::Third(wire) => Duration::from_secs((kind.addresses_on(wire) * UNANSWERED).into()),
        _ => Duration::ZERO,
    }
}

/// E4, E5: a node that hears no heartbeat of the other one on any path takes it for dead, and both may answer.
pub fn may_split(standing: &[Fault], kind: Kind) -> bool {
    let paths = [Wire::Lan, Wire::Wan, Wire::Hot];
    let paths = if kind.is_linked {
        &paths[..]
    } else {
        &paths[..2]
    };
    (0..2).any(|from| {
        let is_blocked = |wire: &Wire| standing.iter().any(|it| it.blocks(*wire, from, kind));
        paths.iter().all(is_blocked)
    })
}

impl Fault {
    /// No heartbeat of the node `from` passes on a path.
    fn blocks(&self, path: Wire, from: usize, kind: Kind) -> bool {
        let is_of = |way: Direction| match way {
            Direction::Both => true,
            Direction::From => self.site == from,
            Direction::To => self.site != from,
        };
        match self.what {
            What::Lost { on, frames, way } => {
                let are_heartbeats =
                    matches!(frames, Frames::All | Frames::Multicast | Frames::Heartbeats);
                on.contains(&path) && are_heartbeats && is_of(way)
            }
            What::Carrier(on) => on.contains(&path),
            What::Switch(wire) | What::Parted(wire) | What::Renamed(wire) => wire == path,
            // where IPv4 is gone, heartbeats come from the link-local address
            What::OwnAddress(wire) => {
                wire == path && self.site == from && kind.serves == Serves::Ipv6
            }
            What::LinkCut => path == Wire::Hot,
            What::LinkOneWay(way) | What::LinkHeartbeats(way) => path == Wire::Hot && is_of(way),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(site: usize, what: What) -> Fault {
        Fault {
            form: 0,
            site,
            what,
        }
    }

    fn lost(site: usize, frames: Frames, way: Direction, on: &'static [Wire]) -> Fault {
        fault(site, What::Lost { on, frames, way })
    }

    const LINKED: Kind = Kind::ALL[0];
    const VMAC: Kind = Kind::ALL[1];
    const UNLINKED: Kind = Kind::ALL[3];
    const UNLINKED_IPV6: Kind = Kind::ALL[5];

    #[test]
    fn a_split_is_allowed_only_where_no_heartbeat_passes_in_one_direction() {
        let both = lost(0, Frames::All, Direction::Both, &Wire::BOTH);
        assert!(may_split(&[both], UNLINKED));
        assert!(!may_split(&[both], LINKED));
        assert!(may_split(&[both, fault(1, What::LinkCut)], LINKED));
        let deaf = lost(0, Frames::Heartbeats, Direction::To, &Wire::BOTH);
        assert!(may_split(&[deaf], UNLINKED));
        // the direction of the link's loss is the other one
        let other = fault(0, What::LinkOneWay(Direction::From));
        assert!(!may_split(&[deaf, other], LINKED));
        assert!(may_split(
            &[deaf, fault(1, What::LinkOneWay(Direction::From))],
            LINKED
        ));
    }

    #[test]
    fn what_loses_no_heartbeats_allows_no_split() {
        let adverts = lost(0, Frames::Adverts, Direction::Both, &Wire::BOTH);
        let broadcast = lost(1, Frames::Broadcast, Direction::Both, &Wire::BOTH);
        assert!(!may_split(&[adverts, broadcast], UNLINKED));
        let lan = lost(0, Frames::All, Direction::Both, &[Wire::Lan]);
        let bare = fault(0, What::OwnAddress(Wire::Wan));
        assert!(!may_split(&[lan, bare], UNLINKED));
        assert!(may_split(&[lan, bare], UNLINKED_IPV6));
        assert!(!may_split(&[lan, fault(1, What::Frozen)], UNLINKED));
    }

    fn within(fault: Fault, active: usize, others: &[Fault], kind: Kind) -> Option<Duration> {
        let standing: Vec<Fault> = [&[fault][..], others].concat();
        let beside = Beside {
            kind,
            active: Some(active),
            standing: &standing,
            is_restarted: false,
        };
        named_within(&fault, &beside)
    }

    #[test]
    fn adverts_that_nobody_sends_are_not_missed() {
        let adverts = lost(0, Frames::Adverts, Direction::From, &[Wire::Lan]);
        assert_eq!(within(adverts, 0, &[], LINKED), Some(ASKED_FOR));
        assert_eq!(within(adverts, 1, &[], LINKED), None);
        let macs = lost(1, Frames::VirtualMacs, Direction::To, &[Wire::Lan]);
        assert_eq!(within(macs, 0, &[], VMAC), Some(ASKED_FOR));
        assert_eq!(within(macs, 0, &[], LINKED), None);
    }

    #[test]
    fn without_a_link_a_fault_of_a_network_is_known_to_both_and_one_of_the_node_is_not() {
        let parted = fault(0, What::Parted(Wire::Lan));
        let deaf = lost(0, Frames::Heartbeats, Direction::To, &[Wire::Lan]);
        assert!(is_in_heartbeats(&parted) && is_in_heartbeats(&deaf));
        assert!(!is_in_heartbeats(&fault(0, What::NotForwarding)));
    }

    #[test]
    fn a_fault_of_the_same_network_may_hide_what_has_to_be_asked_for() {
        let adverts = lost(0, Frames::Adverts, Direction::From, &[Wire::Lan]);
        let other = |wire| fault(1, What::Parted(wire));
        assert_eq!(within(adverts, 0, &[other(Wire::Lan)], LINKED), None);
        assert!(within(adverts, 0, &[other(Wire::Wan)], LINKED).is_some());
    }
}
