//! Composes the claims of a group to the host: virtual routers for the fence, addresses, routes, policy rules.

use spared_sdk::config::IpNet;
use spared_sdk::{AddressClaim, Claims, RouteClaim, RuleClaim, VirtualRouterClaim};

use crate::config::{Group, Rule};
use crate::wire::Family;
use crate::wire::frame::TTL;

/// Returns all claims of a group.
pub(crate) fn claims(group: &Group) -> Claims {
    let own = group.is_owner();
    let routers = group.routers.iter().map(|router| VirtualRouterClaim {
        interface: router.interface.clone(),
        family: family(router.family),
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
                label: address.label.clone(),
            })
        });
    let group_addresses = group
        .followers
        .addresses
        .iter()
        .map(|group_address| AddressClaim {
            interface: group_address.interface.clone(),
            router: None,
            address: group_address.address.address,
            prefix: group_address.address.prefix,
            source: group_address.address.source,
            own,
            label: group_address.address.label.clone(),
        });
    let routes = group.followers.routes.iter().map(|route| RouteClaim {
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
        rules: group.followers.rules.iter().map(rule).collect(),
    }
}

fn rule(rule: &Rule) -> RuleClaim {
    let prefix = |net: Option<IpNet>| net.map_or(0, |net| net.prefix_len());
    let mark = rule.mark;
    RuleClaim {
        family: family(rule.family),
        priority: rule.priority,
        from: rule.from.map(|net| net.addr()),
        from_prefix: prefix(rule.from),
        to: rule.to.map(|net| net.addr()),
        to_prefix: prefix(rule.to),
        mark: mark.map_or(0, |mark| mark.value),
        mark_mask: mark.map_or(0, |mark| mark.mask),
        iif: rule.iif.clone().unwrap_or_default(),
        oif: rule.oif.clone().unwrap_or_default(),
        table: rule.table,
    }
}

fn family(family: Family) -> spared_sdk::Family {
    match family {
        Family::V4 => spared_sdk::Family::V4,
        Family::V6 => spared_sdk::Family::V6,
    }
}
