//! SAs that this plugin installed here from the peer's records.

use std::collections::BTreeMap;

use super::reqids::PolicyReqids;
use crate::sa::{ChildName, Direction, Replay, Sa, SaId};
use crate::store::LocalSa;

/// SA of the peer in the kernel here.
#[derive(Debug)]
pub struct InstalledSa {
    side: Direction,
    /// Reqid in the kernel.
    reqid: u32,
    /// Outbound number at the installation; `seq`: inbound.
    oseq: u64,
    seq: u64,
    name: Option<ChildName>,
    /// The kernel had the SA already, and it was replaced: once.
    was_replaced: bool,
    /// A reading has taken place since.
    is_read_back: bool,
}

impl InstalledSa {
    /// SA that is installed now.
    pub fn new(sa: &Sa, side: Direction, name: Option<ChildName>) -> Self {
        Self {
            side,
            reqid: sa.reqid,
            oseq: sa.replay.oseq,
            seq: sa.replay.seq,
            name,
            was_replaced: false,
            is_read_back: false,
        }
    }

    /// SA that an earlier run of this plugin installed.
    pub fn of_earlier_run(known: &LocalSa) -> Option<Self> {
        Some(Self {
            was_replaced: true,
            is_read_back: true,
            ..Self::new(&known.sa, known.side?, known.name.clone())
        })
    }

    pub fn side(&self) -> Direction {
        self.side
    }

    pub fn reqid(&self) -> u32 {
        self.reqid
    }

    pub fn name(&self) -> Option<&ChildName> {
        self.name.as_ref()
    }

    /// True if the kernel has the SA with smaller numbers, or not at all.
    fn differs(&self, there: Option<&Replay>) -> bool {
        there.is_none_or(|it| it.oseq < self.oseq || it.seq < self.seq)
    }
}

/// Installed SAs, and the policies that lead to them. The policies outlive the role: [`clear`](Self::clear) leaves
/// them.
#[derive(Debug, Default)]
pub struct Installed {
    // each in a box, as thousands are installed at once
    sas: BTreeMap<SaId, Box<InstalledSa>>,
    pub(super) policy_reqids: PolicyReqids,
}

impl Installed {
    pub fn put(&mut self, id: SaId, sa: InstalledSa) {
        self.sas.insert(id, Box::new(sa));
    }

    pub fn remove(&mut self, id: &SaId) {
        self.sas.remove(id);
    }

    pub fn clear(&mut self) {
        self.sas.clear();
    }

    /// Returns true if an SA that the kernel has already is to be replaced, which is done once.
    pub fn try_replace(&mut self, id: &SaId) -> bool {
        let installed = self.sas.get_mut(id);
        installed.is_some_and(|it| !std::mem::replace(&mut it.was_replaced, true))
    }

    /// Compares the SAs with a reading that began after all were installed; returns those that differ. Those that the
    /// kernel does not have are forgotten.
    pub fn read_back(&mut self, there: &BTreeMap<SaId, LocalSa>) -> Vec<SaId> {
        let mut differing = Vec::new();
        for (id, installed) in &mut self.sas {
            if std::mem::replace(&mut installed.is_read_back, true) {
                continue;
            }
            if installed.differs(there.get(id).map(|it| &it.sa.replay)) {
                differing.push(*id);
            }
        }
        self.sas.retain(|id, _| there.contains_key(id));
        differing
    }

    pub fn has(&self, id: &SaId) -> bool {
        self.sas.contains_key(id)
    }

    pub fn get(&self, id: &SaId) -> Option<&InstalledSa> {
        self.sas.get(id).map(|it| &**it)
    }

    pub fn side(&self, id: &SaId) -> Option<Direction> {
        self.get(id).map(InstalledSa::side)
    }

    pub fn iter(&self) -> impl Iterator<Item = (&SaId, &InstalledSa)> {
        self.sas.iter().map(|(id, it)| (id, &**it))
    }

    pub fn len(&self) -> usize {
        self.sas.len()
    }

    pub fn is_empty(&self) -> bool {
        self.sas.is_empty()
    }

    /// True if there was no reading yet since some of them were installed.
    pub fn is_unread(&self) -> bool {
        self.sas.values().any(|it| !it.is_read_back)
    }
}
