//! Descriptor that a plugin exports, `struct spared_plugin`, and the role event.

use std::ffi::{c_char, c_int, c_void};

use crate::{Cause, Host, Status, Str};

/// `SPARED_FLAGS_REQUIRED`: bits that must be understood, in any flags.
pub const FLAGS_REQUIRED: u32 = 0xffff_0000;
/// `SPARED_CONFIGURE_CHECK`: validate only, without any side effect.
pub const CONFIGURE_CHECK: u32 = 0x1;
/// `SPARED_PLUGIN_REALTIME`: wants real-time priority and locked memory.
pub const PLUGIN_REALTIME: u32 = 0x1;
/// `SPARED_PLUGIN_FILES`: reads and runs files that its configuration names.
pub const PLUGIN_FILES: u32 = 0x2;
/// `SPARED_PLUGIN_WRITE`, with `PLUGIN_FILES`: also writes them.
pub const PLUGIN_WRITE: u32 = 0x4;
/// `SPARED_PLUGIN_ROOT`: runs as root and unconfined.
pub const PLUGIN_ROOT: u32 = 0x8;
/// `SPARED_PLUGIN_ASIDE`: by default its failure leaves the node as fit as before.
pub const PLUGIN_ASIDE: u32 = 0x10;

/// `SPARED_CALLS_BASIC`: memory, threads, time, reads and writes files, uses sockets that it has.
pub const CALLS_BASIC: u32 = 0x1;
/// `SPARED_CALLS_FILES`: makes, renames, removes, locks and changes files.
pub const CALLS_FILES: u32 = 0x2;
/// `SPARED_CALLS_SOCKETS`: makes sockets.
pub const CALLS_SOCKETS: u32 = 0x4;
/// `SPARED_CALLS_PROGRAMS`: starts programs.
pub const CALLS_PROGRAMS: u32 = 0x8;

/// `SPARED_ROLE_BACKUP`.
pub const ROLE_BACKUP: u32 = 1;
/// `SPARED_ROLE_ACTIVE`.
pub const ROLE_ACTIVE: u32 = 2;
/// `SPARED_ROLE_FAULT`: backup, and cannot become active.
pub const ROLE_FAULT: u32 = 3;

/// `SPARED_ROLE_MAINTENANCE`: this node is in maintenance.
pub const ROLE_MAINTENANCE: u32 = 0x1;
/// `SPARED_ROLE_PLANNED`: moved by a switchover, not by a failure.
pub const ROLE_PLANNED: u32 = 0x2;

/// `struct spared_role`: a group's role, as followers are told it.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct RoleEvent {
    /// Size of this struct as the host compiled it.
    pub size: u32,
    /// `ROLE_*`.
    pub role: u32,
    /// The configured name.
    pub group: Str,
    /// The sentence of `sparectl why`.
    pub why: Str,
    /// Monotonic time; afterwards the host goes on without the plugin.
    pub deadline_ns: u64,
    /// `ROLE_MAINTENANCE`, `ROLE_PLANNED`.
    pub flags: u32,
    /// `ROLE_*` that the plugin was last told for this group; 0: none yet.
    pub before: u32,
    /// Number of the role: the newer of two roles of a group has the greater one.
    pub epoch: u64,
    /// `why` as data.
    pub cause: *const Cause,
}

/// `struct spared_plugin`, exported as the constant `spared_plugin_v0`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Plugin {
    /// `sizeof(struct spared_plugin)` as the plugin compiled it.
    pub size: u32,
    /// Minor version that the plugin was compiled for.
    pub minor: u32,
    /// Lowest minor version of a host that it works with.
    pub needs_minor: u32,
    /// `PLUGIN_*`.
    pub flags: u32,
    /// Lowest version of its messages to the peer plugin.
    pub wire_min: u32,
    /// Highest version of its messages to the peer plugin.
    pub wire_max: u32,
    /// `1 << CAP_...`.
    pub capabilities: u64,
    /// `[a-z][a-z0-9-]*`, at most 32 bytes.
    pub name: *const c_char,
    /// Version of the plugin.
    pub version: *const c_char,
    /// Who made it.
    pub vendor: *const c_char,
    /// One line.
    pub summary: *const c_char,
    /// Fork of spared that it requires, or NULL.
    pub brand: *const c_char,
    /// Allocates an instance.
    pub create: Option<unsafe extern "C" fn(*const Host, *mut *mut c_void) -> Status>,
    /// Frees the instance.
    pub destroy: Option<unsafe extern "C" fn(*mut c_void)>,
    /// Applies a configuration, or only checks it.
    pub configure: Option<unsafe extern "C" fn(*mut c_void, Str, u32) -> Status>,
    /// Begins the work.
    pub start: Option<unsafe extern "C" fn(*mut c_void, u64) -> Status>,
    /// Ends the work.
    pub stop: Option<unsafe extern "C" fn(*mut c_void, u64) -> Status>,
    /// Sends the peer all that the plugin has.
    pub drain: Option<unsafe extern "C" fn(*mut c_void, u64, u64) -> Status>,
    /// Applies all that was received.
    pub settle: Option<unsafe extern "C" fn(*mut c_void, u64, u64) -> Status>,
    /// A group's role.
    pub role: Option<unsafe extern "C" fn(*mut c_void, u64, *const RoleEvent) -> Status>,
    /// A watched descriptor is ready.
    pub fd: Option<unsafe extern "C" fn(*mut c_void, c_int, u32) -> Status>,
    /// A timer expired.
    pub timer: Option<unsafe extern "C" fn(*mut c_void, u32) -> Status>,
    /// After `wake`.
    pub woken: Option<unsafe extern "C" fn(*mut c_void) -> Status>,
    /// `sparectl NAME ...`.
    pub query: Option<unsafe extern "C" fn(*mut c_void, u64, *const Str, u32) -> Status>,
    /// The plugin's half of an extension, or NULL.
    pub extension: Option<unsafe extern "C" fn(*const c_char) -> *const c_void>,
    /// Files and folders that it may read, or also write after a `+`; ends with NULL, or is NULL.
    pub paths: *const *const c_char,
    /// Words of `query`.
    pub verbs: *const Verb,
    /// Number of verbs.
    pub verb_count: u32,
    /// `CALLS_*`; 0: it has no list.
    pub calls: u32,
}

/// `SPARED_VERB_ASKS`: changes nothing.
pub const VERB_ASKS: u32 = 1;
/// `SPARED_VERB_CHANGES`: for root, on this node.
pub const VERB_CHANGES: u32 = 2;

/// `struct spared_verb`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Verb {
    /// Size of this struct.
    pub size: u32,
    /// `VERB_*`.
    pub effect: u32,
    /// The word; empty for `sparectl NAME` alone.
    pub word: *const c_char,
    /// Its arguments.
    pub usage: *const c_char,
    /// One line.
    pub summary: *const c_char,
}

/// A descriptor for a `static`: [`Plugin`] holds pointers, so that it is not `Sync` by itself.
#[repr(transparent)]
#[derive(Debug)]
pub struct Exported(pub Plugin);

// SAFETY: a descriptor is constant; its pointers lead to constants and functions.
unsafe impl Sync for Exported {}
