//! `spared.local/1`: messages to other plugins of this node.

use std::ffi::{CStr, c_char, c_void};

use crate::{Bytes, Status};

/// `SPARED_LOCAL`.
pub const LOCAL: &CStr = c"spared.local/1";
/// `SPARED_LOCAL_MESSAGE_MAX`.
pub const LOCAL_MESSAGE_MAX: u32 = 65536;
/// `SPARED_LOCAL_PARTNERS_MAX`.
pub const LOCAL_PARTNERS_MAX: u32 = 8;

/// `struct spared_local`: the host's half.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Local {
    /// Size of this struct.
    pub size: u32,
    /// 0.
    pub reserved: u32,
    /// Queues one message to a partner.
    pub send: Option<unsafe extern "C" fn(*mut c_void, u32, Bytes) -> Status>,
}

/// `struct spared_local_plugin`: the plugin's half.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct LocalPlugin {
    /// Size of this struct.
    pub size: u32,
    /// Number of partners.
    pub partner_count: u32,
    /// Names of the plugins that it exchanges messages with.
    pub partners: *const *const c_char,
    /// A partner is connected.
    pub up: Option<unsafe extern "C" fn(*mut c_void, u32) -> Status>,
    /// A partner is gone.
    pub down: Option<unsafe extern "C" fn(*mut c_void, u32) -> Status>,
    /// A message from a partner.
    pub message: Option<unsafe extern "C" fn(*mut c_void, u32, Bytes) -> Status>,
    /// `send` to a partner has room again.
    pub writable: Option<unsafe extern "C" fn(*mut c_void, u32) -> Status>,
}
