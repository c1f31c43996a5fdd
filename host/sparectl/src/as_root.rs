//! Verbs for root: they read and write the key and the configuration of this node.

use rustix::process::{DumpableBehavior, set_dumpable_behavior};

use crate::refusal::Refusal;
use crate::{EXIT_PERMISSION, output};

/// Keeps the memory of this process, which has a key or a code, out of cores, and from other processes of the same user.
pub fn seal() {
    let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
}

/// Runs a verb that only root may run, as `reason` says. Prints why it failed, and returns the exit code.
pub fn run<E: Into<Refusal>>(reason: &str, verb: impl FnOnce() -> Result<(), E>) -> u8 {
    if !rustix::process::geteuid().is_root() {
        output::errors(&[reason.to_owned()]);
        return EXIT_PERMISSION;
    }
    seal();
    ended(verb())
}

/// Prints why a verb failed, if it did, and returns the exit code.
pub fn ended<E: Into<Refusal>>(result: Result<(), E>) -> u8 {
    match result.map_err(Into::into) {
        Ok(()) => 0,
        Err(Refusal { why, code }) => {
            let lines = why.lines().map(str::to_owned);
            output::errors(&lines.collect::<Vec<_>>());
            code
        }
    }
}
