//! Table of both nodes' flows: 28 bytes for each, and an index of five.

mod entry;

use std::collections::HashMap;

use hashbrown::HashTable;

use super::own_address_counts::Translation;
use crate::flow::{Flow, Key};
pub use entry::{APART_S, Entry, NOT_WAITING, ROUNDING_S, digest, flag, status_bits, status_byte};
use entry::{ROUNDS, TRANSLATION_AT};

/// Limit of flows with a timeout by a policy: 1.5 megabytes.
const POLICY_TIMEOUTS_MAX: usize = 65_536;

#[derive(Debug, Default)]
pub struct Table {
    own_key: Key,
    pub key: Key,
    index: HashTable<u32>,
    entries: Vec<Entry>,
    /// First free slot, plus one.
    free: u32,
    /// Timeouts in s that packets give flows by a policy (`ct timeout`), if they are not those of the protocol.
    policy_timeouts: HashMap<u64, u32>,
    /// Number of flows of each [`Translation`].
    translated: [usize; Translation::KINDS],
    /// Table from before the peer's restart, with the key of that time.
    former: Option<Box<Table>>,
    /// Round of the peer's resyncs, counted here.
    round: u8,
}

impl Table {
    pub fn new(own_key: Key) -> Self {
        Self {
            own_key,
            ..Self::default()
        }
    }

    /// Sets the common hash key for a peer. A peer that was restarted has another key: known flows are found again by
    /// the old key, one by one.
    pub fn meet(&mut self, peer_key: Key) {
        let [run, node] = self.own_key;
        let key = [run ^ peer_key[0], node ^ peer_key[1]];
        if self.key == key {
            return;
        }
        let mut before = std::mem::take(self);
        (self.own_key, self.key) = (before.own_key, key);
        self.round = before.round;
        self.former = before.former.take();
        if !before.is_empty() {
            self.former = Some(Box::new(before));
        }
    }

    /// Moves a flow that was known before the peer's restart to its present hash, and returns its slot.
    pub fn recall(&mut self, hash: u64, flow: &Flow) -> Option<u32> {
        let (mut entry, policy_timeout_s) = self.take_former(flow)?;
        entry.hash = hash;
        entry.flags =
            entry.flags & (flag::PACKET_THIS_RESYNC | flag::PACKET_LAST_RESYNC) | flag::PRESENT;
        entry.set_incarnation(0);
        let slot = self.insert(entry);
        self.set_policy_timeout(slot, policy_timeout_s);
        Some(slot)
    }

    /// Forgets what was known of a flow before the peer's restart: the kernel has destroyed it.
    pub fn forget_former_flow(&mut self, flow: &Flow) {
        self.take_former(flow);
    }

    /// Drops the old table, when all flows that exist were found.
    pub fn forget_former(&mut self) {
        self.former = None;
    }

    /// Begins a round, with a resync of the peer.
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

    /// Returns the entry. Its hash must not be changed.
    pub fn get_mut(&mut self, slot: u32) -> &mut Entry {
        &mut self.entries[slot as usize]
    }

    /// Inserts an entry, whose hash must not be in the table yet.
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
            if !self.policy_timeouts.is_empty() {
                let hash = entry.hash;
                self.policy_timeouts.remove(&hash);
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

    /// Returns the timeout that packets give a flow by a policy; 0 if it is the protocol's.
    pub fn policy_timeout_s(&self, hash: u64) -> u32 {
        if self.policy_timeouts.is_empty() {
            0
        } else {
            self.policy_timeouts.get(&hash).copied().unwrap_or(0)
        }
    }

    /// Stores the timeout by a policy; 0 if it is the protocol's. Nothing is stored beyond the limit, which a rule for
    /// a few flows does not reach.
    pub fn set_policy_timeout(&mut self, slot: u32, policy_timeout_s: u32) {
        let hash = self.entries[slot as usize].hash;
        match policy_timeout_s {
            0 if self.policy_timeouts.is_empty() => {}
            0 => drop(self.policy_timeouts.remove(&hash)),
            _ if self.policy_timeouts.len() < POLICY_TIMEOUTS_MAX
                || self.policy_timeouts.contains_key(&hash) =>
            {
                self.policy_timeouts.insert(hash, policy_timeout_s);
            }
            _ => {}
        }
    }

    /// Returns the number of flows with this translation.
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

    /// Clears the flag in all entries; free slots have no flags.
    pub fn clear_flag(&mut self, flag: u8) {
        self.entries
            .iter_mut()
            .for_each(|entry| entry.flags &= !flag);
    }

    /// Ages the entries at the begin of a resync of this node: packets that passed before are older by one, and the
    /// dump is newer than any report.
    pub fn age(&mut self) {
        for entry in &mut self.entries {
            let before = if entry.has(flag::PACKET_THIS_RESYNC) {
                flag::PACKET_LAST_RESYNC
            } else {
                0
            };
            let aged =
                flag::PACKET_THIS_RESYNC | flag::PACKET_LAST_RESYNC | flag::PRESENT | flag::FRESH;
            entry.flags = entry.flags & !aged | before;
        }
    }

    /// Takes over all flows: the later of both ends is its own from now on, except for flows that the peer's resync did
    /// not name any more.
    pub fn take_all(&mut self, now_s: u32) {
        let lives = |entry: &&mut Entry| !entry.is_doomed(now_s);
        for entry in self.entries.iter_mut().filter(lives) {
            entry.own_expiry_s = entry.expires_s();
            entry.peer_expiry_s = 0;
            entry.flags &= !flag::ENDED_AT_PEER;
        }
    }

    /// Gives up all flows, since the peer carries them: packets that passed here before no longer count.
    pub fn give_all(&mut self) {
        for entry in &mut self.entries {
            entry.peer_expiry_s = entry.expires_s();
            entry.own_expiry_s = 0;
            entry.flags &= !(flag::PACKET_THIS_RESYNC | flag::PACKET_LAST_RESYNC);
        }
    }

    /// Forgets when the peer's copies end.
    pub fn forget_told_expiry(&mut self) {
        for slot in &self.index {
            self.entries[*slot as usize].forget_told_expiry();
        }
    }

    /// Forgets waiting changes and what the peer has, after the channel was lost.
    pub fn disconnect(&mut self) {
        for slot in &self.index {
            let entry = &mut self.entries[*slot as usize];
            entry.stop_waiting();
            entry.flags &= !flag::KNOWN_TO_PEER;
        }
    }

    /// Marks flows as ended that the peer reported earlier and did not name in this round. Returns true if some are to
    /// be deleted here.
    pub fn end_unnamed(&mut self, now_s: u32) -> bool {
        let mut doomed = false;
        for slot in &self.index {
            let entry = &mut self.entries[*slot as usize];
            if entry.peer_expiry_s > 0 && entry.round() != self.round {
                entry.flags |= flag::ENDED_AT_PEER;
            }
            doomed |= entry.is_doomed(now_s);
        }
        doomed
    }

    /// Returns the entries of flows that a walk did not find in the kernel.
    pub fn absent(&self) -> Vec<Entry> {
        let present = flag::PRESENT | flag::DROPPED_HERE;
        let entries = self.iter().map(|(_, entry)| *entry);
        entries.filter(|entry| !entry.has(present)).collect()
    }

    /// Returns true if the peer reported any flow.
    pub fn has_peer_reports(&self) -> bool {
        self.iter().any(|(_, entry)| entry.peer_expiry_s > 0)
    }

    /// Returns the number of flows that live by the peer's report alone.
    pub fn count_peer_only(&self, now_s: u32) -> usize {
        let copies = self.iter().filter(|(_, entry)| !entry.is_own(now_s));
        copies.count()
    }

    pub fn iter(&self) -> impl Iterator<Item = (u32, &Entry)> {
        let slots = self.index.iter().copied();
        slots.map(|slot| (slot, &self.entries[slot as usize]))
    }

    /// Removes a flow from the old table. Returns its entry and its timeout by a policy.
    fn take_former(&mut self, flow: &Flow) -> Option<(Entry, u32)> {
        let former = self.former.as_mut()?;
        let slot = former.find(former.hash(flow))?;
        let entry = *former.get(slot);
        let policy_timeout_s = former.policy_timeout_s(entry.hash);
        former.remove(slot);
        Some((entry, policy_timeout_s))
    }

    fn take_slot(&mut self) -> u32 {
        if let Some(slot) = self.free.checked_sub(1) {
            self.free = self.entries[slot as usize].outbound;
            return slot;
        }
        if self.entries.len() == self.entries.capacity() {
            // grows by a sixteenth: memory use per flow is documented
            self.entries
                .reserve_exact((self.entries.len() / 16).max(1024));
        }
        self.entries.push(Entry::default());
        (self.entries.len() - 1) as u32
    }
}

#[cfg(test)]
mod tests;
