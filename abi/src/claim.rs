//! `spared.claim/1`: addresses and routes of a group, for plugins that do not elect.

use std::ffi::{CStr, c_char, c_void};

use crate::{Claims, Status};

/// `SPARED_CLAIM`.
pub const CLAIM: &CStr = c"spared.claim/1";
/// `SPARED_ADDITIONS_MAX`.
pub const ADDITIONS_MAX: u32 = 64;

/// `struct spared_addition`: the host's half.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Addition {
    /// Size of this struct.
    pub size: u32,
    /// 0.
    pub reserved: u32,
    /// Adds addresses and routes to a group.
    pub add: Option<unsafe extern "C" fn(*mut c_void, *const c_char, *const Claims) -> Status>,
}
