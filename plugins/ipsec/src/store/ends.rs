//! Tracks the addresses that are local ends of tunnels. Groups, and so addresses, may be active on both nodes: the node
//! with the address has the tunnel.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::SECOND;
use crate::config::Settings;
use crate::sa::{Direction, Policy, Sa};

/// Time for which a lost address counts: an active node that loses one may be about to become backup, and reports its
/// tunnels as before until then.
const LINGER_NS: u64 = 5 * SECOND;

#[derive(Debug, Default)]
pub struct Ends {
    /// Addresses from the configuration.
    fixed: BTreeSet<IpAddr>,
    moved: BTreeSet<IpAddr>,
    /// Addresses that are here for a prepared switchover, while the peer still carries their tunnels.
    prepared: BTreeSet<IpAddr>,
    /// Addresses that were here since the plugin started.
    earlier: BTreeSet<IpAddr>,
    /// Lost addresses, and the time until which they count.
    lingering: BTreeMap<IpAddr, u64>,
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

    /// Sets the addresses that are here now. With `preparing`, new ones do not count before the role; with `linger`,
    /// lost ones count for a while.
    pub fn set(&mut self, now_ns: u64, here: BTreeSet<IpAddr>, preparing: bool, linger: bool) {
        self.lingering.retain(|end, _| !here.contains(end));
        self.earlier.extend(&here);
        if linger {
            let lost = self.moved.difference(&here);
            self.lingering
                .extend(lost.map(|end| (*end, now_ns + LINGER_NS)));
        }
        let held_back = |end: &&IpAddr| {
            let waits = preparing || self.prepared.contains(*end);
            waits && !self.moved.contains(*end)
        };
        let prepared: BTreeSet<IpAddr> = here.iter().filter(held_back).copied().collect();
        self.moved = here.difference(&prepared).copied().collect();
        self.prepared = prepared;
    }

    /// Makes prepared addresses count when the role has come. Returns true if there were any.
    pub fn confirm(&mut self) -> bool {
        let had = !self.prepared.is_empty();
        self.moved.append(&mut self.prepared);
        had
    }

    /// Removes lost addresses whose time is over. Returns true if there were any.
    pub fn expire(&mut self, now_ns: u64) -> bool {
        let before = self.lingering.len();
        self.lingering.retain(|_, until_ns| *until_ns > now_ns);
        self.lingering.len() != before
    }

    /// Shortens the time of lost addresses.
    pub fn shorten_lingering(&mut self, until_ns: u64) {
        for lingers_until_ns in self.lingering.values_mut() {
            *lingers_until_ns = until_ns.min(*lingers_until_ns);
        }
    }

    pub fn next_ns(&self) -> u64 {
        self.lingering.values().copied().min().unwrap_or(u64::MAX)
    }

    /// Returns all addresses that are here or were until a moment ago, and those of the configuration.
    pub fn all(&self) -> impl Iterator<Item = IpAddr> {
        let here = self.moved.iter().chain(&self.prepared);
        here.chain(self.lingering.keys())
            .chain(&self.fixed)
            .copied()
    }

    /// Returns true if spared has set the address here.
    pub fn is_here(&self, end: &IpAddr) -> bool {
        self.moved.contains(end) || self.prepared.contains(end)
    }

    /// Returns true if spared has had the address here, now or earlier.
    pub fn was_here(&self, end: &IpAddr) -> bool {
        self.earlier.contains(end)
    }

    pub fn is_fixed(&self, end: &IpAddr) -> bool {
        self.fixed.contains(end)
    }

    /// Returns true if any address is here, or one of the configuration may be.
    pub fn has_any(&self) -> bool {
        !self.moved.is_empty() || !self.fixed.is_empty()
    }

    /// Returns true if the address was here until a moment ago.
    pub fn is_lingering(&self, end: &IpAddr) -> bool {
        self.lingering.contains_key(end)
    }

    pub fn forget_lingering(&mut self) {
        self.lingering.clear();
    }

    /// Returns true if tunnels of this end belong to this node, if it is active.
    pub fn owns(&self, end: &IpAddr) -> bool {
        self.moved.contains(end) || self.fixed.contains(end) || self.lingering.contains_key(end)
    }

    /// Returns the side of this node in an SA; None if its local end is not replicated.
    pub fn side(&self, sa: &Sa) -> Option<Direction> {
        let into = self.owns(&sa.id.destination);
        let out = self.owns(&sa.source);
        match sa.direction {
            Some(Direction::In) => into.then_some(Direction::In),
            Some(Direction::Out) => out.then_some(Direction::Out),
            None if into => Some(Direction::In),
            None => out.then_some(Direction::Out),
        }
    }

    /// Returns true if an active node keeps the address for now; a lost one does not count.
    pub fn is_kept(&self, end: &IpAddr) -> bool {
        self.moved.contains(end) || self.fixed.contains(end)
    }

    /// Returns true if the address itself is here, or was until a moment ago, so that the peer does not have it.
    pub fn has_address(&self, end: &IpAddr) -> bool {
        self.moved.contains(end) || self.lingering.contains_key(end)
    }

    pub fn owns_policy(&self, policy: &Policy) -> bool {
        policy.end.is_none_or(|end| self.owns(&end))
    }
}
