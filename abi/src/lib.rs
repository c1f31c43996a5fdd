//! The plugin ABI in Rust: a field-for-field mirror of `include/spared/plugin.h`.
//!
//! The header is the contract and carries the prose; every item here names its counterpart there.
//! `layout.txt` lists each field with its offset and size, and the tests hold header and mirror to
//! it. Plugin authors who write Rust use `spared-sdk`, which makes all of this safe.

#![deny(missing_docs)]

mod check;
mod group;
mod host;
mod identity;
mod interface;
mod peer;
mod plugin;
mod scope;
mod text;

pub use check::*;
pub use group::*;
pub use host::*;
pub use identity::*;
pub use interface::*;
pub use peer::*;
pub use plugin::*;
pub use scope::*;
pub use text::*;

/// `spared_status`: 0, [`PENDING`], [`RESTART`], [`ATTENTION`], or a negative errno down to -4095;
/// the host takes any other number for -EPROTO.
pub type Status = i32;

/// `SPARED_MAJOR`: 0 until the ABI is frozen; in the symbol's name.
pub const MAJOR: u32 = 0;
/// `SPARED_MINOR`: the minor version that this mirror describes.
pub const MINOR: u32 = 0;
/// Keys at the top of each plugin's file that belong to the host, and that `config_keys` leaves out.
pub const HOST_KEYS: [&str; 5] = ["enabled", "after", "follow", "allow", "on_failure"];
/// What `brand` of a host is that is no fork.
pub const BRAND: &std::ffi::CStr = c"spared";
/// `SPARED_PENDING`: `done` will follow.
pub const PENDING: Status = 1;
/// `SPARED_RESTART`: from `configure` only, "valid, but I must be restarted for it".
pub const RESTART: Status = 2;
/// `SPARED_ATTENTION`: from `query` and its `done` only, "answered, and what the rows say wants
/// attention".
pub const ATTENTION: Status = 3;
