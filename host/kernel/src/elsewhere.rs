//! Devices that no claim names, on which virtual addresses are guarded nevertheless.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::fence::{Guarded, LeaseKey};

use super::interfaces::Interfaces;
use super::link_local::{LinkLocalNetworks, network};
use super::other_devices::OtherDevices;

#[derive(Default)]
pub(super) struct Elsewhere {
    pub(super) devices: OtherDevices,
    /// Devices in whose networks the link-local virtual addresses are.
    pub(super) link_local: LinkLocalNetworks,
    /// Copies of virtual addresses that stay blocked after spared has ended.
    copies_left: Vec<Guarded>,
}

impl Elsewhere {
    pub(super) fn leave_copies(&mut self, copies: Vec<Guarded>) {
        self.copies_left = copies;
    }

    pub(super) fn copies_left(&self) -> &[Guarded] {
        &self.copies_left
    }

    /// Returns guards for the link-local ones among these addresses, on the other devices of their networks. Each has
    /// the lease of a claim in its network, and never passes if no claim's interface is in it now.
    pub(super) fn link_local_guards(
        &self,
        guarded: &[Guarded],
        interfaces: &Interfaces,
    ) -> Vec<Guarded> {
        let mut known: BTreeMap<(u32, IpAddr), &Guarded> = BTreeMap::new();
        for it in guarded.iter().filter(|it| it.index != 0) {
            let there = (network(it.index, interfaces), it.address);
            known.entry(there).or_insert(it);
        }
        let claimed: BTreeSet<IpAddr> = guarded.iter().map(|it| it.address).collect();
        let devices = self.link_local.devices(interfaces).into_iter();
        let devices = devices.filter(|(_, address, _)| claimed.contains(address));
        let elsewhere = devices.map(|(index, address, there)| {
            let of = known.get(&(there, address));
            Guarded {
                address,
                index,
                key: of.map_or(LeaseKey::NEVER, |it| it.key),
                virtual_mac: of.and_then(|it| it.virtual_mac),
                accept: true,
            }
        });
        elsewhere.collect()
    }
}
