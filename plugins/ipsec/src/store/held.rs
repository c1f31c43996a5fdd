//! SAs and policies of the other node, held in memory for a failover.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::reserved_memory::{PendingReservations, ReservedMemory};
use crate::ms_between;
use crate::sa::{ChildName, Direction, Life, Pace, Policy, PolicyId, Sa, SaId};
use crate::wire::{Numbers, Origin, ReportedSa};

#[derive(Debug, Default)]
pub struct Held {
    sas: BTreeMap<SaId, HeldSa>,
    /// Policies as they are installed here.
    pub policies: BTreeMap<PolicyId, Policy>,
    /// Local ends of these on the other node.
    pub ends: BTreeSet<IpAddr>,
    pending_reservations: PendingReservations,
}

#[derive(Debug)]
pub struct HeldSa {
    pub sa: Sa,
    pub side: Direction,
    pub pace: Pace,
    pub name: Option<ChildName>,
    /// Time at which its numbers were reported.
    pub reported_ns: u64,
    /// Time at which its lifetimes were reported.
    pub life_ns: u64,
    /// The SA is from this node's own time as active: the peer has reported no numbers of it since.
    pub is_own: bool,
    /// Number of the proof that the kernel here supports it.
    pub proof: Option<u64>,
    pub reserved: ReservedMemory,
}

impl HeldSa {
    pub fn from_report(now_ns: u64, report: ReportedSa) -> Self {
        let numbers = &report.numbers;
        Self {
            pace: numbers.pace,
            reported_ns: numbers.known_ns(now_ns),
            life_ns: now_ns,
            is_own: numbers.origin == Origin::Copy,
            sa: report.sa,
            side: report.side,
            name: report.name,
            proof: None,
            reserved: ReservedMemory::default(),
        }
    }

    pub fn update_numbers(&mut self, now_ns: u64, numbers: Numbers) {
        if numbers.replay.form.capacity() != self.sa.replay.form.capacity() {
            return;
        }
        self.reported_ns = numbers.known_ns(now_ns);
        self.is_own = false;
        (self.sa.replay, self.sa.life) = (numbers.replay, numbers.life);
        (self.pace, self.life_ns) = (numbers.pace, now_ns);
    }

    /// Takes the numbers of another record of the same SA, if they are greater.
    pub fn keep_numbers(&mut self, other: &Self) {
        let (here, there) = (&self.sa.replay, &other.sa.replay);
        let further = there.oseq > here.oseq || there.seq > here.seq;
        if further && there.form.capacity() == here.form.capacity() {
            self.sa.replay.clone_from(there);
            self.sa.life = other.sa.life;
            (self.pace, self.reported_ns, self.life_ns) =
                (other.pace, other.reported_ns, other.life_ns);
            self.is_own = other.is_own;
        }
    }

    pub fn local_end(&self) -> IpAddr {
        self.sa.local_end(self.side)
    }

    pub fn life(&self, now_ns: u64) -> Life {
        self.sa.life.later(now_ns.saturating_sub(self.life_ns))
    }

    /// Returns its numbers as a copy.
    pub fn numbers(&self, now_ns: u64) -> Numbers {
        let silent_ms = ms_between(self.reported_ns, now_ns);
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
    /// Holds an SA, in the place of what was held with its id.
    pub fn put_sa(&mut self, id: SaId, sa: HeldSa) {
        self.sas.insert(id, sa);
    }

    /// Releases an SA: the kernel has it, or nobody does.
    pub fn remove_sa(&mut self, id: &SaId) {
        self.sas.remove(id);
    }

    /// Releases the SAs for which `stays` is false.
    pub fn retain_sas(&mut self, stays: impl FnMut(&SaId, &mut HeldSa) -> bool) {
        self.sas.retain(stays);
    }

    /// Returns an SA whose numbers or memory are to change.
    pub fn sa_mut(&mut self, id: &SaId) -> Option<&mut HeldSa> {
        self.sas.get_mut(id)
    }

    pub fn sas(&self) -> &BTreeMap<SaId, HeldSa> {
        &self.sas
    }

    /// Requests memory for a failover for an SA that is held from now on.
    pub fn reserve_later(&mut self, now_ns: u64, id: SaId) {
        self.pending_reservations.want(now_ns, id);
    }

    /// Touches memory for a failover, if that is due; waits for a snapshot in progress.
    pub fn reserve_due(&mut self, now_ns: u64, waits: bool, is_installed: impl Fn(&SaId) -> bool) {
        if self.pending_reservations.next_ns() > now_ns {
            return;
        }
        if waits {
            self.pending_reservations.wait(now_ns)
        } else {
            self.pending_reservations
                .touch_next(now_ns, &mut self.sas, is_installed)
        }
    }

    pub fn next_ns(&self) -> u64 {
        self.pending_reservations.next_ns()
    }

    /// Returns the wanted SAs, the busiest first; among equally busy ones the outbound first.
    pub fn by_urgency(
        &self,
        is_wanted: impl Fn(&SaId, &HeldSa) -> bool,
    ) -> impl Iterator<Item = (&SaId, &HeldSa)> {
        let wanted = self.sas.iter().filter(|(id, it)| is_wanted(id, it));
        let urgency = |it: &HeldSa| (Reverse(it.pace.packets_per_s), it.side == Direction::In);
        // the sort keys are in a vector of their own, as the SAs are scattered in memory
        let mut sas: Vec<_> = wanted.map(|(id, it)| (urgency(it), (id, it))).collect();
        sas.sort_by_key(|(urgency, _)| *urgency);
        sas.into_iter().map(|(_, it)| it)
    }

    pub fn update_ends(&mut self) {
        self.ends = self.sas.values().map(HeldSa::local_end).collect();
    }
}
