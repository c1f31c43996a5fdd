//! `spared.group/1`: for the elector, the plugin that decides roles.

use std::ffi::{CStr, c_char, c_void};

use crate::{Status, Str};

/// `SPARED_GROUP`.
pub const GROUP: &CStr = c"spared.group/1";

/// `SPARED_VIRTUAL_ROUTER_VMAC`.
pub const VIRTUAL_ROUTER_VMAC: u32 = 0x1;
/// `SPARED_VIRTUAL_ROUTER_ACCEPT`.
pub const VIRTUAL_ROUTER_ACCEPT: u32 = 0x2;
/// `SPARED_VIRTUAL_ROUTER_ROUTED`.
pub const VIRTUAL_ROUTER_ROUTED: u32 = 0x4;
/// `SPARED_NO_VIRTUAL_ROUTER`.
pub const NO_VIRTUAL_ROUTER: u32 = 0xffff_ffff;
/// `SPARED_ADDRESS_SOURCE`.
pub const ADDRESS_SOURCE: u32 = 0x1;
/// `SPARED_ADDRESS_OWN`.
pub const ADDRESS_OWN: u32 = 0x2;

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
/// `SPARED_DIRECTIVE_HELD`.
pub const DIRECTIVE_HELD: u32 = 0x200;
/// `SPARED_QUALITY_MAX`.
pub const QUALITY_MAX: u32 = 100;
/// `SPARED_QUALITY_STEP`: nodes whose qualities differ by less are equally fit.
pub const QUALITY_STEP: u32 = 5;

/// `SPARED_CAUSE_OTHER`.
pub const CAUSE_OTHER: u32 = 0;
/// `SPARED_CAUSE_NOBODY_HEARD`.
pub const CAUSE_NOBODY_HEARD: u32 = 1;
/// `SPARED_CAUSE_PEER_SILENT`.
pub const CAUSE_PEER_SILENT: u32 = 2;
/// `SPARED_CAUSE_PEER_RESIGNED`.
pub const CAUSE_PEER_RESIGNED: u32 = 3;
/// `SPARED_CAUSE_PEER_ACTIVE`.
pub const CAUSE_PEER_ACTIVE: u32 = 4;
/// `SPARED_CAUSE_PEER_UNABLE`.
pub const CAUSE_PEER_UNABLE: u32 = 5;
/// `SPARED_CAUSE_PEER_ASIDE`.
pub const CAUSE_PEER_ASIDE: u32 = 6;
/// `SPARED_CAUSE_PEER_JOINING`.
pub const CAUSE_PEER_JOINING: u32 = 7;
/// `SPARED_CAUSE_PEER_FORCED`.
pub const CAUSE_PEER_FORCED: u32 = 8;
/// `SPARED_CAUSE_QUALITY`.
pub const CAUSE_QUALITY: u32 = 9;
/// `SPARED_CAUSE_PRIORITY`.
pub const CAUSE_PRIORITY: u32 = 10;
/// `SPARED_CAUSE_PREFERRED`.
pub const CAUSE_PREFERRED: u32 = 11;
/// `SPARED_CAUSE_FAILBACK`.
pub const CAUSE_FAILBACK: u32 = 12;
/// `SPARED_CAUSE_OWNER`.
pub const CAUSE_OWNER: u32 = 13;
/// `SPARED_CAUSE_FORCED`.
pub const CAUSE_FORCED: u32 = 14;
/// `SPARED_CAUSE_STANDS_ASIDE`.
pub const CAUSE_STANDS_ASIDE: u32 = 15;
/// `SPARED_CAUSE_BARRED`.
pub const CAUSE_BARRED: u32 = 16;
/// `SPARED_CAUSE_UNHEARD_INTERFACE`.
pub const CAUSE_UNHEARD_INTERFACE: u32 = 17;
/// `SPARED_CAUSE_INTERFACE_HURT`.
pub const CAUSE_INTERFACE_HURT: u32 = 18;
/// `SPARED_CAUSE_ISOLATED`.
pub const CAUSE_ISOLATED: u32 = 19;
/// `SPARED_CAUSE_ADVERTS_UNSENT`.
pub const CAUSE_ADVERTS_UNSENT: u32 = 20;
/// `SPARED_CAUSE_SWITCHOVER`.
pub const CAUSE_SWITCHOVER: u32 = 21;
/// `SPARED_CAUSE_ASKED`.
pub const CAUSE_ASKED: u32 = 22;
/// `SPARED_CAUSE_NOT_IN_SYNC`.
pub const CAUSE_NOT_IN_SYNC: u32 = 23;
/// `SPARED_CAUSE_LISTENING`.
pub const CAUSE_LISTENING: u32 = 24;
/// `SPARED_CAUSE_LATE`.
pub const CAUSE_LATE: u32 = 25;
/// `SPARED_CAUSE_FENCE_BLOCKING`.
pub const CAUSE_FENCE_BLOCKING: u32 = 26;
/// `SPARED_CAUSE_CLONED`.
pub const CAUSE_CLONED: u32 = 27;
/// `SPARED_CAUSE_SECOND`.
pub const CAUSE_SECOND: u32 = 28;
/// `SPARED_CAUSE_WITHDRAWN`.
pub const CAUSE_WITHDRAWN: u32 = 29;
/// `SPARED_CAUSE_SHUTDOWN`.
pub const CAUSE_SHUTDOWN: u32 = 30;
/// `SPARED_CAUSE_CONFLICT`.
pub const CAUSE_CONFLICT: u32 = 31;
/// `SPARED_CAUSE_CLAIMED`.
pub const CAUSE_CLAIMED: u32 = 64;
/// `SPARED_CAUSE_ELECTOR_DIED`.
pub const CAUSE_ELECTOR_DIED: u32 = 65;
/// `SPARED_CAUSE_LAPSED`.
pub const CAUSE_LAPSED: u32 = 66;
/// `SPARED_CAUSE_KERNEL`.
pub const CAUSE_KERNEL: u32 = 67;
/// `SPARED_CAUSE_STARTED`.
pub const CAUSE_STARTED: u32 = 68;

/// `SPARED_CAUSE_BY_SWITCHOVER`.
pub const CAUSE_BY_SWITCHOVER: u32 = 0x1;
/// `SPARED_CAUSE_OWN_PREFERRED`.
pub const CAUSE_OWN_PREFERRED: u32 = 0x2;
/// `SPARED_CAUSE_PEER_PREFERRED`.
pub const CAUSE_PEER_PREFERRED: u32 = 0x4;
/// `SPARED_CAUSE_READY`.
pub const CAUSE_READY: u32 = 0x8;

/// `SPARED_PUBLISH_REOPEN`.
pub const PUBLISH_REOPEN: u32 = 0x1;

/// `struct spared_virtual_router_claim`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct VirtualRouterClaim {
    /// Size of this struct.
    pub size: u32,
    /// `VIRTUAL_ROUTER_*`.
    pub flags: u32,
    /// Interface of its adverts.
    pub interface: Str,
    /// 4 or 6.
    pub family: u32,
    /// 1-255.
    pub vrid: u32,
    /// Name of its virtual-MAC device; empty: by VRID and interface.
    pub vmac_name: Str,
}

/// `struct spared_address_claim`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct AddressClaim {
    /// Size of this struct.
    pub size: u32,
    /// `ADDRESS_*`.
    pub flags: u32,
    /// Index into the virtual routers, or [`NO_VIRTUAL_ROUTER`].
    pub virtual_router: u32,
    /// 4 or 6.
    pub family: u32,
    /// Prefix length.
    pub prefix: u32,
    /// 0.
    pub reserved: u32,
    /// Interface that gets the address.
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
    /// Metric; 0: the kernel's default.
    pub metric: u32,
    /// Routing table; 0: main.
    pub table: u32,
    /// Interface; may be empty if there is a gateway.
    pub interface: Str,
    /// Network order; IPv4 in the first four.
    pub destination: [u8; 16],
    /// Gateway; all zero: none.
    pub gateway: [u8; 16],
    /// Preferred source; all zero: none.
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
    /// `virtual_router_count` virtual routers.
    pub virtual_routers: *const VirtualRouterClaim,
    /// `address_count` addresses.
    pub addresses: *const AddressClaim,
    /// `route_count` routes.
    pub routes: *const RouteClaim,
    /// Number of virtual routers.
    pub virtual_router_count: u32,
    /// Number of addresses.
    pub address_count: u32,
    /// Number of routes.
    pub route_count: u32,
    /// Interval at which addresses are announced again; 0: never.
    pub refresh_s: u32,
    /// How long one advert keeps the fence passing.
    pub lease_ns: u64,
}

/// `struct spared_cause`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Cause {
    /// Size of this struct.
    pub size: u32,
    /// `CAUSE_*`.
    pub kind: u32,
    /// `CAUSE_BY_SWITCHOVER` and later flags.
    pub flags: u32,
    /// This node's quality or priority.
    pub own: u32,
    /// The peer's.
    pub theirs: u32,
    /// 0.
    pub reserved: u32,
    /// Duration that the kind names.
    pub for_ns: u64,
    /// Name or address of the other router.
    pub peer: Str,
    /// An interface, or several with ", " between them.
    pub interface: Str,
    /// Free text.
    pub text: Str,
}

/// `SPARED_GROUPS_MAX`: groups of a node, and so the longest array of `claim`, `publish` and `announce`.
pub const GROUPS_MAX: u32 = 255;

/// `struct spared_group_claim`: an element of `claim`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct GroupClaim {
    /// Size of this struct.
    pub size: u32,
    /// 0.
    pub flags: u32,
    /// The configured name.
    pub group: Str,
    /// NULL withdraws the group.
    pub claims: *const Claims,
}

/// `struct spared_publication`: an element of `publish`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Publication {
    /// Size of this struct.
    pub size: u32,
    /// [`PUBLISH_REOPEN`].
    pub flags: u32,
    /// The configured name.
    pub group: Str,
    /// `ROLE_*`.
    pub role: u32,
    /// 0.
    pub reserved: u32,
    /// Why.
    pub cause: *const Cause,
}

/// `struct spared_group`: the host's half.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Group {
    /// Size of this struct.
    pub size: u32,
    /// 0.
    pub reserved: u32,
    /// Declares, replaces or withdraws groups.
    pub claim:
        Option<unsafe extern "C" fn(*mut c_void, *const GroupClaim, u32, *mut Status) -> Status>,
    /// Sets the roles of groups.
    pub publish:
        Option<unsafe extern "C" fn(*mut c_void, *const Publication, u32, *mut Status) -> Status>,
    /// Announces the addresses of groups again.
    pub announce: Option<unsafe extern "C" fn(*mut c_void, *const Str, u32, *mut Status) -> Status>,
    /// Requests a switchover to the peer.
    pub switch_over:
        Option<unsafe extern "C" fn(*mut c_void, *const c_char, *const Cause) -> Status>,
    /// Replaces the cause of a published role.
    pub explain:
        Option<unsafe extern "C" fn(*mut c_void, *const c_char, u32, *const Cause) -> Status>,
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
    /// This node's quality, 0-100.
    pub quality: u32,
    /// The peer's quality, 0-100, if [`DIRECTIVE_PEER`] is set.
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
    /// The host's directive for a group.
    pub directive: Option<unsafe extern "C" fn(*mut c_void, *const Directive) -> Status>,
}
