//! Counters and rates of the engine.

use super::SECOND_NS;

#[derive(Clone, Debug, Default)]
pub struct Counters {
    pub events: u64,
    pub overruns: u64,
    pub resyncs: u64,
    pub excluded: u64,
    pub hidden: u64,
    pub sent_flows: u64,
    pub sent_deletes: u64,
    pub sent_alive: u64,
    pub sent_bytes: u64,
    /// Bytes sent in messages with flows.
    pub sent_flow_bytes: u64,
    pub created: u64,
    pub updated: u64,
    pub deleted: u64,
    pub merged: u64,
    /// Flows of the peer whose translated ends belong to another flow here.
    pub conflicts: u64,
    /// Flows that ended at the peer and continue here.
    pub kept: u64,
    /// Flows that the peer assumes to be here, but the kernel dropped.
    pub lost: u64,
    /// Flows that the peer's kernel dropped, by its reports.
    pub lost_there: u64,
    pub refused_full: u64,
    pub refused_exists: u64,
    pub refused_helper: u64,
    pub refused_invalid: u64,
    pub refused_other: u64,
    pub restored: u64,
    pub dropped: u64,
    pub expectations: u64,
    pub kernel_flows: Option<u32>,
    pub kernel_limit: u32,
    rate: Rate,
}

#[derive(Clone, Debug, Default)]
struct Rate {
    at_ns: u64,
    sent: u64,
    applied: u64,
    per_s: (u64, u64),
}

impl Counters {
    pub fn applied(&self) -> u64 {
        self.created + self.updated + self.deleted + self.merged
    }

    /// Returns the numbers of sent flows and deletions, and of applied changes, per second.
    pub fn rates(&self) -> (u64, u64) {
        self.rate.per_s
    }

    /// Computes the rates; called about once a second.
    pub fn measure(&mut self, now_ns: u64) {
        let passed_ns = now_ns.saturating_sub(self.rate.at_ns);
        if passed_ns < SECOND_NS / 2 {
            return;
        }
        let (sent, applied) = (self.sent_flows + self.sent_deletes, self.applied());
        let per_s = |more: u64| (u128::from(more) * 1_000_000_000 / u128::from(passed_ns)) as u64;
        self.rate = Rate {
            at_ns: now_ns,
            sent,
            applied,
            per_s: (
                per_s(sent - self.rate.sent),
                per_s(applied - self.rate.applied),
            ),
        };
    }
}
