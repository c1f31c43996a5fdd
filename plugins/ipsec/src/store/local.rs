//! SAs and policies of the kernel here, from its last reports.

use super::rate::Rate;
use crate::sa::{ChildName, Direction, Life, Pace, Policy, Sa};
use crate::wire::{Numbers, Origin};

#[derive(Debug)]
pub struct LocalSa {
    pub sa: Sa,
    /// None: it does not follow.
    pub side: Option<Direction>,
    pub rate: Rate,
    /// In packets; 0: the kernel's own.
    pub threshold: u32,
    /// The one before, while packets that it left untold may still be.
    pub threshold_before: u32,
    /// Its numbers at the last report to the peer.
    pub told: u64,
    /// Time when its numbers were read.
    pub heard_ns: u64,
    /// When its life was.
    pub life_ns: u64,
    pub since_ns: u64,
    /// The last reading that found it.
    pub reading: u32,
    pub name: Option<ChildName>,
}

#[derive(Debug)]
pub struct LocalPolicy {
    pub policy: Policy,
    /// It follows.
    pub ours: bool,
    /// The last reading that found it.
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
            told: 0,
            heard_ns: now_ns,
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

    /// The number that moves on.
    pub fn position(&self) -> u64 {
        match self.side {
            Some(Direction::Out) => self.sa.replay.oseq,
            _ => self.sa.replay.seq,
        }
    }

    pub fn pace(&self) -> Pace {
        self.rate.pace(self.threshold.max(self.threshold_before))
    }

    /// As they are told: of this node's own kernel.
    pub fn numbers(&self, now_ns: u64) -> Numbers {
        Numbers {
            origin: Origin::Kernel,
            silent_ms: 0,
            replay: self.sa.replay.clone(),
            life: self.life(now_ns),
            pace: self.pace(),
        }
    }

    pub fn set_threshold(&mut self, threshold: u32) {
        self.threshold_before = self.threshold_before.max(self.threshold);
        self.threshold = threshold;
    }

    /// As it would be told now: its age goes on.
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
