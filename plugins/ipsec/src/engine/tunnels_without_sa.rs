//! Tunnels that the IKE daemon here calls up although the kernel has no outbound SA for them: an administrator deleted
//! it by hand, which no daemon notices. The policy blocks until an administrator ends that.

use std::collections::{BTreeMap, BTreeSet};

use super::{Engine, NamedSpi};
use crate::SECOND;
use crate::sa::{ChildName, Direction};

/// Time by which a daemon's list may be older than its last action.
const LIST_NS: u64 = SECOND;

/// Tunnels that the daemon calls up, as of its last list.
#[derive(Debug, Default)]
pub struct TunnelsWithoutSa {
    /// SPIs of both directions, by child.
    up: BTreeMap<ChildName, BTreeSet<u32>>,
    /// Children whose address has left: a daemon that stays for other addresses does not notice.
    left: BTreeSet<ChildName>,
    /// Children without an outbound SA, and the time since which.
    since_ns: BTreeMap<ChildName, u64>,
}

impl TunnelsWithoutSa {
    pub fn set(&mut self, names: &[NamedSpi]) {
        self.up.clear();
        for named in names.iter().filter(|it| it.is_up) {
            let spis = self.up.entry(named.name.clone()).or_default();
            spis.insert(named.spi);
        }
    }

    pub fn note_left(&mut self, name: ChildName) {
        self.left.insert(name);
    }

    pub fn note_sa(&mut self, name: &ChildName) {
        if !self.left.is_empty() {
            self.left.remove(name);
        }
    }

    /// Forgets what a daemon had that has ended.
    fn clear(&mut self) {
        self.left.clear();
        self.since_ns.clear();
    }

    fn update(&mut self, now_ns: u64, outbound: &BTreeSet<u32>) {
        let without_sa = self.up.iter();
        let without_sa = without_sa
            .filter(|(name, spis)| spis.is_disjoint(outbound) && !self.left.contains(*name));
        let before = std::mem::take(&mut self.since_ns);
        self.since_ns = without_sa
            .map(|(name, _)| (name.clone(), *before.get(name).unwrap_or(&now_ns)))
            .collect();
    }
}

impl Engine {
    pub(super) fn find_tunnels_without_sa(&mut self, now_ns: u64) {
        if !self.ike.is_running() {
            self.ike.names.without_sa.clear();
            return;
        }
        let sas = self.store.sas.iter();
        let outbound = sas.filter(|(_, it)| match it.side {
            Some(side) => side == Direction::Out,
            // SA of an address that does not move
            None => it.sa.direction != Some(Direction::In),
        });
        let outbound = outbound.map(|(id, _)| id.spi).collect();
        self.ike.names.without_sa.update(now_ns, &outbound);
    }

    pub(super) fn tunnels_without_sa(&self) -> Option<String> {
        let without_sa = self.ike.names.without_sa.since_ns.iter();
        let is_late = |since_ns: u64| self.store.now_ns.saturating_sub(since_ns) >= LIST_NS;
        let mut late = without_sa.filter(|(_, since_ns)| is_late(**since_ns));
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
