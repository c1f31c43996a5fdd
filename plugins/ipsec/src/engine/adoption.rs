//! Orders the IKE daemon here to establish children after a failover.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;

use super::{Action, Engine};
use crate::sa::ChildName;
use crate::vici::WAITS_FOR_FAR_END;

/// Children that the IKE daemon here should establish.
#[derive(Debug, Default)]
pub struct WantedChildren {
    /// Wanted children, each with the address that is this node's end.
    names: HashMap<ChildName, IpAddr>,
    /// SPIs of the SAs that a daemon had when it ended, or when their address left.
    ended_spis: BTreeSet<u32>,
    /// The daemon has the order for these names.
    is_ordered: bool,
}

impl WantedChildren {
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    pub fn forget(&mut self, name: &ChildName) {
        self.names.remove(name);
    }

    pub fn note_ended(&mut self, spi: u32) {
        self.ended_spis.insert(spi);
    }

    pub fn names(&self) -> impl Iterator<Item = &ChildName> {
        self.names.keys()
    }

    /// Wanted children with the address that is this node's end, in the order of their names.
    pub fn all(&self) -> Vec<(&ChildName, &IpAddr)> {
        let mut all: Vec<_> = self.names.iter().collect();
        all.sort_unstable();
        all
    }

    pub fn add<'a>(&mut self, names: impl Iterator<Item = (&'a ChildName, IpAddr)>) {
        for (name, end) in names {
            // both SAs of a child have its name
            if let Some(known) = self.names.get_mut(name) {
                *known = end;
            } else {
                self.names.insert(name.clone(), end);
                // an additional child needs another order
                self.is_ordered = false;
            }
        }
    }
}

impl Engine {
    /// Handles the IKE daemon's result for a child: established again, or failed.
    pub fn handle_adopted(&mut self, _now_ns: u64, name: &ChildName, result: Result<(), String>) {
        let ChildName { ike, child } = name;
        self.ike.saved_unadopted.mark_changed();
        self.mark_dirty();
        match result {
            Ok(()) => {
                self.ike.wanted_children.names.remove(name);
                self.event(format!("child {child} of {ike} is established again"));
            }
            Err(why) if why == WAITS_FOR_FAR_END => {
                // the far end may establish it at any time
                self.ike.wanted_children.names.remove(name);
                self.await_far_end(name);
                self.event(format!("child {child} of {ike} waits for the far end"));
            }
            Err(why) => self.event(format!("child {child} of {ike} is not adopted: {why}")),
        }
    }

    /// Wants the children of the SAs of a role that has come, also of those that the kernel refuses.
    pub(super) fn want_held_children(&mut self) {
        let store = &self.store;
        let held = store.held.sas().values();
        let ours = held.filter(|it| store.ends.owns(&it.local_end()));
        let names = ours.filter_map(|it| Some((it.name.as_ref()?, it.local_end())));
        self.ike.wanted_children.add(names);
        self.ike.saved_unadopted.mark_changed();
    }

    /// Orders the daemon to establish all wanted children, with the SPIs of the SAs that it did not make.
    pub(super) fn order_adoption(&mut self) {
        if self.are_sessions_waiting() {
            return;
        }
        if self.ike.wanted_children.is_empty()
            || std::mem::replace(&mut self.ike.wanted_children.is_ordered, true)
        {
            return;
        }
        let installed = self.installed.iter().map(|(id, _)| id.spi);
        // SAs of an earlier run as well
        let replicated = self.store.replicated_sas();
        let known = installed.chain(replicated.map(|(id, _)| id.spi));
        let known = known
            .chain(self.ike.wanted_children.ended_spis.iter().copied())
            .collect();
        let names = self.ike.wanted_children.all().into_iter();
        let names = names.map(|(name, _)| name.clone()).collect();
        self.push_action(Action::Adopt(names, known));
    }

    /// Orders the next daemon to establish the children that the ended one had, and those that were ordered before.
    pub(super) fn order_next_daemon(&mut self) {
        if !self.is_active() {
            return;
        }
        let store = &self.store;
        let ours = || store.sas.iter().filter(|(_, it)| it.side.is_some());
        let named =
            ours().filter_map(|(_, it)| Some((it.name.as_ref()?, it.sa.local_end(it.side?))));
        let names = named.filter(|(_, end)| store.ends.owns(end));
        let ended = ours().map(|(id, _)| id.spi).collect();
        self.ike.wanted_children.add(names);
        self.ike.saved_unadopted.mark_changed();
        self.ike.wanted_children.ended_spis = ended;
        self.ike.wanted_children.is_ordered = false;
        self.order_adoption();
    }

    /// Cancels the orders for tunnels that went to the peer: all of them, or those whose address is no longer here.
    pub(super) fn cancel_adoption(&mut self, all: bool) {
        let (ends, wanted) = (&self.store.ends, &mut self.ike.wanted_children);
        let before = wanted.names.len();
        wanted.names.retain(|_, end| !all && ends.is_kept(end));
        self.ike.saved_unadopted.mark_changed();
        if wanted.names.len() < before && std::mem::take(&mut wanted.is_ordered) {
            if wanted.is_empty() {
                self.push_action(Action::CancelAdoption)
            } else {
                self.order_adoption()
            }
        }
        self.update_tunnels_fault();
    }
}
