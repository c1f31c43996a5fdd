//! `spared.check/1`: state of what a plugin watches, and quality of this node.

use std::ffi::{CStr, c_char, c_void};

use crate::{Status, Str};

/// `SPARED_CHECK`.
pub const CHECK: &CStr = c"spared.check/1";
/// `SPARED_CHECK_UNKNOWN`: not known yet.
pub const CHECK_UNKNOWN: u32 = u32::MAX;
/// `SPARED_CHECK_LOSES`: it works here and ends with this node.
pub const CHECK_LOSES: u32 = u32::MAX - 1;

/// `struct spared_check`: the host's half.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Check {
    /// Size of this struct.
    pub size: u32,
    /// 0.
    pub reserved: u32,
    /// Reports a check: name, weight, state, why.
    pub report: Option<unsafe extern "C" fn(*mut c_void, *const c_char, u32, u32, Str) -> Status>,
    /// Withdraws a check by name.
    pub forget: Option<unsafe extern "C" fn(*mut c_void, *const c_char) -> Status>,
}
