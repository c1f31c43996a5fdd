//! IPsec tunnels that a takeover does not break.
#![forbid(unsafe_code)]

mod body;
pub mod config;
pub mod engine;
pub mod error;
pub mod kernel;
pub mod sa;
pub mod vici;
pub mod wire;
pub mod xfrm;
