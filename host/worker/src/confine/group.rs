//! Control group of the worker, which the starter has made for it.

use std::path::Path;

/// Moves this process there, with what it starts from now on.
///
/// # Errors
/// The kernel's.
pub fn join(folder: &str) -> Result<(), String> {
    let file = Path::new(folder).join("cgroup.procs");
    std::fs::write(file, "0").map_err(|error| error.to_string())
}
