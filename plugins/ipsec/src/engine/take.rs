//! What a backup keeps of the active node's words, and what it does not leave in its own kernel.

use super::held::HeldSa;
use super::{Change, Engine};
use crate::sa::{Direction, PolicyId, Sa, SaId};
use crate::wire::{Counted, Message, Told};

/// Of SAs, and of policies: what is beyond is refused.
pub const TABLE_MAX: usize = 65_536;
/// What is not understood may not be the next time either.
const AGAIN_MS: u64 = 10_000;
/// The old node's final word counts for that long.
const FINAL_MS: u64 = 5_000;

#[derive(Debug, Default)]
pub struct Take {
    phase: Phase,
    /// Of the snapshots taken here.
    pub round: u32,
    /// Everything was taken once, and is kept although the twin may be gone.
    pub shared: bool,
    /// Counters may be older than they should.
    pub unsure: bool,
    /// Something that the twin said is missing here, and when to ask for everything again.
    pub missed_ms: Option<u64>,
    final_ms: Option<u64>,
    expected: u64,
    got: u64,
    /// So many found no room.
    pub overflow: u64,
    /// What the twin was told of refusals.
    pub refused_told: u32,
}

#[derive(Debug, Default, PartialEq, Eq)]
enum Phase {
    #[default]
    Idle,
    Wanted,
    Filling(u32),
    Followed,
}

impl Take {
    /// Another role begins.
    pub fn after(before: &Self) -> Self {
        Self {
            round: before.round,
            ..Self::default()
        }
    }

    /// The twin has another role, or went away: what it said so far is kept.
    pub fn restart(&mut self) {
        *self = Self {
            shared: self.shared,
            final_ms: self.final_ms,
            ..Self::after(self)
        };
    }

    pub fn is_complete(&self) -> bool {
        self.phase == Phase::Followed
    }

    pub fn is_planned(&self, now_ms: u64) -> bool {
        self.final_ms
            .is_some_and(|it| now_ms.saturating_sub(it) < FINAL_MS)
    }

    /// In steps that do not change the sentence all the time.
    pub fn percent(&self) -> u64 {
        let percent = self.got.saturating_mul(100) / self.expected.max(1);
        percent.min(100) / 10 * 10
    }
}

impl Engine {
    /// Asks an active twin for everything.
    pub(super) fn follow(&mut self) {
        if self.takes() && self.take.phase == Phase::Idle {
            self.take.phase = Phase::Wanted;
            self.out.push_back(Message::Want.emit());
        }
    }

    /// A message was none: whatever it was, it is missing.
    pub(super) fn miss(&mut self, now_ms: u64) {
        if self.takes() {
            self.take.missed_ms.get_or_insert(now_ms + AGAIN_MS);
        }
    }

    pub(super) fn ask_again(&mut self, now_ms: u64) {
        if self.take.missed_ms.is_some_and(|it| it <= now_ms) {
            self.take.restart();
            self.follow();
            self.stirred = true;
        }
    }

    /// What the active node says.
    pub(super) fn handle_gift(&mut self, now_ms: u64, message: Message) {
        if !matches!(message, Message::Counters(_) | Message::Final) {
            self.take.final_ms = None;
        }
        match message {
            Message::Begin {
                epoch,
                sas,
                policies,
            } => self.handle_begin(epoch, u64::from(sas) + u64::from(policies)),
            Message::Sas(told) => told.into_iter().for_each(|it| self.hold_sa(now_ms, it)),
            Message::Counters(counted) => self.hold_counters(now_ms, counted),
            Message::DeleteSas(ids) => ids.iter().for_each(|id| self.release_sa(id)),
            Message::Policies(policies) => {
                self.take.got += policies.len() as u64;
                for policy in policies {
                    self.hold_policy(now_ms, policy);
                }
            }
            Message::DeletePolicies(ids) => ids.iter().for_each(|id| self.release_policy(id)),
            Message::End { epoch } => self.handle_end(now_ms, epoch),
            Message::Final => self.take.final_ms = Some(now_ms),
            Message::Unsure { yes } => {
                self.take.unsure = yes;
                self.stirred = true;
            }
            _ => {}
        }
    }

    fn handle_begin(&mut self, epoch: u32, expected: u64) {
        let take = &mut self.take;
        take.phase = Phase::Filling(epoch);
        take.round = take.round.wrapping_add(1).max(1);
        (take.expected, take.got, take.overflow) = (expected, 0, 0);
        take.unsure = false;
        take.missed_ms = None;
        take.refused_told = 0;
        self.proofs.forget();
        for held in self.held.sas.values_mut() {
            held.proof = None;
        }
        self.stirred = true;
    }

    fn hold_sa(&mut self, now_ms: u64, told: Told) {
        self.take.got += 1;
        self.stirred = true;
        let id = told.sa.id;
        if self.held.sas.len() >= TABLE_MAX && !self.held.sas.contains_key(&id) {
            self.take.overflow += 1;
            return;
        }
        let mut held = HeldSa::told(now_ms, told, self.take.round);
        held.proof = Some(self.prove(&held.sa));
        let other_end = self.held.ends.insert(held.local_end());
        self.held.sas.insert(id, held);
        if !self.take.is_complete() {
            return;
        }
        if other_end {
            self.expel_foreign();
        } else if self.sas.contains_key(&id) {
            self.expel(id);
        }
    }

    pub(super) fn hold_counters(&mut self, now_ms: u64, counted: Vec<Counted>) {
        for counted in counted {
            if let Some(held) = self.held.sas.get_mut(&counted.id) {
                held.count(now_ms, counted);
            }
        }
    }

    fn release_sa(&mut self, id: &SaId) {
        self.held.sas.remove(id);
        if self.installed.contains_key(id) {
            self.uninstall(*id);
        }
        self.stirred = true;
    }

    fn handle_end(&mut self, now_ms: u64, epoch: u32) {
        if self.take.phase != Phase::Filling(epoch) {
            return;
        }
        self.finish_retiring(now_ms);
        let round = self.take.round;
        let gone = self.held.sas.iter().filter(|(_, it)| it.epoch != round);
        for id in gone.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.release_sa(&id);
        }
        self.held.sort_ends();
        let gone = self.held.policies.iter();
        let gone = gone.filter(|(_, it)| it.epoch != round);
        for id in gone.map(|(id, _)| *id).collect::<Vec<PolicyId>>() {
            self.release_policy(&id);
        }
        self.take.phase = Phase::Followed;
        self.take.shared = true;
        self.apart_since_ms = None;
        self.expel_foreign();
        self.expel_policies();
        self.out.push_back(Message::Synced { epoch }.emit());
        self.stirred = true;
    }

    /// Two nodes that send with one key use a number twice.
    fn expel_foreign(&mut self) {
        let foreign = self.sas.values().map(|it| &it.sa);
        let foreign = foreign.filter(|sa| self.is_foreign(sa));
        let mut foreign: Vec<(bool, SaId)> = foreign.map(|sa| (!self.sends(sa), sa.id)).collect();
        foreign.sort_unstable();
        for (_, id) in foreign {
            self.expel(id);
        }
    }

    pub(super) fn expel_if_foreign(&mut self, sa: &Sa) {
        if self.is_foreign(sa) {
            self.expel(sa.id);
        }
    }

    fn expel(&mut self, id: SaId) {
        if !self.installed.contains_key(&id) {
            self.work.push(Change::DeleteSa(id));
        }
    }

    /// An SA of tunnels that the active twin has.
    fn is_foreign(&self, sa: &Sa) -> bool {
        let there = |end| self.held.ends.contains(end) && !self.ends.is_here(end);
        let known = self.held.sas.contains_key(&sa.id);
        known || there(&sa.source) || there(&sa.id.destination)
    }

    fn sends(&self, sa: &Sa) -> bool {
        match sa.direction {
            Some(direction) => direction == Direction::Out,
            None => self.held.ends.contains(&sa.source),
        }
    }
}
