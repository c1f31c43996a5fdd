//! Invalid calls about groups, by a plugin that is not the elector.

use std::ptr;

use spared_abi::{self as abi, Status, Str};

use crate::host::{ctx, half, say_status};
use crate::lie::unmapped;

fn group() -> Option<&'static abi::Group> {
    half::<abi::Group>(abi::GROUP)
}

fn claim(name: &str, claims: *const abi::Claims) -> Status {
    let element = abi::GroupClaim {
        size: size_of::<abi::GroupClaim>() as u32,
        flags: 0,
        group: Str::of(name),
        claims,
    };
    claim_raw(&raw const element, 1, ptr::null_mut())
}

fn claim_raw(first: *const abi::GroupClaim, count: u32, statuses: *mut Status) -> Status {
    let claim = group().and_then(|half| half.claim);
    // SAFETY: none, on purpose.
    claim.map_or(0, |claim| unsafe { claim(ctx(), first, count, statuses) })
}

fn publish(name: &str, role: u32) -> Status {
    let cause = abi::Cause {
        size: size_of::<abi::Cause>() as u32,
        kind: abi::CAUSE_OTHER,
        flags: !abi::FLAGS_REQUIRED,
        own: u32::MAX,
        theirs: u32::MAX,
        reserved: u32::MAX,
        for_ns: u64::MAX,
        peer: Str::of("\x1b[2J"),
        interface: Str::of("lan"),
        text: Str::of("a hostile plugin wants it"),
    };
    // twice the same group in one array
    let element = abi::Publication {
        size: size_of::<abi::Publication>() as u32,
        flags: !abi::FLAGS_REQUIRED,
        group: Str::of(name),
        role,
        reserved: u32::MAX,
        cause: &raw const cause,
    };
    let publish = group().and_then(|half| half.publish);
    let elements = [element; 2];
    // SAFETY: the contract.
    publish.map_or(0, |publish| unsafe {
        publish(ctx(), elements.as_ptr(), 2, ptr::null_mut())
    })
}

/// Adds to a group without the capability.
pub fn add_uninvited() -> Status {
    let add = half::<abi::Addition>(abi::CLAIM).and_then(|half| half.add);
    // SAFETY: the contract.
    add.map_or(0, |add| unsafe {
        add(ctx(), ptr::null(), ptr::null());
        say_status("add", add(ctx(), c"office".as_ptr(), &NO_CLAIMS))
    })
}

/// Watches what there is not, and floods itself with what it watches.
pub fn watch() -> Status {
    let watch = half::<abi::Watch>(abi::STATUS).and_then(|half| half.watch);
    // SAFETY: the contract.
    watch.map_or(0, |watch| unsafe {
        watch(ctx(), 0x8);
        for _ in 0..1000 {
            watch(ctx(), abi::WATCH_STATUS | abi::WATCH_EVENTS);
        }
        say_status("watch", watch(ctx(), u32::MAX))
    })
}

/// Arrays that are none.
pub fn group_arrays() -> Status {
    let element = abi::GroupClaim {
        size: 4,
        flags: 0,
        group: Str::of("hostile"),
        claims: ptr::null(),
    };
    claim_raw(ptr::null(), 7, ptr::null_mut());
    claim_raw(&raw const element, u32::MAX, ptr::null_mut());
    claim_raw(&raw const element, 1, ptr::null_mut());
    say_status("an array", claim_raw(ptr::null(), 1, ptr::null_mut()))
}

/// An array that ends at an unmapped address.
pub fn group_array_unmapped() -> Status {
    claim_raw(unmapped(), 3, ptr::null_mut())
}

const NO_CLAIMS: abi::Claims = abi::Claims {
    size: size_of::<abi::Claims>() as u32,
    flags: 0,
    virtual_routers: ptr::null(),
    addresses: ptr::null(),
    routes: ptr::null(),
    virtual_router_count: 0,
    address_count: 0,
    route_count: 0,
    refresh_s: 0,
    lease_ns: 300_000_000,
};

/// Claims a group without being an elector.
pub fn claim_uninvited() -> Status {
    claim("office", &NO_CLAIMS);
    say_status("publish", publish("office", abi::ROLE_BACKUP))
}

pub fn group_null() -> Status {
    claim("", &NO_CLAIMS);
    say_status("claim", claim("", ptr::null()))
}

pub fn group_short() -> Status {
    let claims = abi::Claims {
        size: 4,
        ..NO_CLAIMS
    };
    say_status("claim", claim("hostile", &raw const claims))
}

pub fn group_count() -> Status {
    let claims = abi::Claims {
        virtual_router_count: u32::MAX,
        address_count: u32::MAX,
        ..NO_CLAIMS
    };
    claim("hostile", &raw const claims);
    let claims = abi::Claims {
        route_count: 4096,
        ..NO_CLAIMS
    };
    say_status("claim", claim("hostile", &raw const claims))
}

pub fn group_unmapped() -> Status {
    let claims = abi::Claims {
        virtual_routers: unmapped(),
        virtual_router_count: 1,
        ..NO_CLAIMS
    };
    claim("hostile", &raw const claims)
}

pub fn group_no_role() -> Status {
    claim("hostile", &NO_CLAIMS);
    publish("hostile", 0);
    publish("no such group", abi::ROLE_ACTIVE);
    say_status("publish", publish("hostile", u32::MAX))
}

/// The group of another plugin: claimed, withdrawn, published, announced.
pub fn group_steal() -> Status {
    claim("office", &NO_CLAIMS);
    claim("office", ptr::null());
    publish("office", abi::ROLE_BACKUP);
    publish("office", abi::ROLE_FAULT);
    let office = Str::of("office");
    if let Some(announce) = group().and_then(|half| half.announce) {
        // SAFETY: the contract.
        unsafe { announce(ctx(), &raw const office, 1, ptr::null_mut()) };
    }
    say_status("publish", publish("office", abi::ROLE_ACTIVE))
}

/// Its own group with the address and the virtual router of another group, then withdrawn.
pub fn group_same_address() -> Status {
    let lan = Str::of("lan");
    let router = abi::VirtualRouterClaim {
        size: size_of::<abi::VirtualRouterClaim>() as u32,
        flags: 0,
        interface: lan,
        family: 4,
        vrid: 51,
        vmac_name: Str::of(""),
    };
    let mut octets = [0; 16];
    octets[..4].copy_from_slice(&[10, 1, 0, 1]);
    let address = abi::AddressClaim {
        size: size_of::<abi::AddressClaim>() as u32,
        flags: 0,
        virtual_router: 0,
        family: 4,
        prefix: 24,
        reserved: 0,
        interface: lan,
        octets,
    };
    let claims = abi::Claims {
        virtual_routers: &raw const router,
        virtual_router_count: 1,
        addresses: &raw const address,
        address_count: 1,
        ..NO_CLAIMS
    };
    let status = claim("hostile", &raw const claims);
    publish("hostile", abi::ROLE_ACTIVE);
    publish("hostile", abi::ROLE_BACKUP);
    claim("hostile", ptr::null::<abi::Claims>());
    say_status("claim", status)
}
