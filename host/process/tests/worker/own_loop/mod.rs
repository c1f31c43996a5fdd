//! Plugins with the loop of the SDK: the tests of both loops, and tests of this one alone.

use std::path::PathBuf;

use crate::lab::Lab;

pub fn probe(lab: &Lab) -> PathBuf {
    lab.example("probe")
}

#[path = "../callbacks.rs"]
mod callbacks;
#[path = "../calls.rs"]
mod calls;
#[path = "../documents.rs"]
mod documents;
#[path = "../facts.rs"]
mod facts;
#[path = "../identity.rs"]
mod identity;
mod own;
#[path = "../peer.rs"]
mod peer;
#[path = "../pending.rs"]
mod pending;
mod roots;
