//! Tracks orders of an administrator that move a group to a node which is not ready (`--anyway`).
//!
//! Such an order is valid until the group has moved once. If this node has to become active later because the peer
//! died, it then waits until the peer is ready again.

use spared_contract::{Cause, Forced};
use spared_pair::CauseKind;

use super::{Group, Groups};

/// Orders about a group that do not wait for a ready node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct UnreadyOrders {
    pub(super) force: bool,
    pub(super) maintenance: bool,
}

impl Groups {
    /// Sets if the latest force of a group, or of all (None), was given with `--anyway`.
    pub fn set_forced_anyway(&mut self, which: Option<&str>, anyway: bool) {
        for (name, group) in &mut self.groups {
            if which.is_none_or(|wanted| wanted == name) {
                group.anyway.force = anyway;
            }
        }
    }

    /// Sets if the latest maintenance was begun with `--anyway`.
    pub fn set_maintenance_anyway(&mut self, anyway: bool) {
        for group in self.groups.values_mut() {
            group.anyway.maintenance = anyway;
        }
    }

    /// Returns true if an order makes this node leave the group to a peer that is not ready.
    pub(super) fn may_leave_to_unready(&self, group: &Group, cause: &Cause) -> bool {
        let is_by_order = matches!(cause.kind, CauseKind::StandsAside | CauseKind::PeerForced);
        let is_forced = group.forced == Forced::Backup && group.anyway.force;
        is_by_order && (is_forced || (self.condition.maintenance && group.anyway.maintenance))
    }

    /// Returns true if an order makes this node take the group although it is not ready.
    pub(super) fn takes_anyway(&self, group: &Group) -> bool {
        group.forced == Forced::Active && group.anyway.force && !self.condition.maintenance
    }
}
