//! SAs and policies of the other node, kept in memory for a failover.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::ms_between;
use crate::sa::{ChildName, Direction, Life, Pace, Policy, PolicyId, Sa, SaId};
use crate::wire::{Numbers, Origin, ToldSa};

#[derive(Debug, Default)]
pub struct Held {
    pub sas: BTreeMap<SaId, HeldSa>,
    /// As they are put here.
    pub policies: BTreeMap<PolicyId, Policy>,
    /// The other node's ends of them.
    pub ends: BTreeSet<IpAddr>,
}

#[derive(Debug)]
pub struct HeldSa {
    pub sa: Sa,
    pub side: Direction,
    pub pace: Pace,
    pub name: Option<ChildName>,
    /// Time of the report of its numbers.
    pub told_ns: u64,
    /// When its life was.
    pub life_ns: u64,
    /// This node's own, from when it was active: the peer has told no numbers of it since.
    pub is_own: bool,
    /// Features needed of the kernel here.
    pub proof: Option<u64>,
    pub room: Room,
}

/// Memory that installing an SA takes: written to while there is time for it, and free for that when the SA is
/// installed. A page costs most when it is touched first, and thousands of SAs take hundreds of pages.
#[derive(Debug, Default)]
pub struct Room(Vec<u8>);

impl Room {
    /// An SA, and its entries in the lists of what was put.
    const BYTES: usize = size_of::<Sa>() + 384;

    pub fn touch(&mut self) {
        // zeros might come as pages that nobody has touched yet
        self.0 = vec![1; Self::BYTES];
    }

    /// Gives the memory back to the allocator, from which the next objects take it.
    pub fn free(&mut self) {
        self.0 = Vec::new();
    }

    #[cfg(test)]
    pub fn is_free(&self) -> bool {
        self.0.is_empty()
    }
}

impl HeldSa {
    pub fn told(now_ns: u64, told: ToldSa) -> Self {
        let numbers = &told.numbers;
        Self {
            pace: numbers.pace,
            told_ns: numbers.known_ns(now_ns),
            life_ns: now_ns,
            is_own: numbers.origin == Origin::Copy,
            sa: told.sa,
            side: told.side,
            name: told.name,
            proof: None,
            room: Room::default(),
        }
    }

    pub fn count(&mut self, now_ns: u64, numbers: Numbers) {
        if numbers.replay.form.capacity() != self.sa.replay.form.capacity() {
            return;
        }
        self.told_ns = numbers.known_ns(now_ns);
        self.is_own = false;
        (self.sa.replay, self.sa.life) = (numbers.replay, numbers.life);
        (self.pace, self.life_ns) = (numbers.pace, now_ns);
    }

    /// Takes the numbers of another record of the same SA where they are further on.
    pub fn keep_numbers(&mut self, other: &Self) {
        let (here, there) = (&self.sa.replay, &other.sa.replay);
        let further = there.oseq > here.oseq || there.seq > here.seq;
        if further && there.form.capacity() == here.form.capacity() {
            self.sa.replay.clone_from(there);
            self.sa.life = other.sa.life;
            (self.pace, self.told_ns, self.life_ns) = (other.pace, other.told_ns, other.life_ns);
            self.is_own = other.is_own;
        }
    }

    pub fn local_end(&self) -> IpAddr {
        self.sa.local_end(self.side)
    }

    pub fn life(&self, now_ns: u64) -> Life {
        self.sa.life.later(now_ns.saturating_sub(self.life_ns))
    }

    /// As a copy of them is told.
    pub fn numbers(&self, now_ns: u64) -> Numbers {
        let silent_ms = ms_between(self.told_ns, now_ns);
        Numbers {
            origin: Origin::Copy,
            silent_ms: u32::try_from(silent_ms).unwrap_or(u32::MAX),
            replay: self.sa.replay.clone(),
            life: self.life(now_ns),
            pace: self.pace,
        }
    }
}

impl Held {
    /// Some of them, the busiest first; of those alike what is sent with.
    pub fn by_urgency(
        &self,
        is_wanted: impl Fn(&SaId, &HeldSa) -> bool,
    ) -> impl Iterator<Item = (&SaId, &HeldSa)> {
        let wanted = self.sas.iter().filter(|(id, it)| is_wanted(id, it));
        let urgency = |it: &HeldSa| (Reverse(it.pace.packets_per_s), it.side == Direction::In);
        // beside what it sorts, as the SAs are all over the memory
        let mut sas: Vec<_> = wanted.map(|(id, it)| (urgency(it), (id, it))).collect();
        sas.sort_by_key(|(urgency, _)| *urgency);
        sas.into_iter().map(|(_, it)| it)
    }

    pub fn sort_ends(&mut self) {
        self.ends = self.sas.values().map(HeldSa::local_end).collect();
    }
}
