//! The plugin ABI in Rust: a field-for-field mirror of `include/spared/plugin.h`.
//!
//! The header is the contract and has the documentation; every item here names its counterpart
//! there. `layout.txt` lists each field with offset and size; tests compare header and mirror with
//! it. Authors of plugins in Rust use `spared-sdk`, a safe interface to all of this.

#![deny(missing_docs)]

mod check;
mod claim;
mod group;
mod host;
mod identity;
mod interface;
mod least;
mod local;
mod peer;
mod plugin;
mod scope;
mod status;
mod text;

pub use check::*;
pub use claim::*;
pub use group::*;
pub use host::*;
pub use identity::*;
pub use interface::*;
pub use least::{PassedStruct, copy_sized};
pub use local::*;
pub use peer::*;
pub use plugin::*;
pub use scope::*;
pub use status::*;
pub use text::*;

/// `spared_status`: 0, [`PENDING`], [`RESTART`], [`ATTENTION`], or a negative errno down to -4095;
/// the host takes any other number for -EPROTO.
pub type Status = i32;

/// `SPARED_MAJOR`: part of the symbol's name; 0 until the ABI is frozen.
pub const MAJOR: u32 = 0;
/// `SPARED_MINOR`: the minor version that this mirror describes.
pub const MINOR: u32 = 0;
/// `brand` of a host that is no fork.
pub const BRAND: &std::ffi::CStr = c"spared";
/// `SPARED_PENDING`: `done` will follow.
pub const PENDING: Status = 1;
/// `SPARED_RESTART`, from `configure` only: valid, but only a new worker can use it.
pub const RESTART: Status = 2;
/// `SPARED_ATTENTION`, from `query` and its `done` only: answered, and the rows report something
/// that needs attention.
pub const ATTENTION: Status = 3;
