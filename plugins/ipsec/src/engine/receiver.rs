//! What a backup keeps of the active node's words, and what it does not leave in its own kernel.

use super::held::HeldSa;
use super::{Change, Engine};
use crate::sa::{Direction, PolicyId, Sa, SaId};
use crate::wire::{Counted, Message, ToldSa};

/// Of SAs, and of policies: what is beyond is refused.
pub const TABLE_MAX: usize = 65_536;
/// What is not understood may not be the next time either.
const AGAIN_MS: u64 = 10_000;
/// The old node's final word counts for that long.
const FINAL_MS: u64 = 5_000;

#[derive(Debug, Default)]
pub struct Receiver {
    phase: Phase,
    /// Of the snapshots taken here.
    pub round: u32,
    /// Everything was taken once, and is kept although the peer may be gone.
    pub shared: bool,
    /// Counters may be older than they should.
    pub unsure: bool,
    /// Something that the peer said is missing here, and when to ask for everything again.
    pub missed_ms: Option<u64>,
    final_ms: Option<u64>,
    expected: u64,
    got: u64,
    /// So many found no room.
    pub overflow: u64,
    /// What the peer was told of refusals.
    pub refused_told: u32,
    /// To be said, of each kind the newest: the peer decides how often there is something to say.
    due: Due,
}

#[derive(Debug, Default)]
struct Due {
    want: bool,
    /// All up to this end is taken.
    synced: Option<u32>,
    refused: Option<Message>,
}

#[derive(Debug, Default, PartialEq, Eq)]
enum Phase {
    #[default]
    Idle,
    Requested,
    Receiving(u32),
    InSync,
}

impl Receiver {
    /// Another role begins.
    pub fn after(before: &Self) -> Self {
        Self {
            round: before.round,
            ..Self::default()
        }
    }

    /// The peer has another role, or went away: what it said so far is kept.
    pub fn restart(&mut self) {
        *self = Self {
            shared: self.shared,
            final_ms: self.final_ms,
            ..Self::after(self)
        };
    }

    pub fn is_complete(&self) -> bool {
        self.phase == Phase::InSync
    }

    pub fn is_planned(&self, now_ms: u64) -> bool {
        self.final_ms
            .is_some_and(|it| now_ms.saturating_sub(it) < FINAL_MS)
    }

    /// What a backup has to say next.
    pub fn next_wish(&mut self) -> Option<Message> {
        if std::mem::take(&mut self.due.want) {
            return Some(Message::Request);
        }
        let synced = self.due.synced.take();
        let synced = synced.map(|epoch| Message::InSync { epoch });
        synced.or_else(|| self.due.refused.take())
    }

    pub fn tell_refused(&mut self, refused: Message) {
        self.due.refused = Some(refused);
    }

    /// In steps that do not change the sentence all the time.
    pub fn percent(&self) -> u64 {
        let percent = self.got.saturating_mul(100) / self.expected.max(1);
        percent.min(100) / 10 * 10
    }
}

impl Engine {
    /// Asks an active peer for everything.
    pub(super) fn follow(&mut self) {
        if self.is_receiver() && self.receiver.phase == Phase::Idle {
            self.receiver.phase = Phase::Requested;
            self.receiver.due.want = true;
        }
    }

    /// A message was none: whatever it was, it is missing.
    pub(super) fn miss(&mut self, now_ms: u64) {
        if self.is_receiver() {
            self.receiver.missed_ms.get_or_insert(now_ms + AGAIN_MS);
        }
    }

    pub(super) fn ask_again(&mut self, now_ms: u64) {
        if self.receiver.missed_ms.is_some_and(|it| it <= now_ms) {
            self.receiver.restart();
            self.follow();
            self.dirty = true;
        }
    }

    /// What the active node says.
    pub(super) fn handle_gift(&mut self, now_ms: u64, message: Message) {
        if !matches!(message, Message::Counters(_) | Message::Final) {
            self.receiver.final_ms = None;
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
                self.receiver.got += policies.len() as u64;
                for policy in policies {
                    self.hold_policy(now_ms, policy);
                }
            }
            Message::DeletePolicies(ids) => ids.iter().for_each(|id| self.release_policy(id)),
            Message::End { epoch } => self.handle_end(now_ms, epoch),
            Message::Final => self.receiver.final_ms = Some(now_ms),
            Message::Unsure { yes } => {
                self.receiver.unsure = yes;
                self.dirty = true;
            }
            _ => {}
        }
    }

    fn handle_begin(&mut self, epoch: u32, expected: u64) {
        let receiver = &mut self.receiver;
        receiver.phase = Phase::Receiving(epoch);
        receiver.round = receiver.round.wrapping_add(1).max(1);
        (receiver.expected, receiver.got, receiver.overflow) = (expected, 0, 0);
        receiver.unsure = false;
        receiver.missed_ms = None;
        receiver.refused_told = 0;
        receiver.due = Due::default();
        self.proofs.forget();
        for held in self.held.sas.values_mut() {
            held.proof = None;
        }
        self.dirty = true;
    }

    fn hold_sa(&mut self, now_ms: u64, told: ToldSa) {
        self.receiver.got += 1;
        self.dirty = true;
        let id = told.sa.id;
        if self.held.sas.len() >= TABLE_MAX && !self.held.sas.contains_key(&id) {
            self.receiver.overflow += 1;
            return;
        }
        let mut held = HeldSa::told(now_ms, told, self.receiver.round);
        held.proof = Some(self.prove(&held.sa));
        let other_end = self.held.ends.insert(held.local_end());
        self.held.sas.insert(id, held);
        if !self.receiver.is_complete() {
            return;
        }
        if other_end {
            self.delete_foreign_sas();
        } else if self.sas.contains_key(&id) {
            self.delete_unless_installed(id);
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
        self.dirty = true;
    }

    fn handle_end(&mut self, now_ms: u64, epoch: u32) {
        if self.receiver.phase != Phase::Receiving(epoch) {
            return;
        }
        self.finish_retiring(now_ms);
        let round = self.receiver.round;
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
        self.receiver.phase = Phase::InSync;
        self.receiver.shared = true;
        self.apart_since_ms = None;
        self.delete_foreign_sas();
        self.delete_foreign_policies();
        self.receiver.due.synced = Some(epoch);
        self.dirty = true;
    }

    /// Two nodes that send with one key use a number twice.
    fn delete_foreign_sas(&mut self) {
        let foreign = self.sas.values().map(|it| &it.sa);
        let foreign = foreign.filter(|sa| self.is_foreign(sa));
        let mut foreign: Vec<(bool, SaId)> = foreign.map(|sa| (!self.sends(sa), sa.id)).collect();
        foreign.sort_unstable();
        for (_, id) in foreign {
            self.delete_unless_installed(id);
        }
    }

    pub(super) fn delete_if_foreign(&mut self, sa: &Sa) {
        if self.is_foreign(sa) {
            self.delete_unless_installed(sa.id);
        }
    }

    fn delete_unless_installed(&mut self, id: SaId) {
        if !self.installed.contains_key(&id) {
            self.work.push(Change::DeleteSa(id));
        }
    }

    /// An SA of tunnels that the active peer has.
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
