// SPDX-License-Identifier: MIT OR Apache-2.0
//! Functions of a switch that affect frames of routers: access lists, private VLANs, a cable between two
//! of its networks.

use super::{Lab, Site, Wire};
use crate::Result;

/// Traffic that an access list drops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Traffic {
    /// IP protocol 112.
    Adverts,
    /// UDP port 3780.
    Heartbeats,
}

/// Direction, as seen from a router.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    From,
    To,
    Both,
}

impl Lab {
    /// Drops a kind of traffic at a router's port, until [`Lab::unfilter`].
    pub fn filter(&self, site: &Site, wire: Wire, what: Traffic, way: Direction) -> Result<()> {
        let rules = match what {
            Traffic::Adverts => "ip protocol 112 drop; ip6 nexthdr 112 drop;",
            Traffic::Heartbeats => "udp dport 3780 drop;",
        };
        self.drop_by(site, wire, rules, way)
    }

    /// Drops frames from the virtual MAC addresses of RFC 9568, as a hypervisor does, until [`Lab::unfilter`].
    pub fn drop_virtual_macs(&self, site: &Site, wire: Wire, way: Direction) -> Result<()> {
        let rule = "ether saddr & ff:ff:ff:ff:00:00 == 00:00:5e:00:00:00 drop;";
        self.drop_by(site, wire, rule, way)
    }

    /// Drops frames to virtual MAC addresses on their way to a router: a hypervisor only delivers frames for the MAC
    /// address that it assigned.
    pub fn drop_to_virtual_macs(&self, site: &Site, wire: Wire) -> Result<()> {
        let rule = "ether daddr & ff:ff:ff:ff:00:00 == 00:00:5e:00:00:00 drop;";
        self.drop_by(site, wire, rule, Direction::To)
    }

    /// Drops frames by rules of nftables, until [`Lab::unfilter`].
    pub fn drop_by(&self, site: &Site, wire: Wire, rules: &str, way: Direction) -> Result<()> {
        let port = site.port(wire);
        let chain = |hook: &str, not: Direction| {
            let rules = if way == not { "" } else { rules };
            format!(
                "chain {hook} {{ type filter hook {hook} device \"{port}\" priority 0; {rules} }}\n"
            )
        };
        let (from, to) = (
            chain("ingress", Direction::To),
            chain("egress", Direction::From),
        );
        self.unfilter(site, wire)?;
        self.sw
            .nft(&format!("table netdev acl-{port} {{\n{from}{to}}}\n"))
    }

    pub fn unfilter(&self, site: &Site, wire: Wire) -> Result<()> {
        let port = site.port(wire);
        self.sw.nft(&format!(
            "table netdev acl-{port}\ndelete table netdev acl-{port}\n"
        ))
    }

    /// Makes a network a private VLAN for its routers, or ends that: each router receives from all stations except the
    /// other routers.
    pub fn separate(&self, wire: Wire, separate: bool) -> Result<()> {
        let state = if separate { "on" } else { "off" };
        for site in &self.sites {
            let port = site.port(wire);
            self.sw
                .shell(&format!("bridge link set dev {port} isolated {state}"))?;
        }
        Ok(())
    }

    /// Joins two networks to one broadcast domain, by a cable between them.
    pub fn bridge(&self, one: Wire, other: Wire) -> Result<()> {
        let (one, other) = (one.name(), other.name());
        self.sw.ip(&format!(
            "link add {one}-{other} type veth peer name {other}-{one}\n\
             link set {one}-{other} master {one} up\n\
             link set {other}-{one} master {other} up\n"
        ))
    }
}
