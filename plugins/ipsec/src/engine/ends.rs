//! Addresses that are this node's ends of tunnels.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::Engine;
use crate::body::selector_ends;
use crate::config::Settings;
use crate::sa::{Direction, Policy, Sa};

/// An active node that loses an address may be about to become backup: until then its tunnels are
/// told of as before.
const LINGER_MS: u64 = 5_000;

#[derive(Debug, Default)]
pub struct Ends {
    /// From the file.
    fixed: BTreeSet<IpAddr>,
    moved: BTreeSet<IpAddr>,
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

    pub fn set(&mut self, now_ms: u64, moved: BTreeSet<IpAddr>, linger: bool) {
        self.lost.retain(|end, _| !moved.contains(end));
        if linger {
            let lost = self.moved.difference(&moved);
            self.lost.extend(lost.map(|end| (*end, now_ms + LINGER_MS)));
        }
        self.moved = moved;
    }

    /// Whether some lingered for long enough.
    pub fn expire(&mut self, now_ms: u64) -> bool {
        let before = self.lost.len();
        self.lost.retain(|_, until_ms| *until_ms > now_ms);
        self.lost.len() != before
    }

    pub fn next_ms(&self) -> u64 {
        self.lost.values().copied().min().unwrap_or(u64::MAX)
    }

    /// Whether spared has put it on an interface here.
    pub fn is_here(&self, end: &IpAddr) -> bool {
        self.moved.contains(end)
    }

    pub fn forget_lost(&mut self) {
        self.lost.clear();
    }

    fn has(&self, end: &IpAddr) -> bool {
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

    pub fn has_policy(&self, policy: &Policy) -> bool {
        local_end(policy).is_none_or(|end| self.has(&end))
    }
}

/// The end of its tunnels on the node that has it; transport mode leaves it to the selector.
pub fn local_end(policy: &Policy) -> Option<IpAddr> {
    const OUT: u8 = 1;
    let end = policy.local_end()?;
    if !end.is_unspecified() {
        return Some(end);
    }
    let (source, destination) = selector_ends(&policy.id.selector)?;
    Some(match policy.id.direction {
        OUT => source,
        _ => destination,
    })
}

impl Engine {
    /// Other ends, other SAs and policies that follow.
    pub(super) fn sort_ends(&mut self, now_ms: u64) {
        let mut changed = Vec::new();
        for (id, known) in &mut self.sas {
            let installed = self.installed.get(id).map(|it| it.side);
            let side = installed.or_else(|| self.ends.side(&known.sa));
            if side != known.side {
                known.set_side(now_ms, side);
                changed.push(*id);
            }
        }
        for id in changed {
            self.sender.mark_sa_dirty(id);
        }
        let mut changed = Vec::new();
        for (id, known) in &mut self.policies {
            let ours = self.ends.has_policy(&known.policy) || self.put.has(id);
            if ours != known.ours {
                known.ours = ours;
                changed.push(*id);
            }
        }
        for id in changed {
            self.sender.mark_policy_dirty(id);
        }
        self.dirty = true;
    }
}
