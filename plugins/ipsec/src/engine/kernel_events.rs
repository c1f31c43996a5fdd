//! Handles events of SAs and policies in the kernel here: enters them in the store, and updates their records.

use super::{Change, Deleter, Engine};
use crate::codec::body::{blocked_id, is_parked};
use crate::sa::{Life, Policy, PolicyId, Replay, ReplayForm, Sa, SaId};
use crate::store::{LocalPolicy, LocalSa, THRESHOLD_FIRST};
use crate::wire::BODY_MAX;

impl Engine {
    pub(super) fn handle_sa(&mut self, now_ns: u64, sa: Sa) {
        let id = sa.id;
        if self.handle_awaited_sa(now_ns, &sa) {
            return;
        }
        self.note_added_sa(now_ns, &id);
        if self.reads.was_deleted(&id) && !self.installed.has(&id) {
            return self.reads.read_again();
        }
        self.delete_if_foreign(&sa);
        let reading = self.reads.generation();
        match self.store.sas.get_mut(&id) {
            Some(known) if known.is_like(&sa) => {
                known.reading = reading;
                let (replay, life) = (sa.replay, sa.life);
                self.handle_counters(now_ns, &id, replay, Some(life));
            }
            _ => {
                self.end_copies_for(&sa);
                self.enter_sa(now_ns, sa, 0);
            }
        }
    }

    /// Enters an SA of the kernel, new or different from before; `threshold` is that of [`LocalSa`]. Its record is updated
    /// at once: `store/records_to_update.rs` relies on that.
    pub(super) fn enter_sa(&mut self, now_ns: u64, sa: Sa, threshold: u32) {
        let id = sa.id;
        if sa.body.bytes().len() > BODY_MAX {
            let text = format!("SA {:08x} is too large to be replicated", id.spi);
            return self.warn(text);
        }
        let side = self.installed.side(&id);
        let side = side.or_else(|| self.store.ends.side(&sa));
        let mut known = LocalSa::new(now_ns, sa, side);
        known.reading = self.reads.generation();
        known.threshold = threshold;
        let before = self.store.sas.remove(&id);
        let name = self.ike.names.get(id.spi);
        let name = name
            .or_else(|| self.ike.saved_unadopted.name(id.spi))
            .cloned();
        let installed = self.installed.get(&id);
        let name = name.or_else(|| installed.and_then(|it| it.name().cloned()));
        known.name = name.or_else(|| before.as_ref().and_then(|it| it.name.clone()));
        if let Some(before) = before.filter(|it| it.side == side) {
            known.rate = before.rate;
            known.since_ns = before.since_ns;
        }
        if let Some(name) = known.name.as_ref().filter(|_| side.is_some()) {
            self.ike.names.without_sa.note_sa(name);
        }
        self.store.sas.insert(id, known);
        self.update_sa_record(now_ns, &id);
        if side.is_some() {
            self.queue_sa_numbers(&id);
            self.set_first_threshold(&id);
            self.mark_dirty();
        }
    }

    pub(super) fn handle_counters(
        &mut self,
        now_ns: u64,
        id: &SaId,
        mut replay: Replay,
        life: Option<Life>,
    ) {
        self.note_added_sa(now_ns, id);
        let reading = self.reads.is_running();
        let is_replicating = self.is_replicating();
        let Some(known) = self.store.sas.get_mut(id) else {
            return;
        };
        let there = &known.sa.replay;
        if let ReplayForm::Legacy(_) = replay.form {
            // the kernel's report of numbers has no window size
            replay.window = there.window;
        }
        if replay.oseq < there.oseq || replay.seq < there.seq {
            // the reading is older than a notification that came meanwhile
            return;
        }
        let before = known.position();
        let used = life.is_some_and(|life| life.packets != known.sa.life.packets);
        let bounded = std::mem::take(&mut known.threshold_before) > 0;
        let moved = known.sa.replay != replay || bounded;
        if let Some(life) = life {
            (known.sa.life, known.life_ns) = (life, now_ns);
        }
        known.read_ns = now_ns;
        known.sa.replay = replay;
        if known.side.is_none() || !(moved || used) {
            return;
        }
        let position = known.position();
        known.rate.measure(now_ns, position);
        let missed = position.saturating_sub(before) / 4 > u64::from(known.threshold);
        if reading && is_replicating && known.threshold > 0 && missed {
            self.counters.unheard += 1;
        }
        self.queue_sa_numbers(id);
    }

    pub(super) fn handle_sa_gone(&mut self, now_ns: u64, id: &SaId, by: Deleter) {
        if self.is_awaited_sa(id) {
            return;
        }
        if self.restore_sa(now_ns, id, by) {
            return;
        }
        self.installed.remove(id);
        self.reads.note_deleted(*id);
        self.remove_sa(now_ns, id);
    }

    pub(super) fn remove_sa(&mut self, now_ns: u64, id: &SaId) {
        self.failover.forget_added(id);
        self.end_copies_to(id);
        if self
            .store
            .sas
            .remove(id)
            .is_some_and(|it| it.side.is_some())
        {
            self.update_sa_record(now_ns, id);
            self.mark_dirty();
        }
    }

    pub(super) fn handle_policy(&mut self, now_ns: u64, policy: Policy) {
        const FORWARD: u8 = 2;
        let id = policy.id;
        if let Some(below) = blocked_id(&id) {
            return self.note_block(below, &policy);
        }
        if is_parked(&policy) {
            // a reading found it, and charon is about to replace it
            let reading = self.reads.generation();
            match self.store.policies.get_mut(&id) {
                Some(known) => known.reading = reading,
                // left by a run that was killed: the peer's policy takes its place
                None => self.store.installed_policies.begin(now_ns, id),
            }
            return;
        }
        if self.is_trap(&policy) {
            return self.note_trap(&policy);
        }
        self.end_copy_for(&policy);
        self.note_leading_policy(now_ns, &policy);
        if id.direction > FORWARD || policy.body.bytes().len() > BODY_MAX {
            return;
        }
        self.handle_replaced_reqid(&policy);
        if self.is_active() {
            self.installed.policy_reqids.note_policy(&policy);
        }
        self.handle_replaced(now_ns, &policy);
        let ours = self.store.ends.owns_policy(&policy) || self.store.installed_policies.has(&id);
        let reading = self.reads.generation();
        if let Some(known) = self.store.policies.get_mut(&id) {
            known.reading = reading;
            if known.policy == policy && known.ours == ours {
                return;
            }
        }
        let known = LocalPolicy {
            policy,
            ours,
            reading,
        };
        let before = self.store.policies.insert(id, known);
        self.block_again(&id);
        if ours || before.is_some_and(|it| it.ours) {
            self.update_policy_record(now_ns, &id);
            self.mark_dirty();
        }
    }

    pub(super) fn remove_policy(&mut self, now_ns: u64, id: &PolicyId) {
        if self.store.policies.remove(id).is_some_and(|it| it.ours) {
            self.update_policy_record(now_ns, id);
            self.mark_dirty();
        }
        self.unblock(id);
    }

    /// Measures rates, and sets thresholds that fit them.
    pub(super) fn measure(&mut self, now_ns: u64) {
        let ours = self.store.sas.values_mut().filter(|it| it.side.is_some());
        let mut busy = 0;
        for known in ours {
            let position = known.position();
            known.rate.measure(now_ns, position);
            busy += usize::from(known.rate.is_busy());
        }
        if !self.is_replicating() {
            return;
        }
        let interval_ns = self.settings.interval_ns();
        for (id, known) in &mut self.store.sas {
            if known.side.is_none() {
                continue;
            }
            let other = match known.threshold {
                0 => Some(THRESHOLD_FIRST),
                present => known.rate.other_threshold(present, interval_ns, busy),
            };
            if let Some(threshold) = other {
                known.set_threshold(threshold);
                self.outbox
                    .push_change(Change::SetThreshold(*id, threshold));
                self.store.lane.put(*id);
            }
        }
        self.queue_numbers();
    }

    fn set_first_threshold(&mut self, id: &SaId) {
        if !self.is_replicating() {
            return;
        }
        let known = self.store.sas.get_mut(id);
        if let Some(known) = known.filter(|it| it.threshold == 0) {
            known.threshold = THRESHOLD_FIRST;
            self.push_change(Change::SetThreshold(*id, THRESHOLD_FIRST));
        }
    }
}
