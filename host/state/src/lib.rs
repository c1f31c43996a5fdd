//! Stores what outlives a restart of the host: overrides, and the history of roles. [`state_file`]
//! writes both to the disk without delaying the loop.

#![forbid(unsafe_code)]

pub mod history;
pub mod memory;
pub mod overrides;
pub mod state_file;
