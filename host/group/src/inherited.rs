//! Groups that were active here when the previous daemon ended. Their elector need not wait as after a boot, unless it
//! starts so late that the networks may have changed since.

use std::collections::BTreeSet;

/// Time in ns after the daemon's start in which the first claim of a group inherits the role that it had before.
const INHERITED_NS: u64 = 60_000_000_000;

/// The groups that are not claimed yet.
#[derive(Debug, Default)]
pub(crate) struct Inherited {
    groups: BTreeSet<String>,
    until_ns: u64,
}

impl Inherited {
    pub fn new(now_ns: u64, groups: BTreeSet<String>) -> Self {
        Self {
            groups,
            until_ns: now_ns.saturating_add(INHERITED_NS),
        }
    }

    /// Takes a group that is claimed; true if it goes on with the role that it had.
    pub fn take(&mut self, now_ns: u64, group: &str) -> bool {
        self.groups.remove(group) && now_ns < self.until_ns
    }
}
