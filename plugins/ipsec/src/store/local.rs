//! SAs and policies of the kernel here, by its last reports.

use super::packet_rate::Rate;
use crate::sa::{ChildName, Direction, Life, Pace, Policy, Sa};
use crate::wire::{Numbers, Origin};

#[derive(Debug)]
pub struct LocalSa {
    pub sa: Sa,
    /// Side of this node; None if the SA is not replicated.
    pub side: Option<Direction>,
    pub rate: Rate,
    /// Notification threshold in packets; 0 for the kernel's default.
    pub threshold: u32,
    /// Previous threshold, while packets that were not reported under it may matter.
    pub threshold_before: u32,
    /// Position at the last report to the peer.
    pub reported_position: u64,
    /// Time at which its numbers were read.
    pub read_ns: u64,
    /// Time at which its lifetimes were read.
    pub life_ns: u64,
    pub since_ns: u64,
    /// Number of the last reading that found it.
    pub reading: u32,
    pub name: Option<ChildName>,
}

#[derive(Debug)]
pub struct LocalPolicy {
    pub policy: Policy,
    /// The policy is replicated.
    pub ours: bool,
    /// Number of the last reading that found it.
    pub reading: u32,
}

impl LocalSa {
    pub fn new(now_ns: u64, sa: Sa, side: Option<Direction>) -> Self {
        let mut it = Self {
            sa,
            side,
            rate: Rate::new(now_ns, 0),
            threshold: 0,
            threshold_before: 0,
            reported_position: 0,
            read_ns: now_ns,
            life_ns: now_ns,
            since_ns: now_ns,
            reading: 0,
            name: None,
        };
        it.set_side(now_ns, side);
        it
    }

    pub fn set_side(&mut self, now_ns: u64, side: Option<Direction>) {
        self.side = side;
        self.rate = Rate::new(now_ns, self.position());
    }

    /// Returns the number that advances.
    pub fn position(&self) -> u64 {
        match self.side {
            Some(Direction::Out) => self.sa.replay.oseq,
            _ => self.sa.replay.seq,
        }
    }

    pub fn pace(&self) -> Pace {
        self.rate.pace(self.threshold.max(self.threshold_before))
    }

    /// Returns its numbers, from this node's own kernel.
    pub fn numbers(&self, now_ns: u64) -> Numbers {
        Numbers {
            origin: Origin::Kernel,
            silent_ms: 0,
            replay: self.sa.replay.clone(),
            life: self.life(now_ns),
            pace: self.pace(),
        }
    }

    /// Returns its numbers as the last ones of a role that has left.
    pub fn former_numbers(&self, now_ns: u64) -> Numbers {
        Numbers {
            origin: Origin::Former,
            ..self.numbers(now_ns)
        }
    }

    pub fn set_threshold(&mut self, threshold: u32) {
        self.threshold_before = self.threshold_before.max(self.threshold);
        self.threshold = threshold;
    }

    /// Returns its lifetimes at this time, with its age.
    pub fn life(&self, now_ns: u64) -> Life {
        self.sa.life.later(now_ns.saturating_sub(self.life_ns))
    }

    pub fn is_like(&self, sa: &Sa) -> bool {
        self.sa.body == sa.body
            && self.sa.reqid == sa.reqid
            && self.sa.interfaces == sa.interfaces
            && self.sa.replay.window == sa.replay.window
            && self.sa.replay.form.capacity() == sa.replay.form.capacity()
    }
}
