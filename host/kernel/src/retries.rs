//! Decides when failed operations are retried, and stores what is still to be deleted.

use std::time::{Duration, Instant};

use super::undeleted::Undeleted;

/// Pause before a failed operation is retried.
const RETRY: Duration = Duration::from_secs(1);
/// Pause before a fence is retried that is missing although addresses answer.
const URGENT_RETRY: Duration = Duration::from_millis(20);
/// Pause before refused routes are retried. A routing daemon may add a route to their gateway, and its routes are not
/// watched here.
const ROUTES_RETRY: Duration = Duration::from_secs(10);

#[derive(Default)]
pub(super) struct Retries {
    /// Time of the next retry after a failure.
    at: Option<Instant>,
    /// Time at which routes with unreachable gateways are retried.
    routes_at: Option<Instant>,
    /// Time at which virtual addresses were last moved behind the node's own addresses.
    reordered_at: Option<Instant>,
    undeleted: Undeleted,
}

impl Retries {
    /// Retries after a pause, or earlier if that is planned.
    pub(super) fn retry(&mut self, now: Instant) {
        self.retry_at(now + RETRY);
    }

    pub(super) fn retry_fence(&mut self, now: Instant, is_missing: bool) {
        self.retry_at(now + if is_missing { URGENT_RETRY } else { RETRY });
    }

    fn retry_at(&mut self, at: Instant) {
        self.at = Some(self.at.map_or(at, |planned| planned.min(at)));
    }

    /// Retries routes after a pause, or earlier if that is planned.
    pub(super) fn retry_routes(&mut self, now: Instant) {
        self.retry_routes_at(now + ROUTES_RETRY);
    }

    pub(super) fn retry_routes_at_once(&mut self, now: Instant) {
        self.retry_routes_at(now);
    }

    fn retry_routes_at(&mut self, at: Instant) {
        self.routes_at = Some(self.routes_at.map_or(at, |planned| planned.min(at)));
    }

    /// Returns true if addresses may be moved now, at most once in a pause. Otherwise a retry follows.
    pub(super) fn may_reorder(&mut self, now: Instant) -> bool {
        if self.reordered_at.is_some_and(|at| now < at + RETRY) {
            self.retry(now);
            return false;
        }
        self.reordered_at = Some(now);
        true
    }

    /// Returns the routes and rules that are still to be deleted.
    pub(super) fn undeleted(&mut self) -> &mut Undeleted {
        &mut self.undeleted
    }

    /// Returns true if a retry is due, and forgets it.
    pub(super) fn take_due(&mut self, now: Instant) -> bool {
        self.at.take_if(|at| *at <= now).is_some()
    }

    /// Returns true if the routes are to be retried, and forgets that.
    pub(super) fn take_routes_due(&mut self, now: Instant) -> bool {
        self.routes_at.take_if(|at| *at <= now).is_some()
    }

    pub(super) fn next(&self) -> Option<Instant> {
        [self.at, self.routes_at].into_iter().flatten().min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_fence_is_retried_soon_whatever_else_failed_since() {
        let now = Instant::now();
        let mut retries = Retries::default();
        retries.retry_fence(now, true);
        retries.retry(now);
        retries.retry_fence(now, false);
        assert!(!retries.take_due(now));
        assert!(retries.take_due(now + URGENT_RETRY));
        assert!(!retries.take_due(now + 2 * RETRY), "once");
    }

    #[test]
    fn routes_that_are_to_be_retried_at_once_are_also_if_others_are_refused_meanwhile() {
        let now = Instant::now();
        let mut retries = Retries::default();
        retries.retry_routes_at_once(now);
        retries.retry_routes(now);
        assert_eq!(retries.next(), Some(now));
        assert!(retries.take_routes_due(now));
        assert!(!retries.take_routes_due(now + 2 * ROUTES_RETRY), "once");
    }
}
