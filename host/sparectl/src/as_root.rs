//! Verbs for root: they read and write the key and the configuration of this node.

use crate::{EXIT_FAILED, EXIT_PERMISSION, output};

/// Runs a verb that only root may run, as `reason` says. Prints why it failed, and returns the exit code.
pub fn run(reason: &str, verb: impl FnOnce() -> Result<(), String>) -> u8 {
    if !rustix::process::geteuid().is_root() {
        output::errors(&[reason.to_owned()]);
        return EXIT_PERMISSION;
    }
    ended(verb())
}

/// Prints why a verb failed, if it did, and returns the exit code.
pub fn ended(result: Result<(), String>) -> u8 {
    match result {
        Ok(()) => 0,
        Err(why) => {
            let lines = why.lines().map(str::to_owned);
            output::errors(&lines.collect::<Vec<_>>());
            EXIT_FAILED
        }
    }
}
