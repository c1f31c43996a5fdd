//! `spared starter`: the only process of spared that must be root. It starts the others, each under an account of its
//! own, with what root's configuration leaves it, and kills and reaps them when the host says so. It reads that
//! configuration itself, opens plugins itself, and hears nobody but the host: no packet, no plugin, no client.
//!
//! `launcher` does it; `client` is the host's end. One starter serves one run of the host and ends with it, and with it
//! all that it started.

#![forbid(unsafe_code)]

mod client;
mod control_groups;
mod launcher;
mod loaded;
mod paths;
mod rights;
mod serve;
mod state;
#[cfg(test)]
mod tests;

pub use client::{Remote, Whose};
pub use launcher::{Files, Launcher};
pub use rights::Rights;
pub use serve::run;
