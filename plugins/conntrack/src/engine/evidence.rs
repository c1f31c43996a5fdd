//! Evidence: a flow is in use while packets pass here, whatever the peer reports of it.
//!
//! Each packet moves the end of its entry in the kernel, and some cause events. An end that neither this node wrote nor
//! saw before was set by a packet.

use super::table::{Entry, ROUNDING_S, flag};
use super::{Engine, seconds};
use crate::flow::Flow;

impl Engine {
    /// Updates the entry's end by the kernel's state of the flow. Returns true if a packet has moved the end since the
    /// entry was `before`.
    pub(super) fn observe(&mut self, now_ns: u64, slot: u32, before: &Entry, flow: &Flow) -> bool {
        let now_s = seconds(now_ns);
        // a flow without a time is offloaded: its packets pass here
        let offloaded_s = flow
            .timeout_s
            .is_none()
            .then(|| self.reports.timeouts.of(flow));
        let left_s = flow.timeout_s.or(offloaded_s).unwrap_or(0);
        let expires_s = now_s.saturating_add(left_s);
        let moved = offloaded_s.is_some() || before.is_moved(expires_s);
        let entry = self.table.get_mut(slot);
        if moved || expires_s.abs_diff(before.own_expiry_s) < ROUNDING_S {
            entry.own_expiry_s = expires_s;
        }
        entry.set(
            flag::PACKET_THIS_RESYNC,
            moved || entry.has(flag::PACKET_THIS_RESYNC),
        );
        self.note_translation(now_ns, slot, flow, moved);
        moved
    }

    /// Sets the entry's end to the time that a packet gave the flow: after the packet's event, or when a walk finds a
    /// new flow.
    pub(super) fn witness(&mut self, now_ns: u64, slot: u32, flow: &Flow) {
        self.restore_again(now_ns, slot, flow);
        let left_s = flow
            .timeout_s
            .unwrap_or_else(|| self.reports.timeouts.of(flow));
        let entry = self.table.get_mut(slot);
        entry.own_expiry_s = seconds(now_ns).saturating_add(left_s);
        entry.flags |= flag::PACKET_THIS_RESYNC;
        self.note_translation(now_ns, slot, flow, false);
    }
}
