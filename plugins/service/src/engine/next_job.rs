//! Next job of an item: what its goal and its observed state require.

use super::goal::{Goal, JobKind};
use super::item::Item;
use super::status_change::{is_down, is_inconclusive};
use crate::job::{Manager, Service, Status};

impl Item {
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
}
