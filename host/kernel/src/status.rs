//! Reports the state of a group's claims: addresses that are missing, copies that somebody else set, routes.

use std::time::Instant;

use spared_contract::AddressClaim;
use spared_netlink::Address;
use spared_verdict::{AddressStatus, ForeignAddress, MissingRoute};

use super::group_claims::{Group, router_id};
use super::{Kernel, routes, rules};

impl Kernel {
    /// Returns all addresses of a group: if each is installed, and how often it was restored.
    pub fn address_status(&self, name: &str) -> Vec<AddressStatus> {
        let Some(group) = self.groups.get(name) else {
            return Vec::new();
        };
        let now = Instant::now();
        let why = |claim: &AddressClaim| {
            let router = group.router(claim).filter(|router| router.vmac);
            let id = router.map(router_id);
            id.map_or_else(String::new, |id| self.device_fault(&id, now))
        };
        let desired = group.placed(&self.interfaces);
        let present = |claim: usize| {
            desired.iter().any(|wanted| {
                wanted.claim == claim && self.interfaces.has_address(wanted.index, wanted.address)
            })
        };
        let status = |(position, claim): (usize, &AddressClaim)| AddressStatus {
            address: format!("{}/{}", claim.address, claim.prefix),
            interface: claim.interface.clone(),
            present: present(position),
            restored: group.restored.get(&claim.address).copied().unwrap_or(0),
            why: why(claim),
        };
        group
            .claims
            .addresses
            .iter()
            .enumerate()
            .map(status)
            .collect()
    }

    /// Returns the claimed routes and rules of an installed group that the kernel does not have.
    pub fn missing_routes(&self, name: &str) -> Vec<MissingRoute> {
        let group = self.groups.get(name).filter(|group| group.installed);
        let Some(group) = group else {
            return Vec::new();
        };
        let mut missing = routes::missing(group, &self.interfaces);
        missing.extend(rules::missing(&group.refused_rules));
        missing
    }

    /// Returns copies of a group's addresses that somebody else set, on any device.
    pub fn foreign_addresses(&self, name: &str) -> Vec<ForeignAddress> {
        let Some(group) = self.groups.get(name) else {
            return Vec::new();
        };
        let foreign = |(_, copy): (&AddressClaim, &Address)| ForeignAddress {
            address: format!("{}/{}", copy.address, copy.prefix),
            interface: self.interfaces.name_of(copy.index).unwrap_or("").to_owned(),
        };
        self.copies(group).map(foreign).collect()
    }

    /// Returns the copies of a group's addresses, with their claims. The addresses of an owner do not count: others are
    /// meant to set them.
    pub(super) fn copies<'k>(
        &'k self,
        group: &'k Group,
    ) -> impl Iterator<Item = (&'k AddressClaim, &'k Address)> {
        let claims = || group.claims.addresses.iter().filter(|claim| !claim.own);
        let all = self.interfaces.all_addresses().filter(|it| !it.is_ours());
        all.filter_map(move |copy| {
            let claim = claims().find(|claim| {
                // Every network may have the same link-local address.
                let here = || {
                    self.elsewhere
                        .link_local
                        .has(claim, copy.index, &self.interfaces)
                };
                claim.address == copy.address
                    && (!super::fence::is_link_local(claim.address) || here())
            })?;
            Some((claim, copy))
        })
    }
}
