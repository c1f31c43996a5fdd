//! A failover: all records of the peer go into the kernel, with numbers that no node used.

mod read_back;
mod refused;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::installed::InstalledSa;
use super::outbox::BATCH_MAX;
use super::window::{self, SaUsage};
use super::{Change, Engine};
use crate::codec::body::sa_with_own_reqid;
use crate::sa::{Direction, Policy, PolicyId, Replay, Sa, SaId};
use crate::store::{EKEYREJECTED, HeldSa, threshold_of};
use crate::{MS, SECOND};
use refused::Refused;

/// Time after which a failover without a role is undone.
const SETTLING_MAX_NS: u64 = 3 * SECOND;
/// Time for which SAs are installed before addresses may come at an unplanned failover. Addresses wait for at most 15
/// ms, which leaves time for the batch under way and for the answer to the host and the elector.
const SETTLE_NS: u64 = 7 * MS;
/// Number of SAs in a batch until then, so that the batch under way is over soon.
pub(super) const AWAITED_MAX: usize = 25;
/// Most SAs that are named one by one in events.
const NAMED_MAX: usize = 10;
/// Time for which the old node's report of exact numbers counts.
const EXACT_NS: u64 = 5 * SECOND;

#[derive(Debug, Default)]
pub struct Failover {
    /// Time when the installation began, for a role that has not come.
    settling_since_ns: Option<u64>,
    /// Time when this node became active.
    active_ns: u64,
    /// Time when the installation began, before or with the role; `installed_ns`: when the kernel took the last SA.
    began_ns: u64,
    installed_ns: u64,
    /// Generation of the reading that is compared with the installed SAs.
    read_back_generation: Option<u32>,
    refused: Refused,
    /// SAs that have no numbers left to send with.
    exhausted: BTreeSet<SaId>,
    queue: Queue,
    /// SAs that the kernel has taken, with their thresholds. This node enters them in its store when none is left to be
    /// installed.
    added: BTreeMap<SaId, (Box<Sa>, u32)>,
    /// Policies that were kept and are now this node's: to free thousands of them takes time, and no SA waits for that.
    released_policies: Vec<BTreeMap<PolicyId, Policy>>,
}

/// SAs that are not yet on their way to the kernel, the next one first. Requests are made as the kernel takes them: all
/// at once they take longer than addresses may wait if there are thousands.
#[derive(Debug, Default)]
struct Queue {
    ids: VecDeque<SaId>,
    /// SAs that have no numbers left; they are reported when the last one has gone.
    exhausted: Vec<SaId>,
}

impl Failover {
    pub fn settling_until_ns(&self) -> u64 {
        self.settling_since_ns
            .map_or(u64::MAX, |it| it.saturating_add(SETTLING_MAX_NS))
    }

    /// Time at which refused SAs are to be tried again.
    pub fn retry_ns(&self) -> u64 {
        self.refused.next_ns()
    }

    /// Returns true if this node has been active since before this time.
    pub fn is_older_than(&self, at_ns: u64) -> bool {
        self.active_ns <= at_ns
    }

    /// Returns the time for which this node has been active.
    pub fn age_ns(&self, now_ns: u64) -> u64 {
        now_ns.saturating_sub(self.active_ns)
    }

    pub fn is_settling(&self) -> bool {
        self.settling_since_ns.is_some()
    }

    /// Frees policies that are no longer needed, when nothing waits.
    pub fn free_released_policies(&mut self) {
        self.released_policies = Vec::new();
    }

    /// Forgets SAs that could not be installed, so that the next failover tries them again; those for which `stays` is
    /// true exist nowhere else, and remain.
    fn forget_failed(&mut self, stays: impl Fn(&SaId) -> bool) {
        self.refused.retain(&stays);
        self.exhausted.retain(|id| stays(id));
    }

    /// Forgets an SA that the kernel no longer has.
    pub fn forget_added(&mut self, id: &SaId) {
        self.added.remove(id);
    }
}

impl Engine {
    /// Puts everything that is kept for a failover into the kernel. It is not known yet which groups come: SAs that
    /// turn out to stay with the peer are taken back.
    pub fn handle_settle(&mut self, now_ns: u64) {
        if !self.is_active() || !self.store.held.sas().is_empty() {
            if !self.is_failover_under_way() {
                self.forget_failed();
            }
            self.failover.settling_since_ns = Some(now_ns);
            self.failover.began_ns = now_ns;
            self.refuse_question();
            self.prepare_resume(now_ns);
            self.install_held(now_ns, true);
        }
    }

    /// True if addresses wait only for a limited time, not for all SAs.
    fn is_awaited(&self, now_ns: u64) -> bool {
        !self.is_settled(now_ns) && !self.is_planned(now_ns)
    }

    /// True if addresses may come. At a planned switchover that is when everything is in the kernel, as the old node
    /// serves until then. After a death it is soon: packets without an SA are dropped, but everything else waits for
    /// the addresses.
    pub fn is_settled(&self, now_ns: u64) -> bool {
        let Some(since_ns) = self.failover.settling_since_ns else {
            return true;
        };
        let late = now_ns.saturating_sub(since_ns) >= SETTLE_NS;
        // packets wait for SAs as soon as the kernel was told to hold them
        let is_done = self.is_answered() && !self.outbox.has_actions();
        is_done || (late && !self.is_planned(now_ns))
    }

    /// True if the peer's numbers are exact.
    pub(super) fn is_planned(&self, now_ns: u64) -> bool {
        let exact_ns = self.store.peer_numbers.exact_ns();
        exact_ns.is_some_and(|it| now_ns.saturating_sub(it) < EXACT_NS)
    }

    /// Takes over the records that are kept for a role that has come.
    pub(super) fn take_over(&mut self, now_ns: u64, is_first: bool) {
        if !self.is_failover_under_way() {
            self.failover.began_ns = now_ns;
            self.forget_failed();
        }
        self.install_held(now_ns, false);
        self.want_held_children();
        let refused = &self.failover.refused;
        let store = &mut self.store;
        store.take_sas(|id| refused.is_final(id));
        self.failover.released_policies.push(store.take_policies());
        store.installed_policies.keep_missing(&store.held.policies);
        if is_first || self.is_installing() {
            self.failover.active_ns = now_ns;
        }
        if self.is_peer_active() {
            // SAs of groups that stay on the peer
            self.uninstall_foreign(now_ns);
        }
        if self.foreign_installed().is_empty() {
            self.failover.settling_since_ns = None;
        }
        self.ask_last_numbers(now_ns);
        if self.switchover.resume.is_none() {
            self.begin_read_back();
        }
    }

    /// True if a failover is under way already.
    fn is_failover_under_way(&self) -> bool {
        self.failover.is_settling() || self.is_installing()
    }

    /// True if SAs of a failover are being installed, and none of its readings has found all of them yet.
    fn is_installing(&self) -> bool {
        !self.failover.queue.ids.is_empty() || self.installed.is_unread()
    }

    /// True if the kernel has answered all requests.
    fn is_answered(&self) -> bool {
        self.failover.queue.ids.is_empty() && self.outbox.is_applied()
    }

    /// True if the kernel has answered all requests, and the store has entered all of its SAs.
    pub(super) fn is_installed(&self) -> bool {
        self.is_answered() && self.failover.added.is_empty()
    }

    /// Has everything that was installed read back, and then gives the IKE daemon its order.
    pub(super) fn begin_read_back(&mut self) {
        if self.is_installing() {
            self.find_policy_reqids();
            self.failover.read_back_generation = Some(self.read_fresh());
        } else {
            self.order_adoption();
        }
    }

    /// Installs again what the peer has kept for this node: the kernel may have lost it while no plugin ran.
    pub(super) fn reinstall_held(&mut self, now_ns: u64) {
        self.want_held_children();
        self.install(now_ns, false);
        self.order_adoption();
    }

    /// Installs all SAs again that still receive, of an earlier role: the peer may have received more.
    fn install_held(&mut self, now_ns: u64, all: bool) {
        let receiving = self.end_retiring(now_ns);
        self.plan_installation(now_ns, all);
        if receiving.is_empty() {
            return;
        }
        self.install_planned(now_ns, usize::MAX);
        let installed = &self.installed;
        let others = receiving.iter().filter(|id| !installed.has(id));
        for id in others {
            self.outbox.push_change(Change::DeleteSa(*id));
        }
    }

    /// Installs the SAs for this node's ends, or all of them, that are not in the kernel.
    pub(super) fn install(&mut self, now_ns: u64, all: bool) {
        self.plan_installation(now_ns, all);
        self.install_planned(now_ns, usize::MAX);
    }

    /// Orders the SAs that are to be installed: the busiest first, and of these the outbound ones.
    fn plan_installation(&mut self, now_ns: u64, all: bool) {
        self.restore_all_policies(now_ns);
        let switchover = &self.switchover;
        let planned = self.store.held.by_urgency(|id, held| {
            let is_ours = all || self.store.ends.owns(&held.local_end());
            // its last number has yet to come
            let is_out = held.side == Direction::Out;
            let waits = is_out && !switchover.resume.is_none() && !held.is_own;
            // the peer sends with it, while this node still has the address
            let is_stopped = held.is_own && switchover.stopping.is_stopped(id);
            is_ours && !waits && !is_stopped && !self.is_tried(id, held)
        });
        self.failover.queue.ids = planned.map(|(id, _)| *id).collect();
        self.mark_dirty();
    }

    /// Installs the next SAs if the kernel is about to have nothing to do.
    pub(super) fn install_next(&mut self, now_ns: u64) {
        if self.outbox.is_short() {
            let limit = if self.is_awaited(now_ns) {
                AWAITED_MAX
            } else {
                BATCH_MAX
            };
            self.install_planned(now_ns, limit);
        }
    }

    fn install_planned(&mut self, now_ns: u64, limit: usize) {
        let count = self.failover.queue.ids.len().min(limit);
        for _ in 0..count {
            let Some(id) = self.failover.queue.ids.pop_front() else {
                break;
            };
            if self.is_to_be_installed(&id) && !self.install_sa(now_ns, &id, false) {
                self.failover.exhausted.insert(id);
                self.failover.queue.exhausted.push(id);
            }
        }
        if self.failover.queue.ids.is_empty() {
            let exhausted = std::mem::take(&mut self.failover.queue.exhausted);
            self.report_exhausted(&exhausted);
        }
    }

    /// True if an SA is still to be installed: the peer's records and the addresses here may have changed.
    fn is_to_be_installed(&self, id: &SaId) -> bool {
        let held = self.store.held.sas().get(id);
        let is_ours = |held: &HeldSa| self.store.ends.owns(&held.local_end());
        let held = held.filter(|it| self.failover.is_settling() || is_ours(it));
        held.is_some_and(|it| !self.is_tried(id, it))
    }

    /// True if an SA that is kept was installed, or cannot be.
    pub(super) fn is_tried(&self, id: &SaId, held: &HeldSa) -> bool {
        let failover = &self.failover;
        let hidden = self.store.proofs.errno(held.proof) == Some(EKEYREJECTED);
        let is_refused = failover.refused.has(id) || failover.exhausted.contains(id);
        hidden || is_refused || self.installed.has(id)
    }

    /// Installs one SA that is kept; returns false if it has no numbers left. `stopped`: no other node sends with it,
    /// and its last number is known.
    pub(super) fn install_sa(&mut self, now_ns: u64, id: &SaId, stopped: bool) -> bool {
        let replay = self.numbers_to_install(now_ns, id, stopped);
        let Some(held) = self.store.held.sa_mut(id) else {
            return false;
        };
        held.reserved.free();
        let Some(replay) = replay else {
            return false;
        };
        let side = held.side;
        let sa = Sa {
            replay,
            life: held.life(now_ns),
            ..sa_with_own_reqid(&held.sa)
        };
        let installed = InstalledSa::new(&sa, side, held.name.clone());
        self.installed.put(*id, installed);
        let threshold = threshold_of(held.pace);
        self.push_change(Change::AddSa(Box::new(sa), threshold));
        true
    }

    /// Numbers for an SA that is kept, which no node has used; None if none are left.
    fn numbers_to_install(&self, now_ns: u64, id: &SaId, stopped: bool) -> Option<Replay> {
        let held = self.store.held.sas().get(id)?;
        let since_ns = self.separation.since_ns();
        let usage = SaUsage {
            pace: held.pace,
            silent_ns: now_ns.saturating_sub(held.reported_ns),
            is_exact: self.is_planned(now_ns),
            is_stopped: stopped,
            is_own: held.is_own,
            separated_ns: since_ns.map_or(0, |it| now_ns.saturating_sub(it)),
        };
        window::replay_to_install(&held.sa, held.side, usage, &self.settings)
    }

    fn report_exhausted(&mut self, exhausted: &[SaId]) {
        for id in exhausted.iter().take(NAMED_MAX) {
            let spi = id.spi;
            self.event(format!("{spi:08x}: out of sequence numbers, needs a rekey"));
        }
        let more = exhausted.len().saturating_sub(NAMED_MAX);
        if more > 0 {
            self.event(format!("{more} more SAs are out of sequence numbers"));
        }
    }

    pub(super) fn handle_added_sa(&mut self, now_ns: u64, sa: Box<Sa>, threshold: u32) {
        let id = sa.id;
        if !self.installed.has(&id) {
            return;
        }
        self.counters.installed += 1;
        self.note_refused_sa_taken(&id);
        self.renew_copies_to(&id);
        if self.installed.side(&id) == Some(Direction::Out) {
            self.copy_policies();
        }
        self.failover.installed_ns = now_ns;
        self.failover.added.insert(id, (sa, threshold));
    }

    /// Enters some SAs of the kernel in the store; returns true if there were any.
    pub(super) fn note_added(&mut self, now_ns: u64) -> bool {
        let next = self.failover.added.keys().take(BATCH_MAX);
        let ids: Vec<SaId> = next.copied().collect();
        for id in &ids {
            self.note_added_sa(now_ns, id);
        }
        let any = !ids.is_empty();
        if any {
            self.report_refused_if_installed();
        }
        any
    }

    /// Enters all SAs of the kernel in the store, before a role or an address leaves.
    pub(super) fn note_all_added(&mut self, now_ns: u64) {
        while self.note_added(now_ns) {}
    }

    /// Enters one SA of the kernel in the store, before a newer report of it.
    pub(super) fn note_added_sa(&mut self, now_ns: u64, id: &SaId) {
        let Some((sa, threshold)) = self.failover.added.remove(id) else {
            return;
        };
        self.enter_sa(now_ns, *sa, threshold);
        if self.is_carried(id) {
            self.store.held.remove_sa(id);
        }
    }

    /// True if this node reports an SA to the peer: it has the SA's end, and the kernel has the SA.
    pub(super) fn is_carried(&self, id: &SaId) -> bool {
        self.store.index.sas.get(id).is_some_and(|it| it.is_local)
    }

    /// Reports SAs that could not be installed, so that the next failover may try them; called when a failover ends or
    /// begins.
    pub(super) fn forget_failed(&mut self) {
        self.report_refused();
        let store = &self.store;
        self.failover.forget_failed(|id| {
            let held = store.held.sas().get(id);
            held.is_some_and(|it| store.ends.is_kept(&it.local_end()))
        });
    }

    /// Takes back the SAs of a failover that has not happened, or only for other groups.
    pub(super) fn end_settling(&mut self, now_ns: u64) {
        self.note_all_added(now_ns);
        self.cancel_resume();
        if self.is_active() {
            self.failover.settling_since_ns = None;
            if self.store.ends.confirm() {
                // addresses may have come later than their role
                self.take_over(now_ns, false);
                self.update_sides_and_records(now_ns);
                self.update_quiet(now_ns);
            }
            self.forget_failed();
        } else {
            self.failover = Failover::default();
            self.outbox.cancel_additions();
        }
        self.uninstall_foreign(now_ns);
        self.mark_dirty();
    }

    fn uninstall_foreign(&mut self, now_ns: u64) {
        for (_, id) in self.foreign_installed() {
            self.uninstall(id);
            self.update_sa_record(now_ns, &id);
        }
    }

    /// SAs that are in the kernel for a failover and are not this node's, the outbound ones first.
    fn foreign_installed(&self) -> Vec<(bool, SaId)> {
        let store = &self.store;
        let is_foreign = |id: &SaId| match store.held.sas().get(id) {
            Some(held) => !store.is_active || !store.ends.owns(&held.local_end()),
            None => !store.is_active,
        };
        let foreign = self.installed.iter().filter(|(id, _)| is_foreign(id));
        let foreign = foreign.map(|(id, it)| (it.side() == Direction::In, *id));
        let mut foreign: Vec<(bool, SaId)> = foreign.collect();
        foreign.sort_unstable();
        foreign
    }

    pub(super) fn uninstall(&mut self, id: SaId) {
        // before it, so that packets go on with another SA at once
        self.end_copies_to(&id);
        self.installed.remove(&id);
        self.push_change(Change::DeleteSa(id));
    }
}
