//! Defines the initial state, the readers and the timeouts of one group.

use std::collections::BTreeMap;

use spared_contract::{Cause, Claims, Forced, Role};
use spared_verdict::CauseKind;

use super::eligibility::Eligibility;
use super::follow::Delivery;
use super::orders::GroupOrders;
use super::role_changes::RoleChanges;
use super::successor::Successor;
use super::switchover::EndedSwitchovers;
use super::{Clock, Group, Phase};

impl Group {
    pub(super) fn new(owner: String, claims: Claims, clock: Clock) -> Self {
        Self {
            owner,
            claims,
            role: Role::Backup,
            changes: RoleChanges::new(clock),
            cause: Cause::new(CauseKind::Claimed, ""),
            orders: GroupOrders::default(),
            stale: false,
            phase: Phase::Idle,
            installed: false,
            eligibility: Eligibility::default(),
            deliveries: BTreeMap::new(),
            decided_ns: 0,
            offer: None,
            successor: None,
            ended: EndedSwitchovers::default(),
        }
    }

    /// Returns the role that an administrator forced.
    pub fn forced(&self) -> Forced {
        self.orders.forced()
    }

    /// Returns the local time of the latest change of role.
    pub fn since(&self) -> &str {
        self.changes.latest()
    }

    /// Returns the number of changes of role.
    pub fn transitions(&self) -> u64 {
        self.changes.count()
    }

    /// Returns true if the elector is gone and no other has claimed the group.
    pub fn is_unelected(&self) -> bool {
        self.stale
    }

    /// Returns true if the addresses are installed. They answer as long as the fence passes.
    pub fn is_installed(&self) -> bool {
        self.phase == Phase::Installed
    }

    pub(super) fn take_role(&mut self, role: Role, cause: Cause) {
        if (self.role == Role::Active) != (role == Role::Active) {
            self.orders.handle_moved();
            self.ended.handle_moved();
        }
        self.role = role;
        self.cause = cause;
        self.changes.note();
    }

    pub(super) fn next_timeout(&self) -> Option<u64> {
        let phase = match self.phase {
            Phase::Settling { until_ns, .. }
            | Phase::Carrying { until_ns }
            | Phase::Leaving { until_ns } => Some(until_ns),
            Phase::Idle | Phase::Installed => None,
        };
        let roles = self.deliveries.values().filter_map(Delivery::deadline_ns);
        let offer = self.offer.as_ref().map(|offer| offer.until_ns);
        let successor = self.successor.as_ref().map(Successor::next_ns);
        let switchover = offer.into_iter().chain(successor);
        phase
            .into_iter()
            .chain(self.eligibility.next_timeout())
            .chain(roles)
            .chain(switchover)
            .min()
    }
}
