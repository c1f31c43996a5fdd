//! Handles flows that the kernel here destroys, and reports them to the peer.
//!
//! The kernel's last event of a flow has its remaining time, if any, and the state of TCP. That
//! distinguishes flows that expired, were closed, were deleted by somebody, or were dropped by the
//! kernel because of a full table or a new connection with the same ports.
//!
//! Three methods take a flow away: [`Engine::forget_entry`] from the table alone, [`Engine::delete_here`] from the table and the
//! kernel, and [`Engine::end_and_report`] from the table, with a report to the peer.

use std::collections::VecDeque;

use super::kernel_events::By;
use super::merge::is_over;
use super::outbox::PULSE_NS;
use super::table::{Entry, flag};
use super::{Engine, How, SECOND_NS, seconds};
use crate::flow::{Flow, TCP, status};
use crate::wire::Why;

/// Time within which a new flow of the same addresses and ports follows, if at all.
const WAIT_NS: u64 = SECOND_NS;
/// Time for which the report of an end is held back after a group moved to the peer while this node stays active: packets may pass
/// there until then.
const WAIT_OF_MOVED_NS: u64 = 40 * SECOND_NS;
/// Number of waiting ends whose flows are kept. Of further ones only hashes are kept, and the peer learns of their end
/// by a resync.
const WAITING_MAX: usize = 16_384;

/// A flow that the kernel dropped before its time. When an interface goes down, the kernel drops all flows that were
/// masqueraded there, and the role goes soon afterwards. So the peer keeps its copies until it is clear that this node
/// stays active.
#[derive(Clone, Debug)]
struct DroppedFlow {
    until_ns: u64,
    hash: u64,
    last: Option<Box<(Flow, Why)>>,
}

/// Flows that the kernel dropped before their time, of which the peer is not informed yet.
#[derive(Debug, Default)]
pub(super) struct DroppedFlows {
    waiting: VecDeque<DroppedFlow>,
    /// Earliest time at which the peer is informed of any of them.
    held_until_ns: u64,
}

impl DroppedFlows {
    fn push(&mut self, now_ns: u64, hash: u64, flow: Flow, why: Why) {
        let is_told = self.waiting.len() < WAITING_MAX;
        self.waiting.push_back(DroppedFlow {
            until_ns: now_ns + WAIT_NS,
            hash,
            last: is_told.then(|| Box::new((flow, why))),
        });
    }

    fn hold(&mut self, until_ns: u64) {
        self.held_until_ns = self.held_until_ns.max(until_ns);
    }

    pub(super) fn next_ns(&self) -> Option<u64> {
        let first = self.waiting.front()?;
        Some(first.until_ns.max(self.held_until_ns))
    }

    fn pop_due(&mut self, now_ns: u64) -> Option<DroppedFlow> {
        self.next_ns().filter(|due_ns| now_ns >= *due_ns)?;
        self.waiting.pop_front()
    }

    fn hashes(&self) -> Vec<u64> {
        self.waiting.iter().map(|dropped| dropped.hash).collect()
    }

    fn take_hashes(&mut self) -> Vec<u64> {
        let waiting = std::mem::take(&mut self.waiting).into_iter();
        waiting.map(|dropped| dropped.hash).collect()
    }
}

impl Engine {
    pub(super) fn handle_gone(&mut self, now_ns: u64, flow: Flow, by: By) {
        let hash = self.table.hash(&flow);
        self.walks.note_destroyed(hash);
        // the dump that is being read may still have it, and must not recall it
        self.table.forget_former_flow(&flow);
        let Some(slot) = self.table.find(hash) else {
            return;
        };
        let before = *self.table.get(slot);
        if before.has(flag::DROPPED_HERE) {
            return;
        }
        let has_time_left = flow.timeout_s.is_some_and(|left_s| left_s > 0);
        if has_time_left {
            self.observe(now_ns, slot, &before, &flow);
        }
        let entry = *self.table.get(slot);
        let is_known = entry.has(flag::KNOWN_TO_PEER) && entry.is_own(seconds(now_ns));
        let may_return = has_time_left && by == By::Traffic && is_known && !is_unanswered(&flow);
        if may_return && !self.roles.is_active() {
            return self.request_dropped_flow(now_ns, hash);
        }
        if !self.informs_peer(now_ns) {
            // The peer assumes that the flow is here. If it still has it, it sends it again.
            self.forget_entry(hash);
            if self.peer_is_active() {
                self.counters.lost += 1;
                self.request_missing(now_ns, hash);
            }
            return;
        }
        let why = reason(&entry, &flow, by, seconds(now_ns));
        if may_return {
            self.wait_for_another(now_ns, slot, flow, why)
        } else {
            self.end_and_report(now_ns, slot, flow, why)
        }
    }

    /// Removes an entry and its waiting changes from the table. Neither the kernel nor the peer is told.
    pub(super) fn forget_entry(&mut self, hash: u64) {
        self.channel.orphans.remove(hash);
        let Some(slot) = self.table.find(hash) else {
            return;
        };
        let waiting = self.table.get(slot).waiting();
        self.unqueue(waiting);
        self.table.remove(slot);
    }

    /// Deletes a flow that is not to be here, from the table and from the kernel. The peer is not told.
    pub(super) fn delete_here(&mut self, flow: Flow) {
        self.forget_entry(self.table.hash(&flow));
        self.write(How::Delete, flow, 0);
    }

    fn wait_for_another(&mut self, now_ns: u64, slot: u32, mut flow: Flow, why: Why) {
        let entry = self.table.get_mut(slot);
        entry.set(flag::DROPPED_HERE, true);
        flow.incarnation = entry.incarnation();
        let (hash, waiting) = (entry.hash, entry.stop_waiting());
        self.unqueue(waiting);
        self.channel.dropped_flows.push(now_ns, hash, flow, why);
    }

    /// Reports the ends that no new flow followed.
    pub(super) fn report_dropped_flows(&mut self, now_ns: u64) {
        if self.is_draining() {
            self.channel.dropped_flows.hold(now_ns + WAIT_NS + PULSE_NS);
        }
        while let Some(dropped) = self.channel.dropped_flows.pop_due(now_ns) {
            self.report_dropped_flow(now_ns, dropped);
        }
    }

    fn report_dropped_flow(&mut self, now_ns: u64, dropped: DroppedFlow) {
        let Some(slot) = self.dropped_slot(dropped.hash) else {
            return;
        };
        match dropped.last.map(|last| *last) {
            Some((flow, why)) if flow.incarnation == self.table.get(slot).incarnation() => {
                self.end_and_report(now_ns, slot, flow, why);
            }
            Some(_) => {}
            None => self.forget_entry(dropped.hash),
        }
    }

    /// Holds ends back when a group has gone and others stay: a flow continues if its packets pass the peer.
    pub(super) fn hold_dropped_flows_of_moved_group(&mut self, now_ns: u64) {
        self.channel.dropped_flows.hold(now_ns + WAIT_OF_MOVED_NS);
    }

    /// Reports flows as alive whose end is not to be reported yet.
    pub(super) fn tell_dropped_flows_alive(&mut self, now_ns: u64) {
        for hash in self.channel.dropped_flows.hashes() {
            let slot = self.dropped_slot(hash);
            if slot.is_some_and(|slot| self.table.get(slot).has(flag::KNOWN_TO_PEER)) {
                self.tell_alive(now_ns, hash);
            }
        }
    }

    /// Requests the flows that the kernel here dropped from the peer, when this node carries nothing any more.
    pub(super) fn request_dropped_flows(&mut self, now_ns: u64) {
        for hash in self.channel.dropped_flows.take_hashes() {
            if self.dropped_slot(hash).is_some() {
                self.request_dropped_flow(now_ns, hash);
            }
        }
    }

    /// Requests a flow from the peer that this node carried and dropped, and that the peer now carries.
    fn request_dropped_flow(&mut self, now_ns: u64, hash: u64) {
        self.forget_entry(hash);
        if self.peer.is_some() {
            self.counters.lost += 1;
            self.request_missing(now_ns, hash);
        }
    }

    /// Forgets all ends, since there is no peer to inform.
    pub(super) fn forget_dropped_flows(&mut self) {
        let mut dropped_flows = std::mem::take(&mut self.channel.dropped_flows);
        for hash in dropped_flows.take_hashes() {
            if self.dropped_slot(hash).is_some() {
                self.forget_entry(hash);
            }
        }
    }

    fn dropped_slot(&self, hash: u64) -> Option<u32> {
        let slot = self.table.find(hash)?;
        self.table.get(slot).has(flag::DROPPED_HERE).then_some(slot)
    }
}

/// Returns true if the flow was never answered: a reset ends it at once. If it ended for another reason, its next
/// packet creates it again.
fn is_unanswered(flow: &Flow) -> bool {
    flow.original.protocol == TCP && flow.status & status::SEEN_REPLY == 0
}

/// Classifies the end of a destroyed flow.
fn reason(entry: &Entry, flow: &Flow, by: By, now_s: u32) -> Why {
    let left_s = flow.timeout_s.unwrap_or(0);
    let is_own = left_s > 0 && entry.is_own(now_s);
    let state = flow.state().unwrap_or(entry.state());
    match by {
        By::Request if is_own => Why::Deleted,
        // if only the peer reports it as alive, the peer sends it again
        _ if !is_own && entry.is_peers(now_s) && !is_over(state) => Why::Ended,
        _ if flow.original.protocol == TCP && is_over(state) => Why::Closed,
        _ => Why::Ended,
    }
}
