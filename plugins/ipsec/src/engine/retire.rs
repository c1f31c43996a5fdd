//! A node that is active no longer: its SAs go from the kernel into memory, and the peer learns what
//! was received last.

use std::collections::BTreeMap;

use super::ends::local_end;
use super::held::{HeldPolicy, HeldSa};
use super::install::Failover;
use super::reqids::shifted_policy;
use super::window::united;
use super::{Change, Engine};
use crate::sa::{Direction, Replay, SaId};
use crate::wire::{Counted, Records};

/// A reading that takes longer is not waited for.
const READING_MS: u64 = 1_000;
/// The old node's last word counts so long after a failover.
const LAST_MS: u64 = 10_000;

/// What the kernel still receives with, until its numbers were read once more.
#[derive(Debug)]
pub struct Retiring {
    inbound: Vec<SaId>,
    pub wanted: u32,
    pub until_ms: u64,
}

/// What the old node received, until the kernel's own numbers were read.
#[derive(Debug, Default)]
pub struct Merge {
    received: BTreeMap<SaId, Replay>,
    wanted: u32,
}

impl Engine {
    pub(super) fn become_backup(&mut self, now_ms: u64) {
        self.end_adoption();
        self.failover = Failover::default();
        self.work.cancel_additions();
        let ours = self.sas.iter();
        let ours = ours.filter_map(|(id, it)| Some((*id, it.side?)));
        let ours: Vec<(SaId, Direction)> = ours.collect();
        let mut inbound = Vec::new();
        for (id, side) in ours {
            self.keep(id, side);
            match side {
                Direction::Out => {
                    self.work.push(Change::DeleteSa(id));
                    self.sas.remove(&id);
                }
                Direction::In => inbound.push(id),
            }
        }
        self.installed.clear();
        self.merge = Merge::default();
        self.held.sort_ends();
        self.keep_policies();
        self.ends.forget_lost();
        let wanted = self.read_fresh();
        self.retiring = Some(Retiring {
            inbound,
            wanted,
            until_ms: now_ms + READING_MS,
        });
        if !self.up {
            self.finish_retiring(now_ms);
        }
    }

    /// Its own SA, for a failover by this node.
    pub(super) fn keep(&mut self, id: SaId, side: Direction) {
        let Some(known) = self.sas.get(&id) else {
            return;
        };
        let held = HeldSa {
            sa: known.sa.clone(),
            side,
            pace: known.pace(),
            name: known.name.clone(),
            told_ms: self.apart_since_ms.unwrap_or(u64::MAX).min(known.heard_ms),
            life_ms: known.life_ms,
            epoch: 0,
            proof: None,
        };
        self.held.sas.insert(id, held);
    }

    /// Without them packets would leave in clear text.
    fn keep_policies(&mut self) {
        for (id, known) in &self.policies {
            if !known.ours {
                continue;
            }
            let mut policy = known.policy.clone();
            if local_end(&policy).is_some() {
                self.put.claim(*id);
                // by a failover it leads to SAs that were installed
                policy = shifted_policy(&policy);
                if policy.templates != known.policy.templates {
                    self.put.want(*id);
                }
            }
            self.held
                .policies
                .insert(*id, HeldPolicy { policy, epoch: 0 });
        }
    }

    /// Tells what was received, and receives no more.
    pub(super) fn finish_retiring(&mut self, now_ms: u64) {
        for id in self.end_retiring(now_ms) {
            self.sas.remove(&id);
            self.work.push(Change::DeleteSa(id));
        }
    }

    /// Tells what was received; these receive still.
    pub(super) fn end_retiring(&mut self, now_ms: u64) -> Vec<SaId> {
        let Some(mut retiring) = self.retiring.take() else {
            return Vec::new();
        };
        retiring.inbound.retain(|id| self.sas.contains_key(id));
        let mut records = Records::new(Records::LAST);
        for id in &retiring.inbound {
            let Some(known) = self.sas.get(id) else {
                continue;
            };
            if let Some(held) = self.held.sas.get_mut(id) {
                if held.epoch == 0 {
                    held.sa.replay.clone_from(&known.sa.replay);
                }
            }
            if records.is_full() {
                let full = std::mem::replace(&mut records, Records::new(Records::LAST));
                self.out.extend(full.finish().filter(|_| self.up));
            }
            let (life, pace) = (known.life(now_ms), known.pace());
            records.put_counters(id, &known.sa.replay, life, pace);
        }
        self.out.extend(records.finish().filter(|_| self.up));
        self.dirty = true;
        retiring.inbound
    }

    /// The old node's last word: what it received is not to be received here again.
    pub(super) fn handle_last(&mut self, now_ms: u64, counted: Vec<Counted>) {
        let since_ms = now_ms.saturating_sub(self.failover.active_ms);
        let recent = self.is_active() && since_ms < LAST_MS;
        if !recent && !self.failover.is_settling() {
            return self.hold_counters(now_ms, counted);
        }
        for counted in &counted {
            let installed = self.installed.get(&counted.id);
            if installed.is_some_and(|it| it.side == Direction::In) {
                let replay = counted.replay.clone();
                self.merge.received.insert(counted.id, replay);
            }
        }
        if !self.is_active() {
            self.hold_counters(now_ms, counted);
        }
        if !self.merge.received.is_empty() {
            self.merge.wanted = self.read_fresh();
        }
    }

    pub(super) fn unite_windows(&mut self) {
        if self.merge.wanted > self.reads.generation() {
            return;
        }
        for (id, there) in std::mem::take(&mut self.merge.received) {
            let Some(known) = self.sas.get_mut(&id) else {
                continue;
            };
            let union = united(&known.sa.replay, &there);
            if union != known.sa.replay {
                self.work.push(Change::SetReplay(id, union));
            }
        }
    }
}
