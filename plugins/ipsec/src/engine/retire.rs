//! Gives up tunnels: their SAs move from the kernel into memory, and the peer learns what was received and sent last.
//!
//! The last numbers go on the replica's lane, with a mark of their own: the record is the peer's by then. Both
//! windows are merged in the kernel that carries the tunnel, never in a record.

use std::collections::BTreeMap;

use super::install::Failover;
use super::window::{self, union_of};
use super::{Change, Engine};
use crate::SECOND;
use crate::codec::body::policy_with_own_reqids;
use crate::sa::{Direction, Policy, Replay, SaId};
use crate::store::{HeldSa, ReservedMemory};
use crate::wire::Numbers;

/// Longest time to wait for a reading.
const READING_NS: u64 = SECOND;
/// Time after a failover for which the numbers that the old node received last count.
const LAST_RECEIVED_NS: u64 = 10 * SECOND;

/// SAs with which the kernel still receives, until their numbers have been read once more.
#[derive(Debug)]
struct Retiring {
    inbound: Vec<SaId>,
    /// Generation of the reading that finds their numbers.
    wanted: u32,
    until_ns: u64,
}

/// Numbers received by the old node, until the kernel's own numbers have been read.
#[derive(Debug, Default)]
struct Merge {
    received: BTreeMap<SaId, Replay>,
    /// Generation of the reading that finds the kernel's numbers.
    wanted: u32,
}

/// Numbers that an old node received last: from this node, or from the peer. At the end of a role only
/// `merge` is reset.
#[derive(Debug, Default)]
pub struct LastReceived {
    retiring: Option<Retiring>,
    merge: Merge,
}

impl LastReceived {
    pub fn next_ns(&self) -> u64 {
        let retiring = self.retiring.as_ref();
        retiring.map_or(u64::MAX, |it| it.until_ns)
    }

    /// True if the kernel still receives with SAs of an earlier role.
    pub fn is_pending(&self) -> bool {
        self.retiring.is_some()
    }

    /// True if the kernel still receives with this SA of an earlier role.
    pub fn is_retiring(&self, id: &SaId) -> bool {
        let retiring = self.retiring.as_ref();
        retiring.is_some_and(|it| it.inbound.contains(id))
    }

    /// True if the numbers of retiring SAs have been read.
    fn is_read(&self, generation: u32) -> bool {
        let retiring = self.retiring.as_ref();
        retiring.is_some_and(|it| it.wanted <= generation)
    }
}

impl Engine {
    /// Gives tunnels up: all of them, or those whose address is no longer here.
    pub(super) fn retire(&mut self, now_ns: u64, all: bool) {
        self.note_all_added(now_ns);
        let store = &mut self.store;
        store.ended.retain(|end| !all && store.ends.is_kept(end));
        self.switchover.stopping.retain(|id| {
            let held = store.held.sas().get(id);
            held.is_some_and(|it| store.ends.is_kept(&it.local_end()))
        });
        let held = store.held.sas();
        store.lane.retain_last_sent(|id| held.contains_key(id));
        self.forget_failed();
        let gone = self.leaving_sas(all);
        let policies = self.leaving_policies(all);
        self.cancel_adoption(all);
        if all {
            self.cancel_resume();
            self.failover = Failover::default();
            self.outbox.cancel_additions();
            self.switchover.last_received.merge = Merge::default();
        } else if gone.is_empty() && policies.is_empty() {
            return;
        }
        self.finish_retiring(now_ns);
        let inbound = self.hold_gone_sas(gone);
        // the SAs of some are deleted already, as the peer has asked for their last numbers
        self.drop_lost_copies(all);
        if all {
            self.installed.clear();
        }
        self.store.held.update_ends();
        self.hold_own_policies(policies);
        self.store.ends.forget_lingering();
        let wanted = self.read_fresh();
        self.switchover.last_received.retiring = Some(Retiring {
            inbound,
            wanted,
            until_ns: now_ns + READING_NS,
        });
        if !self.is_up() {
            self.finish_retiring(now_ns);
        }
    }

    /// Moves SAs that leave into memory, and deletes the outbound ones; returns the inbound ones, which receive on.
    fn hold_gone_sas(&mut self, gone: Vec<(SaId, Direction)>) -> Vec<SaId> {
        let mut inbound = Vec::new();
        for (id, side) in gone {
            self.drop_copies_to(&id);
            self.note_left_sa(&id);
            self.hold_own_sa(id, side);
            self.installed.remove(&id);
            match side {
                Direction::Out => {
                    self.report_last_sent(&id);
                    self.push_change(Change::DeleteSa(id));
                    self.store.sas.remove(&id);
                }
                Direction::In => inbound.push(id),
            }
        }
        inbound
    }

    /// Reports the last number of an SA of which the peer has not asked it: the peer may have sent with smaller ones while
    /// both nodes were active.
    fn report_last_sent(&mut self, id: &SaId) {
        let now_ns = self.store.now_ns;
        if let Some(known) = self.store.sas.get(id) {
            let numbers = known.former_numbers(now_ns);
            self.store.lane.put_last_sent(*id, numbers);
        }
    }

    /// Moves an inbound SA into memory that an IKE daemon deleted as it ended, where the peer has the address already, and
    /// reports what was received last. Installed once more it would count as received what may have been, and the peer,
    /// which merges that, would refuse as many packets.
    pub(super) fn stop_receiving(&mut self, now_ns: u64, id: &SaId) {
        let Some(known) = self.store.sas.get_mut(id) else {
            return;
        };
        if !self.switchover.stopping.is_last(known.read_ns) {
            let (esn, pace) = (known.sa.esn, known.pace());
            window::mark_possibly_received(&mut known.sa.replay, esn, pace, &self.settings);
        }
        let numbers = known.former_numbers(now_ns);
        if self.is_up() {
            let lane = &mut self.store.lane;
            lane.begin_last_received(now_ns, now_ns + LAST_RECEIVED_NS);
            lane.put_last_received(*id, numbers);
        }
        self.switchover.stopping.note_deleted(*id);
        self.hold_stopped(now_ns, *id, Direction::In);
        self.queue_numbers();
    }

    fn leaving_sas(&self, all: bool) -> Vec<(SaId, Direction)> {
        let store = &self.store;
        let carried = store.sas.iter().filter_map(|(id, known)| {
            let side = known.side?;
            let is_carried = store.index.sas.get(id).is_some_and(|it| it.is_local);
            let is_gone = is_carried && !store.ends.is_kept(&known.sa.local_end(side));
            (all || is_gone).then_some((*id, side))
        });
        carried.collect()
    }

    fn leaving_policies(&self, all: bool) -> Vec<Policy> {
        let store = &self.store;
        let carried = store.policies.iter().filter(|(id, known)| {
            let is_carried = store.index.policies.get(id).is_some_and(|it| it.is_local);
            let end = known.policy.end;
            let is_gone = is_carried && end.is_some_and(|end| !store.ends.is_kept(&end));
            known.ours && (all || is_gone)
        });
        carried.map(|(_, known)| known.policy.clone()).collect()
    }

    /// Keeps an SA of this node, for a later failover to it.
    pub(super) fn hold_own_sa(&mut self, id: SaId, side: Direction) {
        let Some(known) = self.store.sas.get(&id) else {
            return;
        };
        let held = HeldSa {
            sa: known.sa.clone(),
            side,
            pace: known.pace(),
            name: known.name.clone(),
            reported_ns: self
                .separation
                .since_ns()
                .unwrap_or(u64::MAX)
                .min(known.read_ns),
            life_ns: known.life_ns,
            is_own: true,
            proof: None,
            reserved: ReservedMemory::default(),
        };
        self.store.held.put_sa(id, held);
        self.store.held.reserve_later(self.store.now_ns, id);
    }

    /// Keeps policies: without them packets would leave in clear text.
    fn hold_own_policies(&mut self, policies: Vec<Policy>) {
        for mut policy in policies {
            let id = policy.id;
            if policy.end.is_some() {
                self.store.installed_policies.claim(id);
                // after a failover the policy leads to installed SAs
                let installed = policy_with_own_reqids(&policy);
                if installed.templates != policy.templates {
                    self.store.installed_policies.restore_at_failover(id);
                }
                policy = installed;
            }
            self.store.held.policies.insert(id, policy);
        }
    }

    pub(super) fn handle_retiring_timeout(&mut self, now_ns: u64) {
        if self.switchover.last_received.next_ns() <= now_ns {
            self.finish_retiring(now_ns);
        }
    }

    /// Ends retiring after a reading that has found the numbers.
    pub(super) fn finish_read_retiring(&mut self, now_ns: u64) {
        let generation = self.reads.generation();
        if self.switchover.last_received.is_read(generation) {
            self.finish_retiring(now_ns);
        }
    }

    /// Reports what was received, and ends receiving.
    pub(super) fn finish_retiring(&mut self, now_ns: u64) {
        for id in self.end_retiring(now_ns) {
            self.store.sas.remove(&id);
            self.update_sa_record(now_ns, &id);
            self.push_change(Change::DeleteSa(id));
        }
        self.end_left_sessions();
    }

    /// Reports what was received; returns the SAs that still receive.
    pub(super) fn end_retiring(&mut self, now_ns: u64) -> Vec<SaId> {
        let Some(mut retiring) = self.switchover.last_received.retiring.take() else {
            return Vec::new();
        };
        let is_up = self.is_up();
        let store = &mut self.store;
        store
            .lane
            .begin_last_received(now_ns, now_ns + LAST_RECEIVED_NS);
        retiring.inbound.retain(|id| store.sas.contains_key(id));
        for id in &retiring.inbound {
            let Some(known) = store.sas.get(id) else {
                continue;
            };
            if let Some(held) = store.held.sa_mut(id).filter(|it| it.is_own) {
                held.sa.replay.clone_from(&known.sa.replay);
            }
            if is_up {
                store
                    .lane
                    .put_last_received(*id, known.former_numbers(now_ns));
            }
        }
        self.queue_numbers();
        self.mark_dirty();
        retiring.inbound
    }

    /// Handles the last numbers of the old node: what it received must not be accepted here again, and what it sent must
    /// not be sent again.
    pub(super) fn handle_former_numbers(&mut self, now_ns: u64, id: SaId, numbers: Numbers) {
        let since_ns = self.failover.age_ns(now_ns);
        let is_recent = self.is_active() && since_ns < LAST_RECEIVED_NS;
        let receives = self.installed.side(&id) == Some(Direction::In);
        if receives && (is_recent || self.failover.is_settling()) {
            let generation = self.reads.generation();
            let merge = &mut self.switchover.last_received.merge;
            merge.received.insert(id, numbers.replay.clone());
            if merge.wanted <= generation {
                let wanted = self.read_fresh();
                self.switchover.last_received.merge.wanted = wanted;
            }
        }
        let is_carried = self.is_carried(&id);
        if is_carried {
            self.jump_above(now_ns, &id, &numbers);
        }
        let held = self.store.held.sa_mut(&id).filter(|_| !is_carried);
        // what a node sent long ago may be less than what another one sent later
        let held = held.filter(|it| numbers.replay.oseq >= it.sa.replay.oseq);
        if let Some(held) = held {
            held.update_numbers(now_ns, numbers);
        }
    }

    /// Has an outbound SA go on above the last number of the peer, which was active as well.
    fn jump_above(&mut self, now_ns: u64, id: &SaId, there: &Numbers) {
        let sas = &mut self.store.sas;
        let Some(known) = sas.get_mut(id).filter(|it| it.side == Some(Direction::Out)) else {
            return;
        };
        let silent_ns = now_ns.saturating_sub(known.read_ns);
        let (esn, oseq, settings) = (known.sa.esn, known.sa.replay.oseq, &self.settings);
        let above =
            |oseq, pace, silent_ns| window::jumped_once(oseq, esn, pace, silent_ns, settings);
        let wanted = above(there.replay.oseq, there.pace, 0);
        let Some(wanted) = wanted.filter(|it| *it > oseq) else {
            return;
        };
        // the kernel may have sent more since its last report
        let own = above(oseq, known.pace(), silent_ns);
        known.sa.replay.oseq = wanted.max(own.unwrap_or_default());
        let replay = known.sa.replay.clone();
        if !self.raise_awaited(id, replay.oseq) {
            self.push_change(Change::SetReplay(*id, replay));
        }
        self.queue_sa_numbers(id);
    }

    pub(super) fn merge_windows(&mut self) {
        let merge = &mut self.switchover.last_received.merge;
        if merge.wanted > self.reads.generation() {
            return;
        }
        for (id, there) in std::mem::take(&mut merge.received) {
            let Some(known) = self.store.sas.get_mut(&id) else {
                continue;
            };
            let union = union_of(&known.sa.replay, &there);
            if union != known.sa.replay {
                self.push_change(Change::SetReplay(id, union));
            }
        }
    }
}
