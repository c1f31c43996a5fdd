//! Restores times after a failover to those of the protocols, and deletes flows that were translated to an address that
//! is not here.

use super::conflict::translated_to;
use super::table::{APART_S, ROUNDING_S, flag};
use super::walk_queue::{Due, Walk};
use super::{Action, Engine, How, seconds};
use crate::flow::{Flow, status};

impl Engine {
    /// Restores one flow of the kernel's table.
    pub(super) fn restore(&mut self, now_ns: u64, flow: Flow) {
        if self.settle_end_there(now_ns, &flow) {
            return self.delete_here(flow);
        }
        if !self.filter.admits(&flow) {
            return;
        }
        if self.is_translated_elsewhere(&flow) {
            self.counters.applied.dropped += 1;
            self.walks.count_dropped();
            return self.delete_here(flow);
        }
        let Some(left_s) = flow.timeout_s else { return };
        // the dump may be older than what gave the flow its time
        if flow.status & status::FIXED_TIMEOUT != 0 || self.is_fresh(&flow) {
            return;
        }
        let wanted_s = self.whole_timeout_s(&flow);
        // A time longer than the lease may come from a rule of the administrator: it is not shortened.
        let wanted_s = if left_s > self.renewal.lease_s() {
            left_s.max(wanted_s)
        } else {
            wanted_s
        };
        // Another active node may carry it: it gets less than by a packet, so that a later packet is noticed.
        let wanted_s = match self.is_shared() && !self.roles.has_all() {
            true if left_s <= wanted_s => wanted_s.saturating_sub(APART_S),
            true => left_s,
            false => wanted_s,
        };
        self.note_end(now_ns, &flow, wanted_s);
        if wanted_s != left_s {
            self.walks.count_restored();
            self.write(How::Refresh, flow, wanted_s);
        }
    }

    /// Writes the time of a packet again that passed after the dump showed its flow: the time that the walk restored may
    /// have replaced it, and is that of a state that is over. A closed connection would stay for five days.
    pub(super) fn restore_again(&mut self, now_ns: u64, slot: u32, flow: &Flow) {
        let Some(left_s) = flow.timeout_s.filter(|_| self.walks.has_restored()) else {
            return;
        };
        let expires_s = seconds(now_ns).saturating_add(left_s);
        if self.table.get(slot).expires_s() >= expires_s.saturating_add(ROUNDING_S) {
            self.write(How::Refresh, flow.clone(), left_s);
        }
    }

    /// Decides about a flow whose end the peer reported. Returns true if it ends here, too; if a packet has passed since,
    /// it lives, and is reported whole.
    fn settle_end_there(&mut self, now_ns: u64, flow: &Flow) -> bool {
        let now_s = seconds(now_ns);
        let Some(slot) = self.table.find(self.table.hash(flow)) else {
            return false;
        };
        let before = *self.table.get(slot);
        if !before.is_doomed(now_s) || before.has(flag::DROPPED_HERE) {
            return false;
        }
        self.observe(now_ns, slot, &before, flow);
        let entry = self.table.get_mut(slot);
        // the peer has no copy: it gets a whole record
        entry.set(flag::KNOWN_TO_PEER, false);
        !entry.is_own(now_s)
    }

    fn is_fresh(&self, flow: &Flow) -> bool {
        let slot = self.table.find(self.table.hash(flow));
        slot.is_some_and(|slot| self.table.get(slot).has(flag::FRESH))
    }

    /// Stores the end of a flow whose time a failover restores or leaves.
    fn note_end(&mut self, now_ns: u64, flow: &Flow, left_s: u32) {
        let expires_s = seconds(now_ns).saturating_add(left_s);
        let is_sole = self.is_sole();
        if let Some(slot) = self.table.find(self.table.hash(flow)) {
            let entry = self.table.get_mut(slot);
            if is_sole || entry.is_own(seconds(now_ns)) {
                entry.own_expiry_s = expires_s
            } else {
                entry.peer_expiry_s = expires_s
            }
        }
    }

    /// Returns true if it is translated to an address of a `dynamic_nat` interface on the other node.
    fn is_translated_elsewhere(&self, flow: &Flow) -> bool {
        let is_lost = |address| {
            self.addresses.is_dynamic_there(&address) && !self.filter.own.contains(&address)
        };
        translated_to(flow).is_some_and(is_lost)
    }

    pub(super) fn end_restore(&mut self, walk: &Walk, complete: bool) {
        if !complete {
            self.walks.request(Due::Restore);
            return;
        }
        let dropped = match walk.dropped {
            0 => String::new(),
            dropped => {
                format!(
                    ", {dropped} flows dropped that were translated to the other node's address"
                )
            }
        };
        let text = format!("{} timeouts restored{dropped}", walk.restored);
        self.actions.push_back(Action::Event(text));
    }
}
