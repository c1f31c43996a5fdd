//! Finds the address that `masquerade` uses on an interface, as far as this node's addresses and routes show it.

use std::net::IpAddr;

use spared_config_reader::IpNet;
use spared_kernel::fence::is_link_local;
use spared_netlink::{Address, Link, Requests, Route};

use super::Wanted;

const IFA_F_DEPRECATED: u32 = 0x20;

/// Links, addresses and routes of this node.
#[derive(Clone, Debug, Default)]
pub struct Outgoing {
    pub links: Vec<Link>,
    pub addresses: Vec<Address>,
    pub routes: Vec<Route>,
}

impl Outgoing {
    /// Reads them; None if the kernel's tables cannot be read.
    pub fn read() -> Option<Self> {
        let mut requests = Requests::open().ok()?;
        Some(Self {
            links: requests.links().ok()?,
            addresses: requests.addresses().ok()?,
            routes: requests.routes(None, None).ok()?,
        })
    }

    /// Interfaces of this node that match a name in a rule, which may end with an asterisk.
    pub fn named<'o>(&'o self, name: &'o str) -> impl Iterator<Item = &'o Link> {
        let links = self.links.iter();
        links.filter(move |link| match name.strip_suffix('*') {
            Some(start) => link.name.starts_with(start),
            None => link.name == name,
        })
    }

    /// Interfaces that lead to a gateway, for one family.
    pub fn uplinks(&self, is_ipv4: bool) -> impl Iterator<Item = &Link> {
        let links = self.links.iter();
        links.filter(move |link| !self.gateways(link, is_ipv4).is_empty())
    }

    /// Interface that has this address as an own address of the node.
    pub fn holder(&self, wanted: &Wanted, address: IpAddr) -> Option<&Link> {
        let mut links = self.links.iter();
        links.find(|link| {
            let mut own = self.own(wanted, link, address.is_ipv4());
            own.any(|it| it.addr() == address)
        })
    }

    /// The node's own address that `masquerade` uses on an interface; None if it uses a virtual one, or if that is
    /// unknown.
    ///
    /// For IPv4, the kernel uses the interface's first address in the network of the next hop. For IPv6, it uses the
    /// address that it would choose for packets of its own, and spared's addresses are deprecated.
    pub fn own_source(&self, wanted: &Wanted, link: &Link, is_ipv4: bool) -> Option<IpAddr> {
        let own: Vec<IpNet> = self.own(wanted, link, is_ipv4).collect();
        let first = own.first()?.addr();
        let virtuals = virtuals(wanted, &link.name, is_ipv4);
        if !is_ipv4 || virtuals.is_empty() {
            return Some(first);
        }
        let next_hops = match self.gateways(link, is_ipv4) {
            none if none.is_empty() => virtuals.iter().map(IpNet::addr).collect(),
            gateways => gateways,
        };
        let takes = |net: &&IpNet| next_hops.iter().any(|hop| net.contains(hop));
        own.iter().find(takes).map(IpNet::addr)
    }

    /// Virtual address of an interface to translate to instead of one of the node's own, if it fits. It is in the same
    /// network if there is one.
    pub fn virtual_in_place_of(
        &self,
        wanted: &Wanted,
        link: &Link,
        own: IpAddr,
        fits: impl Fn(IpAddr) -> bool,
    ) -> Option<IpAddr> {
        let mut virtuals = virtuals(wanted, &link.name, own.is_ipv4());
        virtuals.retain(|it| fits(it.addr()));
        let own = self.addresses.iter().find(|it| it.address == own)?;
        let own = network(own)?;
        let near = virtuals.iter().find(|it| own.contains(&it.addr()));
        near.or(virtuals.first()).map(IpNet::addr)
    }

    /// Returns true if a network is only behind interfaces without a virtual address: its hosts use this node, not the
    /// pair.
    pub fn is_local(&self, wanted: &Wanted, sources: IpNet) -> bool {
        let is_wanted = |address: &Address| {
            let mut links = self.links.iter();
            let link = links.find(|link| link.index == address.index);
            link.is_some_and(|link| wanted.interfaces.contains_key(&link.name))
        };
        let within = self.addresses.iter();
        let mut within = within.filter(|it| sources.contains(&it.address)).peekable();
        let mut all = wanted.interfaces.values().flat_map(|it| &it.addresses);
        within.peek().is_some()
            && !within.any(is_wanted)
            && !all.any(|net| sources.contains(&net.addr()))
    }

    /// Own addresses of the node that others may reach.
    fn own<'o>(
        &'o self,
        wanted: &'o Wanted,
        link: &Link,
        is_ipv4: bool,
    ) -> impl Iterator<Item = IpNet> + 'o {
        let index = link.index;
        let of_link = self.addresses.iter().filter(move |it| it.index == index);
        let own = of_link.filter(move |it| {
            let is_usable =
                is_ipv4 || !is_link_local(it.address) && it.flags & IFA_F_DEPRECATED == 0;
            it.address.is_ipv4() == is_ipv4 && is_usable && !it.is_ours()
        });
        let is_virtual = |address: IpAddr| {
            let mut all = wanted.interfaces.values().flat_map(|it| &it.addresses);
            all.any(|net| net.addr() == address)
        };
        own.filter(move |it| !is_virtual(it.address))
            .filter_map(network)
    }

    fn gateways(&self, link: &Link, is_ipv4: bool) -> Vec<IpAddr> {
        let routes = self.routes.iter().filter(|it| it.index == Some(link.index));
        let gateways = routes.filter_map(|route| route.gateway);
        gateways.filter(|it| it.is_ipv4() == is_ipv4).collect()
    }
}

/// Virtual addresses of an interface that others may reach.
pub fn virtuals(wanted: &Wanted, interface: &str, is_ipv4: bool) -> Vec<IpNet> {
    let interface = wanted.interfaces.get(interface);
    let all = interface.into_iter().flat_map(|it| &it.addresses);
    let family = all.filter(|net| net.addr().is_ipv4() == is_ipv4 && !is_link_local(net.addr()));
    family.copied().collect()
}

fn network(address: &Address) -> Option<IpNet> {
    IpNet::new(address.address, address.prefix).ok()
}
