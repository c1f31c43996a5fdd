//! What each node knows of the flows that both have: 32 bytes and an index of five for each.

use hashbrown::HashTable;

use crate::flow::{Flow, Key, status};

/// Nothing waits for the flow.
pub const NOT_WAITING: u32 = 0;

/// Flags of an [`Entry`].
pub mod flag {
    /// The peer has it, or was told of it.
    pub const SENT: u8 = 1;
    /// The peer answers for it: its word counts.
    pub const REMOTE: u8 = 2;
    /// Something changed that only a whole record tells.
    pub const STALE: u8 = 4;
    /// An event told of it since a dump passed it: what the dump says may be older.
    pub const FRESH: u8 = 8;
    /// A walk has found it in the kernel here.
    pub const PRESENT: u8 = 16;
    /// The peer was told while it was active itself: it may have passed over it.
    pub const DOUBTED: u8 = 32;
    /// A failover gave it its protocol's time: it may outlive the peer's copy.
    pub const RESTORED: u8 = 64;
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    pub hash: u64,
    pub mark: u32,
    /// When the peer's copy expires, in seconds of the engine's clock.
    pub lease_until_s: u32,
    /// The number of the change that waits to be sent, or [`NOT_WAITING`]; of a free slot, the next
    /// free one.
    pub waiting: u32,
    /// When the entry in this kernel ends, as this node wrote or saw it last: another end is the
    /// work of a packet that passed here. 0: never written.
    pub written_until_s: u32,
    /// State and status, four bits each: see [`Entry::learn`].
    pub word: u8,
    /// Of the attributes, as a whole record tells them; 0 without any.
    pub extra: u8,
    /// The latest resync that saw it, of the node that answers for it.
    pub resync: u8,
    pub flags: u8,
}

impl Entry {
    /// TCP's, SCTP's or DCCP's state.
    pub fn state(&self) -> u8 {
        self.word & 15
    }

    /// As [`status_byte`].
    pub fn status(&self) -> u8 {
        self.word >> 4
    }

    /// What a record says; a part leaves out what has not changed.
    pub fn learn(&mut self, flow: &Flow) {
        let state = flow.state().unwrap_or(self.state());
        self.word = status_byte(flow.status) << 4 | state & 15;
        self.mark = flow.mark;
    }

    pub fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
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

/// Tells whether attributes have changed; 0 of none.
pub fn digest(extra: &[u8]) -> u8 {
    const PRIME: u32 = 0x0100_0193;
    let mix = |sum: u32, byte: &u8| (sum ^ u32::from(*byte)).wrapping_mul(PRIME);
    match extra {
        [] => 0,
        extra => (extra.iter().fold(0x811c_9dc5, mix) >> 24).max(1) as u8,
    }
}

#[derive(Debug, Default)]
pub struct Table {
    pub key: Key,
    index: HashTable<u32>,
    entries: Vec<Entry>,
    /// The first free slot, plus one.
    free: u32,
    remote: usize,
}

impl Table {
    pub fn clear(&mut self, key: Key) {
        *self = Self {
            key,
            ..Self::default()
        };
    }

    pub fn len(&self) -> usize {
        self.index.len()
    }

    pub fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    pub fn remote(&self) -> usize {
        self.remote
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

    /// Everything but its hash and [`flag::REMOTE`].
    pub fn get_mut(&mut self, slot: u32) -> &mut Entry {
        &mut self.entries[slot as usize]
    }

    /// A hash that is not there yet.
    pub fn insert(&mut self, entry: Entry) -> u32 {
        let slot = self.take_slot();
        let entries = &mut self.entries;
        entries[slot as usize] = entry;
        let hash_of = |slot: &u32| entries[*slot as usize].hash;
        self.index.insert_unique(entry.hash, slot, hash_of);
        self.remote += usize::from(entry.has(flag::REMOTE));
        slot
    }

    pub fn remove(&mut self, slot: u32) {
        let entry = self.entries[slot as usize];
        let found = self.index.find_entry(entry.hash, |it| *it == slot);
        if let Ok(found) = found {
            found.remove();
            self.remote -= usize::from(entry.has(flag::REMOTE));
            self.entries[slot as usize] = Entry {
                waiting: self.free,
                ..Entry::default()
            };
            self.free = slot + 1;
        }
    }

    pub fn set_flag(&mut self, slot: u32, flag: u8, on: bool) {
        let entry = &mut self.entries[slot as usize];
        let before = entry.has(flag::REMOTE);
        match on {
            true => entry.flags |= flag,
            false => entry.flags &= !flag,
        }
        let after = entry.has(flag::REMOTE);
        self.remote = self.remote + usize::from(after) - usize::from(before);
    }

    /// Makes one node answer for all of them: the peer, which has told of them all in its resync so
    /// far, or this one.
    pub fn give_all(&mut self, resync: Option<u8>) {
        for slot in &self.index {
            let entry = &mut self.entries[*slot as usize];
            match resync {
                Some(resync) if !entry.has(flag::REMOTE) => {
                    entry.flags |= flag::REMOTE;
                    entry.resync = resync;
                }
                Some(_) => {}
                None => entry.flags &= !flag::REMOTE,
            }
        }
        self.remote = resync.map_or(0, |_| self.index.len());
    }

    /// What the peer may have passed over is to be told again.
    pub fn unsend_doubted(&mut self) {
        for entry in self.entries.iter_mut().filter(|it| it.has(flag::DOUBTED)) {
            entry.flags &= !(flag::DOUBTED | flag::SENT);
        }
    }

    /// Of all; not for [`flag::REMOTE`].
    pub fn clear_flag(&mut self, flag: u8) {
        self.entries
            .iter_mut()
            .for_each(|entry| entry.flags &= !flag);
    }

    /// Those that this node answers for count as seen by this resync.
    pub fn set_resync_of_own(&mut self, resync: u8) {
        let own = self
            .entries
            .iter_mut()
            .filter(|entry| !entry.has(flag::REMOTE));
        own.for_each(|entry| entry.resync = resync);
    }

    pub fn iter(&self) -> impl Iterator<Item = (u32, &Entry)> {
        let slots = self.index.iter().copied();
        slots.map(|slot| (slot, &self.entries[slot as usize]))
    }

    fn take_slot(&mut self) -> u32 {
        if let Some(slot) = self.free.checked_sub(1) {
            self.free = self.entries[slot as usize].waiting;
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
mod tests {
    use super::*;

    fn entry(hash: u64) -> Entry {
        Entry {
            hash,
            ..Entry::default()
        }
    }

    #[test]
    fn slots_are_used_again_and_counts_hold() {
        let mut table = Table::default();
        let spread = |n: u64| n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let slots: Vec<u32> = (0..5000).map(|n| table.insert(entry(spread(n)))).collect();
        assert_eq!((table.len(), table.remote()), (5000, 0));
        for slot in &slots[..2500] {
            table.set_flag(*slot, flag::REMOTE, true);
        }
        slots.iter().step_by(2).for_each(|slot| table.remove(*slot));
        assert_eq!((table.len(), table.remote()), (2500, 1250));
        let again = table.insert(entry(77));
        assert!(slots.contains(&again));
        assert_eq!(table.find(77), Some(again));
        assert_eq!(table.find(0), None);
        assert_eq!(table.find(spread(1)), Some(slots[1]));
    }

    #[test]
    fn an_entry_is_32_bytes_as_the_memory_promised_wants() {
        assert_eq!(size_of::<Entry>(), 32);
    }

    #[test]
    fn status_survives_its_byte() {
        for bits in [
            0,
            status::SEEN_REPLY,
            status::SHARED,
            status::ASSURED | status::FIXED_TIMEOUT,
        ] {
            assert_eq!(status_bits(status_byte(bits)), bits);
        }
    }
}
