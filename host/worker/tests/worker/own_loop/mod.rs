//! Plugins that have a loop of their own: the same tests, and what is theirs alone.

use std::path::PathBuf;

use crate::lab::Lab;

/// How one that hangs ends once the daemon is gone: by SIGABRT.
pub const HUNG: i32 = -6;

pub fn probe(lab: &Lab) -> PathBuf {
    lab.example("probe")
}

#[path = "../callbacks.rs"]
mod callbacks;
#[path = "../calls.rs"]
mod calls;
#[path = "../identity.rs"]
mod identity;
mod own;
#[path = "../peer.rs"]
mod peer;
#[path = "../pending.rs"]
mod pending;
mod roots;
