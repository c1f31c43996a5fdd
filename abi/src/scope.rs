//! `spared.scope/1`: how keys of the configuration compare between the nodes.

use std::ffi::{CStr, c_char, c_void};

use crate::Status;

/// `SPARED_SCOPE`.
pub const SCOPE: &CStr = c"spared.scope/1";

/// `SPARED_SCOPE_PAIR`.
pub const SCOPE_PAIR: u32 = 1;
/// `SPARED_SCOPE_NODE`.
pub const SCOPE_NODE: u32 = 2;
/// `SPARED_SCOPE_LOCAL`.
pub const SCOPE_LOCAL: u32 = 3;
/// `SPARED_SCOPE_SECRET`.
pub const SCOPE_SECRET: u32 = 4;

/// `struct spared_scope`: the host's half.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Scope {
    /// Size of this struct.
    pub size: u32,
    /// 0.
    pub reserved: u32,
    /// Declares the scope of a key, in `configure`.
    pub declare: Option<unsafe extern "C" fn(*mut c_void, *const c_char, u32) -> Status>,
}
