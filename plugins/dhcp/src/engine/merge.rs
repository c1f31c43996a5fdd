//! Who wins where two nodes gave leases without knowing of each other: the later commit.

use std::collections::VecDeque;

use super::book::{Book, is_living, is_same};
use crate::lease::{Client, Key, Lease};
use crate::wire::Record;

/// So many are kept for people.
const KEPT: usize = 64;
/// A deletion has to be later by that much: a message that was long on its way makes it look
/// younger than it is, and a lease too many only ends, while one too few is given twice.
const MARGIN_MS: i64 = 2_000;

/// One address, two clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    pub at_ms: i64,
    pub key: Key,
    pub kept: Lease,
    pub lost: Lease,
    /// What holds is the peer's.
    pub peer_won: bool,
}

#[derive(Debug, Default)]
pub struct Conflicts {
    pub count: u64,
    pub latest: VecDeque<Conflict>,
}

impl Conflicts {
    pub fn note(&mut self, conflict: Conflict) {
        self.count += 1;
        // a renewal that meets the same rival again is the same conflict
        let same = |it: &Conflict| {
            it.key == conflict.key
                && it.kept.client == conflict.kept.client
                && it.lost.client == conflict.lost.client
        };
        self.latest.retain(|it| !same(it));
        if self.latest.len() >= KEPT {
            self.latest.pop_front();
        }
        self.latest.push_back(conflict);
    }
}

/// What an offer of the peer comes to, here on the active node.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// What is here holds.
    Keep,
    Put(Lease),
    Gone(i64),
}

/// Decides an offered record; the conflict where both have a living client.
pub fn decide(book: &Book, now_ms: i64, record: Record) -> (Verdict, Option<Conflict>) {
    let (key, committed_ms) = (record.key, record.committed_ms(now_ms));
    let ours = book.get(&key);
    let Some(theirs) = record.lease(now_ms) else {
        let later = |ours: &Lease| committed_ms > ours.committed_ms.saturating_add(MARGIN_MS);
        return match ours.is_some_and(later) {
            true => (Verdict::Gone(committed_ms), None),
            false => (Verdict::Keep, None),
        };
    };
    let Some(ours) = ours else {
        let known = book
            .gone_ms(&key)
            .is_some_and(|gone_ms| gone_ms >= committed_ms);
        return match known || !is_living(now_ms, &theirs) {
            true => (Verdict::Keep, None),
            false => (Verdict::Put(theirs), None),
        };
    };
    if is_same(ours, &theirs) {
        return (Verdict::Keep, None);
    }
    let peer_won = is_later(&theirs, ours);
    let rivals = is_living(now_ms, ours)
        && is_living(now_ms, &theirs)
        && !is_one(&ours.client, &theirs.client);
    let conflict = rivals.then(|| {
        let (kept, lost) = match peer_won {
            true => (&theirs, ours),
            false => (ours, &theirs),
        };
        Conflict {
            at_ms: now_ms,
            key,
            kept: kept.clone(),
            lost: lost.clone(),
            peer_won,
        }
    });
    match peer_won {
        true => (Verdict::Put(theirs), conflict),
        false => (Verdict::Keep, conflict),
    }
}

/// A file that does not say for how long it was given does not say when, either; what ends later was
/// given later.
fn is_later(theirs: &Lease, ours: &Lease) -> bool {
    match (theirs.expires_ms, ours.expires_ms) {
        (Some(theirs), Some(ours_ms)) if ours.valid_s == 0 => theirs > ours_ms,
        _ => theirs.committed_ms > ours.committed_ms,
    }
}

/// A client may change its identifier from boot loader to system, and its card from one lease to
/// the next, but not both.
fn is_one(one: &Client, other: &Client) -> bool {
    let card = !one.hardware.is_empty()
        && one.hardware == other.hardware
        && one.hardware_type == other.hardware_type;
    let id = !one.id.is_empty() && one.id == other.id && one.iaid == other.iaid;
    card || id
}
