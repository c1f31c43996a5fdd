//! Flows that the kernel here destroys, and the reports of that to the peer.
//!
//! The kernel's last event of a flow has its remaining time, if any, and the state of TCP. That
//! distinguishes flows that expired, were closed, were deleted by somebody, or were dropped by the
//! kernel because of a full table or a new connection with the same ends.

use super::local::{By, seconds};
use super::merge::is_over;
use super::table::{Entry, flag};
use super::{Engine, SECOND_NS};
use crate::flow::{Flow, TCP};
use crate::wire::Why;

/// A new flow of the same ends comes within that time, or not at all.
const WAIT_NS: u64 = SECOND_NS;
/// Flows that wait for that; more are told at once.
const WAITING_MAX: usize = 16_384;

/// A flow that the kernel dropped before its time.
#[derive(Clone, Debug)]
pub struct Ending {
    until_ns: u64,
    flow: Flow,
    why: Why,
}

impl Engine {
    pub(super) fn handle_gone(&mut self, now_ns: u64, flow: Flow, by: By) {
        let hash = self.table.hash(&flow);
        if self.resyncing() {
            self.destroyed.insert(hash);
        }
        let Some(slot) = self.table.find(hash) else {
            return;
        };
        let before = *self.table.get(slot);
        if before.has(flag::ENDING) {
            return;
        }
        let has_time_left = flow.timeout_s.is_some_and(|left_s| left_s > 0);
        if has_time_left {
            self.observe(now_ns, slot, &before, &flow);
        }
        let entry = *self.table.get(slot);
        if !self.speaks(now_ns) {
            // The peer holds that it is here. If it is right, it sends it again.
            self.drop_entry(hash);
            if self.peer_is_active() {
                self.counters.lost += 1;
                self.lose(now_ns, hash);
            }
            return;
        }
        let why = reason(&entry, &flow, by, seconds(now_ns));
        let is_known = entry.has(flag::SENT) && entry.is_own(seconds(now_ns));
        let may_return = has_time_left && by == By::Traffic && is_known;
        match may_return && !self.draining && self.endings.len() < WAITING_MAX {
            true => self.wait_for_another(now_ns, slot, flow, why),
            false => self.forget_flow(now_ns, slot, flow, why),
        }
    }

    fn wait_for_another(&mut self, now_ns: u64, slot: u32, mut flow: Flow, why: Why) {
        let entry = self.table.get_mut(slot);
        entry.set(flag::ENDING, true);
        flow.incarnation = entry.incarnation();
        let waiting = entry.stop_waiting();
        self.unqueue(waiting);
        self.endings.push_back(Ending {
            until_ns: now_ns + WAIT_NS,
            flow,
            why,
        });
    }

    /// Tells of those that no new flow followed; of all of them before a switchover.
    pub(super) fn end_endings(&mut self, now_ns: u64) {
        while let Some(ending) = self.endings.front() {
            if now_ns < ending.until_ns && !self.draining {
                return;
            }
            let Some(Ending { flow, why, .. }) = self.endings.pop_front() else {
                return;
            };
            let is_same =
                |entry: &Entry| entry.has(flag::ENDING) && entry.incarnation() == flow.incarnation;
            let slot = self.table.find(self.table.hash(&flow));
            if let Some(slot) = slot.filter(|slot| is_same(self.table.get(*slot))) {
                self.forget_flow(now_ns, slot, flow, why);
            }
        }
    }

    pub(super) fn next_ending_ns(&self) -> Option<u64> {
        self.endings.front().map(|ending| ending.until_ns)
    }

    /// Nobody is there to be told.
    pub(super) fn forget_endings(&mut self) {
        for ending in std::mem::take(&mut self.endings) {
            let hash = self.table.hash(&ending.flow);
            let slot = self.table.find(hash);
            if slot.is_some_and(|slot| self.table.get(slot).has(flag::ENDING)) {
                self.drop_entry(hash);
            }
        }
    }
}

/// How a destroyed flow ended.
fn reason(entry: &Entry, flow: &Flow, by: By, now_s: u32) -> Why {
    let left_s = flow.timeout_s.unwrap_or(0);
    let is_own = left_s > 0 && entry.is_own(now_s);
    let state = flow.state().unwrap_or(entry.state());
    match by {
        By::Hand if is_own => Why::Hand,
        // if it lives by the peer's word, the peer sends it again
        _ if !is_own && entry.is_peers(now_s) && !is_over(state) => Why::Ended,
        _ if flow.original.protocol == TCP && is_over(state) => Why::Closed,
        _ => Why::Ended,
    }
}
