//! What the host offers: `struct spared_host`.

use std::ffi::{c_char, c_int, c_void};

use crate::{Status, Str};

/// `SPARED_LOG_ERROR`.
pub const LOG_ERROR: u32 = 1;
/// `SPARED_LOG_WARN`.
pub const LOG_WARN: u32 = 2;
/// `SPARED_LOG_INFO`.
pub const LOG_INFO: u32 = 3;
/// `SPARED_LOG_DEBUG`.
pub const LOG_DEBUG: u32 = 4;
/// `SPARED_LOG_TRACE`.
pub const LOG_TRACE: u32 = 5;
/// `SPARED_LOG_EVENT`: logged as INFO, and kept for `sparectl events`.
pub const LOG_EVENT: u32 = 6;

/// `SPARED_FD_READ`, the value of `POLLIN`.
pub const FD_READ: u32 = 0x1;
/// `SPARED_FD_WRITE`, the value of `POLLOUT`.
pub const FD_WRITE: u32 = 0x4;
/// `SPARED_FD_ERROR`, the value of `POLLERR`.
pub const FD_ERROR: u32 = 0x8;
/// `SPARED_FD_HANGUP`, the value of `POLLHUP`.
pub const FD_HANGUP: u32 = 0x10;

/// `struct spared_host`. A host sets every function up to its `size`; they are `Option` because
/// an older host's table ends earlier.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Host {
    /// Size of the table that this host passes.
    pub size: u32,
    /// The host's minor version.
    pub minor: u32,
    /// First argument of every function.
    pub ctx: *mut c_void,
    /// `[any]` One line of log.
    pub log: Option<unsafe extern "C" fn(*mut c_void, u32, Str)>,
    /// `[any]` Makes `woken` follow.
    pub wake: Option<unsafe extern "C" fn(*mut c_void)>,
    /// Says what is wrong with a key of the configuration, or why a callback fails.
    pub fail: Option<unsafe extern "C" fn(*mut c_void, *const c_char, Str) -> Status>,
    /// A scalar of the configuration as text.
    pub config_get: Option<unsafe extern "C" fn(*mut c_void, *const c_char, *mut Str) -> Status>,
    /// The length of an array of the configuration.
    pub config_len: Option<unsafe extern "C" fn(*mut c_void, *const c_char, *mut u32) -> Status>,
    /// Watches a descriptor; 0 stops that.
    pub watch_fd: Option<unsafe extern "C" fn(*mut c_void, c_int, u32) -> Status>,
    /// Sets a one-shot timer; 0 cancels it.
    pub timer: Option<unsafe extern "C" fn(*mut c_void, u32, u64) -> Status>,
    /// `CLOCK_MONOTONIC` in ns.
    pub now: Option<unsafe extern "C" fn(*mut c_void) -> u64>,
    /// Ends what returned [`PENDING`](crate::PENDING).
    pub done: Option<unsafe extern "C" fn(*mut c_void, u64, Status) -> Status>,
    /// A text row of the answer to `query`.
    pub put_text: Option<unsafe extern "C" fn(*mut c_void, u64, *const c_char, Str) -> Status>,
    /// A number row of the answer to `query`.
    pub put_u64: Option<unsafe extern "C" fn(*mut c_void, u64, *const c_char, u64) -> Status>,
    /// The host's half of an extension, or NULL.
    pub extension: Option<unsafe extern "C" fn(*mut c_void, *const c_char) -> *const c_void>,
}
