//! `sparectl keygen`: this node's key for the link.

use std::path::Path;

pub fn run(_file: Option<&Path>, _replace: bool) -> u8 {
    crate::EXIT_FAILED
}
