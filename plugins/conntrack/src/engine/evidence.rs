//! Evidence of life: what the peer says has ended is not deleted here while packets of it pass here.
//!
//! Each packet moves the end of its flow in the kernel. An end that this node did not write is the
//! work of a packet that passed here, whoever answers for the flow. With groups active on both nodes
//! the one that answers may have carried the flow long ago: its own entry runs out, and it says so.

use spared_netlink::BATCH_MAX;

use super::local::seconds;
use super::table::{Entry, flag};
use super::{Action, Change, Engine, How};
use crate::flow::{Flow, status};
use crate::wire::Kind;

/// Both clocks are rounded to a second, and a write may wait for another one.
pub(super) const ROUNDING_S: u32 = 3;

/// A change that is not to be made where the flow lives here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    pub change: Change,
    /// What was known of the flow before.
    before: Entry,
}

impl Engine {
    /// A node that carries nothing need not ask: its entries live by its peer's word alone.
    pub(super) fn write_unless_alive(
        &mut self,
        before: &Entry,
        how: How,
        flow: Flow,
        timeout_s: u32,
        whole: bool,
    ) {
        let has_fixed_end = flow.status & status::FIXED_TIMEOUT != 0;
        if !self.active || has_fixed_end {
            return self.write_record(how, flow, timeout_s, whole);
        }
        let slot = self.table.find(before.hash);
        if let Some(slot) = slot.filter(|_| before.has(flag::RESTORED)) {
            let entry = self.table.get_mut(slot);
            entry.flags |= flag::RESTORED;
            if before.written_until_s > entry.written_until_s {
                entry.written_until_s = before.written_until_s;
                return;
            }
        }
        let question = Question {
            change: Change {
                how,
                flow,
                timeout_s,
                whole,
                tries: 0,
            },
            before: *before,
        };
        match self.actions.back_mut() {
            Some(Action::Ask(questions)) if questions.len() < BATCH_MAX => {
                questions.push(question);
            }
            _ => self.actions.push_back(Action::Ask(vec![question])),
        }
    }

    /// What the kernel has of a flow that was asked for; the change to be made now, if any.
    pub fn handle_asked(
        &mut self,
        now_ns: u64,
        question: Question,
        found: Option<Flow>,
    ) -> Option<Change> {
        let Question { change, before } = question;
        let ends = change.how == How::Delete;
        let alive = |flow: &Flow| match ends {
            true => self.outlives(now_ns, &before, flow),
            false => self.lives_here(now_ns, &before, flow),
        };
        if let Some(flow) = found.filter(alive) {
            self.keep(now_ns, flow);
            return None;
        }
        if ends && self.resyncing() {
            self.destroyed.insert(before.hash);
        }
        Some(change)
    }

    /// Whether packets of a flow that the peer answers for passed here since it was written.
    pub(super) fn lives_here(&self, now_ns: u64, entry: &Entry, flow: &Flow) -> bool {
        let fixed_or_dying = status::FIXED_TIMEOUT | status::DYING;
        if !self.active || !entry.has(flag::REMOTE) || flow.status & fixed_or_dying != 0 {
            return false;
        }
        // without a time it is offloaded: its packets pass here
        flow.timeout_s.is_none_or(|left_s| {
            let ends_s = seconds(now_ns).saturating_add(left_s);
            ends_s.abs_diff(entry.written_until_s) >= ROUNDING_S
        })
    }

    /// The same of a flow that the peer says has ended. Where its copy only ran out, the time that a
    /// failover gave the flow here holds.
    pub(super) fn outlives(&self, now_ns: u64, entry: &Entry, flow: &Flow) -> bool {
        let ran_out = seconds(now_ns).saturating_add(ROUNDING_S) >= entry.lease_until_s;
        let restored = self.active && entry.has(flag::REMOTE) && entry.has(flag::RESTORED);
        (restored && ran_out) || self.lives_here(now_ns, entry, flow)
    }

    /// The flow lives here, whatever the peer said: this node answers for it, and says so.
    pub(super) fn keep(&mut self, now_ns: u64, flow: Flow) {
        self.counters.kept += 1;
        if !self.filter.admits(&flow) {
            self.counters.excluded += 1;
            return;
        }
        let hash = self.table.hash(&flow);
        match self.table.find(hash) {
            Some(slot) => {
                self.claim(slot);
                self.tell_again(now_ns, slot, flow, Kind::Whole);
            }
            None => self.insert_new(now_ns, hash, flow, false),
        }
    }

    /// Its packets pass here: so does the answer for it.
    pub(super) fn claim(&mut self, slot: u32) {
        if self.active && self.table.get(slot).has(flag::REMOTE) {
            self.table.set_flag(slot, flag::REMOTE, false);
            let resync = self.resync_of_own();
            self.table.get_mut(slot).resync = resync;
        }
    }

    /// One flow of the kernel's table that the peer answers for.
    pub(super) fn resync_remote(&mut self, now_ns: u64, slot: u32, flow: Flow) {
        let entry = *self.table.get(slot);
        self.table.get_mut(slot).flags &= !flag::FRESH;
        if !entry.has(flag::FRESH) && self.lives_here(now_ns, &entry, &flow) {
            self.keep(now_ns, flow);
        }
    }

    /// When a flow ends whose time a failover restores, or finds as it should be.
    pub(super) fn see_end(&mut self, now_ns: u64, flow: &Flow, left_s: u32) {
        if let Some(slot) = self.table.find(self.table.hash(flow)) {
            let entry = self.table.get_mut(slot);
            if !entry.has(flag::FRESH) {
                entry.written_until_s = seconds(now_ns).saturating_add(left_s);
                entry.flags |= flag::RESTORED;
            }
        }
    }
}
