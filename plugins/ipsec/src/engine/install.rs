//! A failover: all records of the peer go into the kernel, with numbers that no node used.

mod read_back;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::installed::InstalledSa;
use super::outbox::BATCH_MAX;
use super::status::{counted, reason};
use super::window::{self, Knowledge};
use super::{Change, Engine};
use crate::codec::body::shifted_sa;
use crate::sa::{Direction, Policy, PolicyId, Sa, SaId};
use crate::store::{EKEYREJECTED, HeldSa, threshold_of};
use crate::{MS, SECOND};

/// Time after which a failover without a role is undone.
const GIVE_UP_NS: u64 = 3 * SECOND;
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
    settled_ns: Option<u64>,
    /// Time when this node became active.
    pub active_ns: u64,
    /// Time when the installation began, before or with the role; `put_ns`: when the kernel took the last SA.
    begun_ns: u64,
    put_ns: u64,
    /// Generation of the reading that is compared with the installed SAs.
    wanted: Option<u32>,
    /// SAs that the kernel refused, with the errno; `is_refusal_told`: they were reported.
    refused: BTreeMap<SaId, i32>,
    is_refusal_told: bool,
    /// SAs that have no numbers left to send with.
    worn: BTreeSet<SaId>,
    queue: Queue,
    /// SAs that the kernel has taken, with their thresholds. This node enters them in its store when none is left to be
    /// installed.
    added: BTreeMap<SaId, (Box<Sa>, u32)>,
    /// Policies that were kept and are now this node's: to free thousands of them takes time, and no SA waits for that.
    taken: Vec<BTreeMap<PolicyId, Policy>>,
}

/// SAs that are not yet on their way to the kernel, the next one first. Requests are made as the kernel takes them: all
/// at once they take longer than addresses may wait if there are thousands.
#[derive(Debug, Default)]
struct Queue {
    ids: VecDeque<SaId>,
    /// SAs that have no numbers left; they are reported when the last one has gone.
    worn: Vec<SaId>,
}

impl Failover {
    pub fn give_up_ns(&self) -> u64 {
        self.settled_ns
            .map_or(u64::MAX, |it| it.saturating_add(GIVE_UP_NS))
    }

    pub fn is_settling(&self) -> bool {
        self.settled_ns.is_some()
    }

    /// Frees policies that are no longer needed, when nothing waits.
    pub fn free_taken(&mut self) {
        self.taken = Vec::new();
    }

    /// Forgets SAs that could not be installed, so that the next failover tries them again; those for which `stays` is
    /// true exist nowhere else, and remain.
    fn forget_vain(&mut self, stays: impl Fn(&SaId) -> bool) {
        self.refused.retain(|id, _| stays(id));
        self.worn.retain(|id| stays(id));
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
        if !self.is_active() || !self.store.held.sas.is_empty() {
            if !self.goes_on() {
                self.forget_vain();
            }
            self.failover.settled_ns = Some(now_ns);
            self.failover.begun_ns = now_ns;
            self.drop_question();
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
        let Some(since_ns) = self.failover.settled_ns else {
            return true;
        };
        let late = now_ns.saturating_sub(since_ns) >= SETTLE_NS;
        // packets wait for SAs as soon as the kernel was told to hold them
        let is_done = self.is_told() && !self.outbox.has_actions();
        is_done || (late && !self.is_planned(now_ns))
    }

    /// True if the peer's numbers are exact.
    pub(super) fn is_planned(&self, now_ns: u64) -> bool {
        let exact_ns = self.store.peer_numbers.exact_ns();
        exact_ns.is_some_and(|it| now_ns.saturating_sub(it) < EXACT_NS)
    }

    /// Takes over the records that are kept for a role that has come.
    pub(super) fn take_over(&mut self, now_ns: u64, is_first: bool) {
        if !self.goes_on() {
            self.failover.begun_ns = now_ns;
            self.forget_vain();
        }
        self.install_held(now_ns, false);
        self.want_held();
        let refused = &self.failover.refused;
        let store = &mut self.store;
        store.take_sas(|id| refused.contains_key(id));
        self.failover.taken.push(store.take_policies());
        store.installed_policies.keep_missing(&store.held.policies);
        if is_first || self.is_putting() {
            self.failover.active_ns = now_ns;
        }
        if self.is_peer_active() {
            // SAs of groups that stay on the peer
            self.take_back_foreign(now_ns);
        }
        if self.foreign_installed().is_empty() {
            self.failover.settled_ns = None;
        }
        self.ask_last_numbers(now_ns);
        if self.switchover.resume.is_none() {
            self.begin_service();
        }
    }

    /// True if a failover is under way already.
    fn goes_on(&self) -> bool {
        self.failover.is_settling() || self.is_putting()
    }

    /// True if SAs of a failover are being installed, and none of its readings has found all of them yet.
    fn is_putting(&self) -> bool {
        !self.failover.queue.ids.is_empty() || self.installed.is_unread()
    }

    /// True if the kernel has answered all requests.
    fn is_told(&self) -> bool {
        self.failover.queue.ids.is_empty() && self.outbox.is_applied()
    }

    /// True if the kernel has answered all requests, and the store has entered all of its SAs.
    pub(super) fn is_put(&self) -> bool {
        self.is_told() && self.failover.added.is_empty()
    }

    /// Has everything that was installed read back, and then gives the IKE daemon its order.
    pub(super) fn begin_service(&mut self) {
        if self.is_putting() {
            self.serve();
            self.failover.wanted = Some(self.read_fresh());
        } else {
            self.order_adoption();
        }
    }

    /// Installs again what the peer has kept for this node: the kernel may have lost it while no plugin ran.
    pub(super) fn recall(&mut self, now_ns: u64) {
        self.want_held();
        self.install(now_ns, false);
        self.order_adoption();
    }

    /// Installs all SAs again that still receive, of an earlier role: the peer may have received more.
    fn install_held(&mut self, now_ns: u64, all: bool) {
        let receiving = self.end_retiring(now_ns);
        self.plan(now_ns, all);
        if receiving.is_empty() {
            return;
        }
        self.install_planned(now_ns, usize::MAX);
        let installed = &self.installed;
        let others = receiving.iter().filter(|id| !installed.has(id));
        for id in others {
            self.outbox.change(Change::DeleteSa(*id));
        }
    }

    /// Installs the SAs for this node's ends, or all of them, that are not in the kernel.
    pub(super) fn install(&mut self, now_ns: u64, all: bool) {
        self.plan(now_ns, all);
        self.install_planned(now_ns, usize::MAX);
    }

    /// Orders the SAs that are to be installed: the busiest first, and of these the outbound ones.
    fn plan(&mut self, now_ns: u64, all: bool) {
        self.restore_all_policies(now_ns);
        let switchover = &self.switchover;
        let planned = self.store.held.by_urgency(|id, held| {
            let is_ours = all || self.store.ends.owns(&held.local_end());
            // its last number has yet to come
            let is_out = held.side == Direction::Out;
            let waits = is_out && !switchover.resume.is_none() && !held.is_own;
            // the peer sends with it, while this node still has the address
            let is_stopped = held.is_own && switchover.stopping.has(id);
            is_ours && !waits && !is_stopped && !self.is_tried(id, held)
        });
        self.failover.queue.ids = planned.map(|(id, _)| *id).collect();
        self.mark_dirty();
    }

    /// Installs the next SAs if the kernel is about to have nothing to do.
    pub(super) fn install_next(&mut self, now_ns: u64) {
        if self.outbox.is_short() {
            let most = if self.is_awaited(now_ns) {
                AWAITED_MAX
            } else {
                BATCH_MAX
            };
            self.install_planned(now_ns, most);
        }
    }

    fn install_planned(&mut self, now_ns: u64, most: usize) {
        let count = self.failover.queue.ids.len().min(most);
        for _ in 0..count {
            let Some(id) = self.failover.queue.ids.pop_front() else {
                break;
            };
            if self.is_to_be_installed(&id) && !self.install_sa(now_ns, &id, false) {
                self.failover.worn.insert(id);
                self.failover.queue.worn.push(id);
            }
        }
        if self.failover.queue.ids.is_empty() {
            let worn = std::mem::take(&mut self.failover.queue.worn);
            self.tell_worn(&worn);
        }
    }

    /// True if an SA is still to be installed: the peer's records and the addresses here may have changed.
    fn is_to_be_installed(&self, id: &SaId) -> bool {
        let held = self.store.held.sas.get(id);
        let is_ours = |held: &HeldSa| self.store.ends.owns(&held.local_end());
        let held = held.filter(|it| self.failover.is_settling() || is_ours(it));
        held.is_some_and(|it| !self.is_tried(id, it))
    }

    /// True if an SA that is kept was installed, or cannot be.
    pub(super) fn is_tried(&self, id: &SaId, held: &HeldSa) -> bool {
        let failover = &self.failover;
        let hidden = self.store.proofs.errno(held.proof) == Some(EKEYREJECTED);
        let is_refused = failover.refused.contains_key(id) || failover.worn.contains(id);
        hidden || is_refused || self.installed.has(id)
    }

    /// Installs one SA that is kept; returns false if it has no numbers left. `stopped`: no other node sends with it,
    /// and its last number is known.
    pub(super) fn install_sa(&mut self, now_ns: u64, id: &SaId, stopped: bool) -> bool {
        let planned = self.is_planned(now_ns);
        let Some(held) = self.store.held.sas.get_mut(id) else {
            return false;
        };
        held.reserved.free();
        let apart_ns = self
            .apart
            .since_ns()
            .map_or(0, |it| now_ns.saturating_sub(it));
        let knowledge = Knowledge {
            pace: held.pace,
            silent_ns: now_ns.saturating_sub(held.told_ns),
            planned,
            stopped,
            own: held.is_own,
            apart_ns,
        };
        let side = held.side;
        let Some(replay) = window::installed(&held.sa, side, knowledge, &self.settings) else {
            return false;
        };
        let sa = Sa {
            replay,
            life: held.life(now_ns),
            ..shifted_sa(&held.sa)
        };
        let installed = InstalledSa::new(&sa, side, held.name.clone());
        self.installed.put(*id, installed);
        let threshold = threshold_of(knowledge.pace);
        self.change(Change::AddSa(Box::new(sa), threshold));
        true
    }

    fn tell_worn(&mut self, worn: &[SaId]) {
        for id in worn.iter().take(NAMED_MAX) {
            let spi = id.spi;
            self.event(format!("{spi:08x}: out of sequence numbers, needs a rekey"));
        }
        let more = worn.len().saturating_sub(NAMED_MAX);
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
        self.failover.put_ns = now_ns;
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
            self.tell_refused();
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
        self.place_sa(now_ns, *sa, threshold);
        if self.is_carried(id) {
            self.store.held.sas.remove(id);
        }
    }

    /// True if this node reports an SA to the peer: it has the SA's end, and the kernel has the SA.
    pub(super) fn is_carried(&self, id: &SaId) -> bool {
        self.store.index.sas.get(id).is_some_and(|it| it.is_local)
    }

    pub(super) fn handle_refused_sa(
        &mut self,
        now_ns: u64,
        (sa, threshold): (Box<Sa>, u32),
        errno: i32,
    ) {
        const EEXIST: i32 = 17;
        if !self.installed.has(&sa.id) {
            return;
        }
        if errno == EEXIST && self.installed.retry(&sa.id) {
            self.change(Change::DeleteSa(sa.id));
            self.change(Change::AddSa(sa, threshold));
            return;
        }
        self.installed.remove(&sa.id);
        let held = self.store.held.sas.get(&sa.id);
        let is_ours = held.is_some_and(|it| self.store.ends.owns(&it.local_end()));
        if self.is_active() && is_ours {
            self.store.held.sas.remove(&sa.id);
            self.sort_sa(now_ns, &sa.id);
        }
        self.counters.refused += 1;
        self.failover.refused.insert(sa.id, errno);
        self.failover.is_refusal_told = false;
    }

    /// Reports SAs that could not be installed, so that the next failover may try them; called when a failover ends or
    /// begins.
    pub(super) fn forget_vain(&mut self) {
        self.tell_refusal();
        let store = &self.store;
        self.failover.forget_vain(|id| {
            let held = store.held.sas.get(id);
            held.is_some_and(|it| store.ends.is_kept(&it.local_end()))
        });
    }

    /// Reports refused SAs when all were tried.
    pub(super) fn tell_refused(&mut self) {
        if self.is_put() {
            self.tell_refusal();
        }
    }

    fn tell_refusal(&mut self) {
        let was_told = std::mem::replace(&mut self.failover.is_refusal_told, true);
        let refused = &self.failover.refused;
        let Some((id, errno)) = refused.first_key_value().filter(|_| !was_told) else {
            return;
        };
        let sas = counted(refused.len(), "SA");
        let reason = reason(*errno);
        let text = format!("the kernel refused {sas}, first {:08x}: {reason}", id.spi);
        self.warn(text);
    }

    /// Takes back the SAs of a failover that has not happened, or only for other groups.
    pub(super) fn take_back(&mut self, now_ns: u64) {
        self.note_all_added(now_ns);
        self.drop_resume();
        if self.is_active() {
            self.failover.settled_ns = None;
            if self.store.ends.confirm() {
                // addresses may have come later than their role
                self.take_over(now_ns, false);
                self.sort_ends(now_ns);
            }
            self.forget_vain();
        } else {
            self.failover = Failover::default();
            self.outbox.cancel_additions();
        }
        self.take_back_foreign(now_ns);
        self.mark_dirty();
    }

    fn take_back_foreign(&mut self, now_ns: u64) {
        for (_, id) in self.foreign_installed() {
            self.uninstall(id);
            self.sort_sa(now_ns, &id);
        }
    }

    /// SAs that are in the kernel for a failover and are not this node's, the outbound ones first.
    fn foreign_installed(&self) -> Vec<(bool, SaId)> {
        let store = &self.store;
        let is_foreign = |id: &SaId| match store.held.sas.get(id) {
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
        self.installed.remove(&id);
        self.change(Change::DeleteSa(id));
    }
}
