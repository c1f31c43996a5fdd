//! SAs that this plugin put into the kernel here on the peer's word.

use std::collections::BTreeMap;

use super::reqids::Served;
use crate::sa::{ChildName, Direction, Replay, Sa, SaId};
use crate::store::LocalSa;

/// An SA of the peer in the kernel here.
#[derive(Debug)]
pub struct InstalledSa {
    side: Direction,
    /// Equal to the installed one.
    reqid: u32,
    /// Numbers that it was put with.
    oseq: u64,
    seq: u64,
    name: Option<ChildName>,
    /// The kernel had it already, and it is replaced: once.
    retried: bool,
    /// A reading has found it since.
    is_read_back: bool,
}

impl InstalledSa {
    /// One that is put now.
    pub fn new(sa: &Sa, side: Direction, name: Option<ChildName>) -> Self {
        Self {
            side,
            reqid: sa.reqid,
            oseq: sa.replay.oseq,
            seq: sa.replay.seq,
            name,
            retried: false,
            is_read_back: false,
        }
    }

    /// One that an earlier run of this plugin put.
    pub fn found(known: &LocalSa) -> Option<Self> {
        Some(Self {
            retried: true,
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

    /// Whether the kernel has it with smaller numbers, or not at all.
    fn differs(&self, there: Option<&Replay>) -> bool {
        there.is_none_or(|it| it.oseq < self.oseq || it.seq < self.seq)
    }
}

/// SAs that were put, and the policies that lead to them.
#[derive(Debug, Default)]
pub struct Installed {
    // each in a box, as thousands are put at once
    sas: BTreeMap<SaId, Box<InstalledSa>>,
    pub(super) served: Served,
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

    /// The kernel has an SA already that was to be put: whether it is to be replaced, which is done once.
    pub fn retry(&mut self, id: &SaId) -> bool {
        let installed = self.sas.get_mut(id);
        installed.is_some_and(|it| !std::mem::replace(&mut it.retried, true))
    }

    /// A reading is done that began after all of them were put: those that differ from what the kernel has. The ones
    /// that are not there are forgotten.
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

    /// Whether no reading has found some of them yet.
    pub fn is_unread(&self) -> bool {
        self.sas.values().any(|it| !it.is_read_back)
    }
}
