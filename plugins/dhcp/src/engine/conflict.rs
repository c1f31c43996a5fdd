//! Resolves conflicts between leases that both nodes granted while they were not connected: the later commit wins.

use std::collections::VecDeque;

use super::book::is_living;
use crate::lease::{Client, Key, Lease};

/// Limit of conflicts kept for display.
const KEPT: usize = 64;
/// One address that two clients had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    pub at_ns: u64,
    pub key: Key,
    pub kept: Lease,
    pub lost: Lease,
    /// The peer's lease won.
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

/// Returns true if two leases of one address belong to two clients that both may use it.
pub fn are_rivals(now_ns: u64, one: &Lease, other: &Lease) -> bool {
    let both_live = is_living(now_ns, one) && is_living(now_ns, other);
    both_live && !is_one(&one.client, &other.client)
}

/// Returns true if the peer's lease is later. A file without lease durations has no commit times either: the lease that
/// expires later is the later one.
pub fn is_later(theirs: &Lease, ours: &Lease) -> bool {
    match (theirs.expires_ns, ours.expires_ns) {
        (Some(theirs), Some(ours_ns)) if ours.valid_s == 0 => theirs > ours_ns,
        _ => theirs.committed_ns > ours.committed_ns,
    }
}

/// Returns true if both are one client. A client may change its identifier between boot loader and system, and its
/// network card between two leases, but not both.
fn is_one(one: &Client, other: &Client) -> bool {
    let card = !one.hardware.is_empty()
        && one.hardware == other.hardware
        && one.hardware_type == other.hardware_type;
    let id = !one.id.is_empty() && one.id == other.id && one.iaid == other.iaid;
    card || id
}
