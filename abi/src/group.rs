//! `spared.group/1`: for the plugin that decides who is active.

use std::ffi::{CStr, c_char, c_void};

use crate::{Status, Str};

/// `SPARED_GROUP`.
pub const GROUP: &CStr = c"spared.group/1";

/// `SPARED_ROUTER_VMAC`.
pub const ROUTER_VMAC: u32 = 0x1;
/// `SPARED_ROUTER_ACCEPT`.
pub const ROUTER_ACCEPT: u32 = 0x2;
/// `SPARED_ROUTER_ROUTED`.
pub const ROUTER_ROUTED: u32 = 0x4;
/// `SPARED_NO_VIRTUAL_ROUTER`.
pub const NO_VIRTUAL_ROUTER: u32 = 0xffff_ffff;
/// `SPARED_ADDRESS_SOURCE`.
pub const ADDRESS_SOURCE: u32 = 0x1;

/// `SPARED_FORCED_NO`.
pub const FORCED_NO: u32 = 0;
/// `SPARED_FORCED_ACTIVE`.
pub const FORCED_ACTIVE: u32 = 1;
/// `SPARED_FORCED_BACKUP`.
pub const FORCED_BACKUP: u32 = 2;

/// `SPARED_DIRECTIVE_ELIGIBLE`.
pub const DIRECTIVE_ELIGIBLE: u32 = 0x1;
/// `SPARED_DIRECTIVE_MAINTENANCE`.
pub const DIRECTIVE_MAINTENANCE: u32 = 0x2;
/// `SPARED_DIRECTIVE_RESIGN`.
pub const DIRECTIVE_RESIGN: u32 = 0x4;
/// `SPARED_DIRECTIVE_PEER`.
pub const DIRECTIVE_PEER: u32 = 0x8;
/// `SPARED_DIRECTIVE_JOINING`.
pub const DIRECTIVE_JOINING: u32 = 0x10;
/// `SPARED_DIRECTIVE_READY`.
pub const DIRECTIVE_READY: u32 = 0x20;
/// `SPARED_DIRECTIVE_FROZEN`.
pub const DIRECTIVE_FROZEN: u32 = 0x40;
/// `SPARED_DIRECTIVE_RELEASE`.
pub const DIRECTIVE_RELEASE: u32 = 0x80;
/// `SPARED_DIRECTIVE_PREPARED`.
pub const DIRECTIVE_PREPARED: u32 = 0x100;
/// `SPARED_QUALITY_MAX`.
pub const QUALITY_MAX: u32 = 100;

/// `struct spared_virtual_router_claim`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct VirtualRouterClaim {
    /// Size of this struct.
    pub size: u32,
    /// `ROUTER_*`.
    pub flags: u32,
    /// Where it speaks.
    pub interface: Str,
    /// 4 or 6.
    pub family: u32,
    /// 1-255.
    pub vrid: u32,
}

/// `struct spared_address_claim`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct AddressClaim {
    /// Size of this struct.
    pub size: u32,
    /// `ADDRESS_*`.
    pub flags: u32,
    /// Index into the routers, or [`NO_VIRTUAL_ROUTER`].
    pub router: u32,
    /// 4 or 6.
    pub family: u32,
    /// Prefix length.
    pub prefix: u32,
    /// 0.
    pub reserved: u32,
    /// Where it lives.
    pub interface: Str,
    /// Network order; IPv4 in the first four.
    pub octets: [u8; 16],
}

/// `struct spared_route_claim`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct RouteClaim {
    /// Size of this struct.
    pub size: u32,
    /// 0.
    pub flags: u32,
    /// 4 or 6.
    pub family: u32,
    /// Prefix length of the destination.
    pub prefix: u32,
    /// 0: the kernel's default.
    pub metric: u32,
    /// 0: main.
    pub table: u32,
    /// May be empty where there is a gateway.
    pub interface: Str,
    /// Network order; IPv4 in the first four.
    pub destination: [u8; 16],
    /// All zero: none.
    pub gateway: [u8; 16],
    /// All zero: none.
    pub source: [u8; 16],
}

/// `struct spared_claims`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Claims {
    /// Size of this struct.
    pub size: u32,
    /// 0.
    pub flags: u32,
    /// `router_count` routers.
    pub routers: *const VirtualRouterClaim,
    /// `address_count` addresses.
    pub addresses: *const AddressClaim,
    /// `route_count` routes.
    pub routes: *const RouteClaim,
    /// How many.
    pub router_count: u32,
    /// How many.
    pub address_count: u32,
    /// How many.
    pub route_count: u32,
    /// Announce again that often; 0: not.
    pub refresh_s: u32,
    /// How long one advert keeps the fence passing.
    pub lease_ns: u64,
}

/// `struct spared_group`: the host's half.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Group {
    /// Size of this struct.
    pub size: u32,
    /// 0.
    pub reserved: u32,
    /// Declares, replaces or withdraws a group.
    pub claim: Option<unsafe extern "C" fn(*mut c_void, *const c_char, *const Claims) -> Status>,
    /// Says the group's role.
    pub publish:
        Option<unsafe extern "C" fn(*mut c_void, *const c_char, u32, *const c_char, Str) -> Status>,
    /// Announces the addresses again.
    pub announce: Option<unsafe extern "C" fn(*mut c_void, *const c_char) -> Status>,
    /// Asks for a switchover to the peer.
    pub switch_over:
        Option<unsafe extern "C" fn(*mut c_void, *const c_char, *const c_char, Str) -> Status>,
}

/// `struct spared_directive`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Directive {
    /// Size of this struct.
    pub size: u32,
    /// `DIRECTIVE_*`.
    pub flags: u32,
    /// The configured name.
    pub group: Str,
    /// 0-100.
    pub quality: u32,
    /// 0-100, where [`DIRECTIVE_PEER`] is set.
    pub peer_quality: u32,
    /// `FORCED_*`.
    pub forced: u32,
    /// 0.
    pub reserved: u32,
    /// The reason.
    pub why: Str,
}

/// `struct spared_group_plugin`: the plugin's half.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct GroupPlugin {
    /// Size of this struct.
    pub size: u32,
    /// 0.
    pub reserved: u32,
    /// What the host wants of a group.
    pub directive: Option<unsafe extern "C" fn(*mut c_void, *const Directive) -> Status>,
}
