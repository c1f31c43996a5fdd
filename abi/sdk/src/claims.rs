//! What a group claims, and its form in the ABI.

use std::net::IpAddr;
use std::time::Duration;

use spared_abi as abi;

use crate::group::{count, size};

/// Everything that a group claims. It is installed while the group is active.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claims {
    /// Virtual routers, whose adverts the fence lets through.
    pub routers: Vec<VirtualRouterClaim>,
    /// Virtual addresses.
    pub addresses: Vec<AddressClaim>,
    /// Virtual routes.
    pub routes: Vec<RouteClaim>,
    /// Interval at which addresses are announced again, in whole seconds; zero: never.
    pub refresh: Duration,
    /// How long one advert keeps the fence passing.
    pub lease: Duration,
}

/// One virtual router.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct VirtualRouterClaim {
    /// Interface of its adverts.
    pub interface: String,
    /// IPv6 rather than IPv4.
    pub ipv6: bool,
    /// 1-255.
    pub vrid: u8,
    /// Answer with the virtual MAC of RFC 9568.
    pub vmac: bool,
    /// Name of the device with the virtual MAC; empty: by VRID and interface.
    pub vmac_name: String,
    /// Accept packets to the addresses.
    pub accept: bool,
    /// Adverts arrive through routers: accept any TTL.
    pub routed: bool,
}

/// One virtual address.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AddressClaim {
    /// Interface that gets the address.
    pub interface: String,
    /// Index into the virtual routers; None: the address follows the group without VRRP.
    pub router: Option<u32>,
    /// The address.
    pub address: IpAddr,
    /// Its prefix length.
    pub prefix: u8,
    /// It is the source address of the node's own packets to that network.
    pub source: bool,
    /// It is the node's own, as that of an owner of RFC 9568: others set it by right.
    pub own: bool,
}

/// One virtual route.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RouteClaim {
    /// Destination.
    pub destination: IpAddr,
    /// Its prefix length.
    pub prefix: u8,
    /// Gateway.
    pub gateway: Option<IpAddr>,
    /// Interface; required without a gateway.
    pub interface: Option<String>,
    /// Preferred source address.
    pub source: Option<IpAddr>,
    /// Metric; 0: the kernel's default.
    pub metric: u32,
    /// Routing table; 0: main.
    pub table: u32,
}

/// Claims as the arrays of the ABI.
pub(crate) struct RawClaims {
    routers: Vec<abi::VirtualRouterClaim>,
    addresses: Vec<abi::AddressClaim>,
    routes: Vec<abi::RouteClaim>,
    refresh_s: u32,
    lease_ns: u64,
}

impl RawClaims {
    pub(crate) fn new(claims: &Claims) -> Self {
        Self {
            routers: claims.routers.iter().map(raw_router).collect(),
            addresses: claims.addresses.iter().map(raw_address).collect(),
            routes: claims.routes.iter().map(raw_route).collect(),
            refresh_s: u32::try_from(claims.refresh.as_secs()).unwrap_or(u32::MAX),
            lease_ns: u64::try_from(claims.lease.as_nanos()).unwrap_or(u64::MAX),
        }
    }

    /// What a plugin adds to a group of the elector's.
    pub(crate) fn added(addresses: &[AddressClaim], routes: &[RouteClaim]) -> Self {
        Self {
            routers: Vec::new(),
            addresses: addresses.iter().map(raw_address).collect(),
            routes: routes.iter().map(raw_route).collect(),
            refresh_s: 0,
            lease_ns: 0,
        }
    }

    /// Points into `self`.
    pub(crate) fn raw(&self) -> abi::Claims {
        abi::Claims {
            size: size::<abi::Claims>(),
            flags: 0,
            virtual_routers: self.routers.as_ptr(),
            addresses: self.addresses.as_ptr(),
            routes: self.routes.as_ptr(),
            virtual_router_count: count(self.routers.len()),
            address_count: count(self.addresses.len()),
            route_count: count(self.routes.len()),
            refresh_s: self.refresh_s,
            lease_ns: self.lease_ns,
        }
    }
}

fn raw_router(claim: &VirtualRouterClaim) -> abi::VirtualRouterClaim {
    let flag = |on: bool, flag: u32| if on { flag } else { 0 };
    abi::VirtualRouterClaim {
        size: size::<abi::VirtualRouterClaim>(),
        flags: flag(claim.vmac, abi::VIRTUAL_ROUTER_VMAC)
            | flag(claim.accept, abi::VIRTUAL_ROUTER_ACCEPT)
            | flag(claim.routed, abi::VIRTUAL_ROUTER_ROUTED),
        interface: abi::Str::of(&claim.interface),
        family: if claim.ipv6 { 6 } else { 4 },
        vrid: claim.vrid.into(),
        vmac_name: abi::Str::of(&claim.vmac_name),
    }
}

fn raw_address(claim: &AddressClaim) -> abi::AddressClaim {
    let flag = |on: bool, flag: u32| if on { flag } else { 0 };
    abi::AddressClaim {
        size: size::<abi::AddressClaim>(),
        flags: flag(claim.source, abi::ADDRESS_SOURCE) | flag(claim.own, abi::ADDRESS_OWN),
        virtual_router: claim.router.unwrap_or(abi::NO_VIRTUAL_ROUTER),
        family: family(claim.address),
        prefix: claim.prefix.into(),
        reserved: 0,
        interface: abi::Str::of(&claim.interface),
        octets: octets(claim.address),
    }
}

fn raw_route(claim: &RouteClaim) -> abi::RouteClaim {
    abi::RouteClaim {
        size: size::<abi::RouteClaim>(),
        flags: 0,
        family: family(claim.destination),
        prefix: claim.prefix.into(),
        metric: claim.metric,
        table: claim.table,
        interface: claim
            .interface
            .as_deref()
            .map_or(abi::Str::EMPTY, abi::Str::of),
        destination: octets(claim.destination),
        gateway: claim.gateway.map_or([0; 16], octets),
        source: claim.source.map_or([0; 16], octets),
    }
}

fn family(address: IpAddr) -> u32 {
    if address.is_ipv4() { 4 } else { 6 }
}

fn octets(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(address) => {
            let [a, b, c, d] = address.octets();
            [a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
        }
        IpAddr::V6(address) => address.octets(),
    }
}
