//! What the active node says: changes as they come, and all of it to whoever asks.
//!
//! Messages carry what is so when they are made: numbers that moved on twice are sent once.

use std::collections::{BTreeMap, BTreeSet};

use super::Engine;
use crate::sa::{PolicyId, SaId};
use crate::wire::{Message, Records};

#[derive(Debug, Default)]
pub struct Sender {
    /// The peer wants what changes.
    pub subscribed: bool,
    /// It wants everything, as soon as everything is known.
    pub snapshot_due: bool,
    epoch: u32,
    /// Everything is on its way, up to an end that is still to be said.
    ending: bool,
    /// Changed here, and not told.
    sas: BTreeSet<SaId>,
    counters: BTreeSet<SaId>,
    policies: BTreeSet<PolicyId>,
    /// Numbers have their turn between records.
    turn: bool,
    /// Notifications were lost, and no reading has made up for them.
    pub unsure: bool,
    unsure_told: bool,
    drain: Drain,
    /// The peer has all up to the last end.
    pub peer_in_sync: bool,
    /// What its kernel could not take, by errno; and how many these are of.
    pub refused: BTreeMap<SaId, i32>,
    pub refused_count: u32,
}

/// The way to the exact numbers.
#[derive(Debug, Default, PartialEq, Eq)]
enum Drain {
    #[default]
    None,
    /// This reading finds them.
    Reading {
        wanted: u32,
        deadline_ms: u64,
    },
    Telling {
        deadline_ms: u64,
    },
}

impl Sender {
    pub fn mark_sa_dirty(&mut self, id: SaId) {
        if self.subscribed {
            self.sas.insert(id);
        }
    }

    pub fn mark_counters_dirty(&mut self, id: SaId) {
        if self.subscribed && !self.sas.contains(&id) {
            self.counters.insert(id);
        }
    }

    pub fn mark_policy_dirty(&mut self, id: PolicyId) {
        if self.subscribed {
            self.policies.insert(id);
        }
    }

    /// A reading is done.
    pub fn read(&mut self, generation: u32) {
        if let Drain::Reading {
            wanted,
            deadline_ms,
        } = self.drain
        {
            if wanted <= generation {
                self.drain = Drain::Telling { deadline_ms };
            }
        }
    }

    pub fn deadline_ms(&self) -> u64 {
        match self.drain {
            Drain::None => u64::MAX,
            Drain::Reading { deadline_ms, .. } | Drain::Telling { deadline_ms } => deadline_ms,
        }
    }

    /// The switchover goes on without the exact numbers.
    pub fn give_up(&mut self, now_ms: u64) {
        if self.deadline_ms() <= now_ms {
            self.drain = Drain::None;
        }
    }

    /// How many records the peer does not have yet.
    pub fn backlog(&self) -> usize {
        self.sas.len() + self.policies.len()
    }

    fn is_told(&self) -> bool {
        self.backlog() == 0 && self.counters.is_empty() && !self.snapshot_due && !self.ending
    }
}

impl Engine {
    /// Before a switchover: says the exact numbers.
    pub fn handle_drain(&mut self, _now_ms: u64, deadline_ms: u64) {
        if self.is_sender() {
            let wanted = self.read_fresh();
            self.sender.drain = Drain::Reading {
                wanted,
                deadline_ms,
            };
        }
    }

    pub fn is_drained(&self) -> bool {
        self.sender.drain == Drain::None && self.out.is_empty() && !self.role_due
    }

    /// The peer asks for everything.
    pub(super) fn handle_request(&mut self, now_ms: u64) {
        if self.is_active() {
            self.sender.subscribed = true;
            self.sender.snapshot_due = true;
            self.sender.peer_in_sync = false;
            self.measure(now_ms);
        }
    }

    pub(super) fn next_gift(&mut self, now_ms: u64) -> Option<Vec<u8>> {
        if !self.is_sender() {
            return None;
        }
        if self.sender.snapshot_due && self.reads.is_whole() {
            return Some(self.begin());
        }
        if self.sender.unsure && !self.sender.unsure_told {
            self.sender.unsure_told = true;
            return Some(Message::Unsure { yes: true }.emit());
        }
        if self.sender.snapshot_due {
            return None;
        }
        self.sender.turn = !self.sender.turn;
        if self.sender.turn {
            if let Some(counters) = self.tell_counters(now_ms) {
                return Some(counters);
            }
        }
        self.tell_policies()
            .or_else(|| self.tell_sas(now_ms))
            .or_else(|| self.say_end())
            .or_else(|| self.tell_counters(now_ms))
            .or_else(|| self.say_sure())
            .or_else(|| self.say_final())
    }

    fn begin(&mut self) -> Vec<u8> {
        let sas = self.sas.iter().filter(|(_, it)| it.side.is_some());
        let policies = self.policies.iter().filter(|(_, it)| it.ours);
        let sender = &mut self.sender;
        (sender.snapshot_due, sender.ending) = (false, true);
        sender.epoch = sender.epoch.wrapping_add(1).max(1);
        sender.unsure_told = false;
        sender.sas = sas.map(|(id, _)| *id).collect();
        sender.policies = policies.map(|(id, _)| *id).collect();
        sender.counters.clear();
        let begin = Message::Begin {
            epoch: sender.epoch,
            sas: sender.sas.len() as u32,
            policies: sender.policies.len() as u32,
        };
        begin.emit()
    }

    fn tell_policies(&mut self) -> Option<Vec<u8>> {
        let mut there = Records::new(Records::POLICIES);
        let mut gone = Records::new(Records::DELETE_POLICIES);
        while !there.is_full() && !gone.is_full() {
            let Some(id) = self.sender.policies.pop_first() else {
                break;
            };
            match self.policies.get(&id).filter(|it| it.ours) {
                Some(known) => there.put_policy(&known.policy),
                None => gone.put_policy_id(&id),
            }
        }
        self.two_of(there, gone)
    }

    fn tell_sas(&mut self, now_ms: u64) -> Option<Vec<u8>> {
        let mut there = Records::new(Records::SAS);
        let mut gone = Records::new(Records::DELETE_SAS);
        while !there.is_full() && !gone.is_full() {
            let Some(id) = self.sender.sas.pop_first() else {
                break;
            };
            self.sender.counters.remove(&id);
            let known = self.sas.get_mut(&id);
            match known.and_then(|it| Some((it.side?, it))) {
                Some((side, known)) => {
                    known.told = known.position();
                    let (life, pace) = (known.life(now_ms), known.pace());
                    there.put_sa(&known.sa, life, side, pace, known.name.as_ref());
                }
                None => gone.put_id(&id),
            }
        }
        self.two_of(there, gone)
    }

    /// What is there comes first: a rekey is a deletion too.
    fn two_of(&mut self, first: Records, second: Records) -> Option<Vec<u8>> {
        let (first, second) = (first.finish(), second.finish());
        match (first, second) {
            (Some(first), second) => {
                self.out.extend(second);
                Some(first)
            }
            (None, second) => second,
        }
    }

    fn tell_counters(&mut self, now_ms: u64) -> Option<Vec<u8>> {
        let mut records = Records::new(Records::COUNTERS);
        while !records.is_full() {
            let Some(id) = self.sender.counters.pop_first() else {
                break;
            };
            if let Some(known) = self.sas.get_mut(&id).filter(|it| it.side.is_some()) {
                known.told = known.position();
                let (life, pace) = (known.life(now_ms), known.pace());
                records.put_counters(&id, &known.sa.replay, life, pace);
            }
        }
        records.finish()
    }

    fn say_end(&mut self) -> Option<Vec<u8>> {
        let epoch = self.sender.epoch;
        std::mem::take(&mut self.sender.ending).then(|| Message::End { epoch }.emit())
    }

    fn say_sure(&mut self) -> Option<Vec<u8>> {
        let over = self.sender.unsure_told && !self.sender.unsure;
        self.sender.unsure_told &= !over;
        over.then(|| Message::Unsure { yes: false }.emit())
    }

    fn say_final(&mut self) -> Option<Vec<u8>> {
        let told = matches!(self.sender.drain, Drain::Telling { .. }) && self.sender.is_told();
        told.then(|| {
            self.sender.drain = Drain::None;
            Message::Final.emit()
        })
    }
}
