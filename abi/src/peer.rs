//! `spared.peer/1`: messages to the peer plugin, the same plugin on the peer.

use std::ffi::{CStr, c_void};

use crate::{Bytes, Status, Str};

/// `SPARED_PEER`.
pub const PEER: &CStr = c"spared.peer/1";
/// `SPARED_PEER_MESSAGE_MAX`.
pub const PEER_MESSAGE_MAX: u32 = 65536;

/// `struct spared_peer`: the host's half.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Peer {
    /// Size of this struct.
    pub size: u32,
    /// 0.
    pub reserved: u32,
    /// Queues one message.
    pub send: Option<unsafe extern "C" fn(*mut c_void, Bytes) -> Status>,
    /// Reports whether this node holds all that a failover to it needs.
    pub in_sync: Option<unsafe extern "C" fn(*mut c_void, u32, Str) -> Status>,
}

/// `struct spared_peer_plugin`: the plugin's half.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct PeerPlugin {
    /// Size of this struct.
    pub size: u32,
    /// 0.
    pub reserved: u32,
    /// The peer plugin is connected.
    pub up: Option<unsafe extern "C" fn(*mut c_void, u32) -> Status>,
    /// The peer plugin is gone.
    pub down: Option<unsafe extern "C" fn(*mut c_void) -> Status>,
    /// A message from the peer plugin.
    pub message: Option<unsafe extern "C" fn(*mut c_void, Bytes) -> Status>,
    /// `send` has room again.
    pub writable: Option<unsafe extern "C" fn(*mut c_void) -> Status>,
}
