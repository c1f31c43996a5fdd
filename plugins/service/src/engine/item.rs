//! State of one item: its goal, its observed state, and its job.

use std::time::Duration;

use spared_sdk::config::format_duration;

use super::check::ItemCheck;
use super::event_limiter::Topic;
use super::goal::{Goal, JobKind};
use super::history::ItemHistory;
use super::membership::Membership;
use super::observation::Observation;
use super::pursuit::Pursuit;
use super::start_test::Test;
use super::status_change::{RestartCount, is_down, is_inconclusive};
use super::work::{JobInProgress, Work};
use crate::config::{self, Kind};
use crate::job::{Manager, Service, Status};

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

    /// True if the item is in its intended state.
    pub(super) fn is_reached(&self) -> bool {
        let status = self.observation.status();
        let seen = match (self.pursuit.goal(), status) {
            (Goal::Leave, _) => true,
            (Goal::Running, Some(Status::Running | Status::AwaitsTrigger(_))) => true,
            (Goal::Stopped, Some(status)) if is_down(status) => true,
            (Goal::Running | Goal::Stopped, Some(status)) if is_inconclusive(status) => {
                self.pursuit.is_done()
            }
            (Goal::Running | Goal::Stopped, _) => false,
            (Goal::Once(_) | Goal::Kept(_), _) => !self.pursuit.is_pending(),
        };
        seen && !self.work.is_bounce_due() && !self.work.is_left_down()
    }

    /// True if a goal that cannot be observed is being reached for the first time.
    pub(super) fn is_first_try(&self) -> bool {
        let is_unobserved = matches!(self.pursuit.goal(), Goal::Once(_) | Goal::Kept(_));
        is_unobserved && self.work.is_busy() && !self.pursuit.is_done()
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

    /// Next job, if there is one.
    pub(super) fn next_job(&self) -> Option<JobKind> {
        if self.work.is_bounce_due() {
            return Some(JobKind::Bounce);
        }
        if self.work.is_left_down() {
            return self.restore_link_job();
        }
        if self.is_reached() || self.pursuit.retry_ns().is_some() {
            return None;
        }
        let is_open = self.pursuit.is_open();
        match (self.pursuit.goal(), self.observation.status()) {
            (Goal::Leave, _) => None,
            (Goal::Once(task), _) => Some(JobKind::Task(task.clone())),
            (Goal::Kept(job), _) => Some(JobKind::Keep(job.clone())),
            (Goal::Running | Goal::Stopped, None) => None,
            (Goal::Running, Some(Status::Missing(_))) => None,
            // Another program starts or stops it; the next look shows the result.
            (Goal::Running, Some(Status::Starting | Status::Stopping)) if !is_open => None,
            (Goal::Stopped, Some(Status::Stopping)) if !is_open => None,
            (Goal::Running, Some(_)) => Some(JobKind::Start),
            (Goal::Stopped, Some(_)) => Some(JobKind::Stop),
        }
    }

    /// True if the job in progress leads away from the goal, and may be abandoned at once.
    pub(super) fn is_superseded(&self) -> bool {
        let kind = self.work.job().map(|job| &job.kind);
        if kind == Some(&JobKind::Bounce) {
            return self.membership.is_active();
        }
        let systemd = matches!(
            self.service,
            Some(Service::Unit {
                manager: Manager::Systemd,
                ..
            })
        );
        let opposed = matches!(
            (kind, self.pursuit.goal()),
            (Some(JobKind::Start), Goal::Stopped) | (Some(JobKind::Stop), Goal::Running)
        );
        systemd && opposed
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

    /// Handles the end of the item's job, or of an abandoned one.
    pub(super) fn end(&mut self, now_ns: u64, kind: &JobKind, result: Result<(), String>) {
        self.work.end();
        let is_looked_at = self.service.is_some();
        self.observation.handle_job_end(now_ns, is_looked_at);
        match (kind, result) {
            (JobKind::Start, Ok(())) => {
                self.work.note_started(now_ns);
                self.set_status(now_ns, Status::Running);
                self.succeed(now_ns, self.pursuit.is_for(&Goal::Running));
            }
            (JobKind::Stop | JobKind::Kill, Ok(())) => {
                self.set_status(now_ns, Status::Stopped);
                self.succeed(now_ns, self.pursuit.is_for(&Goal::Stopped));
            }
            (JobKind::Start, Err(why)) => {
                self.pursuit.handle_failed_start();
                self.set_status(now_ns, Status::Failed(why.clone()));
                self.fail_if_wanted(now_ns, kind, &why, self.pursuit.is_for(&Goal::Running));
                if self.take_repaired() {
                    self.pursuit.end_pause();
                }
                if self.pursuit.is_for(&Goal::Stopped) {
                    // a part of it may run
                    self.set_status(now_ns, Status::Unknown(why));
                }
            }
            (JobKind::Stop | JobKind::Kill, Err(why)) => {
                self.set_status(now_ns, Status::Unknown(why.clone()));
                self.fail_if_wanted(now_ns, kind, &why, self.pursuit.is_for(&Goal::Stopped));
            }
            (JobKind::Bounce, Ok(())) => {}
            (kind, Ok(())) => {
                let reached = self.leads_to_goal(kind) && !self.pursuit.is_pending();
                self.succeed(now_ns, reached);
            }
            (JobKind::Keep(_), Err(why)) => {
                let wanted = self.leads_to_goal(kind);
                if wanted {
                    self.pursuit.set_pending();
                }
                self.fail_if_wanted(now_ns, kind, &why, wanted);
            }
            (kind, Err(why)) => {
                // a goal that cannot be observed is not retried automatically
                let is_pending = self.pursuit.is_pending();
                let wanted = *kind == JobKind::Bounce || self.leads_to_goal(kind) && !is_pending;
                let is_reached = self.is_reached();
                if wanted {
                    self.fail_without_retry(now_ns, kind, &why);
                }
                if is_reached {
                    self.pursuit.close();
                }
            }
        }
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

    fn leads_to_goal(&self, kind: &JobKind) -> bool {
        match (kind, self.pursuit.goal()) {
            (JobKind::Task(task), Goal::Once(wanted)) => task == wanted,
            (JobKind::Keep(job), Goal::Kept(wanted)) => job == wanted,
            _ => false,
        }
    }

    /// Sentence about a job that took too long; the second value is true if a kill follows.
    pub(super) fn timeout_sentence(&self, kind: &JobKind) -> (String, bool) {
        let time = self.timeout();
        let word = match kind {
            JobKind::Start => "start",
            JobKind::Stop => "stop",
            JobKind::Kill => "end though killed",
            _ => "end",
        };
        // a command that was cancelled was killed; a service of commands has nothing else to kill it with
        let has_kill = matches!(self.service, Some(Service::Unit { .. }));
        let kill = *kind == JobKind::Stop && self.pursuit.is_for(&Goal::Stopped) && has_kill;
        (
            format!("did not {word} within {}", format_duration(time)),
            kill,
        )
    }

    /// Reports a stop that hangs, whatever the result of the kill.
    pub(super) fn note_kill(&mut self, now_ns: u64, why: &str) {
        self.history.note_failure(why.to_owned());
        let text = format!("{} {why}: killed", self.name());
        self.queue_event(now_ns, Topic::Killed, text);
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

    /// True if the last try began before the repair, and so proves nothing against it; once for each repair.
    pub(super) fn take_repaired(&mut self) -> bool {
        self.pursuit.take_repaired(self.work.begun_ns())
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

    fn succeed(&mut self, now_ns: u64, reached: bool) {
        if !reached {
            return;
        }
        self.pursuit.handle_success(self.work.is_bounce_due());
        self.recover(now_ns);
    }

    pub(super) fn recover(&mut self, now_ns: u64) {
        if self.pursuit.end_fault() {
            let text = match self.pursuit.goal() {
                Goal::Running => format!("{} runs again", self.name()),
                Goal::Stopped => format!("{} has stopped now", self.name()),
                _ => format!("{} is as it should be again", self.name()),
            };
            self.queue_event(now_ns, Topic::Recovered, text);
        }
    }

    /// Counts a failure, unless the goal of the job has changed.
    fn fail_if_wanted(&mut self, now_ns: u64, kind: &JobKind, why: &str, wanted: bool) {
        if !wanted {
            return;
        }
        let is_first = self.pursuit.fault().is_none();
        let wait_ns = self.fail(now_ns, format!("{}: {why}", kind.word()));
        if is_first {
            self.queue_failure_event(now_ns, kind, why, wait_ns);
        }
    }

    /// Counts a failure of a job that is not retried automatically.
    fn fail_without_retry(&mut self, now_ns: u64, kind: &JobKind, why: &str) {
        let is_first = self.pursuit.fault().is_none();
        let fault = format!("{}: {why}", kind.word());
        self.history.note_failure(fault.clone());
        let wait_ns = self.pursuit.handle_failure_without_retry(fault);
        if is_first {
            self.queue_failure_event(now_ns, kind, why, wait_ns);
        }
    }

    fn queue_failure_event(&mut self, now_ns: u64, kind: &JobKind, why: &str, wait_ns: u64) {
        let name = self.name();
        let wait = format_duration(std::time::Duration::from_nanos(wait_ns));
        let again = match kind {
            JobKind::Task(_) | JobKind::Bounce => String::new(),
            _ => format!("; again in {wait}"),
        };
        let text = format!("{name}: {} failed: {why}{again}", kind.word());
        self.queue_event(now_ns, Topic::Failed, text);
    }

    /// Counts a failure; returns the time in ns until the next try.
    pub(super) fn fail(&mut self, now_ns: u64, why: String) -> u64 {
        self.history.note_failure(why.clone());
        self.pursuit.handle_failure(now_ns, why)
    }

    pub(super) fn queue_event(&mut self, now_ns: u64, topic: Topic, text: String) {
        self.history.queue_event(now_ns, topic, text);
    }
}
