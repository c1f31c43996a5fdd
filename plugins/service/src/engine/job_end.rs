//! End of an item's job: its effect on the observed state, on the goal, and on the failures that are counted.

use spared_sdk::config::format_duration;

use super::event_limiter::Topic;
use super::goal::{Goal, JobKind};
use super::item::Item;
use crate::job::{Service, Status};

impl Item {
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

    /// True if the last try began before the repair, and so proves nothing against it; once for each repair.
    pub(super) fn take_repaired(&mut self) -> bool {
        self.pursuit.take_repaired(self.work.begun_ns())
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
}
