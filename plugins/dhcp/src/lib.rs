//! DHCP leases that follow from the active node to the other.
//!
//! This file and `server` are all the I/O; `engine` holds what decides, `wire.rs` what the twins
//! say, `format` what the servers' lease files say, `discover` what their configurations do.
//! *spared-dhcp*(5) is the manual of every key.
#![deny(unsafe_code)]

pub mod config;
pub mod discover;
pub mod engine;
pub mod error;
pub mod format;
pub mod lease;
pub mod server;
pub mod wire;
