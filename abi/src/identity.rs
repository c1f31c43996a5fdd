//! `spared.identity/1`: statements signed with this node's key and verified with the peer's.

use std::ffi::{CStr, c_void};

use crate::{Bytes, Status};

/// `SPARED_IDENTITY`.
pub const IDENTITY: &CStr = c"spared.identity/1";
/// `SPARED_IDENTITY_STATEMENT_MAX`.
pub const IDENTITY_STATEMENT_MAX: u32 = 512;
/// `SPARED_IDENTITY_SIGNATURE_SIZE`.
pub const IDENTITY_SIGNATURE_SIZE: u32 = 64;

/// `struct spared_identity`: the host's half.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Identity {
    /// Size of this struct.
    pub size: u32,
    /// 0.
    pub reserved: u32,
    /// Requests a signature of this node.
    pub sign: Option<unsafe extern "C" fn(*mut c_void, u64, Bytes) -> Status>,
    /// Asks whether the peer made a signature.
    pub verify: Option<unsafe extern "C" fn(*mut c_void, u64, Bytes, Bytes) -> Status>,
}

/// `struct spared_identity_plugin`: the plugin's half.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct IdentityPlugin {
    /// Size of this struct.
    pub size: u32,
    /// 0.
    pub reserved: u32,
    /// The signature that was requested under a ticket.
    pub signature: Option<unsafe extern "C" fn(*mut c_void, u64, Bytes) -> Status>,
    /// Whether the peer made the signature of a ticket.
    pub verified: Option<unsafe extern "C" fn(*mut c_void, u64, u32) -> Status>,
}
