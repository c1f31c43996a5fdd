//! Checks the real fences of groups against the leases that they were granted.

use std::collections::BTreeMap;

use spared_group::{Group, Groups};
use spared_kernel::FenceState;
use spared_process::clock;

use super::Network;

/// Number of checks in a row without a lease after which a group has lapsed. They take longer than an elector listens
/// before it asks for leases again after a lapse.
const LAPSED_MAX: u32 = 4;

impl Network {
    /// Returns the reason why the fence is missing, if it is.
    pub fn fence_missing(&self) -> Option<&String> {
        self.fence_missing.as_ref()
    }

    /// Returns the groups without a fence lease at the last check.
    pub fn lapsed(&self) -> impl Iterator<Item = &String> {
        self.lapsed.keys()
    }

    pub fn has_lapsed(&self, group: &str) -> bool {
        self.lapsed.contains_key(group)
    }

    /// Runs once a second. Reports active groups that had no valid lease several times in a row. A working elector
    /// notices a lapse by itself before that, and asks for leases again.
    pub fn check_leases(&mut self, groups: &mut Groups) {
        let fences = self.kernel.fence_states();
        let is_blocking = |name: &str| fences.of(name) == FenceState::Blocking;
        let lapsed: BTreeMap<String, u32> = groups
            .iter()
            .filter(|(name, group)| group.is_installed() && is_blocking(name))
            .filter(|(_, group)| self.is_up_somewhere(group))
            .map(|(name, _)| (name.to_owned(), self.lapsed.get(name).map_or(1, |n| n + 1)))
            .collect();
        for name in lapsed
            .iter()
            .filter(|(_, n)| **n == LAPSED_MAX)
            .map(|it| it.0)
        {
            groups.handle_lapsed(clock::monotonic_ns(), name);
        }
        self.lapsed = lapsed;
    }

    // Returns true if an interface of the group is up. If none is, the fence blocks deliberately.
    fn is_up_somewhere(&self, group: &Group) -> bool {
        let is_up = |interface: &str| {
            let seen = self.seen.get(interface);
            seen.is_some_and(|seen| seen.lack.is_none())
        };
        let mut routers = group.claims.routers.iter();
        routers.any(|router| is_up(&router.interface))
    }
}
