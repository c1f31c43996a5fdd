//! `spared starter`: the only process of spared that must be root. It starts the others, each under an account of its
//! own and with the rights that root's configuration gives it. It kills and reaps them on the host's request. It reads
//! the configuration itself, opens plugins itself, and listens to nobody but the host: no packet, no plugin, no client.
//!
//! `launcher` starts the processes; `client` is the host's end. One starter serves one run of the host and ends with
//! it. All that it started ends as well.

mod client;
mod control_groups;
mod launcher;
mod loaded;
mod serve;
mod state_folders;
#[cfg(test)]
mod tests;
mod unconfirmed;
mod worker_rights;

pub use client::{StarterAddress, StarterClient};
pub use launcher::{Files, Launcher};
pub use serve::run;
pub use worker_rights::Rights;
