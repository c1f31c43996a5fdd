//! Addresses of this node as they come and go, with its role or without it.

use std::collections::{BTreeMap, HashSet};

use super::Engine;
use super::elsewhere::Elsewhere;
use super::restore;
use super::roles::OFFERING_NS;
use super::translated::Translated;
use crate::wire::Address;

/// The role of an address that has gone goes soon before or after it, and then this node goes on telling for a while.
const LEFT_NS: u64 = 2 * OFFERING_NS;

#[derive(Debug, Default)]
pub(super) struct Addresses {
    /// Those of the interfaces in `dynamic_nat`, with those that have gone.
    dynamic: BTreeMap<String, Vec<Address>>,
    /// The same of the peer, as it told last.
    dynamic_there: Vec<Address>,
    /// Until then, addresses that have gone are taken for the router's.
    left_until_ns: u64,
    /// Flows that are translated to this node's own addresses.
    pub(super) translated: Translated,
    /// Flows that are translated to the other node's.
    pub(super) elsewhere: Elsewhere,
}

impl Addresses {
    pub(super) fn dynamic(&self) -> impl Iterator<Item = Address> {
        self.dynamic.values().flatten().copied()
    }

    pub(super) fn is_dynamic_there(&self, address: &Address) -> bool {
        self.dynamic_there.contains(address)
    }

    pub(super) fn set_dynamic_there(&mut self, addresses: Vec<Address>) {
        self.dynamic_there = addresses;
    }

    /// New settings: what other interfaces have does not count any more.
    pub(super) fn retain_dynamic(&mut self, interfaces: &[String]) {
        self.dynamic.retain(|name, _| interfaces.contains(name));
    }
}

#[cfg(test)]
impl Addresses {
    pub(super) fn dynamic_there(&self) -> &[Address] {
        &self.dynamic_there
    }
}

impl Engine {
    /// The router's own addresses, virtual ones among them. Those that have gone may have moved to the other node, and
    /// what ended at them has ended here.
    pub fn handle_own_addresses(&mut self, now_ns: u64, own: HashSet<Address>) {
        let before = std::mem::replace(&mut self.filter.own, own);
        let gone = before.difference(&self.filter.own);
        self.filter.left.extend(gone);
        self.addresses.left_until_ns = now_ns + LEFT_NS;
        self.tell_held_addresses();
    }

    /// What ended at an address that has gone is not told: at the other node it would be a connection of that one's own.
    pub(super) fn forget_left(&mut self, now_ns: u64) {
        if now_ns >= self.addresses.left_until_ns {
            self.filter.left.clear();
        }
    }

    /// Addresses of an interface, as they are now.
    pub fn handle_dynamic_addresses(&mut self, interface: &str, addresses: Vec<Address>) {
        let mut dynamic = self.settings.dynamic_nat.iter();
        if dynamic.any(|name| name == interface) {
            let known = &mut self.addresses.dynamic;
            let before = known.entry(interface.to_owned()).or_default();
            let addresses = restore::with_gone(before, addresses);
            if *before != addresses {
                *before = addresses;
                self.tell_addresses();
            }
        }
    }
}
