//! Knowledge about the flows of both nodes: 28 bytes for each and an index of five.

use std::collections::HashMap;

use hashbrown::HashTable;

use super::translated::Translation;
use crate::flow::{Flow, INCARNATIONS, Key, status};

/// Nothing waits for the flow.
pub const NOT_WAITING: u32 = 0;

/// Flags of an [`Entry`].
pub mod flag {
    /// The peer has it, or was told of it.
    pub const SENT: u8 = 1;
    /// Something changed that only a whole record tells.
    pub const STALE: u8 = 2;
    /// An event or the peer told of it since a dump passed it: what the dump says may be older.
    pub const FRESH: u8 = 4;
    /// A walk has found it in the kernel here.
    pub const PRESENT: u8 = 8;
    /// A packet passed here since this node's latest resync began.
    pub const RECENT: u8 = 16;
    /// The same of the resync before.
    pub const LATELY: u8 = 32;
    /// The kernel here dropped it before its time: a new one may follow at once.
    pub const ENDING: u8 = 64;
    /// The peer has it no longer: its time is what was written, and no word of the peer's.
    pub const ENDED: u8 = 128;
}

/// Two clocks are rounded to a second.
pub const ROUNDING_S: u32 = 2;
/// What this node writes of a flow that the peer knows is so much shorter than what a packet gives it:
/// whatever packet comes later, its end is another one. With the usual times both are 120 s, and nobody
/// would see the packet.
pub const APART_S: u32 = ROUNDING_S + 1;
/// Bit of [`Entry::outbound`], above the numbers of changes and the seconds of an engine's life.
const WAITS: u32 = 1 << 31;
/// Flows with a time of their own: a megabyte and a half.
const GIVEN_MAX: usize = 65_536;
/// Rounds that are told apart: three bits.
const ROUNDS: u8 = 8;
/// Place of the [`Translation`] in [`Entry::life`], above incarnation and round.
const TRANSLATION_AT: u8 = 6;

/// A flow. Times are seconds of the engine's clock; 0 is none. Two of them tell who knows that it
/// lives: this kernel, by the packets that passed it, and the peer, by its word.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(Rust, packed(4))]
pub struct Entry {
    pub hash: u64,
    pub mark: u32,
    /// With [`WAITS`] the number of the change that waits to be sent, else the end of the peer's copy by
    /// what it was told: it is told anew as the change goes. Of a free slot, the next free one.
    outbound: u32,
    /// End by the packets that passed here, as the kernel showed it last.
    pub own_s: u32,
    /// End by the peer's word, as it was written to the kernel here.
    pub peer_s: u32,
    /// State and status, four bits each: see [`Entry::learn`].
    pub word: u8,
    /// [`digest`] of the last whole record.
    pub extra: u8,
    /// Incarnation (three bits), the round of the peer's resyncs that named it last (three), and its
    /// [`Translation`] (two).
    life: u8,
    pub flags: u8,
}

impl Entry {
    /// A flow of which nothing more is known.
    pub fn new(hash: u64, flags: u8) -> Self {
        Self {
            hash,
            flags,
            ..Self::default()
        }
    }

    /// TCP's, SCTP's or DCCP's state.
    pub fn state(&self) -> u8 {
        self.word & 15
    }

    /// As [`status_byte`].
    pub fn status(&self) -> u8 {
        self.word >> 4
    }

    /// Content of a record; a partial one omits unchanged attributes.
    pub fn learn(&mut self, flow: &Flow) {
        let state = flow.state().unwrap_or(self.state());
        self.word = status_byte(flow.status) << 4 | state & 15;
        self.mark = flow.mark;
    }

    /// The number of the change that waits to be sent, or [`NOT_WAITING`].
    pub fn waiting(&self) -> u32 {
        match self.outbound & WAITS {
            0 => NOT_WAITING,
            _ => self.outbound & !WAITS,
        }
    }

    /// End of the peer's copy, by the last report; 0 if it is not known, and while a change waits to report it.
    pub fn told_s(&self) -> u32 {
        match self.outbound & WAITS {
            0 => self.outbound,
            _ => 0,
        }
    }

    pub fn wait(&mut self, number: u32) {
        self.outbound = number | WAITS;
    }

    /// The change has gone, or is not sent; the number that it had.
    pub fn stop_waiting(&mut self) -> u32 {
        let number = self.waiting();
        self.outbound = self.told_s();
        number
    }

    /// The peer's copy lives until then; nothing, while a change waits.
    pub fn tell(&mut self, end_s: u32) {
        if self.outbound & WAITS == 0 {
            self.outbound = end_s.min(!WAITS);
        }
    }

    /// When the peer's copy ends is not known. A change that waits is to tell, and a fixed time is as it was.
    pub fn forget_told(&mut self) {
        let is_fixed = status_bits(self.status()) & status::FIXED_TIMEOUT != 0;
        if self.waiting() == NOT_WAITING && !is_fixed {
            self.outbound = 0;
        }
    }

    pub fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    pub fn set(&mut self, flag: u8, on: bool) {
        match on {
            true => self.flags |= flag,
            false => self.flags &= !flag,
        }
    }

    /// End of the entry in the kernel, unless a packet has moved it since.
    pub fn ends_s(&self) -> u32 {
        self.own_s.max(self.peer_s)
    }

    /// Whether it lives by packets that passed here.
    pub fn is_own(&self, now_s: u32) -> bool {
        self.own_s > now_s
    }

    /// Whether it lives by the peer's word.
    pub fn is_peers(&self, now_s: u32) -> bool {
        self.peer_s > now_s && !self.has(flag::ENDED)
    }

    /// The same before anything was written of it.
    pub fn unwritten(mut self) -> Self {
        self.peer_s = 0;
        self
    }

    /// Whether this end in the kernel is the work of a packet: neither node's time for it.
    pub fn is_moved(&self, end_s: u32) -> bool {
        let far = |known_s: u32| end_s.abs_diff(known_s) >= ROUNDING_S;
        far(self.own_s) && far(self.peer_s)
    }

    /// Whether nobody says that it lives: neither packets here, nor the peer.
    pub fn is_doomed(&self, now_s: u32) -> bool {
        self.has(flag::ENDED) && !self.is_own(now_s)
    }

    /// Whether a packet passed here since the resync before the latest one began.
    pub fn is_busy(&self) -> bool {
        self.has(flag::RECENT | flag::LATELY)
    }

    pub fn incarnation(&self) -> u8 {
        self.life % INCARNATIONS
    }

    pub fn set_incarnation(&mut self, incarnation: u8) {
        self.life = self.life / INCARNATIONS * INCARNATIONS + incarnation % INCARNATIONS;
    }

    pub fn round(&self) -> u8 {
        self.life / INCARNATIONS % ROUNDS
    }

    pub fn set_round(&mut self, round: u8) {
        const BITS: u8 = (ROUNDS - 1) * INCARNATIONS;
        self.life = self.life & !BITS | (round % ROUNDS * INCARNATIONS);
    }

    pub fn translation(&self) -> Translation {
        Translation::from_bits(self.life >> TRANSLATION_AT)
    }
}

/// The kernel's bits in one byte.
pub fn status_byte(bits: u32) -> u8 {
    let fixed = u8::from(bits & status::FIXED_TIMEOUT != 0) << 3;
    (bits & (status::EXPECTED | status::SEEN_REPLY | status::ASSURED)) as u8 | fixed
}

pub fn status_bits(byte: u8) -> u32 {
    let fixed = u32::from(byte >> 3 & 1) * status::FIXED_TIMEOUT;
    u32::from(byte & 7) | fixed
}

/// Tells whether attributes or the translation have changed; 0 without either.
pub fn digest(flow: &Flow) -> u8 {
    const PRIME: u32 = 0x0100_0193;
    let mix = |sum: u32, byte: &u8| (sum ^ u32::from(*byte)).wrapping_mul(PRIME);
    if flow.is_plain() && flow.extra.is_empty() {
        return 0;
    }
    let reply = [flow.reply.source, flow.reply.destination];
    let reply = reply.iter().flatten().chain(&flow.reply.ends);
    let reply = reply.filter(|_| !flow.is_plain());
    (reply.chain(&flow.extra).fold(0x811c_9dc5, mix) >> 24).max(1) as u8
}

#[derive(Debug, Default)]
pub struct Table {
    pub key: Key,
    index: HashTable<u32>,
    entries: Vec<Entry>,
    /// The first free slot, plus one.
    free: u32,
    /// Times that packets give flows, of those for which they are not their protocol's.
    given: HashMap<u64, u32>,
    /// Number of flows of each [`Translation`].
    translated: [usize; Translation::KINDS],
    /// Knowledge from before the peer's restart, by the key of that time.
    former: Option<Box<Table>>,
    /// Number of the peer's resyncs, counted here.
    round: u8,
}

impl Table {
    /// Both nodes hash with what their keys make together. A peer that was restarted has another key: what is known
    /// here is found again by the old one, flow by flow.
    pub fn rekey(&mut self, key: Key) {
        if self.key == key {
            return;
        }
        let mut before = std::mem::take(self);
        self.key = key;
        self.round = before.round;
        self.former = before.former.take();
        if !before.is_empty() {
            self.former = Some(Box::new(before));
        }
    }

    /// Knowledge of a flow from before the peer's restart, under its present hash.
    pub fn recall(&mut self, hash: u64, flow: &Flow) -> Option<u32> {
        let former = self.former.as_ref()?;
        let slot = former.find(former.hash(flow))?;
        let mut entry = *former.get(slot);
        let given_s = former.given(entry.hash);
        entry.hash = hash;
        entry.flags = entry.flags & (flag::RECENT | flag::LATELY) | flag::PRESENT;
        entry.set_incarnation(0);
        let slot = self.insert(entry);
        self.set_given(slot, given_s);
        Some(slot)
    }

    /// All that lives was found.
    pub fn forget_former(&mut self) {
        self.former = None;
    }

    /// A resync of the peer begins.
    pub fn begin_round(&mut self) {
        self.round = (self.round + 1) % ROUNDS;
    }

    pub fn round(&self) -> u8 {
        self.round
    }

    pub fn len(&self) -> usize {
        self.index.len()
    }

    pub fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    pub fn hash(&self, flow: &Flow) -> u64 {
        flow.hash(self.key)
    }

    pub fn find(&self, hash: u64) -> Option<u32> {
        let same = |slot: &u32| self.entries[*slot as usize].hash == hash;
        self.index.find(hash, same).copied()
    }

    pub fn get(&self, slot: u32) -> &Entry {
        &self.entries[slot as usize]
    }

    /// Everything but its hash.
    pub fn get_mut(&mut self, slot: u32) -> &mut Entry {
        &mut self.entries[slot as usize]
    }

    /// A hash that is not there yet.
    pub fn insert(&mut self, entry: Entry) -> u32 {
        let slot = self.take_slot();
        self.translated[entry.translation() as usize] += 1;
        let entries = &mut self.entries;
        entries[slot as usize] = entry;
        let hash_of = |slot: &u32| entries[*slot as usize].hash;
        self.index.insert_unique(entry.hash, slot, hash_of);
        slot
    }

    pub fn remove(&mut self, slot: u32) {
        let entry = self.entries[slot as usize];
        let found = self.index.find_entry(entry.hash, |it| *it == slot);
        if let Ok(found) = found {
            found.remove();
            if !self.given.is_empty() {
                let hash = entry.hash;
                self.given.remove(&hash);
            }
            self.translated[entry.translation() as usize] -= 1;
            self.entries[slot as usize] = Entry {
                outbound: self.free,
                ..Entry::default()
            };
            self.free = slot + 1;
        }
    }

    pub fn set_flag(&mut self, slot: u32, flag: u8, on: bool) {
        self.entries[slot as usize].set(flag, on);
    }

    /// Time that packets give a flow, if that is not its protocol's; 0 else.
    pub fn given(&self, hash: u64) -> u32 {
        match self.given.is_empty() {
            true => 0,
            false => self.given.get(&hash).copied().unwrap_or(0),
        }
    }

    /// 0 if it is its protocol's. Of more flows than a rule for a few may have, it is not known.
    pub fn set_given(&mut self, slot: u32, given_s: u32) {
        let hash = self.entries[slot as usize].hash;
        match given_s {
            0 if self.given.is_empty() => {}
            0 => drop(self.given.remove(&hash)),
            _ if self.given.len() < GIVEN_MAX || self.given.contains_key(&hash) => {
                self.given.insert(hash, given_s);
            }
            _ => {}
        }
    }

    /// Number of flows that are so translated.
    pub fn translated(&self, how: Translation) -> usize {
        self.translated[how as usize]
    }

    pub fn set_translation(&mut self, slot: u32, how: Translation) {
        const OTHERS: u8 = (1 << TRANSLATION_AT) - 1;
        let entry = &mut self.entries[slot as usize];
        self.translated[entry.translation() as usize] -= 1;
        self.translated[how as usize] += 1;
        entry.life = entry.life & OTHERS | ((how as u8) << TRANSLATION_AT);
    }

    /// Of all; free slots have none.
    pub fn clear_flag(&mut self, flag: u8) {
        self.entries
            .iter_mut()
            .for_each(|entry| entry.flags &= !flag);
    }

    /// A resync of this node begins: packets that passed before it are older by one, and its dump is
    /// newer than whatever was told.
    pub fn age(&mut self) {
        for entry in &mut self.entries {
            let lately = if entry.has(flag::RECENT) {
                flag::LATELY
            } else {
                0
            };
            let aged = flag::RECENT | flag::LATELY | flag::PRESENT | flag::FRESH;
            entry.flags = entry.flags & !aged | lately;
        }
    }

    /// This node carries all of it from now on: the later of both times is its own, but of what a resync of the
    /// peer's did not name any more.
    pub fn take_all(&mut self, now_s: u32) {
        let lives = |entry: &&mut Entry| !entry.is_doomed(now_s);
        for entry in self.entries.iter_mut().filter(lives) {
            entry.own_s = entry.ends_s();
            entry.peer_s = 0;
            entry.flags &= !flag::ENDED;
        }
    }

    /// The peer carries all of it: nothing lives by packets that passed here before.
    pub fn give_all(&mut self) {
        for entry in &mut self.entries {
            entry.peer_s = entry.ends_s();
            entry.own_s = 0;
            entry.flags &= !(flag::RECENT | flag::LATELY);
        }
    }

    /// When the peer's copies end is not known.
    pub fn forget_told(&mut self) {
        for slot in &self.index {
            self.entries[*slot as usize].forget_told();
        }
    }

    /// What waited is not sent, and what the peer has is not known.
    pub fn disconnect(&mut self) {
        for slot in &self.index {
            let entry = &mut self.entries[*slot as usize];
            entry.stop_waiting();
            entry.flags &= !flag::SENT;
        }
    }

    /// What the peer told of and did not name in this round has ended there; whether something is to be
    /// deleted here.
    pub fn end_unnamed(&mut self, now_s: u32) -> bool {
        let mut doomed = false;
        for slot in &self.index {
            let entry = &mut self.entries[*slot as usize];
            if entry.peer_s > 0 && entry.round() != self.round {
                entry.flags |= flag::ENDED;
            }
            doomed |= entry.is_doomed(now_s);
        }
        doomed
    }

    /// Flows that a walk did not find in the kernel.
    pub fn drop_doomed(&mut self, now_s: u32) {
        let doomed = self.iter().filter(|(_, entry)| entry.is_doomed(now_s));
        let gone = doomed.filter(|(_, entry)| !entry.has(flag::PRESENT | flag::ENDING));
        let gone: Vec<u32> = gone.map(|(slot, _)| slot).collect();
        gone.into_iter().for_each(|slot| self.remove(slot));
    }

    /// Whether anything was told by the peer.
    pub fn has_copies(&self) -> bool {
        self.iter().any(|(_, entry)| entry.peer_s > 0)
    }

    /// Flows that only the peer's word keeps alive.
    pub fn copies(&self, now_s: u32) -> usize {
        let copies = self.iter().filter(|(_, entry)| !entry.is_own(now_s));
        copies.count()
    }

    pub fn iter(&self) -> impl Iterator<Item = (u32, &Entry)> {
        let slots = self.index.iter().copied();
        slots.map(|slot| (slot, &self.entries[slot as usize]))
    }

    fn take_slot(&mut self) -> u32 {
        if let Some(slot) = self.free.checked_sub(1) {
            self.free = self.entries[slot as usize].outbound;
            return slot;
        }
        if self.entries.len() == self.entries.capacity() {
            // grows by a sixteenth: memory is promised by the flow
            self.entries
                .reserve_exact((self.entries.len() / 16).max(1024));
        }
        self.entries.push(Entry::default());
        (self.entries.len() - 1) as u32
    }
}

#[cfg(test)]
mod tests;
