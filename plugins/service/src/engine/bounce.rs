//! Interfaces that are set down for a while when the node becomes backup, and up at once when it is active again.

use spared_sdk::Role;

use super::goal::{Goal, JobKind};
use super::item::Item;
use super::work::JobInProgress;
use crate::config::Kind;
use crate::job::{Job, Status};

impl Item {
    pub(super) fn handle_role(&mut self, role: Option<Role>) {
        let left = self.membership.handle_role(role);
        let Kind::Interface { bounce_ms, .. } = self.spec.kind else {
            return;
        };
        let is_bounce_due = left && bounce_ms.is_some();
        self.work.handle_role(is_bounce_due);
        if is_bounce_due {
            self.pursuit.open();
        }
    }

    /// Abandons the item's job, because the new role needs another one: systemd replaces its own job, and setting an
    /// interface ends its bounce. Returns the number of the job.
    pub(super) fn abandon_job(&mut self, now_ns: u64) -> Option<u64> {
        let JobInProgress { number, kind, .. } = self.work.end()?;
        if kind == JobKind::Bounce {
            self.work.handle_left_down();
            self.pursuit.open();
        } else {
            self.end(now_ns, &kind, Err("superseded".to_owned()));
            self.observation.assume(match kind {
                JobKind::Start => Status::Starting,
                _ => Status::Stopping,
            });
        }
        Some(number)
    }

    /// Job that sets an interface up whose bounce was cut short.
    pub(super) fn restore_link_job(&self) -> Option<JobKind> {
        match (self.pursuit.goal(), &self.spec.kind) {
            (Goal::Kept(job), _) => Some(JobKind::Keep(job.clone())),
            (_, Kind::Interface { interface, .. }) => Some(JobKind::Keep(Job::Link {
                interface: interface.clone(),
                up: true,
            })),
            _ => None,
        }
    }
}
