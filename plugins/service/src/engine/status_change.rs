//! Effects of an observed state.

use std::time::Duration;

use spared_sdk::config::format_duration;

use super::event_limiter::Topic;
use super::goal::Goal;
use super::item::{Item, STEADY_NS};
use crate::job::{Service, Status};

/// Number of looks at which the manager had restarted the service, without a minute between them.
#[derive(Debug, Default)]
pub(super) struct RestartCount {
    count: u32,
    at_ns: u64,
}

impl RestartCount {
    /// Number of restarts that are tolerated: rare ones are what the manager is for.
    const TOLERATED: u32 = 2;

    /// Counts a restart; returns true if there are too many.
    fn note(&mut self, now_ns: u64) -> bool {
        if now_ns.saturating_sub(self.at_ns) >= STEADY_NS {
            self.count = 0;
        }
        self.count = self.count.saturating_add(1);
        self.at_ns = now_ns;
        self.count > Self::TOLERATED
    }
}

impl Item {
    /// Handles an observed state: takes it over, and reports or counts what it means for the goal.
    pub(super) fn observe_status(&mut self, now_ns: u64, status: Status) {
        let is_answerable = self.can_be_asked();
        if !self
            .observation
            .handle_answer(now_ns, &status, is_answerable)
        {
            return;
        }
        let old = self.observation.status().cloned();
        let is_restarted = status == Status::Restarted;
        let status = if is_restarted {
            Status::Running
        } else {
            status
        };
        self.set_status(now_ns, status.clone());
        if is_restarted && self.pursuit.is_for(&Goal::Running) {
            self.observe_restart(now_ns);
        }
        if let Status::Missing(why) = &status {
            return self.observe_missing(now_ns, old.as_ref(), why);
        }
        // the end of an abandoned start is not reported
        let was_up = matches!(old, Some(Status::Running | Status::Starting))
            && (self.pursuit.fault().is_none() || self.pursuit.is_unsteady());
        let was_down = old.as_ref().is_some_and(is_down);
        let is_up = matches!(
            status,
            Status::Running | Status::Starting | Status::AwaitsTrigger(_)
        );
        let is_dead = matches!(status, Status::Stopped | Status::Failed(_));
        let is_open = self.pursuit.is_open();
        match self.pursuit.goal() {
            _ if self.is_reached() => self.observe_reached(now_ns),
            Goal::Running if was_up && !is_open && is_dead => {
                self.observe_end(now_ns, &status);
            }
            Goal::Running if status == Status::Starting => self.observe_starting(now_ns),
            Goal::Stopped if was_down && !is_open && is_up => {
                self.observe_start_by_others(now_ns, &status)
            }
            Goal::Stopped if old.is_none() && is_up => {
                let (name, role) = (self.name(), self.role_word());
                let text = match &status {
                    Status::AwaitsTrigger(by) => {
                        format!("{name} waits for {by} while {role}: stopped")
                    }
                    _ => format!("{name} runs while {role}: stopped"),
                };
                self.queue_event(now_ns, Topic::Others, text);
            }
            _ => {}
        }
    }

    /// Notes a look without an answer.
    pub(super) fn handle_no_answer(&mut self, now_ns: u64) {
        const WHY: &str = "its service manager does not answer";
        self.observation.handle_no_answer(now_ns, WHY);
    }

    /// True if the service can be asked for its state; the administrator's commands may lack one for it.
    fn can_be_asked(&self) -> bool {
        match &self.service {
            Some(Service::Commands { status, .. }) => !status.is_empty(),
            Some(Service::Unit { .. }) => true,
            None => false,
        }
    }

    fn observe_missing(&mut self, now_ns: u64, old: Option<&Status>, why: &str) {
        if !matches!(old, Some(Status::Missing(_))) {
            self.history.note_fault(why.to_owned());
            let text = format!("{}: {why}", self.name());
            self.queue_event(now_ns, Topic::Missing, text);
        }
        if self.pursuit.is_for(&Goal::Running) {
            self.pursuit.close_with_fault(why.to_owned());
        } else if self.is_reached() {
            self.observe_reached(now_ns);
        }
    }

    fn observe_reached(&mut self, now_ns: u64) {
        let steady = |at_ns: u64| now_ns.saturating_sub(at_ns) >= STEADY_NS;
        let is_proven =
            !self.pursuit.is_for(&Goal::Running) || self.work.started_ns().is_none_or(steady);
        self.pursuit.handle_reached(is_proven);
        self.recover(now_ns);
    }

    fn observe_end(&mut self, now_ns: u64, status: &Status) {
        let how = match status {
            Status::Failed(why) => format!(" ({why})"),
            _ => String::new(),
        };
        let young = |at_ns: u64| now_ns.saturating_sub(at_ns) < STEADY_NS;
        let name = self.name().to_owned();
        let is_young = self.work.started_ns().is_some_and(young);
        let text = if is_young && self.take_repaired() {
            self.pursuit.open();
            format!("{name} ended{how}: started again, as it was repaired meanwhile")
        } else if is_young {
            self.pursuit.handle_unsteady(None);
            let wait_ns = self.fail(now_ns, format!("ended soon after its start{how}"));
            let wait = format_duration(Duration::from_nanos(wait_ns));
            format!("{name} ended soon after its start{how}; again in {wait}")
        } else {
            self.pursuit.open();
            let fault = format!("ended while active{how}");
            self.history.note_fault(fault);
            format!(
                "{name} ended while {}{how}: started again",
                self.role_word()
            )
        };
        self.queue_event(now_ns, Topic::Died, text);
    }

    /// Handles a restart by the manager.
    fn observe_restart(&mut self, now_ns: u64) {
        let is_many = self.restarts.note(now_ns);
        if is_many || self.pursuit.is_unsteady() {
            self.work.note_started(now_ns);
        }
        if !is_many || self.pursuit.fault().is_some() {
            return;
        }
        let time = format_duration(Duration::from_nanos(STEADY_NS));
        let why = format!("keeps ending within {time}, and its manager starts it again");
        let text = format!("{} {why}", self.name());
        self.history.note_failure(why.clone());
        self.pursuit.handle_unsteady(Some(why));
        self.queue_event(now_ns, Topic::Died, text);
    }

    /// Notes a service that keeps starting: one that its manager restarts again and again never reports a failure.
    fn observe_starting(&mut self, now_ns: u64) {
        let for_ns = now_ns.saturating_sub(self.observation.changed_ns());
        if for_ns >= self.spec.timeout_ns && self.pursuit.fault().is_none() {
            let time = format_duration(self.timeout());
            let why = format!("has been starting for {time}");
            let text = format!("{} {why}", self.name());
            self.history.note_failure(why.clone());
            self.pursuit.handle_unsteady(Some(why));
            self.queue_event(now_ns, Topic::Failed, text);
        }
        if self.pursuit.is_unsteady() {
            self.work.note_started(now_ns);
        }
    }

    fn observe_start_by_others(&mut self, now_ns: u64, status: &Status) {
        self.history.note_started_by_others();
        self.pursuit.handle_undone();
        let (name, role) = (self.name(), self.role_word());
        let text = match status {
            Status::AwaitsTrigger(by) => {
                format!(
                    "{name} was made to wait for {by} by another program while {role}: stopped again"
                )
            }
            _ => format!("{name} was started by another program while {role}: stopped again"),
        };
        self.queue_event(now_ns, Topic::Others, text);
    }
}

pub(super) fn is_down(status: &Status) -> bool {
    matches!(
        status,
        Status::Stopped | Status::Failed(_) | Status::Missing(_) | Status::EndsByItself
    )
}

/// True for a state that does not show whether the service was started.
pub(super) fn is_inconclusive(status: &Status) -> bool {
    matches!(status, Status::Unknown(_) | Status::EndsByItself)
}
