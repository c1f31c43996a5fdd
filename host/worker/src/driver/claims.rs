//! Reads a group's claims from the plugin's structs.

use std::net::IpAddr;

use spared_abi as abi;
use spared_contract::address::from_raw;
use spared_contract::check_interface;
use spared_contract::{AddressClaim, Claims, Family, RouteClaim, VirtualRouterClaim};

use super::lent;

/// Maximum number of claims of a kind; more are a mistake of the plugin.
const CLAIMS_MAX: u32 = 4096;

/// # Errors
/// What is wrong, for the log.
///
/// # Safety
/// `raw` is valid, as are the arrays and texts that it leads to.
pub unsafe fn read(raw: *const abi::Claims) -> Result<Claims, String> {
    // SAFETY: the caller's promise, for the struct, its arrays, and their texts.
    unsafe {
        let raw = lent::sized(raw, "spared_claims")?;
        lent::check_flags("spared_claims", raw.flags)?;
        for (what, count) in [
            ("virtual routers", raw.virtual_router_count),
            ("addresses", raw.address_count),
            ("routes", raw.route_count),
        ] {
            if count > CLAIMS_MAX {
                return Err(format!("{count} {what}, at most {CLAIMS_MAX} are allowed"));
            }
        }
        let routers = array(
            raw.virtual_routers,
            raw.virtual_router_count,
            "virtual router",
        )?;
        let addresses = array(raw.addresses, raw.address_count, "address")?;
        let routes = array(raw.routes, raw.route_count, "route")?;
        Ok(Claims {
            routers: routers
                .iter()
                .map(|raw| router(raw))
                .collect::<Result<_, _>>()?,
            addresses: addresses
                .iter()
                .map(|claim| address(claim, raw.virtual_router_count))
                .collect::<Result<_, _>>()?,
            routes: routes
                .iter()
                .map(|raw| route(raw))
                .collect::<Result<_, _>>()?,
            refresh_s: raw.refresh_s,
            lease_ns: raw.lease_ns,
        })
    }
}

/// # Safety
/// As for [`lent::sized_array`].
unsafe fn array<T: abi::PassedStruct>(
    first: *const T,
    count: u32,
    what: &str,
) -> Result<Vec<T>, String> {
    // SAFETY: the caller's promise.
    unsafe { lent::sized_array(first, count) }
        .ok_or_else(|| format!("a {what} claim without its size"))
}

/// # Safety
/// The texts of `raw` are valid.
unsafe fn router(raw: &abi::VirtualRouterClaim) -> Result<VirtualRouterClaim, String> {
    lent::check_flags("a virtual router", raw.flags)?;
    let vrid = u8::try_from(raw.vrid).ok().filter(|vrid| *vrid > 0);
    Ok(VirtualRouterClaim {
        // SAFETY: the caller's promise.
        interface: unsafe { interface(raw.interface) }?,
        family: family(raw.family)?,
        vrid: vrid.ok_or_else(|| format!("vrid {}, allowed 1-255", raw.vrid))?,
        vmac: raw.flags & abi::VIRTUAL_ROUTER_VMAC != 0,
        // SAFETY: the caller's promise.
        vmac_name: unsafe { device_name(raw.vmac_name) }?,
        accept: raw.flags & abi::VIRTUAL_ROUTER_ACCEPT != 0,
        routed: raw.flags & abi::VIRTUAL_ROUTER_ROUTED != 0,
    })
}

/// # Safety
/// The texts of `raw` are valid.
unsafe fn address(raw: &abi::AddressClaim, routers: u32) -> Result<AddressClaim, String> {
    lent::check_flags("an address", raw.flags)?;
    let router = (raw.virtual_router != abi::NO_VIRTUAL_ROUTER).then_some(raw.virtual_router);
    if router.is_some_and(|router| router >= routers) {
        return Err(format!(
            "an address of virtual router {}, there are {routers}",
            raw.virtual_router
        ));
    }
    Ok(AddressClaim {
        // SAFETY: the caller's promise.
        interface: unsafe { interface(raw.interface) }?,
        router,
        address: ip(raw.family, raw.octets)?,
        prefix: prefix(raw.family, raw.prefix)?,
        source: raw.flags & abi::ADDRESS_SOURCE != 0,
        own: raw.flags & abi::ADDRESS_OWN != 0,
    })
}

/// # Safety
/// The texts of `raw` are valid.
unsafe fn route(raw: &abi::RouteClaim) -> Result<RouteClaim, String> {
    lent::check_flags("a route", raw.flags)?;
    let optional = |octets: [u8; 16]| match octets {
        [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0] => Ok(None),
        octets => ip(raw.family, octets).map(Some),
    };
    // SAFETY: the caller's promise.
    let interface = match unsafe { lent::text(raw.interface) } {
        name if name.is_empty() => None,
        // SAFETY: as above.
        _ => Some(unsafe { interface(raw.interface) }?),
    };
    let gateway = optional(raw.gateway)?;
    if interface.is_none() && gateway.is_none() {
        return Err("a route with neither gateway nor interface".to_owned());
    }
    Ok(RouteClaim {
        destination: ip(raw.family, raw.destination)?,
        prefix: prefix(raw.family, raw.prefix)?,
        gateway,
        interface,
        source: optional(raw.source)?,
        metric: raw.metric,
        table: raw.table,
    })
}

/// # Safety
/// `name` is valid.
unsafe fn interface(name: abi::Str) -> Result<String, String> {
    // SAFETY: the caller's promise.
    let name = unsafe { lent::text(name) };
    check_interface(&name)?;
    Ok(name.into_owned())
}

/// # Safety
/// `name` is valid.
unsafe fn device_name(name: abi::Str) -> Result<String, String> {
    // SAFETY: the caller's promise.
    let name = unsafe { lent::text(name) };
    if !name.is_empty() {
        check_interface(&name)?;
    }
    Ok(name.into_owned())
}

fn family(raw: u32) -> Result<Family, String> {
    Family::from_raw(raw).ok_or_else(|| wrong_family(raw))
}

fn ip(family: u32, octets: [u8; 16]) -> Result<IpAddr, String> {
    from_raw(family, octets).ok_or_else(|| wrong_family(family))
}

fn wrong_family(raw: u32) -> String {
    format!("family {raw}, allowed 4, 6")
}

fn prefix(raw_family: u32, prefix: u32) -> Result<u8, String> {
    let longest = match family(raw_family)? {
        Family::V4 => 32,
        Family::V6 => 128,
    };
    match u8::try_from(prefix) {
        Ok(prefix) if prefix <= longest => Ok(prefix),
        _ => Err(format!("prefix length {prefix}, allowed 0-{longest}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw_router() -> abi::VirtualRouterClaim {
        abi::VirtualRouterClaim {
            size: size_of::<abi::VirtualRouterClaim>() as u32,
            flags: abi::VIRTUAL_ROUTER_VMAC,
            interface: abi::Str::of("lan2"),
            family: 4,
            vrid: 50,
            vmac_name: abi::Str::of("inside"),
        }
    }

    fn raw_address() -> abi::AddressClaim {
        abi::AddressClaim {
            size: size_of::<abi::AddressClaim>() as u32,
            flags: abi::ADDRESS_SOURCE | abi::ADDRESS_OWN,
            virtual_router: 0,
            family: 4,
            prefix: 24,
            reserved: 0,
            interface: abi::Str::of("lan2"),
            octets: [192, 168, 200, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        }
    }

    fn read_one(
        router: abi::VirtualRouterClaim,
        address: abi::AddressClaim,
    ) -> Result<Claims, String> {
        let raw = abi::Claims {
            size: size_of::<abi::Claims>() as u32,
            flags: 0,
            virtual_routers: &raw const router,
            addresses: &raw const address,
            routes: std::ptr::null(),
            virtual_router_count: 1,
            address_count: 1,
            route_count: 0,
            refresh_s: 60,
            lease_ns: 250_000_000,
        };
        // SAFETY: everything above lives until here.
        unsafe { read(&raw) }
    }

    #[test]
    fn claims_are_copied_field_by_field() {
        let claims = read_one(raw_router(), raw_address()).unwrap();
        assert_eq!(
            claims,
            Claims {
                routers: vec![VirtualRouterClaim {
                    interface: "lan2".to_owned(),
                    family: Family::V4,
                    vrid: 50,
                    vmac: true,
                    vmac_name: "inside".into(),
                    accept: false,
                    routed: false,
                }],
                addresses: vec![AddressClaim {
                    interface: "lan2".to_owned(),
                    router: Some(0),
                    address: "192.168.200.1".parse().unwrap(),
                    prefix: 24,
                    source: true,
                    own: true,
                }],
                routes: Vec::new(),
                refresh_s: 60,
                lease_ns: 250_000_000,
            }
        );
    }

    #[test]
    fn elements_of_a_later_minor_are_walked_by_their_own_size() {
        #[repr(C)]
        struct Later {
            known: abi::VirtualRouterClaim,
            more: [u64; 3],
        }
        let later = |vrid| Later {
            known: abi::VirtualRouterClaim {
                size: size_of::<Later>() as u32,
                vrid,
                ..raw_router()
            },
            more: [u64::MAX; 3],
        };
        let array = [later(1), later(2), later(3)];
        // SAFETY: three elements of the size that they say.
        let copies = unsafe { lent::sized_array(&raw const array[0].known, 3) }.unwrap();
        let vrids: Vec<u32> = copies
            .iter()
            .map(|copy: &abi::VirtualRouterClaim| copy.vrid)
            .collect();
        assert_eq!(vrids, [1, 2, 3]);
        assert_eq!(array[0].more[0], u64::MAX);
    }

    #[test]
    fn every_wrong_field_is_a_sentence() {
        let why = |router, address| read_one(router, address).unwrap_err();
        let router = raw_router;
        let address = raw_address;
        assert_eq!(
            why(
                abi::VirtualRouterClaim {
                    vrid: 0,
                    ..router()
                },
                address()
            ),
            "vrid 0, allowed 1-255"
        );
        assert_eq!(
            why(
                abi::VirtualRouterClaim {
                    vrid: 256,
                    ..router()
                },
                address()
            ),
            "vrid 256, allowed 1-255"
        );
        assert_eq!(
            why(
                abi::VirtualRouterClaim {
                    flags: 0x1_8000,
                    ..router()
                },
                address()
            ),
            "a virtual router has the flags 0x10000, which this spared does not know: update spared"
        );
        assert_eq!(
            why(
                abi::VirtualRouterClaim {
                    family: 5,
                    ..router()
                },
                address()
            ),
            "family 5, allowed 4, 6"
        );
        assert_eq!(
            why(
                abi::VirtualRouterClaim {
                    size: 0,
                    ..router()
                },
                address()
            ),
            "a virtual router claim without its size"
        );
        assert_eq!(
            why(
                abi::VirtualRouterClaim {
                    interface: abi::Str::of("a/b"),
                    ..router()
                },
                address()
            ),
            "\"a/b\" is not a valid interface name"
        );
        assert_eq!(
            why(
                router(),
                abi::AddressClaim {
                    virtual_router: 1,
                    ..address()
                }
            ),
            "an address of virtual router 1, there are 1"
        );
        assert_eq!(
            why(
                router(),
                abi::AddressClaim {
                    prefix: 33,
                    ..address()
                }
            ),
            "prefix length 33, allowed 0-32"
        );
    }
}
