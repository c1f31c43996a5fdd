//! Pursuit of one goal: tries that are due, and results of earlier ones. A new goal begins another pursuit.

use super::goal::{Goal, JobKind};
use super::retry::RetryPause;

#[derive(Debug, Default)]
pub(super) struct Pursuit {
    goal: Goal,
    since_ns: u64,
    /// True if the goal is new, or was lost, and its first try has not ended: others wait for it.
    is_open: bool,
    /// True if a goal that cannot be observed is still to be reached.
    is_pending: bool,
    /// True if the last job for this goal succeeded; it counts if the state cannot be observed.
    is_done: bool,
    pause: RetryPause,
    /// True if the service ended soon after a start: a running state counts only after a while.
    is_unsteady: bool,
    /// Present fault.
    fault: Option<String>,
    /// Time when somebody last declared it repaired.
    repaired_ns: Option<u64>,
}

impl Pursuit {
    /// Pursuit of no goal: the item is left as it is.
    pub(super) fn idle(now_ns: u64) -> Self {
        Self::of(now_ns, Goal::Leave)
    }

    /// Begins a pursuit; `is_known` is true if an earlier worker has reached the goal.
    pub(super) fn new(now_ns: u64, goal: Goal, is_known: bool) -> Self {
        Self {
            is_open: !matches!(goal, Goal::Leave),
            is_pending: !is_known && is_unobserved(&goal),
            is_done: is_known,
            ..Self::of(now_ns, goal)
        }
    }

    fn of(now_ns: u64, goal: Goal) -> Self {
        Self {
            goal,
            since_ns: now_ns,
            ..Self::default()
        }
    }

    // ---- jobs ------------------------------------------------------------------------------

    /// Handles that a job begins.
    pub(super) fn handle_begun(&mut self, kind: &JobKind) {
        if matches!(kind, JobKind::Task(_) | JobKind::Keep(_)) {
            self.is_pending = false;
        }
        self.pause.end();
    }

    /// Handles a job that led to the goal; `is_open` is true if there is more to do.
    pub(super) fn handle_success(&mut self, is_open: bool) {
        (self.is_done, self.is_open) = (true, is_open);
        if self.goal != Goal::Running {
            self.pause.forget_failures();
        }
    }

    /// Handles a job that failed, or whose service ended soon; returns the time until the next try.
    pub(super) fn handle_failure(&mut self, now_ns: u64, why: String) -> u64 {
        let wait_ns = self.pause.begin(now_ns);
        self.close_with_fault(why);
        wait_ns
    }

    /// Notes a failure of a job that is not retried automatically: the retry, and whether others wait, stay as before it.
    pub(super) fn handle_failure_without_retry(&mut self, why: String) -> u64 {
        let is_open = self.is_open;
        let wait_ns = self.pause.count_failure();
        self.close_with_fault(why);
        self.is_open = is_open;
        wait_ns
    }

    /// Handles a service that does not keep running, although its manager continues.
    pub(super) fn handle_unsteady(&mut self, fault: Option<String>) {
        self.is_unsteady = true;
        self.fault = fault.or(self.fault.take());
    }

    /// Handles a start that failed: nothing runs that could prove itself.
    pub(super) fn handle_failed_start(&mut self) {
        self.is_unsteady = false;
    }

    /// Pursues a goal again that cannot be observed, or was not reached.
    pub(super) fn set_pending(&mut self) {
        self.is_pending = true;
    }

    /// Notes that the goal cannot be reached for now.
    pub(super) fn close_with_fault(&mut self, why: String) {
        (self.fault, self.is_open) = (Some(why), false);
    }

    // ---- observations ----------------------------------------------------------------------

    /// Handles that the goal is reached; `is_proven` is true if earlier failures do not count any more.
    pub(super) fn handle_reached(&mut self, is_proven: bool) {
        if is_proven {
            self.pause.forget_failures();
            self.is_unsteady = false;
        }
        self.pause.end();
    }

    /// Handles that a reached goal is lost: others wait for the next try.
    pub(super) fn open(&mut self) {
        self.is_open = true;
    }

    /// Handles that another program has led away from the goal.
    pub(super) fn handle_undone(&mut self) {
        (self.is_open, self.is_done) = (true, false);
        self.pause.end();
    }

    /// Handles the end of the first try.
    pub(super) fn close(&mut self) {
        self.is_open = false;
    }

    /// Returns true if there was a fault that is over.
    pub(super) fn end_fault(&mut self) -> bool {
        !self.is_unsteady && self.fault.take().is_some()
    }

    // ---- retries ---------------------------------------------------------------------------

    /// Ends the pause before the next try when it is over.
    pub(super) fn handle_timeout(&mut self, now_ns: u64) {
        self.pause.handle_timeout(now_ns);
    }

    /// Handles that somebody declares it repaired.
    pub(super) fn handle_repaired(&mut self, now_ns: u64) {
        self.repaired_ns = Some(now_ns);
    }

    /// Returns true if the last try, which began then, was before the repair, and so proves nothing against it; once for
    /// each repair.
    pub(super) fn take_repaired(&mut self, begun_ns: Option<u64>) -> bool {
        let repaired_ns = self.repaired_ns.take();
        repaired_ns.is_some_and(|at_ns| begun_ns.is_some_and(|begun_ns| begun_ns < at_ns))
    }

    /// Retries at once, as if nothing had failed; the fault stays until it is over.
    pub(super) fn retry(&mut self) {
        self.pause = RetryPause::default();
        self.is_unsteady = false;
        self.is_pending = is_unobserved(&self.goal);
    }

    pub(super) fn end_pause(&mut self) {
        self.pause.end();
    }

    // ---- state -----------------------------------------------------------------------------

    pub(super) fn goal(&self) -> &Goal {
        &self.goal
    }

    pub(super) fn is_for(&self, goal: &Goal) -> bool {
        self.goal == *goal
    }

    pub(super) fn since_ns(&self) -> u64 {
        self.since_ns
    }

    /// True if others wait for the first try.
    pub(super) fn is_open(&self) -> bool {
        self.is_open
    }

    pub(super) fn is_pending(&self) -> bool {
        self.is_pending
    }

    pub(super) fn is_done(&self) -> bool {
        self.is_done
    }

    pub(super) fn retry_ns(&self) -> Option<u64> {
        self.pause.until_ns()
    }

    pub(super) fn has_failed(&self) -> bool {
        self.pause.has_failed()
    }

    pub(super) fn is_unsteady(&self) -> bool {
        self.is_unsteady
    }

    pub(super) fn fault(&self) -> Option<&String> {
        self.fault.as_ref()
    }
}

/// True if the goal cannot be observed.
fn is_unobserved(goal: &Goal) -> bool {
    matches!(goal, Goal::Once(_) | Goal::Kept(_))
}
