//! What the other node has, kept in memory for a failover.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::sa::{ChildName, Direction, Life, Policy, PolicyId, Sa, SaId};
use crate::wire::{Counted, Pace, ToldSa};

#[derive(Debug, Default)]
pub struct Held {
    pub sas: BTreeMap<SaId, HeldSa>,
    pub policies: BTreeMap<PolicyId, HeldPolicy>,
    /// The other node's ends of them.
    pub ends: BTreeSet<IpAddr>,
}

#[derive(Debug)]
pub struct HeldSa {
    pub sa: Sa,
    pub side: Direction,
    pub pace: Pace,
    pub name: Option<ChildName>,
    /// When its numbers were told.
    pub told_ms: u64,
    /// When its life was.
    pub life_ms: u64,
    /// Of the snapshot that had it last; 0: this node's own, from when it was active.
    pub epoch: u32,
    /// What the kernel here has to be capable of.
    pub proof: Option<usize>,
}

#[derive(Debug)]
pub struct HeldPolicy {
    /// As it is put here.
    pub policy: Policy,
    pub epoch: u32,
}

impl HeldSa {
    pub fn told(now_ms: u64, told: ToldSa, epoch: u32) -> Self {
        Self {
            sa: told.sa,
            side: told.side,
            pace: told.pace,
            name: told.name,
            told_ms: now_ms,
            life_ms: now_ms,
            epoch,
            proof: None,
        }
    }

    pub fn count(&mut self, now_ms: u64, counted: Counted) {
        if counted.replay.form.capacity() != self.sa.replay.form.capacity() {
            return;
        }
        (self.sa.replay, self.sa.life) = (counted.replay, counted.life);
        (self.pace, self.told_ms, self.life_ms) = (counted.pace, now_ms, now_ms);
    }

    pub fn local_end(&self) -> IpAddr {
        match self.side {
            Direction::In => self.sa.id.destination,
            Direction::Out => self.sa.source,
        }
    }

    pub fn life(&self, now_ms: u64) -> Life {
        self.sa.life.later(now_ms.saturating_sub(self.life_ms))
    }
}

impl Held {
    /// The busiest first; of those alike what is sent with.
    pub fn by_urgency(&self) -> Vec<(&SaId, &HeldSa)> {
        let mut sas: Vec<(&SaId, &HeldSa)> = self.sas.iter().collect();
        sas.sort_by_key(|(_, it)| (Reverse(it.pace.packets_per_s), it.side == Direction::In));
        sas
    }

    pub fn sort_ends(&mut self) {
        self.ends = self.sas.values().map(HeldSa::local_end).collect();
    }
}
