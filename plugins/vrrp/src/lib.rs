//! VRRP: who is active.
#![forbid(unsafe_code)]

pub mod error;
pub mod wire;
