//! Where the kernel has to answer for virtual addresses, and interfaces on which it does not as ARP is switched off.

use std::collections::BTreeMap;

use spared_contract::{AddressClaim, Claims, Family, VirtualRouterClaim};

use super::Kernel;
use super::group::router_id;

/// Kinds of devices that never ask or answer neighbours, though they are Ethernet.
const NO_NEIGHBOURS: [&str; 4] = ["dummy", "ifb", "ipvlan", "vrf"];

/// A device that has to answer for virtual addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Answering {
    /// Interface of the group.
    pub interface: String,
    /// It has a virtual MAC address, and is on that interface.
    pub is_virtual: bool,
    /// It has IPv4 addresses.
    pub has_ipv4: bool,
    /// An IPv4 address on it is in no subnet.
    pub hosts_only: bool,
    /// It has a virtual MAC address of IPv6.
    pub has_virtual_ipv6: bool,
    /// Neighbours are neither asked nor answered on it.
    pub is_arp_off: bool,
}

impl Kernel {
    /// The devices that have to answer for virtual addresses while a group is active, by name.
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
        // that an interface is absent has a finding of its own
        let Some(link) = link else { return };
        let device = found.entry(link.name.clone()).or_default();
        device.interface.clone_from(&claim.interface);
        device.is_virtual = router.is_some();
        device.has_virtual_ipv6 |= router.is_some_and(|it| it.family == Family::V6);
        device.has_ipv4 |= claim.address.is_ipv4();
        // spared sets those of a device with a virtual MAC as host addresses
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
