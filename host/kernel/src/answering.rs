//! Lists the devices on which the kernel has to answer for virtual addresses, and those that do not answer because ARP
//! is switched off.

use std::collections::BTreeMap;

use spared_contract::{AddressClaim, Claims, Family, VirtualRouterClaim};

use super::Kernel;
use super::group_claims::router_id;

/// Kinds of devices that never ask or answer neighbours, though they are Ethernet.
const NO_NEIGHBOURS: [&str; 4] = ["dummy", "ifb", "ipvlan", "vrf"];

/// A device that has to answer for virtual addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Answering {
    /// Interface of the group.
    pub interface: String,
    /// True if the device has a virtual MAC address and sits on that interface.
    pub is_virtual: bool,
    /// True if the device has IPv4 addresses.
    pub has_ipv4: bool,
    /// True if an IPv4 address on the device is in no subnet.
    pub hosts_only: bool,
    /// True if the device has an IPv6 virtual MAC address.
    pub has_virtual_ipv6: bool,
    /// True if ARP is off: the device neither asks nor answers neighbours.
    pub is_arp_off: bool,
}

impl Kernel {
    /// Returns the devices that have to answer for virtual addresses while a group is active, by name.
    pub fn answering(&self) -> BTreeMap<String, Answering> {
        let mut found = BTreeMap::new();
        let claims = self.groups.values().map(|group| &group.claims);
        for (claims, claim) in claims.flat_map(|all| all.addresses.iter().map(move |it| (all, it)))
        {
            self.add_answering(&mut found, claims, claim);
        }
        found
    }

    fn add_answering(
        &self,
        found: &mut BTreeMap<String, Answering>,
        claims: &Claims,
        claim: &AddressClaim,
    ) {
        let router = virtual_router(claims, claim);
        let link = match router {
            Some(router) => router_id(router).find(&self.interfaces),
            None => self.interfaces.link(&claim.interface),
        };
        // an absent interface has a finding of its own
        let Some(link) = link else { return };
        let device = found.entry(link.name.clone()).or_default();
        device.interface.clone_from(&claim.interface);
        device.is_virtual = router.is_some();
        device.has_virtual_ipv6 |= router.is_some_and(|it| it.family == Family::V6);
        device.has_ipv4 |= claim.address.is_ipv4();
        // spared sets the addresses of a virtual-MAC device as host addresses
        device.hosts_only |= claim.address.is_ipv4() && (router.is_some() || claim.prefix == 32);
        let has_neighbours = link.is_ethernet
            && !link
                .kind
                .as_deref()
                .is_some_and(|it| NO_NEIGHBOURS.contains(&it));
        device.is_arp_off = has_neighbours && link.is_arp_off;
    }
}

fn virtual_router<'c>(claims: &'c Claims, claim: &AddressClaim) -> Option<&'c VirtualRouterClaim> {
    let router = claims.routers.get(claim.router? as usize)?;
    Some(router).filter(|it| it.vmac)
}
