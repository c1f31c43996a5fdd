//! Reads the plugin's file: groups, their virtual routers, addresses and routes.
//!
//! [`read`] reads every key; `README.md` describes all of them.

mod addresses;
mod consistency;
mod followers;
mod members;
mod mode;
mod read;
#[cfg(test)]
mod tests;

use std::net::{IpAddr, Ipv6Addr};

use spared_sdk::config::{IpNet, Mark};

use crate::election::OWNER;
use crate::wire::vrrp::{ChecksumForm, Password, Version};
use crate::wire::{Family, virtual_mac};

pub use read::read;

/// Limit of addresses in an IPv6 advert: they fit the smallest IPv6 MTU, and both nodes omit the same ones, whatever
/// their MTU is.
pub const ADVERTISED_IPV6_MAX: usize = 77;
/// Limit of addresses in an IPv4 advert, which counts them in a byte.
pub const ADVERTISED_IPV4_MAX: usize = 255;

/// Settings of the whole file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    pub groups: Vec<Group>,
    /// Name of the peer; None unless there are two nodes.
    pub peer: Option<String>,
}

/// A group: addresses that move together, by one election.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    pub name: String,
    pub election: Election,
    /// Points by which an interface without carrier lowers the priority.
    pub carrier_weight: u8,
    /// Adverts of routers outside `peers` count, too.
    pub any_router: bool,
    pub version: Version,
    /// Form of the checksum to send until a peer shows its own.
    pub form: ChecksumForm,
    pub interval_ns: u64,
    /// Longest interval accepted from an advert, in ns.
    pub interval_max_ns: u64,
    pub advert_loss: u32,
    pub start_delay_ns: u64,
    /// Time for which one advert keeps the fence passing, in ns.
    pub lease_ns: u64,
    pub refresh_s: u32,
    pub routers: Vec<VirtualRouter>,
    pub followers: Followers,
}

/// Addresses, routes and rules that follow a group without adverts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Followers {
    pub addresses: Vec<GroupAddress>,
    pub routes: Vec<Route>,
    pub rules: Vec<Rule>,
}

impl Group {
    /// Returns true for the owner of RFC 9568, whose virtual addresses are the node's own.
    pub fn is_owner(&self) -> bool {
        matches!(self.election, Election::Priority { priority, .. } if priority == OWNER)
    }

    /// Returns every virtual address with its interface, those of `[[group.address]]` included.
    pub fn virtual_addresses(&self) -> impl Iterator<Item = (&str, IpAddr)> {
        let of_routers = self.routers.iter().flat_map(|router| {
            let addresses = router.addresses.iter();
            addresses.map(|it| (router.interface.as_str(), it.address))
        });
        let group_addresses = self.followers.addresses.iter();
        of_routers.chain(group_addresses.map(|it| (it.interface.as_str(), it.address.address)))
    }

    /// Returns interfaces of `[[group.address]]` and `[[group.route]]` that count in the node's quality, with their
    /// weights.
    pub fn tracked(&self) -> impl Iterator<Item = (&str, u32)> {
        let group_addresses = self.followers.addresses.iter();
        let group_addresses = group_addresses.map(|it| (it.interface.as_str(), it.weight));
        let routes = self.followers.routes.iter();
        let routes = routes.filter_map(|it| Some((it.interface.as_deref()?, it.weight)));
        group_addresses
            .chain(routes)
            .filter(|(_, weight)| *weight > 0)
    }
}

/// Mode of election.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Election {
    /// The node with the higher quality is active. `preferred` breaks a tie: true for this node, false for the other.
    Quality {
        preferred: Option<bool>,
        failback_delay_ns: u64,
        hold_ns: u64,
    },
    /// The node with the higher configured priority is active, as in RFC 9568.
    Priority {
        priority: u8,
        preempt: bool,
        preempt_delay_ns: u64,
    },
}

/// One virtual router: an interface, a family and a VRID.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VirtualRouter {
    /// Index of its `[[group.interface]]`, for messages.
    pub section_index: usize,
    pub interface: String,
    pub family: Family,
    pub vrid: u8,
    /// Addresses in the adverts, in this order; for IPv6 the first is link-local.
    pub advertised: Vec<IpAddr>,
    /// All addresses of the group on this interface, of this family.
    pub addresses: Vec<Address>,
    /// Allowed senders of adverts, which may include this node's own addresses. Empty for any sender.
    pub peers: Vec<IpAddr>,
    /// Adverts go to each of `peers` rather than to the multicast group.
    pub unicast: bool,
    /// Lowest accepted TTL of a unicast peer.
    pub min_ttl: u8,
    /// Source address of adverts; None for the interface's first address.
    pub advert_source: Option<IpAddr>,
    /// Name of the device with the virtual MAC; if empty, it is made of VRID and interface. None: no virtual MAC.
    pub vmac: Option<String>,
    /// Password of version 2 in the adverts.
    pub password: Option<Password>,
    pub accept: bool,
    /// Stations that answer if this network works.
    pub witnesses: Vec<IpAddr>,
    /// Weight of the interface in this node's quality: 0-9999.
    pub weight: u32,
    /// Id of the network in heartbeats, the same on both nodes.
    pub path: u32,
    /// Heartbeats are sent there.
    pub heartbeats: bool,
}

/// An address of a virtual router or of `[[group.address]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    pub address: IpAddr,
    pub prefix: u8,
    /// This node uses it as source address of its own packets there.
    pub source: bool,
    /// Label with the interface's name, as "lan2:vip"; empty without one.
    pub label: String,
}

impl Address {
    /// Returns true if a station is in the address's network.
    pub fn is_in_network(&self, station: IpAddr) -> bool {
        let (own, other) = match (self.address, station) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                let wide = |it: u32| u128::from(it) << 96;
                (wide(own.into()), wide(other.into()))
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => (own.into(), other.into()),
            _ => return false,
        };
        let host_bits = 128_u32.saturating_sub(self.prefix.into());
        (own ^ other).checked_shr(host_bits).unwrap_or(0) == 0
    }
}

/// An address that belongs to the group without VRRP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupAddress {
    /// Index of its `[[group.address]]`, for messages.
    pub section_index: usize,
    pub interface: String,
    pub address: Address,
    /// Weight of the interface in this node's quality: 0-9999; with 0 it is no check.
    pub weight: u32,
}

/// A route that exists while the group is active.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    pub destination: IpNet,
    pub gateway: Option<IpAddr>,
    pub interface: Option<String>,
    pub source: Option<IpAddr>,
    pub metric: u32,
    pub table: u32,
    /// Weight of the interface in this node's quality: 0-9999; with 0 it is no check.
    pub weight: u32,
}

/// A policy rule that exists while the group is active.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Rule {
    pub family: Family,
    pub priority: u32,
    pub from: Option<IpNet>,
    pub to: Option<IpNet>,
    pub mark: Option<Mark>,
    pub iif: Option<String>,
    pub oif: Option<String>,
    pub table: u32,
}

/// Returns the time for which an advert keeps the fence passing: the shortest time after which a peer takes over, minus
/// one tick of the kernel's set timeouts or a tenth. None if that leaves no time for one late advert.
pub fn lease_ns(interval_ns: u64, advert_loss: u32, tick_ns: u64) -> Option<u64> {
    let failover_ns = interval_ns.saturating_mul(u64::from(advert_loss));
    let lease_ns = failover_ns.saturating_sub(tick_ns.max(failover_ns / 10));
    (lease_ns >= interval_ns.saturating_add(2 * tick_ns)).then_some(lease_ns)
}

/// Returns the link-local address that RFC 9568 requires first. It is derived from the virtual MAC, so that both nodes
/// have the same.
pub fn derived_link_local(vrid: u8) -> Ipv6Addr {
    let [a, b, c, d, e, f] = virtual_mac(Family::V6, vrid);
    Ipv6Addr::from([
        0xfe,
        0x80,
        0,
        0,
        0,
        0,
        0,
        0,
        a ^ 0x02,
        b,
        c,
        0xff,
        0xfe,
        d,
        e,
        f,
    ])
}

/// Returns true for addresses in fe80::/10.
pub fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(_) => false,
        IpAddr::V6(address) => address.segments()[0] & 0xffc0 == 0xfe80,
    }
}
