// SPDX-License-Identifier: MIT OR Apache-2.0
//! Expectations for faults, independent of the nodes' reports: which nodes may be active, by when a node must report a
//! fault, and how long its repair takes to be noticed.

use std::time::Duration;

use super::fault::{Fault, Frames, What};
use super::kind::{Kind, Serves};
use crate::lab::{Direction, Wire};

/// Longest time in which a node notices a fault, if the manual says nothing else.
const NOTICED: Duration = Duration::from_secs(3);
/// Time for E15: frames that the network drops are asked for three times, after a second without an advert.
const ASKED_FOR: Duration = Duration::from_secs(5);
/// Time for SP-0507, which comes after about five seconds.
const NARROW: Duration = Duration::from_secs(8);
/// Time for SP-0109: two looks, one a second, and a second question.
const TWO_LOOKS: Duration = Duration::from_secs(3);
/// Number of unanswered questions after which a third machine counts as gone; one address of a network is asked for
/// each second.
const UNANSWERED: u32 = 5;

/// Circumstances of a fault.
pub struct Circumstances<'a> {
    pub kind: Kind,
    /// The only active node, if there is one.
    pub active: Option<usize>,
    /// All lasting faults, including this one.
    pub standing: &'a [Fault],
    /// A daemon has started since the fault began.
    pub is_restarted: bool,
}

/// Returns the time within which OK ends during a fault; None if no node can know it, or need report it.
pub fn named_within(fault: &Fault, circumstances: &Circumstances) -> Option<Duration> {
    let is_sent = |way: Direction| {
        let active = circumstances.active?;
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
            // a new run does not know whether heartbeats passed there before
            Frames::All | Frames::Multicast | Frames::Heartbeats => {
                (!circumstances.is_restarted).then_some(NOTICED)
            }
            Frames::Adverts => {
                is_sent(way)?;
                is_alone(fault, circumstances).then_some(ASKED_FOR)
            }
            Frames::VirtualMacs => {
                is_sent(way)?;
                let is_used = circumstances.kind.serves == Serves::Vmac;
                (is_used && is_alone(fault, circumstances)).then_some(ASKED_FOR)
            }
            // only questions of stations are lost: heartbeats and adverts pass
            Frames::Broadcast => None,
        },
        What::Muted(_) if circumstances.active != Some(fault.site) => None,
        // the filter is not on the virtual device, where the fence is: the other node misses the adverts
        What::Muted(_) if circumstances.kind.serves == Serves::Vmac => {
            is_alone(fault, circumstances).then_some(ASKED_FOR)
        }
        What::Muted(_) => Some(NOTICED),
        What::Third(_) => {
            is_alone(fault, circumstances).then(|| named_third(fault, circumstances.kind))
        }
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

/// Returns true if both nodes know it without a link: each detects it by itself, or by the other one's heartbeats,
/// which report on each network.
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
        // faults that only the node itself can detect
        What::NotForwarding
        | What::Muted(_)
        | What::OutputChain
        | What::Flushed
        | What::Killed
        | What::DaemonKilled
        | What::Frozen
        | What::Stopped => false,
        // reported by the session
        What::LinkCut | What::LinkOneWay(_) | What::LinkHeartbeats(_) | What::LinkNarrow => false,
    }
}

fn named_third(fault: &Fault, kind: Kind) -> Duration {
    let wires = fault.wires().iter();
    let turns = wires.map(|wire| kind.addresses_on(*wire)).max();
    TWO_LOOKS + Duration::from_secs(turns.unwrap_or_default().into())
}

/// Returns true if no other fault hides it: none affects the same network, and no daemon is down.
fn is_alone(fault: &Fault, circumstances: &Circumstances) -> bool {
    let others = circumstances
        .standing
        .iter()
        .filter(|other| *other != fault);
    let hides = |other: &Fault| {
        let mut wires = other.wires().iter();
        other.is_of_daemon() || wires.any(|wire| fault.wires().contains(wire))
    };
    !others.into_iter().any(hides)
}

/// Returns the longest time of [`named_within`] for a fault in any circumstances.
pub fn longest(fault: &Fault, kind: Kind) -> Duration {
    let on_each = [0, 1].map(|active| {
        named_within(
            fault,
            &Circumstances {
                kind,
                active: Some(active),
                standing: &[*fault],
                is_restarted: false,
            },
        )
    });
    on_each.into_iter().flatten().max().unwrap_or_default()
}

/// Returns the time after a repair in which the pair may still report the fault, in addition to that of all faults.
pub fn mend_takes(fault: &Fault, kind: Kind) -> Duration {
    match fault.what {
        What::Third(wire) => Duration::from_secs((kind.addresses_on(wire) * UNANSWERED).into()),
        _ => Duration::ZERO,
    }
}

/// Returns true if both nodes may answer (E4, E5): a node that receives no heartbeat of the other one on any path
/// counts it as dead.
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
    /// Returns true if no heartbeat of the node `from` passes on a path.
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
            // without the IPv4 address, heartbeats come from the link-local address
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
        // the link loses frames in the other direction
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
        let circumstances = Circumstances {
            kind,
            active: Some(active),
            standing: &standing,
            is_restarted: false,
        };
        named_within(&fault, &circumstances)
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
