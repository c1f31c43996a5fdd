//! Functions of the host: `struct spared_host`.

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
/// `SPARED_LOG_EVENT`: logged as INFO and kept for `sparectl events`.
pub const LOG_EVENT: u32 = 6;
/// `SPARED_LOG_CONFLICT`: an elector's event, logged as WARN, that another router is active too, or no
/// longer is.
pub const LOG_CONFLICT: u32 = 7;

/// `SPARED_FD_READ`, the value of `POLLIN`.
pub const FD_READ: u32 = 0x1;
/// `SPARED_FD_WRITE`, the value of `POLLOUT`.
pub const FD_WRITE: u32 = 0x4;
/// `SPARED_FD_ERROR`, the value of `POLLERR`.
pub const FD_ERROR: u32 = 0x8;
/// `SPARED_FD_HANGUP`, the value of `POLLHUP`.
pub const FD_HANGUP: u32 = 0x10;

/// `SPARED_CONFIG_TEXT`.
pub const CONFIG_TEXT: u32 = 1;
/// `SPARED_CONFIG_INTEGER`.
pub const CONFIG_INTEGER: u32 = 2;
/// `SPARED_CONFIG_FLOAT`.
pub const CONFIG_FLOAT: u32 = 3;
/// `SPARED_CONFIG_BOOLEAN`.
pub const CONFIG_BOOLEAN: u32 = 4;
/// `SPARED_CONFIG_TIME`.
pub const CONFIG_TIME: u32 = 5;
/// `SPARED_CONFIG_ARRAY`.
pub const CONFIG_ARRAY: u32 = 6;
/// `SPARED_CONFIG_TABLE`.
pub const CONFIG_TABLE: u32 = 7;

/// `SPARED_ROW_NUMBER`.
pub const ROW_NUMBER: u32 = 0x0;
/// `SPARED_ROW_BOOL`: 0 or 1.
pub const ROW_BOOL: u32 = 0x1;
/// `SPARED_ROW_NS`: a time in ns.
pub const ROW_NS: u32 = 0x2;
/// `SPARED_ROW_BYTES`.
pub const ROW_BYTES: u32 = 0x3;
/// `SPARED_ROW_COUNTER`: only rises; combined with a unit.
pub const ROW_COUNTER: u32 = 0x100;

/// `struct spared_host`. A host sets every function up to its `size`; each is an `Option` because
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
    /// "spared", or the name of the fork that this host is.
    pub brand: *const c_char,
    /// `[any]` Logs one line.
    pub log: Option<unsafe extern "C" fn(*mut c_void, u32, Str)>,
    /// `[any]` Makes the host call `woken`.
    pub wake: Option<unsafe extern "C" fn(*mut c_void)>,
    /// Reports a faulty key of the configuration, or why a callback fails.
    pub fail: Option<unsafe extern "C" fn(*mut c_void, *const c_char, Str) -> Status>,
    /// Value of a scalar of the configuration, as text.
    pub config_get: Option<unsafe extern "C" fn(*mut c_void, *const c_char, *mut Str) -> Status>,
    /// Type of a value of the configuration: `CONFIG_*`.
    pub config_type: Option<unsafe extern "C" fn(*mut c_void, *const c_char, *mut u32) -> Status>,
    /// Name of a key of a table, by its position.
    pub config_keys:
        Option<unsafe extern "C" fn(*mut c_void, *const c_char, u32, *mut Str) -> Status>,
    /// Length of an array of the configuration.
    pub config_len: Option<unsafe extern "C" fn(*mut c_void, *const c_char, *mut u32) -> Status>,
    /// Watches a descriptor; no longer for 0.
    pub watch_fd: Option<unsafe extern "C" fn(*mut c_void, c_int, u32) -> Status>,
    /// Sets a one-shot timer; 0 cancels it.
    pub timer: Option<unsafe extern "C" fn(*mut c_void, u32, u64) -> Status>,
    /// `CLOCK_MONOTONIC` in ns.
    pub now: Option<unsafe extern "C" fn(*mut c_void) -> u64>,
    /// Completes a callback that returned [`PENDING`](crate::PENDING).
    pub done: Option<unsafe extern "C" fn(*mut c_void, u64, Status) -> Status>,
    /// Adds a row with a text to the answer to `query`.
    pub put_text: Option<unsafe extern "C" fn(*mut c_void, u64, *const c_char, Str) -> Status>,
    /// Adds a row with a number of a kind `ROW_*`.
    pub put_u64: Option<unsafe extern "C" fn(*mut c_void, u64, *const c_char, u32, u64) -> Status>,
    /// Adds a row with a number that may be negative.
    pub put_i64: Option<unsafe extern "C" fn(*mut c_void, u64, *const c_char, u32, i64) -> Status>,
    /// The host's half of an extension, or NULL.
    pub extension: Option<unsafe extern "C" fn(*mut c_void, *const c_char) -> *const c_void>,
}
