//! Defines the initial state and the timeouts of one group.

use std::collections::BTreeMap;

use spared_contract::{Cause, Claims, Forced, Role};
use spared_pair::CauseKind;

use super::follow::Delivery;
use super::successor::Successor;
use super::unready_orders::UnreadyOrders;
use super::{Clock, Group, Phase};

impl Group {
    pub(super) fn new(owner: String, claims: Claims, clock: Clock) -> Self {
        Self {
            owner,
            claims,
            role: Role::Backup,
            since: clock(),
            clock,
            cause: Cause::new(CauseKind::Claimed, ""),
            forced: Forced::No,
            forced_why: String::new(),
            anyway: UnreadyOrders::default(),
            transitions: 0,
            stale: false,
            phase: Phase::Idle,
            installed: false,
            resign: None,
            blocked_until: None,
            deferred_until: None,
            was_active_until_ns: None,
            failures: 0,
            deliveries: BTreeMap::new(),
            decided_ns: 0,
            offer: None,
            declined: None,
            successor: None,
            succeeded: None,
            unconfirmed_release: None,
            revoked_until_ns: 0,
        }
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
            self.anyway = UnreadyOrders::default();
            self.declined = None;
        }
        self.role = role;
        self.cause = cause;
        self.since = (self.clock)();
        self.transitions += 1;
    }

    pub(super) fn next_timeout(&self) -> Option<u64> {
        let phase = match self.phase {
            Phase::Settling { until_ns, .. }
            | Phase::Carrying { until_ns }
            | Phase::Leaving { until_ns } => Some(until_ns),
            Phase::Idle | Phase::Installed => None,
        };
        let limits = [&self.blocked_until, &self.deferred_until];
        let blocked = limits.into_iter().flatten().map(|(until_ns, _)| *until_ns);
        let blocked = blocked.chain(self.was_active_until_ns);
        let roles = self.deliveries.values().filter_map(Delivery::deadline_ns);
        let offer = self.offer.as_ref().map(|offer| offer.until_ns);
        let successor = self.successor.as_ref().map(Successor::next_ns);
        let switchover = offer.into_iter().chain(successor);
        phase
            .into_iter()
            .chain(blocked)
            .chain(roles)
            .chain(switchover)
            .min()
    }
}
