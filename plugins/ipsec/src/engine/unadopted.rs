//! Keeps the children that the IKE daemon has still to establish, for the next run of this plugin. A run that starts
//! meanwhile finds their SAs in the kernel without a name, and does not learn that the daemon does not know them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use spared_replica::{Reader, ValueWriter};

use super::{Action, Engine};
use crate::SECOND;
use crate::error::Malformed;
use crate::sa::ChildName;
use crate::wire;

/// Time after which a run without a role has nothing to establish.
const ROLE_WAIT_NS: u64 = 60 * SECOND;
/// Longest entry: two names, an address, and the SPIs of a child's SAs.
const ENTRY_MAX: usize = 8_192;
const SPIS_MAX: usize = 255;

/// Child that had not been established when an earlier run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Unadopted {
    name: ChildName,
    end: IpAddr,
    /// SPIs of the child's replicated SAs.
    spis: BTreeSet<u32>,
}

#[derive(Debug, Default)]
pub struct SavedUnadopted {
    /// Children that the previous run left.
    found: Vec<Unadopted>,
    /// Names of SAs that the daemon does not know, by SPI.
    names: BTreeMap<u32, ChildName>,
    until_ns: u64,
    /// The wanted children have changed since the driver saved them; `is_saved`: it has saved some.
    has_changed: bool,
    is_saved: bool,
}

impl SavedUnadopted {
    pub fn name(&self, spi: u32) -> Option<&ChildName> {
        self.names.get(&spi)
    }

    /// Notes that other children are wanted, or that they have other SAs.
    pub fn mark_changed(&mut self) {
        self.has_changed = true;
    }
}

impl Engine {
    /// Handles the bytes of [`Action::SaveUnadopted`] of the previous run.
    pub fn handle_saved_unadopted(&mut self, now_ns: u64, bytes: &[u8]) {
        let mut reader = Reader(bytes);
        let mut found = Vec::new();
        while let Ok(it) = read(&mut reader) {
            found.push(it);
        }
        let names = found.iter().flat_map(|it: &Unadopted| {
            let spis = it.spis.iter();
            spis.map(|spi| (*spi, it.name.clone()))
        });
        self.ike.saved_unadopted = SavedUnadopted {
            names: names.collect(),
            is_saved: !bytes.is_empty(),
            until_ns: now_ns + ROLE_WAIT_NS,
            found,
            has_changed: false,
        };
    }

    /// Wants the left children again once the kernel was read and a role is here.
    pub(super) fn want_unadopted(&mut self, now_ns: u64) {
        let is_over = now_ns > self.ike.saved_unadopted.until_ns;
        if self.ike.saved_unadopted.found.is_empty()
            || !(is_over || self.is_active() && self.store.run.is_read())
        {
            return;
        }
        self.ike.saved_unadopted.mark_changed();
        let ends = &self.store.ends;
        let found = std::mem::take(&mut self.ike.saved_unadopted.found);
        let here = found.iter().filter(|it| !is_over && ends.owns(&it.end));
        self.ike
            .wanted_children
            .add(here.map(|it| (&it.name, it.end)));
        self.order_adoption();
    }

    /// Has the driver save the wanted children, if they have changed.
    pub(super) fn save_unadopted(&mut self) {
        if !self.ike.saved_unadopted.found.is_empty()
            || !std::mem::take(&mut self.ike.saved_unadopted.has_changed)
        {
            return;
        }
        let bytes = self.unadopted_bytes();
        let was_saved =
            std::mem::replace(&mut self.ike.saved_unadopted.is_saved, !bytes.is_empty());
        if was_saved || !bytes.is_empty() {
            self.push_action(Action::SaveUnadopted(bytes));
        }
    }

    fn unadopted_bytes(&self) -> Vec<u8> {
        let mut spis: BTreeMap<&ChildName, BTreeSet<u32>> = BTreeMap::new();
        let installed = self.installed.iter().map(|(id, it)| (id.spi, it.name()));
        let replicated = self.store.replicated_sas();
        let replicated = replicated.map(|(id, it)| (id.spi, it.name.as_ref()));
        for (spi, name) in installed.chain(replicated) {
            if let Some(name) = name {
                spis.entry(name).or_default().insert(spi);
            }
        }
        let mut bytes = Vec::new();
        for (name, end) in self.ike.wanted_children.all() {
            let spis = spis.get(name).into_iter().flatten().take(SPIS_MAX);
            let it = Unadopted {
                name: name.clone(),
                end: *end,
                spis: spis.copied().collect(),
            };
            ValueWriter::write_to(&mut bytes, ENTRY_MAX, |out| write(&it, out));
        }
        bytes
    }
}

fn write(it: &Unadopted, out: &mut ValueWriter<'_>) {
    wire::put_name(out, &it.name);
    wire::put_address(out, it.end);
    out.u8(it.spis.len() as u8);
    for spi in &it.spis {
        out.u32(*spi);
    }
}

fn read(reader: &mut Reader<'_>) -> Result<Unadopted, Malformed> {
    let name = wire::read_name(reader)?.ok_or(Malformed::Field("name"))?;
    let end = wire::read_address(reader)?;
    let count = reader.u8()?;
    let spis: Result<_, _> = (0..count).map(|_| reader.u32()).collect();
    Ok(Unadopted {
        name,
        end,
        spis: spis?,
    })
}
