//! Sets virtual routes, and routes by which the node itself sends from a virtual address.

use std::io;
use std::net::IpAddr;

use spared_contract::{AddressClaim, RouteClaim};
use spared_netlink::constants::ROUTE_PROTOCOL;
use spared_netlink::{Message, Requests, Route};
use spared_verdict::MissingRoute;

use super::group_claims::Group;
use super::interfaces::Interfaces;
use super::refused::{Batch, Refused};

const MAIN: u32 = 254;
const SCOPE_UNIVERSE: u8 = 0;
const SCOPE_LINK: u8 = 253;

/// Returns the routes that a group should have now, without those of absent interfaces. Networks of addresses on
/// virtual-MAC devices come first, as gateways are in them.
pub fn desired(requests: &mut Requests, group: &Group, interfaces: &Interfaces) -> Vec<Route> {
    let mut routes: Vec<Route> = Vec::new();
    let mut sending = Vec::new();
    for address in group.claims.addresses.iter() {
        let Some(link) = interfaces.link(&address.interface).filter(|link| link.up) else {
            continue;
        };
        let moved = group.router(address).is_some_and(|router| router.vmac);
        let moved = moved && !super::fence::is_link_local(address.address);
        if moved && !reaches(interfaces, link.index, address) {
            routes.push(connected(link.index, address));
        }
        if address.source {
            let found = match lasting(requests, link.index) {
                Ok(there) => there
                    .iter()
                    .filter_map(|route| from(route, address.address))
                    .collect(),
                // the routes cannot be read: those that were set stay
                Err(_) => set_before(group, link.index, address.address),
            };
            sending.extend(found);
        }
    }
    let claims = group.claims.routes.iter();
    routes.extend(claims.filter_map(|route| claimed(route, interfaces)));
    routes.extend(sending);
    routes
}

fn claimed(route: &RouteClaim, interfaces: &Interfaces) -> Option<Route> {
    let index = match &route.interface {
        Some(name) => Some(interfaces.link(name).filter(|link| link.up)?.index),
        None => None,
    };
    Some(Route {
        destination: route.destination,
        prefix: route.prefix,
        gateway: route.gateway,
        index,
        source: route.source,
        metric: route.metric,
        table: if route.table == 0 { MAIN } else { route.table },
        protocol: ROUTE_PROTOCOL,
        scope: scope(route.destination, route.gateway),
    })
}

// Reads the routes of an interface that the kernel or the configuration set. Routes of routing daemons may be a
// million, and keep the source that the daemon selected.
fn lasting(requests: &mut Requests, index: u32) -> io::Result<Vec<Route>> {
    const KERNEL: u8 = 2;
    const BOOT: u8 = 3;
    const STATIC: u8 = 4;
    const ROUTER_ADVERTISEMENT: u8 = 9;
    const DHCP: u8 = 16;
    let mut routes = Vec::new();
    for protocol in [KERNEL, BOOT, STATIC, ROUTER_ADVERTISEMENT, DHCP] {
        routes.extend(requests.routes(Some(protocol), Some(index))?);
    }
    Ok(routes)
}

// Returns the routes by which the node sends from an address, as they were set last for this group.
fn set_before(group: &Group, index: u32, source: IpAddr) -> Vec<Route> {
    let routes = group.routes.iter();
    let sending = routes.filter(|route| route.index == Some(index) && route.source == Some(source));
    sending.copied().collect()
}

// Copies a route of the interface with this source. The kernel prefers the copy to the original: IPv4 prepends it, and
// in IPv6 it has a lower metric.
fn from(route: &Route, source: IpAddr) -> Option<Route> {
    let multicast_or_link = match route.destination {
        IpAddr::V4(v4) => v4.is_multicast(),
        IpAddr::V6(v6) => v6.is_multicast() || v6.segments()[0] & 0xffc0 == 0xfe80,
    };
    let fits = route.table == MAIN
        && !multicast_or_link
        && route.destination.is_ipv4() == source.is_ipv4();
    let metric = if source.is_ipv4() {
        route.metric
    } else {
        route.metric.saturating_sub(1).max(1)
    };
    fits.then_some(Route {
        source: Some(source),
        protocol: ROUTE_PROTOCOL,
        metric,
        ..*route
    })
}

// Returns true if the node reaches the network of an address by an address of its own, which is the usual case. A
// virtual address on a virtual-MAC device adds no route to its network.
pub fn reaches(interfaces: &Interfaces, index: u32, claim: &AddressClaim) -> bool {
    interfaces.addresses(index).any(|own| {
        own.prefix <= claim.prefix
            && network(own.address, own.prefix) == network(claim.address, own.prefix)
    }) || claim.prefix >= if claim.address.is_ipv4() { 32 } else { 128 }
}

fn connected(index: u32, claim: &AddressClaim) -> Route {
    Route {
        destination: network(claim.address, claim.prefix),
        prefix: claim.prefix,
        gateway: None,
        index: Some(index),
        source: None,
        metric: 0,
        table: MAIN,
        protocol: ROUTE_PROTOCOL,
        scope: scope(claim.address, None),
    }
}

// Returns the scope of a route. IPv4 needs a next hop of a narrower scope than its route; IPv6 has no scopes.
fn scope(destination: IpAddr, gateway: Option<IpAddr>) -> u8 {
    if destination.is_ipv4() && gateway.is_none() {
        SCOPE_LINK
    } else {
        SCOPE_UNIVERSE
    }
}

fn network(address: IpAddr, prefix: u8) -> IpAddr {
    match address {
        IpAddr::V4(v4) => {
            let mask = u32::MAX
                .checked_shl(32 - u32::from(prefix.min(32)))
                .unwrap_or(0);
            IpAddr::V4((v4.to_bits() & mask).into())
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX
                .checked_shl(128 - u32::from(prefix.min(128)))
                .unwrap_or(0);
            IpAddr::V6((v6.to_bits() & mask).into())
        }
    }
}

/// Returns the claimed routes that the kernel does not have.
pub fn missing(group: &Group, interfaces: &Interfaces) -> Vec<MissingRoute> {
    let claims = group.claims.routes.iter();
    let missing = claims.filter(|claim| {
        let route = claimed(claim, interfaces);
        route.is_none_or(|it| group.refused_routes.contains(&it))
    });
    let missing = missing.map(|claim| MissingRoute {
        route: described(claim),
        interface: claim.interface.clone().unwrap_or_default(),
        is_rule: false,
    });
    missing.collect()
}

// Formats a route: "0.0.0.0/0 via 192.0.2.1 dev wan"
fn described(claim: &RouteClaim) -> String {
    let gateway = claim.gateway.map(|it| format!(" via {it}"));
    let interface = claim.interface.as_ref().map(|it| format!(" dev {it}"));
    let (gateway, interface) = (gateway.unwrap_or_default(), interface.unwrap_or_default());
    format!("{}/{}{gateway}{interface}", claim.destination, claim.prefix)
}

/// Adds routes. An existing route is no error.
pub fn add(requests: &mut Requests, routes: &[Route]) -> Refused<Route> {
    batch("add", Message::add_route, libc::EEXIST).run(requests, routes)
}

/// Deletes routes, in reverse order. A missing route is no error.
pub fn delete(requests: &mut Requests, routes: &[Route]) -> Refused<Route> {
    let reversed: Vec<Route> = routes.iter().rev().copied().collect();
    let batch = batch("delete", Message::delete_route, libc::ESRCH);
    batch.run(requests, &reversed)
}

fn batch(
    verb: &'static str,
    encode: fn(&Route) -> io::Result<Message>,
    harmless: i32,
) -> Batch<Route> {
    Batch {
        kind: "routes",
        name: |route| format!("route {}/{}", route.destination, route.prefix),
        verb,
        encode,
        harmless,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_is_the_address_without_its_host_part() {
        let of = |text: &str, prefix| network(text.parse().unwrap(), prefix).to_string();
        assert_eq!(of("192.168.200.77", 24), "192.168.200.0");
        assert_eq!(of("192.168.200.77", 0), "0.0.0.0");
        assert_eq!(of("192.168.200.77", 32), "192.168.200.77");
        assert_eq!(of("2001:db8::77", 64), "2001:db8::");
        assert_eq!(of("2001:db8::77", 0), "::");
    }
}
