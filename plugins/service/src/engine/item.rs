//! State of one item: its goal, its observed state, and its job in progress.

use std::time::Duration;

use super::check::ItemCheck;
use super::event_limiter::Topic;
use super::goal::{Goal, JobKind};
use super::history::ItemHistory;
use super::membership::Membership;
use super::observation::Observation;
use super::pursuit::Pursuit;
use super::start_test::Test;
use super::status_change::{RestartCount, is_inconclusive};
use super::work::{JobInProgress, Work};
use crate::config::{self, Kind};
use crate::job::{Service, Status};

const S: u64 = 1_000_000_000;
/// Running time in ns after which a start counts as successful.
pub(super) const STEADY_NS: u64 = 60 * S;
const KILL_NS: u64 = 10 * S;

#[derive(Debug)]
pub(super) struct Item {
    pub(super) spec: config::Item,
    pub(super) service: Option<Service>,
    pub(super) membership: Membership,
    pub(super) pursuit: Pursuit,
    pub(super) observation: Observation,
    pub(super) work: Work,
    pub(super) restarts: RestartCount,
    pub(super) test: Test,
    pub(super) history: ItemHistory,
    pub(super) check: ItemCheck,
}

impl Item {
    pub(super) fn new(now_ns: u64, spec: config::Item, service: Option<Service>) -> Self {
        Self {
            membership: Membership::default(),
            pursuit: Pursuit::idle(now_ns),
            observation: Observation::new(now_ns, service.is_some()),
            work: Work::default(),
            restarts: RestartCount::default(),
            test: Test::default(),
            history: ItemHistory::default(),
            check: ItemCheck::default(),
            spec,
            service,
        }
    }

    pub(super) fn name(&self) -> &str {
        &self.spec.name
    }

    pub(super) fn group(&self) -> Option<&str> {
        self.spec.group.as_deref()
    }

    /// Maximum time of a job.
    pub(super) fn timeout(&self) -> Duration {
        Duration::from_nanos(self.spec.timeout_ns)
    }

    /// True if a goal that cannot be observed was reached: it is recorded for the next worker.
    pub(super) fn is_to_remember(&self) -> bool {
        let is_unobserved = match self.pursuit.goal() {
            Goal::Once(_) => true,
            Goal::Running | Goal::Stopped => {
                let observation = &self.observation;
                observation.is_unconfirmed() || observation.status().is_some_and(is_inconclusive)
            }
            _ => false,
        };
        let pursuit = &self.pursuit;
        let is_done = pursuit.is_done() && !pursuit.is_pending() && pursuit.fault().is_none();
        is_unobserved && is_done && !self.work.is_busy()
    }

    pub(super) fn begin(&mut self, now_ns: u64, number: u64, kind: JobKind) {
        let time_ns = match (&kind, &self.spec.kind) {
            (JobKind::Kill, _) => KILL_NS,
            (
                JobKind::Bounce,
                Kind::Interface {
                    bounce_ms: Some(ms),
                    ..
                },
            ) => ms
                .saturating_mul(1_000_000)
                .saturating_add(self.spec.timeout_ns),
            _ => self.spec.timeout_ns,
        };
        self.pursuit.handle_begun(&kind);
        let until_ns = now_ns.saturating_add(time_ns);
        self.work.begin(
            now_ns,
            JobInProgress {
                number,
                kind,
                until_ns,
            },
        );
    }

    /// Ends a wait that is over. A new goal that cannot be reached, or is reached already, delays no other item.
    pub(super) fn end_waits(&mut self, now_ns: u64) {
        self.pursuit.handle_timeout(now_ns);
        let is_looked_at = self.service.is_some();
        self.observation.handle_timeout(now_ns, is_looked_at);
        if self.work.is_busy() {
            return;
        }
        if self.is_reached() {
            self.pursuit.close();
        } else if let (true, Goal::Running, Some(Status::Missing(why))) = (
            self.pursuit.is_open(),
            self.pursuit.goal(),
            self.observation.status(),
        ) {
            self.pursuit.close_with_fault(why.clone());
        }
    }

    /// Handles a poll: a goal that is kept is reached again.
    pub(super) fn poll(&mut self, is_looked_at: bool) {
        let is_looked_at = is_looked_at && self.service.is_some();
        self.observation.request_look_if(is_looked_at);
        if matches!(self.pursuit.goal(), Goal::Kept(_)) && self.pursuit.fault().is_none() {
            self.pursuit.set_pending();
        }
    }

    /// Retries a failed job now, because somebody declared it repaired; false if nothing is known to have failed.
    pub(super) fn retry(&mut self, now_ns: u64) -> bool {
        self.pursuit.handle_repaired(now_ns);
        self.observation.set_look_wanted(self.service.is_some());
        let had_active_failure = self.check.forget_failure();
        let had_fault = self.pursuit.fault().is_some();
        if self.test_fault().is_some() {
            self.test_now();
        } else if !had_fault {
            return had_active_failure;
        }
        if !had_fault {
            return true;
        }
        self.restarts = RestartCount::default();
        self.pursuit.retry();
        true
    }

    pub(super) fn next_timeout(&self) -> Option<u64> {
        let job = self.work.job().map(|job| job.until_ns);
        let retry = self.pursuit.retry_ns().filter(|_| job.is_none());
        let [look, again] = self.observation.timeouts();
        let times = [job, retry, look, again, self.check.timeout()];
        times.into_iter().flatten().min()
    }

    pub(super) fn role_word(&self) -> String {
        let role = self.membership.role();
        role.map_or_else(|| "unknown".to_owned(), |role| role.to_string())
    }

    pub(super) fn set_status(&mut self, now_ns: u64, status: Status) {
        self.observation.set(now_ns, status);
    }

    pub(super) fn queue_event(&mut self, now_ns: u64, topic: Topic, text: String) {
        self.history.queue_event(now_ns, topic, text);
    }
}
