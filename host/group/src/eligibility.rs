//! Limits a group after a fault of this node: for some time it may not be active here, or only if no better node can be.

/// Time in ns for which a node leaves a group to the peer after a fault, so that somebody can examine it. It still
/// becomes active if no other node does.
pub const DEFER_NS: u64 = 60_000_000_000;
/// Time in ns for which a group whose addresses could not be installed may not become active again. It doubles with
/// each failure, up to `AGAIN_MAX_NS`.
const AGAIN_NS: u64 = 300_000_000;
const AGAIN_MAX_NS: u64 = 5_000_000_000;
/// Time in ns for which electors that start after another one has ended are told that the group was active here. It
/// covers the first restarts. After that time the state of the networks may have changed.
const WAS_ACTIVE_NS: u64 = 10_000_000_000;

#[derive(Debug, Default)]
pub(super) struct Eligibility {
    /// Reason why the elector is asked to resign.
    resign: Option<String>,
    /// Limit until which the group may not be active here.
    blocked: Option<Limit>,
    /// Limit until which the group is active here only if no better node can be.
    deferred: Option<Limit>,
    /// Time until which a new elector is told that the group was active here until the previous elector ended.
    was_active_until_ns: Option<u64>,
    /// Number of failed installations in a row.
    failures: u32,
}

#[derive(Debug)]
struct Limit {
    until_ns: u64,
    why: String,
}

impl Limit {
    fn from(now_ns: u64, ns: u64, why: String) -> Self {
        let until_ns = now_ns.saturating_add(ns);
        Self { until_ns, why }
    }
}

impl Eligibility {
    /// Handles addresses that could not be installed. An active group is asked to resign.
    pub(super) fn handle_failure(&mut self, now_ns: u64, is_active: bool, why: &str) {
        if is_active {
            self.resign = Some(why.to_owned());
        }
        let pause_ns = (AGAIN_NS << self.failures.min(5)).min(AGAIN_MAX_NS);
        self.failures = self.failures.saturating_add(1);
        self.blocked = Some(Limit::from(now_ns, pause_ns, why.to_owned()));
    }

    pub(super) fn handle_installed(&mut self) {
        self.failures = 0;
    }

    /// Handles that the elector has resigned or died.
    pub(super) fn handle_resigned(&mut self) {
        self.resign = None;
    }

    /// Leaves the group to the peer for a while.
    pub(super) fn defer(&mut self, now_ns: u64, why: String) {
        self.deferred = Some(Limit::from(now_ns, DEFER_NS, why));
    }

    /// Ends the limits, because an administrator forces the group active.
    pub(super) fn lift(&mut self) {
        (self.blocked, self.deferred) = (None, None);
    }

    /// Notes that the group was active here until its elector ended.
    pub(super) fn note_was_active(&mut self, now_ns: u64) {
        self.was_active_until_ns = Some(now_ns.saturating_add(WAS_ACTIVE_NS));
    }

    /// Ends what is over. Returns true if anything is.
    pub(super) fn handle_timeout(&mut self, now_ns: u64) -> bool {
        let was_active = self.was_active_until_ns.take_if(|it| now_ns >= *it);
        let limits = [&mut self.blocked, &mut self.deferred];
        let ended = limits.map(|limit| limit.take_if(|it| now_ns >= it.until_ns));
        was_active.is_some() || ended.iter().any(Option::is_some)
    }

    pub(super) fn next_timeout(&self) -> Option<u64> {
        let limits = [&self.blocked, &self.deferred].into_iter().flatten();
        let limits = limits.map(|limit| limit.until_ns);
        limits.chain(self.was_active_until_ns).min()
    }

    /// Returns why the group may not be active here; None if it may.
    pub(super) fn reason_against(&self) -> Option<&str> {
        let blocked = self.blocked.as_ref().map(|limit| limit.why.as_str());
        self.resign.as_deref().or(blocked)
    }

    /// Returns why the group is active here only if no better node can be; None if that is not so.
    pub(super) fn reason_to_defer(&self) -> Option<&str> {
        self.deferred.as_ref().map(|limit| limit.why.as_str())
    }

    /// Returns true if the group was active here until the previous elector ended.
    pub(super) fn was_active(&self) -> bool {
        self.was_active_until_ns.is_some()
    }
}
