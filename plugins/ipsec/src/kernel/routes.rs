//! Sets routes into replicated tunnels, and the rule that makes the kernel use them.
//!
//! They are in the IKE daemon's own table, which the daemon ignores when it looks up the way to other ends. A route of
//! the daemon replaces one of these for the same destination. Only routes with this plugin's protocol number are
//! deleted.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::io;
use std::net::IpAddr;

use ipnet::IpNet;
use spared_netlink::constants::TUNNEL_ROUTE_PROTOCOL;
use spared_netlink::{Address, Message, Requests, Route};

use super::rule;
use crate::engine::TunnelRoute;

/// Priority of the rule, before charon's own, which charon adds at its start and deletes at its end.
const PRIORITY: u32 = 219;
const EEXIST: i32 = 17;
const ESRCH: i32 = 3;
const ENOENT: i32 = 2;
/// Error of a kernel without IPv6, which has no rules for it.
const EAFNOSUPPORT: i32 = 97;

pub struct Routes {
    requests: Requests,
    table: u32,
    /// Families with a rule; None if an earlier run may have left one.
    ruled: Option<BTreeSet<bool>>,
}

impl Routes {
    /// # Errors
    /// No socket is available.
    pub fn open(table: u32) -> io::Result<Self> {
        Ok(Self {
            requests: Requests::open()?,
            table,
            ruled: None,
        })
    }

    /// Sets these routes and deletes all others of this plugin. Destinations without a way to the other end, or without
    /// a local address inside the tunnel, get no route for now.
    ///
    /// # Errors
    /// First error of the kernel; the other routes are set.
    pub fn set(&mut self, wanted: &BTreeSet<TunnelRoute>) -> io::Result<()> {
        let there = self.requests.routes(Some(TUNNEL_ROUTE_PROTOCOL), None)?;
        let routes = self.resolve(wanted)?;
        // IPv6 routes get a default metric
        let plain = |it: &Route| Route { metric: 0, ..*it };
        let [before, after]: [HashSet<Route>; 2] =
            [&there, &routes].map(|all| all.iter().map(plain).collect());
        let gone = there.iter().filter(|it| !after.contains(&plain(it)));
        let new = routes.iter().filter(|it| !before.contains(&plain(it)));
        let gone = gone.map(Message::delete_route);
        let new = new.map(Message::add_missing_route);
        let mut messages = gone.chain(new).collect::<Result<Vec<_>, _>>()?;
        messages.extend(self.rules(&routes));
        let verdicts = self.requests.run(&messages)?;
        let is_done = |error: &io::Error| {
            matches!(
                error.raw_os_error(),
                Some(EEXIST | ESRCH | ENOENT | EAFNOSUPPORT)
            )
        };
        let mut refused = verdicts.into_iter().filter_map(Result::err);
        refused.find(|it| !is_done(it)).map_or(Ok(()), Err)
    }

    /// Returns changes that add a rule for each family with routes, and delete the others.
    fn rules(&mut self, routes: &[Route]) -> Vec<Message> {
        let wanted: BTreeSet<bool> = routes.iter().map(|it| it.destination.is_ipv4()).collect();
        let before = self.ruled.replace(wanted.clone());
        let before = before.unwrap_or_else(|| [true, false].into());
        let deleted = before.difference(&wanted).map(|ipv4| (rule::DELETE, *ipv4));
        // others may have flushed all rules
        let added = wanted.iter().map(|ipv4| (rule::ADD, *ipv4));
        let each = deleted.chain(added);
        each.map(|(kind, ipv4)| rule::lookup(kind, ipv4, PRIORITY, self.table))
            .collect()
    }

    fn resolve(&mut self, wanted: &BTreeSet<TunnelRoute>) -> io::Result<Vec<Route>> {
        if wanted.is_empty() {
            return Ok(Vec::new());
        }
        let addresses = self.requests.addresses()?;
        let mut ways = BTreeMap::new();
        let mut routes = Vec::with_capacity(wanted.len());
        for route in wanted {
            let Some(source) = source(&addresses, route.from) else {
                continue;
            };
            let (near, far) = route.ends;
            let way = match ways.get(&route.ends) {
                Some(way) => *way,
                None => self.requests.way_to(far, near)?,
            };
            ways.insert(route.ends, way);
            let Some((gateway, index)) = way else {
                continue;
            };
            // if the other end is on a directly connected network, it is the gateway itself
            let gateway = gateway.unwrap_or(far);
            let (destination, prefix) = route.to;
            routes.push(Route {
                destination,
                prefix,
                gateway: Some(gateway).filter(|it| it.is_ipv4() == destination.is_ipv4()),
                index: Some(index),
                source: Some(source),
                metric: 0,
                table: self.table,
                protocol: TUNNEL_ROUTE_PROTOCOL,
                scope: 0,
            });
        }
        // the kernel keeps one route for a destination
        routes.sort_by_key(|it| (it.destination, it.prefix));
        routes.dedup_by_key(|it| (it.destination, it.prefix));
        Ok(routes)
    }
}

/// Returns this node's address within a network, preferably one that moves.
fn source(addresses: &[Address], (network, prefix): (IpAddr, u8)) -> Option<IpAddr> {
    let network = IpNet::new(network, prefix).ok()?;
    let is_within = |it: &&Address| network.contains(&it.address) && !it.address.is_loopback();
    let within = addresses.iter().filter(is_within);
    let best = within.min_by_key(|it| (!it.is_ours(), it.address))?;
    Some(best.address)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn an_address_that_moves_is_the_source_before_an_own_one() {
        let address = |text: &str, protocol| Address {
            index: 1,
            address: ip(text),
            prefix: 24,
            flags: 0,
            protocol,
        };
        let ours = spared_netlink::constants::ADDRESS_PROTOCOL;
        let addresses = [
            address("127.0.0.1", 0),
            address("10.1.0.11", 0),
            address("10.1.0.21", ours),
            address("fd01::1", 0),
        ];
        let of = |network: &str, prefix| source(&addresses, (ip(network), prefix));
        assert_eq!(of("10.1.0.0", 24), Some(ip("10.1.0.21")));
        assert_eq!(of("10.1.0.11", 32), Some(ip("10.1.0.11")));
        assert_eq!(of("0.0.0.0", 0), Some(ip("10.1.0.21")));
        assert_eq!(of("10.1.1.0", 24), None);
        assert_eq!(of("::", 0), Some(ip("fd01::1")));
        assert_eq!(of("fd02::", 16), None);
    }
}
