//! Keeps orders of administrators about a group: a forced role, and if an order moves the group to a node which is not
//! ready (`--anyway`).
//!
//! `--anyway` is valid until the group has moved once. If this node has to become active later because the peer died, it
//! then waits until the peer is ready again.

use spared_contract::{Cause, Forced};
use spared_verdict::CauseKind;

use super::{Group, Groups};

/// Orders about a group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct GroupOrders {
    forced: Forced,
    /// Sentence that names who forced the role, and when.
    why: String,
    /// True if the latest force does not wait for a ready node.
    force_anyway: bool,
    /// True if the latest maintenance does not wait for a ready node.
    maintenance_anyway: bool,
}

impl GroupOrders {
    /// Forces a role or ends the force. `by` and `at` tell who did it and when.
    pub(super) fn force(&mut self, forced: Forced, by: &str, at: &str) {
        self.forced = forced;
        self.force_anyway = false;
        self.why = match forced {
            Forced::No => String::new(),
            Forced::Active | Forced::Backup => format!("{by} forced it at {at}"),
        };
    }

    /// Handles that the group has moved: from now on the orders wait for a ready node.
    pub(super) fn handle_moved(&mut self) {
        (self.force_anyway, self.maintenance_anyway) = (false, false);
    }

    pub(super) fn forced(&self) -> Forced {
        self.forced
    }

    pub(super) fn why(&self) -> &str {
        &self.why
    }

    /// Returns true if the group leaves this node for a peer that is not ready.
    fn leaves_anyway(&self, maintenance: bool) -> bool {
        let is_forced = self.forced == Forced::Backup && self.force_anyway;
        is_forced || (maintenance && self.maintenance_anyway)
    }

    /// Returns true if this node takes the group although it is not ready.
    fn takes_anyway(&self, maintenance: bool) -> bool {
        self.forced == Forced::Active && self.force_anyway && !maintenance
    }
}

impl Groups {
    /// Sets if the latest force of a group, or of all (None), was given with `--anyway`.
    pub fn set_forced_anyway(&mut self, which: Option<&str>, anyway: bool) {
        for (name, group) in &mut self.groups {
            if which.is_none_or(|wanted| wanted == name) {
                group.orders.force_anyway = anyway;
            }
        }
    }

    /// Sets if the latest maintenance was begun with `--anyway`.
    pub fn set_maintenance_anyway(&mut self, anyway: bool) {
        for group in self.groups.values_mut() {
            group.orders.maintenance_anyway = anyway;
        }
    }

    /// Returns true if an order makes this node leave the group to a peer that is not ready.
    pub(super) fn may_leave_to_unready(&self, group: &Group, cause: &Cause) -> bool {
        let is_by_order = matches!(cause.kind, CauseKind::StandsAside | CauseKind::PeerForced);
        is_by_order && group.orders.leaves_anyway(self.condition.maintenance)
    }

    /// Returns true if an order makes this node take the group although it is not ready.
    pub(super) fn takes_anyway(&self, group: &Group) -> bool {
        group.orders.takes_anyway(self.condition.maintenance)
    }
}
