//! Tunnels that the IKE daemon here calls up although the kernel has no outbound SA for them: an administrator deleted
//! it by hand, which no daemon notices. The policy blocks until an administrator ends that.

use std::collections::{BTreeMap, BTreeSet};

use super::{Engine, Named};
use crate::SECOND;
use crate::sa::{ChildName, Direction};

/// Time by which a daemon's list may be older than its last action.
const LIST_NS: u64 = SECOND;

/// Tunnels that the daemon calls up, as of its last list.
#[derive(Debug, Default)]
pub struct Claimed {
    /// SPIs of both directions, by child.
    up: BTreeMap<ChildName, BTreeSet<u32>>,
    /// Children without an outbound SA, and the time since which.
    empty: BTreeMap<ChildName, u64>,
}

impl Claimed {
    pub fn set(&mut self, names: &[Named]) {
        self.up.clear();
        for named in names.iter().filter(|it| it.is_up) {
            let spis = self.up.entry(named.name.clone()).or_default();
            spis.insert(named.spi);
        }
    }

    fn look(&mut self, now_ns: u64, outbound: &BTreeSet<u32>) {
        let empty = self.up.iter();
        let empty = empty.filter(|(_, spis)| spis.is_disjoint(outbound));
        let before = std::mem::take(&mut self.empty);
        self.empty = empty
            .map(|(name, _)| (name.clone(), *before.get(name).unwrap_or(&now_ns)))
            .collect();
    }
}

impl Engine {
    pub(super) fn look_for_claimed(&mut self, now_ns: u64) {
        if !self.ike.is_there() {
            self.ike.names.claimed.empty.clear();
            return;
        }
        let sas = self.store.sas.iter();
        let outbound = sas.filter(|(_, it)| match it.side {
            Some(side) => side == Direction::Out,
            // SA of an address that does not move
            None => it.sa.direction != Some(Direction::In),
        });
        let outbound = outbound.map(|(id, _)| id.spi).collect();
        self.ike.names.claimed.look(now_ns, &outbound);
    }

    pub(super) fn claimed_in_vain(&self) -> Option<String> {
        let empty = self.ike.names.claimed.empty.iter();
        let is_late = |since_ns: u64| self.store.now_ns.saturating_sub(since_ns) >= LIST_NS;
        let mut late = empty.filter(|(_, since_ns)| is_late(**since_ns));
        let ChildName { ike, child } = late.next()?.0;
        let tunnels = match 1 + late.count() {
            1 => format!("tunnel {ike}/{child} has no SA in the kernel"),
            count => format!("{count} tunnels have no SA in the kernel, first {ike}/{child}"),
        };
        Some(format!(
            "{tunnels}, and charon has not noticed: rekey it (swanctl --rekey --child {child})"
        ))
    }
}
