//! What outlives a restart of the host: overrides, and the history of roles. [`state_file`] keeps
//! both on the disk without delaying the loop.

#![forbid(unsafe_code)]

pub mod history;
pub mod memory;
pub mod overrides;
pub mod state_file;
