//! Finds the devices on which a link-local virtual address is the same address: its interface, and every device that
//! answers in the same network.
//!
//! Each network has its own link-local addresses. So neither the address nor the present name of an interface tells if
//! a device may answer. A device that once was the interface of a claim stays in that claim's network, whatever its
//! name is now. This holds also if another interface has taken the name, as when two are swapped.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use spared_contract::AddressClaim;
use spared_netlink::Link;

use super::fence::is_link_local;
use super::interfaces::Interfaces;
use super::vmac;

/// Maximum number of stacked devices that are followed. The kernel permits eight levels.
const DEPTH_MAX: usize = 8;
/// Kinds of devices that share the network of the device that they sit on. A VLAN does not.
const SHARING: [&str; 3] = ["macvlan", "macvtap", "ipvlan"];

/// Link-local addresses of claims, with each device that is or was the claim's interface, and the name of that
/// interface. The name is None if only the fence of an earlier run knows the device.
#[derive(Default)]
pub struct LinkLocalNetworks(BTreeMap<(u32, IpAddr), Option<String>>);

impl LinkLocalNetworks {
    /// Adds the present devices of these claims. Forgets devices that have gone and claims that no longer exist.
    pub fn note<'c>(
        &mut self,
        claims: impl Iterator<Item = &'c AddressClaim>,
        interfaces: &Interfaces,
    ) {
        let claims = claims.filter(|claim| is_link_local(claim.address));
        let claimed: BTreeSet<(&str, IpAddr)> = claims
            .map(|claim| (claim.interface.as_str(), claim.address))
            .collect();
        for (name, address) in &claimed {
            if let Some(link) = interfaces.link(name) {
                let place = (link.index, *address);
                self.0.insert(place, Some((*name).to_owned()));
            }
        }
        self.0.retain(|(index, address), name| {
            let is_claimed = |name: &String| claimed.contains(&(name.as_str(), *address));
            interfaces.name_of(*index).is_some() && name.as_ref().is_none_or(is_claimed)
        });
    }

    /// Adds the devices and addresses that the fence of an earlier run guards.
    pub fn adopt(&mut self, guarded: impl IntoIterator<Item = (u32, IpAddr)>) {
        for place in guarded {
            self.0.entry(place).or_default();
        }
    }

    /// Returns the devices that may answer in the networks of these places, each with the address and the result of
    /// [`network`].
    pub fn devices(&self, interfaces: &Interfaces) -> BTreeSet<(u32, IpAddr, u32)> {
        // A port does not answer, and the traffic that it carries for others passes. Our devices are guarded by their
        // claims.
        let may_answer = |link: &&Link| link.port_of.is_none() && !vmac::is_ours(link);
        let mut networks: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
        for link in interfaces.links().filter(may_answer) {
            let known_by = network(link.index, interfaces);
            networks.entry(known_by).or_default().push(link.index);
        }
        let mut devices = BTreeSet::new();
        for (index, address) in self.0.keys() {
            let known_by = network(*index, interfaces);
            let there = networks.get(&known_by).into_iter().flatten();
            devices.extend(there.map(|device| (*device, *address, known_by)));
        }
        devices
    }

    /// Returns true if a device is in the network of this claim.
    pub fn has(&self, claim: &AddressClaim, index: u32, interfaces: &Interfaces) -> bool {
        let there = network(index, interfaces);
        self.0.iter().any(|((at, address), name)| {
            *address == claim.address
                && name.as_ref().is_none_or(|it| *it == claim.interface)
                && network(*at, interfaces) == there
        })
    }
}

/// Returns the device that identifies a network: the bridge of a port, or the device below a macvlan.
pub fn network(index: u32, interfaces: &Interfaces) -> u32 {
    let mut at = index;
    for _ in 0..DEPTH_MAX {
        let Some(link) = interfaces.link_of(at) else {
            break;
        };
        let kind = link.kind.as_deref();
        let below = link
            .parent
            .filter(|_| SHARING.iter().any(|it| kind == Some(it)));
        match link.port_of.or(below) {
            Some(next) => at = next,
            None => break,
        }
    }
    at
}

#[cfg(test)]
mod tests {
    use spared_netlink::Event;

    use super::*;

    const ADDRESS: &str = "fe80::1";

    fn claim(interface: &str) -> AddressClaim {
        AddressClaim {
            interface: interface.into(),
            router: None,
            address: ADDRESS.parse().unwrap(),
            prefix: 64,
            source: false,
            own: false,
            label: String::new(),
        }
    }

    fn link(index: u32, name: &str) -> Link {
        Link {
            index,
            name: name.into(),
            up: true,
            ..Link::default()
        }
    }

    fn interfaces(links: impl IntoIterator<Item = Link>) -> Interfaces {
        let mut interfaces = Interfaces::default();
        for link in links {
            interfaces.apply(Event::Link(link));
        }
        interfaces
    }

    fn devices(places: &LinkLocalNetworks, interfaces: &Interfaces) -> Vec<u32> {
        let devices = places.devices(interfaces).into_iter();
        devices.map(|(index, ..)| index).collect()
    }

    #[test]
    fn a_device_stays_a_place_when_another_has_its_name_until_it_or_the_claim_goes() {
        let (lan, wan) = (claim("lan"), claim("wan"));
        let mut interfaces = interfaces([link(4, "lan"), link(5, "wan")]);
        let mut places = LinkLocalNetworks::default();
        places.note([&lan].into_iter(), &interfaces);
        assert_eq!(devices(&places, &interfaces), [4]);
        for swapped in [link(4, "x"), link(5, "lan"), link(4, "wan")] {
            interfaces.apply(Event::Link(swapped));
        }
        places.note([&lan].into_iter(), &interfaces);
        assert_eq!(devices(&places, &interfaces), [4, 5]);
        assert!(places.has(&lan, 4, &interfaces) && !places.has(&wan, 4, &interfaces));
        let mut gone = LinkLocalNetworks::default();
        gone.note([&lan].into_iter(), &interfaces);
        interfaces.apply(Event::LinkGone(link(5, "lan")));
        gone.note([&lan].into_iter(), &interfaces);
        assert_eq!(devices(&gone, &interfaces), [0_u32; 0]);
        places.note([&wan].into_iter(), &interfaces);
        assert!(places.has(&wan, 4, &interfaces) && !places.has(&lan, 4, &interfaces));
        places.note([].into_iter(), &interfaces);
        assert_eq!(devices(&places, &interfaces), [0_u32; 0]);
    }

    #[test]
    fn a_place_of_an_earlier_run_is_one_of_every_claim_until_a_claim_has_it() {
        let (lan, wan) = (claim("lan"), claim("wan"));
        let interfaces = interfaces([link(4, "lan"), link(5, "x")]);
        let mut places = LinkLocalNetworks::default();
        let address = ADDRESS.parse().unwrap();
        places.adopt([(4, address), (5, address), (9, address)]);
        places.note([&lan].into_iter(), &interfaces);
        assert_eq!(devices(&places, &interfaces), [4, 5]);
        assert!(places.has(&wan, 5, &interfaces));
        assert!(places.has(&lan, 4, &interfaces) && !places.has(&wan, 4, &interfaces));
    }

    #[test]
    fn a_bridge_and_a_macvlan_answer_in_the_network_and_a_port_and_a_vlan_do_not() {
        let lan = claim("lan");
        let on = |kind: &str, index, name| Link {
            kind: Some(kind.into()),
            parent: Some(4),
            ..link(index, name)
        };
        let mut interfaces = interfaces([
            link(4, "lan"),
            link(5, "wan"),
            on("macvlan", 6, "mv"),
            on("vlan", 7, "lan.7"),
        ]);
        let mut places = LinkLocalNetworks::default();
        places.note([&lan].into_iter(), &interfaces);
        assert_eq!(devices(&places, &interfaces), [4, 6]);
        interfaces.apply(Event::Link(link(8, "br0")));
        for port in [link(4, "lan"), link(5, "wan")] {
            let port_of = Some(8);
            interfaces.apply(Event::Link(Link { port_of, ..port }));
        }
        assert_eq!(devices(&places, &interfaces), [6, 8]);
    }
}
