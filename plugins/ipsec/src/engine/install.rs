//! A failover: everything that is kept goes into the kernel, with numbers that nobody used.

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

/// A failover that did not come to pass is undone.
const GIVE_UP_NS: u64 = 3 * SECOND;
/// Time for which SAs are put before addresses may come at an unplanned failover. Addresses wait for 15 ms at most:
/// what is under way then is ended, and the word goes to the host and the elector.
const SETTLE_NS: u64 = 7 * MS;
/// SAs of a batch until then: what is under way then is over soon.
pub(super) const AWAITED_MAX: usize = 25;
/// More are not named one by one.
const NAMED_MAX: usize = 10;
/// The old node's word that its numbers are exact counts for that long.
const EXACT_NS: u64 = 5 * SECOND;

#[derive(Debug, Default)]
pub struct Failover {
    /// Everything was put, for a role that has not come.
    settled_ns: Option<u64>,
    /// Time when this node became active.
    pub active_ns: u64,
    /// When it began to put what it keeps into the kernel, before or with its role, and when the last was there.
    begun_ns: u64,
    put_ns: u64,
    /// The reading that is compared with what was put.
    wanted: Option<u32>,
    /// What the kernel did not take, and whether that was spoken of.
    refused: BTreeMap<SaId, i32>,
    is_refusal_told: bool,
    /// Without numbers to send with.
    worn: BTreeSet<SaId>,
    queue: Queue,
    /// SAs that the kernel has taken, with their thresholds, of which this node takes note when none is left to be put.
    added: BTreeMap<SaId, (Box<Sa>, u32)>,
    /// What was kept and is this node's now: to free thousands of policies takes time, and SAs wait for none.
    taken: Vec<BTreeMap<PolicyId, Policy>>,
}

/// SAs that are kept and not yet on their way to the kernel, the next one first. Requests are made as the kernel
/// takes them: for thousands of SAs at once that takes longer than addresses may wait.
#[derive(Debug, Default)]
struct Queue {
    ids: VecDeque<SaId>,
    /// Those that have no numbers left, to be told when the last one has gone.
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

    /// Frees what is of no use any more, when nothing waits for that.
    pub fn free_taken(&mut self) {
        self.taken = Vec::new();
    }

    /// What was in vain is tried again by the next failover, but for these: nobody else has them.
    fn forget_vain(&mut self, stays: impl Fn(&SaId) -> bool) {
        self.refused.retain(|id, _| stays(id));
        self.worn.retain(|id| stays(id));
    }

    /// The kernel has it no more.
    pub fn forget_added(&mut self, id: &SaId) {
        self.added.remove(id);
    }
}

impl Engine {
    /// Puts everything that is kept for a failover into the kernel. Which groups come nobody has said
    /// yet: what turns out to stay with the peer is taken back.
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

    /// Addresses wait for no more than a time, not for all.
    fn is_awaited(&self, now_ns: u64) -> bool {
        !self.is_settled(now_ns) && !self.is_planned(now_ns)
    }

    /// Addresses may come: at a planned switchover when all is in the kernel, as the old node serves until
    /// then; after a death soon, as what has no SA yet is dropped, and everything else waits.
    pub fn is_settled(&self, now_ns: u64) -> bool {
        let Some(since_ns) = self.failover.settled_ns else {
            return true;
        };
        let late = now_ns.saturating_sub(since_ns) >= SETTLE_NS;
        // packets that are to wait for SAs do so once the kernel was told
        let is_done = self.is_told() && !self.outbox.has_actions();
        is_done || (late && !self.is_planned(now_ns))
    }

    /// The peer's numbers are exact.
    pub(super) fn is_planned(&self, now_ns: u64) -> bool {
        let exact_ns = self.store.peer_numbers.exact_ns();
        exact_ns.is_some_and(|it| now_ns.saturating_sub(it) < EXACT_NS)
    }

    /// A role has come, and with it what is kept for it.
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
        store.put.keep_missing(&store.held.policies);
        if is_first || self.is_putting() {
            self.failover.active_ns = now_ns;
        }
        if self.is_peer_active() {
            // of groups that stay there
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

    /// Whether a failover is under way already.
    fn goes_on(&self) -> bool {
        self.failover.is_settling() || self.is_putting()
    }

    /// Whether SAs of a failover are put, and none of its readings has found all of them yet.
    fn is_putting(&self) -> bool {
        !self.failover.queue.ids.is_empty() || self.installed.is_unread()
    }

    /// Whether the kernel has answered all that it is to be told.
    fn is_told(&self) -> bool {
        self.failover.queue.ids.is_empty() && self.outbox.is_applied()
    }

    /// The same, and this node has taken note of it.
    pub(super) fn is_put(&self) -> bool {
        self.is_told() && self.failover.added.is_empty()
    }

    /// All that is kept for this node's ends was put: whether it is there as it was put; then the IKE daemon.
    pub(super) fn begin_service(&mut self) {
        if self.is_putting() {
            self.serve();
            self.failover.wanted = Some(self.read_fresh());
        } else {
            self.order_adoption();
        }
    }

    /// This node carries what the peer has kept for it, and the kernel may have lost it while no plugin ran.
    pub(super) fn recall(&mut self, now_ns: u64) {
        self.want_held();
        self.install(now_ns, false);
        self.order_adoption();
    }

    /// What receives still, of an earlier role, is made anew: the peer may have received more.
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

    /// What is kept for this node's ends, or all of it, and not in the kernel.
    pub(super) fn install(&mut self, now_ns: u64, all: bool) {
        self.plan(now_ns, all);
        self.install_planned(now_ns, usize::MAX);
    }

    /// What is to be installed: the busiest first, and of these what is sent with.
    fn plan(&mut self, now_ns: u64, all: bool) {
        self.put_back_all(now_ns);
        let switchover = &self.switchover;
        let planned = self.store.held.by_urgency(|id, held| {
            let is_ours = all || self.store.ends.has(&held.local_end());
            // its last number is still to come
            let is_out = held.side == Direction::Out;
            let waits = is_out && !switchover.resume.is_none() && !held.is_own;
            // the peer sends with it, while this node still has the address
            let is_stopped = held.is_own && switchover.stopping.has(id);
            is_ours && !waits && !is_stopped && !self.is_tried(id, held)
        });
        self.failover.queue.ids = planned.map(|(id, _)| *id).collect();
        self.mark_dirty();
    }

    /// Installs the next ones if the kernel is about to have nothing to do.
    pub(super) fn install_next(&mut self, now_ns: u64) {
        if self.outbox.is_short() {
            let most = match self.is_awaited(now_ns) {
                true => AWAITED_MAX,
                false => BATCH_MAX,
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

    /// Whether that is so still: the peer's words and the addresses here go on.
    fn is_to_be_installed(&self, id: &SaId) -> bool {
        let held = self.store.held.sas.get(id);
        let is_ours = |held: &HeldSa| self.store.ends.has(&held.local_end());
        let held = held.filter(|it| self.failover.is_settling() || is_ours(it));
        held.is_some_and(|it| !self.is_tried(id, it))
    }

    /// Whether an SA that is kept was put, or cannot be.
    pub(super) fn is_tried(&self, id: &SaId, held: &HeldSa) -> bool {
        let failover = &self.failover;
        let hidden = self.store.proofs.errno(held.proof) == Some(EKEYREJECTED);
        let is_refused = failover.refused.contains_key(id) || failover.worn.contains(id);
        hidden || is_refused || self.installed.has(id)
    }

    /// Puts one SA that is kept; `stopped`: nobody else sends with it, and its last number is known. False
    /// where it has none left.
    pub(super) fn install_sa(&mut self, now_ns: u64, id: &SaId, stopped: bool) -> bool {
        let planned = self.is_planned(now_ns);
        let Some(held) = self.store.held.sas.get_mut(id) else {
            return false;
        };
        held.room.free();
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

    /// Takes note of some of what the kernel has; whether there was any.
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

    /// Of all of it, before a role or an address goes.
    pub(super) fn note_all_added(&mut self, now_ns: u64) {
        while self.note_added(now_ns) {}
    }

    /// The same of one, before something newer of it.
    pub(super) fn note_added_sa(&mut self, now_ns: u64, id: &SaId) {
        let Some((sa, threshold)) = self.failover.added.remove(id) else {
            return;
        };
        self.place_sa(now_ns, *sa, threshold);
        if self.is_carried(id) {
            self.store.held.sas.remove(id);
        }
    }

    /// Whether this node tells of an SA: it has its end, and the kernel the SA.
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
        let is_ours = held.is_some_and(|it| self.store.ends.has(&it.local_end()));
        if self.is_active() && is_ours {
            self.store.held.sas.remove(&sa.id);
            self.sort_sa(now_ns, &sa.id);
        }
        self.counters.refused += 1;
        self.failover.refused.insert(sa.id, errno);
        self.failover.is_refusal_told = false;
    }

    /// A failover is over, or one begins: what could not be put is spoken of, and may be put by the next one.
    pub(super) fn forget_vain(&mut self) {
        self.tell_refusal();
        let store = &self.store;
        self.failover.forget_vain(|id| {
            let held = store.held.sas.get(id);
            held.is_some_and(|it| store.ends.stays(&it.local_end()))
        });
    }

    /// Time when all SAs were tried.
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

    /// The failover did not come to pass, or not of these.
    pub(super) fn take_back(&mut self, now_ns: u64) {
        self.note_all_added(now_ns);
        self.drop_resume();
        if self.is_active() {
            self.failover.settled_ns = None;
            if self.store.ends.confirm() {
                // addresses that came later than the role that this was for
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

    /// What is in the kernel for a failover and not this node's; what is sent with comes first.
    fn foreign_installed(&self) -> Vec<(bool, SaId)> {
        let store = &self.store;
        let is_foreign = |id: &SaId| match store.held.sas.get(id) {
            Some(held) => !store.is_active || !store.ends.has(&held.local_end()),
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
