//! Decisions on offered records: a rule for each pair of flags.

use crate::store::{Authority, Tag};
use crate::wire::{Record, flag};

/// Smallest meaningful difference of ages, in ms: messages take time.
const MARGIN_MS: u64 = 2_000;

/// The decider's record under the key.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OwnRecord {
    pub tag: Tag,
    /// True if both values are equal.
    pub is_equal: bool,
    /// Milliseconds since the change here.
    pub age_ms: Option<u64>,
}

/// Value that holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    Equal,
    /// The record here, or its absence.
    Keep,
    /// The offered record.
    Take,
}

/// Decides on an offered record. The second value is true if a node lost its value.
pub(crate) fn decide(
    here: Option<OwnRecord>,
    offered: &Record<'_>,
    authority: Authority,
) -> (Decision, bool) {
    let shared = offered.has(flag::SHARED);
    let changed = offered.has(flag::CHANGED);
    if here.is_some_and(|here| here.is_equal) {
        return (Decision::Equal, false);
    }
    match authority {
        // a copy that the peer did not change is not a value of its own
        Authority::Ours => return (Decision::Keep, changed),
        Authority::Peers => return (Decision::Take, here.is_some_and(|it| it.tag.is_changed())),
        Authority::Both => {}
    }
    let Some(here) = here else {
        // if the peer had acknowledged the record, it was deleted here: a change outranks a deletion
        return (Decision::Take, shared);
    };
    match (here.tag.is_changed(), changed) {
        (false, true) => (Decision::Take, !here.tag.is_shared()),
        (true, false) => (Decision::Keep, !shared),
        (false, false) => (Decision::Keep, true),
        (true, true) => {
            if is_younger(offered.age_ms.map(u64::from), here.age_ms) {
                (Decision::Take, true)
            } else {
                (Decision::Keep, true)
            }
        }
    }
}

fn is_younger(theirs: Option<u64>, ours: Option<u64>) -> bool {
    match (theirs, ours) {
        (Some(theirs), Some(ours)) => theirs + MARGIN_MS < ours,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offered(flags: u8, age_ms: Option<u32>) -> Record<'static> {
        Record {
            flags,
            age_ms,
            key: b"k",
            value: b"v",
        }
    }

    fn here(flags: u8, age_ms: Option<u64>) -> Option<OwnRecord> {
        Some(OwnRecord {
            tag: Tag { stamp: 1, flags },
            is_equal: false,
            age_ms,
        })
    }

    const S: u8 = flag::SHARED;
    const C: u8 = flag::CHANGED;

    #[test]
    fn the_changed_side_holds() {
        let both = Authority::Both;
        let taken = (Decision::Take, false);
        assert_eq!(decide(here(S, None), &offered(S | C, None), both), taken);
        let kept = (Decision::Keep, false);
        assert_eq!(decide(here(S | C, None), &offered(S, None), both), kept);
    }

    #[test]
    fn of_two_changes_the_younger_holds_and_in_doubt_the_deciders() {
        let both = Authority::Both;
        let decide = |theirs, ours| decide(here(S | C, ours), &offered(S | C, theirs), both);
        assert_eq!(decide(Some(1_000), Some(9_000)), (Decision::Take, true));
        assert_eq!(decide(Some(9_000), Some(1_000)), (Decision::Keep, true));
        assert_eq!(decide(Some(1_000), Some(2_500)), (Decision::Keep, true));
        assert_eq!(decide(None, Some(9_000)), (Decision::Keep, true));
        assert_eq!(decide(Some(1_000), None), (Decision::Keep, true));
    }

    #[test]
    fn a_change_outranks_a_deletion_and_what_nobody_knew_is_added() {
        let both = Authority::Both;
        assert_eq!(
            decide(None, &offered(S | C, None), both),
            (Decision::Take, true)
        );
        assert_eq!(
            decide(None, &offered(0, None), both),
            (Decision::Take, false)
        );
    }

    #[test]
    fn the_owner_of_a_key_holds() {
        let (ours, peers) = (Authority::Ours, Authority::Peers);
        assert_eq!(
            decide(here(S, None), &offered(C, None), ours),
            (Decision::Keep, true)
        );
        assert_eq!(
            decide(None, &offered(0, None), ours),
            (Decision::Keep, false),
            "a copy of what the owner has deleted"
        );
        assert_eq!(
            decide(here(C, None), &offered(S, None), peers),
            (Decision::Take, true)
        );
    }
}
