//! `spared.interface/1`: state of interfaces, and sockets on them.

use std::ffi::{CStr, c_char, c_void};

use crate::{Status, Str};

/// `SPARED_INTERFACE`.
pub const INTERFACE: &CStr = c"spared.interface/1";

/// `SPARED_SOCKETS_NONE`.
pub const SOCKETS_NONE: u32 = 0x0;
/// `SPARED_SOCKETS_VRRP`.
pub const SOCKETS_VRRP: u32 = 0x1;
/// `SPARED_SOCKETS_HEARTBEAT`.
pub const SOCKETS_HEARTBEAT: u32 = 0x2;
/// `SPARED_SOCKETS_PING`.
pub const SOCKETS_PING: u32 = 0x4;

/// `SPARED_SOCKET_VRRP_LINK`.
pub const SOCKET_VRRP_LINK: u32 = 1;
/// `SPARED_SOCKET_VRRP_IPV4`.
pub const SOCKET_VRRP_IPV4: u32 = 2;
/// `SPARED_SOCKET_VRRP_IPV6`.
pub const SOCKET_VRRP_IPV6: u32 = 3;
/// `SPARED_SOCKET_STATIONS`.
pub const SOCKET_STATIONS: u32 = 4;
/// `SPARED_SOCKET_HEARTBEAT_IN`.
pub const SOCKET_HEARTBEAT_IN: u32 = 5;
/// `SPARED_SOCKET_HEARTBEAT_OUT`.
pub const SOCKET_HEARTBEAT_OUT: u32 = 6;
/// `SPARED_SOCKET_PING_IPV4`.
pub const SOCKET_PING_IPV4: u32 = 7;
/// `SPARED_SOCKET_PING_IPV6`.
pub const SOCKET_PING_IPV6: u32 = 8;
/// `SPARED_SOCKET_VRRP_HEARTBEAT`.
pub const SOCKET_VRRP_HEARTBEAT: u32 = 9;

/// `SPARED_INTERFACE_PRESENT`.
pub const INTERFACE_PRESENT: u32 = 0x1;
/// `SPARED_INTERFACE_UP`.
pub const INTERFACE_UP: u32 = 0x2;
/// `SPARED_INTERFACE_CARRIER`.
pub const INTERFACE_CARRIER: u32 = 0x4;

/// `struct spared_socket`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Socket {
    /// Size of this struct.
    pub size: u32,
    /// `SOCKET_*`.
    pub kind: u32,
    /// The descriptor, owned by the host.
    pub fd: i32,
    /// 0.
    pub reserved: u32,
}

/// `struct spared_own_address`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct OwnAddress {
    /// Size of this struct.
    pub size: u32,
    /// 4 or 6.
    pub family: u32,
    /// Prefix length.
    pub prefix: u32,
    /// 0.
    pub flags: u32,
    /// Network order; IPv4 in the first four.
    pub octets: [u8; 16],
}

/// `struct spared_interface_event`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct InterfaceEvent {
    /// Size of this struct.
    pub size: u32,
    /// `INTERFACE_*`.
    pub flags: u32,
    /// The interface's name.
    pub name: Str,
    /// The kernel's index; 0 if absent.
    pub index: u32,
    /// Bytes of payload per frame.
    pub mtu: u32,
    /// Six octets, then zero.
    pub mac: [u8; 8],
    /// `address_count` addresses.
    pub addresses: *const OwnAddress,
    /// Number of addresses.
    pub address_count: u32,
    /// Number of sockets.
    pub socket_count: u32,
    /// `socket_count` sockets.
    pub sockets: *const Socket,
}

/// `struct spared_interface`: the host's half.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Interface {
    /// Size of this struct.
    pub size: u32,
    /// 0.
    pub reserved: u32,
    /// Makes the host call `changed` for an interface.
    pub follow: Option<unsafe extern "C" fn(*mut c_void, *const c_char, u32) -> Status>,
    /// Ends that, and closes the sockets.
    pub unfollow: Option<unsafe extern "C" fn(*mut c_void, *const c_char) -> Status>,
}

/// `struct spared_interface_plugin`: the plugin's half.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct InterfacePlugin {
    /// Size of this struct.
    pub size: u32,
    /// 0.
    pub reserved: u32,
    /// Complete state of an interface that is followed.
    pub changed: Option<unsafe extern "C" fn(*mut c_void, *const InterfaceEvent) -> Status>,
}
