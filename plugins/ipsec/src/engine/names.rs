//! Names of SAs at the IKE daemon here: as of its last list, and as charon's plugin `ha` tells them before it.

use std::collections::BTreeMap;

use super::tunnels_without_sa::TunnelsWithoutSa;
use super::{Engine, NamedSpi};
use crate::sa::{ChildName, SaId};
use crate::store::TABLE_MAX;
use crate::vici::ViciEvent;

/// Longest name that is sent to the peer.
const NAME_MAX: usize = 255;

#[derive(Debug, Default)]
pub struct Names {
    by_spi: BTreeMap<u32, ChildName>,
    pub(super) without_sa: TunnelsWithoutSa,
}

impl Names {
    /// Notes a name before the daemon has listed it; without a list they stay few.
    fn note(&mut self, spi: u32, name: ChildName) {
        if self.by_spi.len() < TABLE_MAX {
            self.by_spi.entry(spi).or_insert(name);
        }
    }

    fn set(&mut self, names: Vec<NamedSpi>) {
        self.without_sa.set(&names);
        self.by_spi = names.into_iter().map(|it| (it.spi, it.name)).collect();
    }

    pub fn get(&self, spi: u32) -> Option<&ChildName> {
        self.by_spi.get(&spi)
    }
}

impl Engine {
    /// Notes an SA whose address has left.
    pub(super) fn note_left_sa(&mut self, id: &SaId) {
        let known = self.store.sas.get(id);
        if let Some(name) = known.and_then(|it| it.name.clone()) {
            self.ike.names.without_sa.note_left(name);
        }
        self.ike.wanted_children.note_ended(id.spi);
    }

    /// Handles a report of the IKE daemon here; returns a text for the log.
    pub fn handle_vici(&mut self, now_ns: u64, event: ViciEvent) -> Option<String> {
        match event {
            ViciEvent::Names(names) => self.handle_names(now_ns, names),
            ViciEvent::Adopted(name, result) => self.handle_adopted(now_ns, &name, result),
            ViciEvent::Daemon(event) => self.handle_presence(now_ns, event),
            ViciEvent::Listed(listed) => self.handle_listed(now_ns, listed),
            ViciEvent::Withheld(fault) => self.handle_withheld(fault),
            ViciEvent::Loaded(missing) => self.handle_loaded(now_ns, &missing),
            ViciEvent::GivenUp => self.handle_given_up(),
            ViciEvent::Running(ikes) => self.handle_running(ikes),
            ViciEvent::Release(release) => self.handle_release(&release),
            ViciEvent::Note(text) => return Some(text),
        }
        None
    }

    /// Handles the names of all SAs that the IKE daemon here has listed.
    pub fn handle_names(&mut self, now_ns: u64, names: Vec<NamedSpi>) {
        let names = names.into_iter().filter(|it| fits(&it.name));
        let names: Vec<NamedSpi> = names.collect();
        self.ike.names.set(names);
        self.rename_sas(now_ns);
        if self.installed.policy_reqids.is_unsure {
            self.take_earlier_sas_if_read();
        }
        self.withhold();
    }

    /// Names the SAs of a child that charon has told of: most often it adds them just after that.
    pub(super) fn name_child(&mut self, now_ns: u64, inbound_spi: u32) {
        let own = &self.store.sessions.own;
        let child = own.children.get(&inbound_spi);
        let name = own.name_of_child(inbound_spi).filter(fits);
        let Some((child, name)) = child.zip(name) else {
            return;
        };
        for spi in [inbound_spi, child.outbound_spi] {
            self.ike.names.note(spi, name.clone());
        }
        for id in self.sas_of_child(inbound_spi).into_iter().flatten() {
            let known = self.store.sas.get_mut(&id);
            if let Some(known) = known.filter(|it| it.name.is_none()) {
                known.name = Some(name.clone());
                self.update_sa_record(now_ns, &id);
            }
        }
    }

    fn rename_sas(&mut self, now_ns: u64) {
        let mut renamed = Vec::new();
        for (id, known) in &mut self.store.sas {
            // a daemon that has just started knows fewer names, and no better ones
            let Some(name) = self.ike.names.get(id.spi) else {
                continue;
            };
            if known.name.as_ref() != Some(name) {
                known.name = Some(name.clone());
                renamed.push(*id);
            }
        }
        for id in renamed {
            self.update_sa_record(now_ns, &id);
        }
    }
}

/// True if a name may be shown and sent to the peer.
fn fits(name: &ChildName) -> bool {
    [&name.ike, &name.child].into_iter().all(|it| {
        let is_shown = !it.chars().any(char::is_control);
        (1..=NAME_MAX).contains(&it.len()) && is_shown
    })
}
