//! Counters and rates of the engine.

use super::SECOND_NS;

#[derive(Clone, Debug, Default)]
pub struct Counters {
    pub local: Local,
    pub sent: Sent,
    pub applied: Applied,
    pub refused: Refused,
    pub kernel: Kernel,
    pub resyncs: u64,
    /// Expectations that were sent or received.
    pub expectations: u64,
    /// Flows of the peer whose translated ends belong to another flow here.
    pub conflicts: u64,
    /// Flows that the peer assumes to be here, but the kernel dropped.
    pub lost: u64,
    /// Flows that the peer requested, since its kernel lacks them.
    pub lost_there: u64,
    rate: Rate,
    /// Time of the next work that is done once a second.
    next_second_ns: u64,
}

/// Events of the kernel here, and flows that are not replicated.
#[derive(Clone, Debug, Default)]
pub struct Local {
    pub events: u64,
    pub overruns: u64,
    pub excluded: u64,
    pub hidden: u64,
}

/// Messages to the peer.
#[derive(Clone, Debug, Default)]
pub struct Sent {
    pub flows: u64,
    pub deletes: u64,
    pub alive: u64,
    pub bytes: u64,
    /// Bytes sent in messages with flows.
    pub flow_bytes: u64,
}

/// Changes of the kernel's table that this node made.
#[derive(Clone, Debug, Default)]
pub struct Applied {
    pub created: u64,
    pub updated: u64,
    pub deleted: u64,
    pub merged: u64,
    /// Flows that ended at the peer and continue here.
    pub kept: u64,
    pub restored: u64,
    pub dropped: u64,
}

/// Refusals by the kernel, by reason.
#[derive(Clone, Debug, Default)]
pub struct Refused {
    pub full: u64,
    pub exists: u64,
    pub helper: u64,
    pub invalid: u64,
    pub other: u64,
}

/// Fill of the kernel's table.
#[derive(Clone, Debug, Default)]
pub struct Kernel {
    /// Number of flows; None: not read yet.
    pub flows: Option<u32>,
    pub limit: u32,
}

#[derive(Clone, Debug, Default)]
struct Rate {
    at_ns: u64,
    sent: u64,
    applied: u64,
    per_s: (u64, u64),
}

impl Sent {
    fn total(&self) -> u64 {
        self.flows + self.deletes
    }
}

impl Applied {
    fn total(&self) -> u64 {
        self.created + self.updated + self.deleted + self.merged
    }
}

impl Counters {
    /// Returns the numbers of sent flows and deletions, and of applied changes, per second.
    pub fn rates(&self) -> (u64, u64) {
        self.rate.per_s
    }

    /// Returns true if a second has passed since it last did.
    pub fn take_second(&mut self, now_ns: u64) -> bool {
        let is_over = now_ns >= self.next_second_ns;
        if is_over {
            self.next_second_ns = now_ns.saturating_add(SECOND_NS);
        }
        is_over
    }

    /// Computes the rates; called once a second, and for a query.
    pub fn measure(&mut self, now_ns: u64) {
        let passed_ns = now_ns.saturating_sub(self.rate.at_ns);
        if passed_ns < SECOND_NS / 2 {
            return;
        }
        let (sent, applied) = (self.sent.total(), self.applied.total());
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
