//! Addresses that are this node's ends of tunnels. Groups, and so addresses, may be active on both
//! nodes: who has the address has the tunnel.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::SECOND;
use crate::config::Settings;
use crate::sa::{Direction, Policy, Sa};

/// An active node that loses an address may be about to become backup: until then its tunnels are
/// told of as before.
const LINGER_NS: u64 = 5 * SECOND;

#[derive(Debug, Default)]
pub struct Ends {
    /// From the file.
    fixed: BTreeSet<IpAddr>,
    moved: BTreeSet<IpAddr>,
    /// Here for a switchover that is prepared: the peer still carries what goes there.
    prepared: BTreeSet<IpAddr>,
    /// Lost, and until when they count.
    lost: BTreeMap<IpAddr, u64>,
}

impl Ends {
    pub fn new(settings: &Settings) -> Self {
        let mut ends = Self::default();
        ends.configure(settings);
        ends
    }

    pub fn configure(&mut self, settings: &Settings) {
        self.fixed = settings.endpoints.iter().copied().collect();
    }

    /// The addresses that are here now. New ones do not count before the role while `preparing`, and
    /// lost ones count for a while if they `linger`.
    pub fn set(&mut self, now_ns: u64, here: BTreeSet<IpAddr>, preparing: bool, linger: bool) {
        self.lost.retain(|end, _| !here.contains(end));
        if linger {
            let lost = self.moved.difference(&here);
            self.lost.extend(lost.map(|end| (*end, now_ns + LINGER_NS)));
        }
        let held_back = |end: &&IpAddr| {
            let waits = preparing || self.prepared.contains(*end);
            waits && !self.moved.contains(*end)
        };
        let prepared: BTreeSet<IpAddr> = here.iter().filter(held_back).copied().collect();
        self.moved = here.difference(&prepared).copied().collect();
        self.prepared = prepared;
    }

    /// The role has come: what was prepared counts. Whether there was something.
    pub fn confirm(&mut self) -> bool {
        let had = !self.prepared.is_empty();
        self.moved.append(&mut self.prepared);
        had
    }

    /// Whether some lingered for long enough.
    pub fn expire(&mut self, now_ns: u64) -> bool {
        let before = self.lost.len();
        self.lost.retain(|_, until_ns| *until_ns > now_ns);
        self.lost.len() != before
    }

    /// What lingers does so until then at most.
    pub fn hurry(&mut self, until_ns: u64) {
        for lost_ns in self.lost.values_mut() {
            *lost_ns = until_ns.min(*lost_ns);
        }
    }

    pub fn next_ns(&self) -> u64 {
        self.lost.values().copied().min().unwrap_or(u64::MAX)
    }

    /// All that are here, or were until a moment ago, and those of the file.
    pub fn all(&self) -> impl Iterator<Item = IpAddr> {
        let here = self.moved.iter().chain(&self.prepared);
        here.chain(self.lost.keys()).chain(&self.fixed).copied()
    }

    /// Whether spared has put it on an interface here.
    pub fn is_here(&self, end: &IpAddr) -> bool {
        self.moved.contains(end) || self.prepared.contains(end)
    }

    /// Whether it was here until a moment ago.
    pub fn is_lost(&self, end: &IpAddr) -> bool {
        self.lost.contains_key(end)
    }

    pub fn forget_lost(&mut self) {
        self.lost.clear();
    }

    /// Whether tunnels of this end are this node's, if it is active.
    pub fn has(&self, end: &IpAddr) -> bool {
        self.moved.contains(end) || self.fixed.contains(end) || self.lost.contains_key(end)
    }

    /// On which side of this node an SA is; None where its local end stays here.
    pub fn side(&self, sa: &Sa) -> Option<Direction> {
        let into = self.has(&sa.id.destination);
        let out = self.has(&sa.source);
        match sa.direction {
            Some(Direction::In) => into.then_some(Direction::In),
            Some(Direction::Out) => out.then_some(Direction::Out),
            None if into => Some(Direction::In),
            None => out.then_some(Direction::Out),
        }
    }

    /// Whether an active node keeps it for now; those that linger do not.
    pub fn stays(&self, end: &IpAddr) -> bool {
        self.moved.contains(end) || self.fixed.contains(end)
    }

    /// Whether the address itself is here, or was until a moment ago: nobody else has it.
    pub fn has_address(&self, end: &IpAddr) -> bool {
        self.moved.contains(end) || self.lost.contains_key(end)
    }

    pub fn has_policy(&self, policy: &Policy) -> bool {
        policy.end.is_none_or(|end| self.has(&end))
    }
}
