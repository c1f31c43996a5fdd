//! Interfaces that are set down for a while when the node becomes backup, and up at once when it is active again.

use spared_sdk::Role;

use super::goal::{Deed, Goal};
use super::item::Item;
use crate::config::Kind;
use crate::job::{Job, Status};

impl Item {
    pub(super) fn take_role(&mut self, role: Option<Role>) {
        let left = self.role == Some(Role::Active);
        self.previous = self.role;
        self.role = role;
        let Kind::Interface { bounce_ms, .. } = self.spec.kind else {
            return;
        };
        self.bounce = left && bounce_ms.is_some();
        self.open |= self.bounce;
    }

    /// Abandons the item's job, because the new role needs another one.
    pub(super) fn give_up(&mut self, now_ns: u64, deed: &Deed) {
        if *deed == Deed::Bounce {
            (self.is_lowered, self.open) = (true, true);
            return;
        }
        self.end(now_ns, deed, Err("superseded".to_owned()));
        self.status = Some(match deed {
            Deed::Start => Status::Starting,
            _ => Status::Stopping,
        });
    }

    /// Job that sets an interface up whose bounce was cut short.
    pub(super) fn raise(&self) -> Option<Deed> {
        match (&self.goal, &self.spec.kind) {
            (Goal::Kept(job), _) => Some(Deed::Keep(job.clone())),
            (_, Kind::Interface { interface, .. }) => Some(Deed::Keep(Job::Link {
                interface: interface.clone(),
                up: true,
            })),
            _ => None,
        }
    }
}
