//! Places that the daemon and its clients find by themselves.

use std::path::{Path, PathBuf};

/// Folder of the installed daemon's sockets.
pub const DEFAULT_RUNTIME_DIR: &str = "/run/spared";
/// Folder of the installed daemon's state.
pub const DEFAULT_STATE_DIR: &str = "/var/lib/spared/host";
/// Name of the file in the folder of the daemon's state that keeps this node from being active. Its presence alone
/// counts.
pub const UNARMED_MARK: &str = "unarmed";

/// Folder of state that outlives a reboot: overrides and history. With another runtime folder than the default (a
/// second host, a trial) the state is kept in that runtime folder, apart from the installed host's.
pub fn state_dir(runtime_dir: &Path) -> PathBuf {
    let given = std::env::var_os("STATE_DIRECTORY").map(PathBuf::from);
    given.unwrap_or_else(|| {
        if runtime_dir == Path::new(DEFAULT_RUNTIME_DIR) {
            PathBuf::from(DEFAULT_STATE_DIR)
        } else {
            runtime_dir.to_owned()
        }
    })
}
