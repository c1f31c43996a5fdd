//! Joins the control group that the starter has created for the worker.

use std::path::Path;

/// Moves this process, and all that it starts from now on, into the group.
///
/// # Errors
/// The kernel's.
pub fn join(folder: &str) -> Result<(), String> {
    let file = Path::new(folder).join("cgroup.procs");
    std::fs::write(file, "0").map_err(|error| error.to_string())
}
