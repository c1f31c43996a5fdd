//! Plugins that the worker calls by their table of functions.

use std::path::PathBuf;

use crate::lab::Lab;

/// How one that hangs ends once the daemon is gone: by SIGALRM.
pub const HUNG: i32 = -14;

pub fn probe(lab: &Lab) -> PathBuf {
    lab.probe()
}

#[path = "../callbacks.rs"]
mod callbacks;
#[path = "../calls.rs"]
pub mod calls;
#[path = "../identity.rs"]
mod identity;
#[path = "../peer.rs"]
mod peer;
#[path = "../pending.rs"]
mod pending;
