//! Tracks addresses of this node, which come and go with its role or without it.

use std::collections::{BTreeMap, HashSet};

use super::Engine;
use super::group_roles::LINGER_NS;
use super::own_address_counts::OwnAddressFlows;
use super::peer_address_counts::PeerAddressFlows;
use crate::wire::Address;

/// Time for which an address that has gone counts as the router's. Its group's role goes soon before or after it, and
/// then this node still sends changes for a while.
const REMOVED_NS: u64 = 2 * LINGER_NS;

#[derive(Debug, Default)]
pub(super) struct Addresses {
    /// Addresses of the interfaces in `dynamic_nat`, including those that have gone.
    dynamic: BTreeMap<String, Vec<Address>>,
    /// Addresses of the peer's interfaces in `dynamic_nat`, by its last report.
    dynamic_there: Vec<Address>,
    /// Time until which addresses that have gone count as the router's.
    removed_until_ns: u64,
    /// Flows that are translated to this node's own addresses.
    pub(super) own_address_counts: OwnAddressFlows,
    /// Flows that are translated to the other node's addresses.
    pub(super) peer_address_counts: PeerAddressFlows,
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

    /// Drops the addresses of all other interfaces, after new settings.
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
    /// Takes the router's own addresses, virtual ones included. Addresses that have gone may have moved to the other
    /// node, but flows that ended at them have ended here.
    pub fn handle_own_addresses(&mut self, now_ns: u64, own: HashSet<Address>) {
        let before = std::mem::replace(&mut self.filter.own, own);
        let gone = before.difference(&self.filter.own);
        self.filter.removed_addresses.extend(gone);
        self.addresses.removed_until_ns = now_ns + REMOVED_NS;
        self.tell_held_addresses();
    }

    /// Forgets addresses that have gone, when their time is over. Until then flows that ended at one are not sent: at
    /// the other node they would be connections of that node itself.
    pub(super) fn expire_removed_addresses(&mut self, now_ns: u64) {
        if now_ns >= self.addresses.removed_until_ns {
            self.filter.removed_addresses.clear();
        }
    }

    /// Takes the present addresses of an interface.
    pub fn handle_dynamic_addresses(&mut self, interface: &str, addresses: Vec<Address>) {
        let mut dynamic = self.settings.dynamic_nat.iter();
        if dynamic.any(|name| name == interface) {
            let known = &mut self.addresses.dynamic;
            let before = known.entry(interface.to_owned()).or_default();
            let addresses = with_gone(before, addresses);
            if *before != addresses {
                *before = addresses;
                self.tell_addresses();
            }
        }
    }
}

/// Returns an interface's addresses, and its earlier ones that no other of their family has replaced: when a line
/// fails, its addresses go first, one by one, and then the role.
pub(super) fn with_gone(before: &[Address], now: Vec<Address>) -> Vec<Address> {
    let is_replaced = |(is_ipv6, _): &Address| {
        let mut family = now.iter().filter(|it| it.0 == *is_ipv6);
        family.any(|it| !before.contains(it))
    };
    let gone = before.iter().filter(|it| !now.contains(it));
    let gone: Vec<Address> = gone.filter(|it| !is_replaced(it)).copied().collect();
    [now, gone].concat()
}
