//! Composes the claims of a group to the host: virtual routers for the fence, addresses, routes.

use spared_sdk::{AddressClaim, Claims, RouteClaim, VirtualRouterClaim};

use crate::config::Group;
use crate::wire::Family;
use crate::wire::frame::TTL;

/// Returns all claims of a group.
pub(crate) fn claims(group: &Group) -> Claims {
    let own = group.is_owner();
    let routers = group.routers.iter().map(|router| VirtualRouterClaim {
        interface: router.interface.clone(),
        family: match router.family {
            Family::V4 => spared_sdk::Family::V4,
            Family::V6 => spared_sdk::Family::V6,
        },
        vrid: router.vrid,
        vmac: router.vmac.is_some(),
        vmac_name: router.vmac.clone().unwrap_or_default(),
        accept: router.accept,
        routed: router.min_ttl < TTL,
    });
    let of_routers = group
        .routers
        .iter()
        .enumerate()
        .flat_map(|(index, router)| {
            router.addresses.iter().map(move |address| AddressClaim {
                interface: router.interface.clone(),
                router: u32::try_from(index).ok(),
                address: address.address,
                prefix: address.prefix,
                source: address.source,
                own,
            })
        });
    let group_addresses = group.addresses.iter().map(|group_address| AddressClaim {
        interface: group_address.interface.clone(),
        router: None,
        address: group_address.address.address,
        prefix: group_address.address.prefix,
        source: group_address.address.source,
        own,
    });
    let routes = group.routes.iter().map(|route| RouteClaim {
        destination: route.destination.addr(),
        prefix: route.destination.prefix_len(),
        gateway: route.gateway,
        interface: route.interface.clone(),
        source: route.source,
        metric: route.metric,
        table: route.table,
    });
    Claims {
        routers: routers.collect(),
        addresses: of_routers.chain(group_addresses).collect(),
        routes: routes.collect(),
        refresh_s: group.refresh_s,
        lease_ns: group.lease_ns,
    }
}
