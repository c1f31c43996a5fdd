//! `spared.peer/1`: messages to the same plugin on the other node.

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
    /// Whether this node holds all that it needs to take over.
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
    /// The peer is there.
    pub up: Option<unsafe extern "C" fn(*mut c_void, u32) -> Status>,
    /// It is gone.
    pub down: Option<unsafe extern "C" fn(*mut c_void) -> Status>,
    /// Its message.
    pub message: Option<unsafe extern "C" fn(*mut c_void, Bytes) -> Status>,
    /// `send` takes messages again.
    pub writable: Option<unsafe extern "C" fn(*mut c_void) -> Status>,
}
