//! Keeps the flows that the peer carried while there is no peer, for a later failover.
//!
//! A link may be cut for a long time before the node behind it fails. Meanwhile no report and no packet renews these
//! flows here.

use super::table::flag;
use super::walk_queue::Due;
use super::{Engine, How, SECOND_NS, seconds};
use crate::flow::{Flow, status};

/// Time for which copies are renewed. Later they expire, so that a flow whose end was not reported is not kept forever.
const RENEWAL_NS: u64 = 3600 * SECOND_NS;

/// Renewal of copies while there is no peer.
#[derive(Debug, Default)]
pub(super) struct CopyRenewal {
    next_ns: u64,
    until_ns: u64,
    /// Lifetime of a copy here without a report in s, by the last peer's latest resync. With a peer it is the time that
    /// reports give to a copy.
    lease_s: u32,
}

impl CopyRenewal {
    fn begin(&mut self, now_ns: u64, interval_ns: u64) {
        self.until_ns = now_ns + RENEWAL_NS;
        self.next_ns = now_ns + interval_ns;
    }

    /// Schedules the next renewal. Returns false if copies are no longer renewed.
    fn go_on(&mut self, now_ns: u64, interval_ns: u64) -> bool {
        self.next_ns = now_ns + interval_ns;
        now_ns < self.until_ns
    }

    fn end(&mut self) {
        self.until_ns = 0;
    }

    pub fn set_lease(&mut self, lease_s: u32) {
        self.lease_s = lease_s;
    }

    pub fn lease_s(&self) -> u32 {
        self.lease_s
    }
}

impl Engine {
    /// Begins to renew copies, after the connection to an active peer was lost.
    pub(super) fn begin_renewal(&mut self, now_ns: u64) {
        if self.table.has_peer_reports() {
            self.walks.request(Due::RenewCopies);
            let interval_ns = self.resync_interval_ns();
            self.renewal.begin(now_ns, interval_ns);
        }
    }

    /// Continues to renew copies, after the peer has gone again before it had reported all flows.
    pub(super) fn continue_renewal(&mut self, now_ns: u64) {
        let interval_ns = self.resync_interval_ns();
        if self.renewal.go_on(now_ns, interval_ns) {
            self.walks.request(Due::RenewCopies);
        }
    }

    /// Ends the renewal: this node carries the flows now, or reports of the other node renew them.
    pub(super) fn end_renewal(&mut self) {
        self.renewal.end();
        self.walks.cancel(Due::RenewCopies);
    }

    pub(super) fn next_renewal_ns(&self) -> Option<u64> {
        let CopyRenewal {
            next_ns, until_ns, ..
        } = self.renewal;
        let keeps = self.peer.is_none() && next_ns < until_ns;
        keeps.then_some(next_ns)
    }

    pub(super) fn renew_if_due(&mut self, now_ns: u64) {
        if self.next_renewal_ns().is_some_and(|at_ns| now_ns >= at_ns) {
            self.continue_renewal(now_ns);
        }
    }

    /// Renews one flow of the kernel's table.
    pub(super) fn renew_copy(&mut self, now_ns: u64, flow: &Flow) {
        let Some(slot) = self.table.find(self.table.hash(flow)) else {
            return;
        };
        let before = *self.table.get(slot);
        let now_s = seconds(now_ns);
        self.observe(now_ns, slot, &before, flow);
        let whole_timeout_s = self.whole_timeout_s(flow).saturating_sub(self.apart_s());
        let entry = self.table.get_mut(slot);
        let is_peers = entry.peer_expiry_s > 0 && !entry.has(flag::ENDED_AT_PEER);
        let Some(left_s) = flow.timeout_s.filter(|_| is_peers) else {
            return;
        };
        if flow.status & status::FIXED_TIMEOUT != 0 {
            return;
        }
        let whole_timeout_s = whole_timeout_s.max(self.renewal.lease_s);
        if left_s < whole_timeout_s {
            entry.peer_expiry_s = now_s.saturating_add(whole_timeout_s);
            self.write(How::Refresh, flow.clone(), whole_timeout_s);
        }
    }
}
