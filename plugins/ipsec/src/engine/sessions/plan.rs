//! Order in which charon gets sessions: an IKE SA that was rekeyed comes with its children before the one in its place.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::charon::Charon;
use super::messages::messages_of;
use crate::sa::Body;
use crate::sessions::{IkeSa, IkeSpis, Sessions};

/// Part of the sessions that charon is to get next.
#[derive(Debug)]
pub(super) enum Step {
    /// IKE SA with its messages: its record may end before it is their turn, when its last child does.
    Ike {
        spis: IkeSpis,
        messages: Vec<Body>,
    },
    Child(u32),
    /// charon answers for the IKE SAs that it has.
    Activate,
}

/// Returns the steps for sessions of this version that charon does not have yet; of connections other than the `missing`
/// ones.
pub(super) fn plan(
    sessions: &Sessions,
    charon: &Charon,
    version: u8,
    missing: &BTreeSet<String>,
) -> VecDeque<Step> {
    let is_wanted = |ike: &IkeSa| {
        ike.version == version && ike.end.is_some() && !missing.contains(&ike.connection)
    };
    let superseded = sessions.predecessors(charon.ikes().map(|(spis, _)| *spis));
    let is_lacking = |it: &IkeSpis| !charon.has(it) && !superseded.contains(it);
    let all = sessions.ikes.iter();
    let all = all.filter(|(spis, it)| is_lacking(spis) && is_wanted(it));
    let mut waiting: BTreeMap<&IkeSpis, &IkeSa> = all.collect();
    let mut children: BTreeMap<IkeSpis, Vec<(u64, u32)>> = BTreeMap::new();
    for (spi, child) in &sessions.children {
        let of_ike = children.entry(child.ike).or_default();
        of_ike.push((child.order, *spi));
    }
    let (mut first, mut last) = (VecDeque::new(), VecDeque::new());
    while !waiting.is_empty() {
        // those in whose place others are come before them
        let waits = |it: &IkeSa| it.replaces.is_some_and(|it| waiting.contains_key(&it));
        let (later, next) = waiting.iter().partition(|(_, it)| waits(it));
        let next: BTreeMap<&IkeSpis, &IkeSa> = next;
        if next.is_empty() {
            // each in the place of the other: no charon says so
            break;
        }
        for (spis, ike) in next {
            first.push_back(Step::Ike {
                spis: *spis,
                messages: messages_of(*spis, ike),
            });
            let mut children = children.remove(spis).unwrap_or_default();
            children.sort_unstable();
            let steps = if ike.is_ended { &mut first } else { &mut last };
            steps.extend(children.into_iter().map(|(_, spi)| Step::Child(spi)));
        }
        waiting = later;
    }
    first.push_back(Step::Activate);
    first.append(&mut last);
    first
}
