//! What a group claims, in the form of the ABI.

use std::net::IpAddr;

use spared_abi as abi;
use spared_contract::address::to_raw;
use spared_contract::{AddressClaim, Claims, RouteClaim, VirtualRouterClaim};

use crate::group::{count, size};

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
            refresh_s: claims.refresh_s,
            lease_ns: claims.lease_ns,
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
        family: claim.family.to_raw(),
        vrid: claim.vrid.into(),
        vmac_name: abi::Str::of(&claim.vmac_name),
    }
}

fn raw_address(claim: &AddressClaim) -> abi::AddressClaim {
    let flag = |on: bool, flag: u32| if on { flag } else { 0 };
    let (family, octets) = to_raw(claim.address);
    abi::AddressClaim {
        size: size::<abi::AddressClaim>(),
        flags: flag(claim.source, abi::ADDRESS_SOURCE) | flag(claim.own, abi::ADDRESS_OWN),
        virtual_router: claim.router.unwrap_or(abi::NO_VIRTUAL_ROUTER),
        family,
        prefix: claim.prefix.into(),
        reserved: 0,
        interface: abi::Str::of(&claim.interface),
        octets,
    }
}

fn raw_route(claim: &RouteClaim) -> abi::RouteClaim {
    let (family, destination) = to_raw(claim.destination);
    let octets = |address: Option<IpAddr>| address.map_or([0; 16], |it| to_raw(it).1);
    abi::RouteClaim {
        size: size::<abi::RouteClaim>(),
        flags: 0,
        family,
        prefix: claim.prefix.into(),
        metric: claim.metric,
        table: claim.table,
        interface: claim
            .interface
            .as_deref()
            .map_or(abi::Str::EMPTY, abi::Str::of),
        destination,
        gateway: octets(claim.gateway),
        source: octets(claim.source),
    }
}
