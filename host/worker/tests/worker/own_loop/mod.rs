//! Plugins that have a loop of their own: the tests of both forms, and tests of this form alone.

use std::path::PathBuf;

use crate::lab::Lab;

/// Exit status of a plugin that hangs when the daemon is gone: SIGABRT.
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
