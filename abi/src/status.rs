//! `spared.status/1`: the state of the pair, and its events.

use std::ffi::{CStr, c_void};

use crate::{Status, Str};

/// `SPARED_STATUS`.
pub const STATUS: &CStr = c"spared.status/1";
/// `SPARED_WATCH_STATUS`.
pub const WATCH_STATUS: u32 = 0x1;
/// `SPARED_WATCH_EVENTS`.
pub const WATCH_EVENTS: u32 = 0x2;
/// `SPARED_VERDICT_OK`.
pub const VERDICT_OK: u32 = 0;
/// `SPARED_VERDICT_WARN`.
pub const VERDICT_WARN: u32 = 1;
/// `SPARED_VERDICT_UNKNOWN`.
pub const VERDICT_UNKNOWN: u32 = 2;
/// `SPARED_VERDICT_ALONE`.
pub const VERDICT_ALONE: u32 = 3;
/// `SPARED_VERDICT_CONFLICT`.
pub const VERDICT_CONFLICT: u32 = 4;
/// `SPARED_VERDICT_NONE`.
pub const VERDICT_NONE: u32 = 5;
/// `SPARED_PAIR_READY`.
pub const PAIR_READY: u32 = 0x1;
/// `SPARED_PAIR_LINK_UP`.
pub const PAIR_LINK_UP: u32 = 0x2;

/// `struct spared_group_status`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct GroupStatus {
    /// Size of this struct.
    pub size: u32,
    /// `VERDICT_*`.
    pub verdict: u32,
    /// The configured name; empty: there is no group.
    pub group: Str,
    /// A sentence with the group's name.
    pub headline: Str,
    /// `ROLE_*` of this node; 0 without a group.
    pub role: u32,
    /// 0.
    pub reserved: u32,
}

/// `struct spared_finding`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Finding {
    /// Size of this struct.
    pub size: u32,
    /// 0.
    pub flags: u32,
    /// "SP-0401".
    pub id: Str,
    /// Node with the fault.
    pub node: Str,
    /// Object with the fault.
    pub thing: Str,
    /// The fault.
    pub text: Str,
    /// Remedy; may be empty.
    pub todo: Str,
    /// Local time; empty: not known.
    pub since: Str,
}

/// `struct spared_pair_status`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct PairStatus {
    /// Size of this struct.
    pub size: u32,
    /// `PAIR_*`.
    pub flags: u32,
    /// `VERDICT_*`: the worst of all groups.
    pub verdict: u32,
    /// This node's quality, 0-100.
    pub quality: u32,
    /// This node's name.
    pub node: Str,
    /// The peer's name; empty if there is none.
    pub peer: Str,
    /// `group_count` groups.
    pub groups: *const GroupStatus,
    /// `finding_count` findings on both nodes, worst first.
    pub findings: *const Finding,
    /// Number of groups.
    pub group_count: u32,
    /// Number of findings.
    pub finding_count: u32,
    /// Number of groups and findings for which there was no room.
    pub left_out: u32,
    /// 0.
    pub reserved: u32,
}

/// `struct spared_event`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Event {
    /// Size of this struct.
    pub size: u32,
    /// `LOG_ERROR`, `LOG_WARN` or `LOG_INFO`.
    pub level: u32,
    /// Number of events before this one that were not told.
    pub lost: u64,
    /// Local time.
    pub at: Str,
    /// One word.
    pub kind: Str,
    /// The group; empty: of none.
    pub group: Str,
    /// One word; may be empty.
    pub reason: Str,
    /// The event.
    pub text: Str,
}

/// `struct spared_watch`: the host's half.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Watch {
    /// Size of this struct.
    pub size: u32,
    /// 0.
    pub reserved: u32,
    /// Requests `WATCH_*`.
    pub watch: Option<unsafe extern "C" fn(*mut c_void, u32) -> Status>,
}

/// `struct spared_watch_plugin`: the plugin's half.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct WatchPlugin {
    /// Size of this struct.
    pub size: u32,
    /// 0.
    pub reserved: u32,
    /// State of the pair.
    pub status: Option<unsafe extern "C" fn(*mut c_void, *const PairStatus) -> Status>,
    /// An event.
    pub event: Option<unsafe extern "C" fn(*mut c_void, *const Event) -> Status>,
}
