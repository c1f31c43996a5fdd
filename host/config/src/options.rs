//! Paths from the command line, and their defaults.

use std::path::{Path, PathBuf};

/// Paths from the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// None: /etc/spared/spared.toml, which may be absent.
    pub config: Option<PathBuf>,
    pub runtime_dir: PathBuf,
    pub plugin_dir: PathBuf,
    /// Socket of the starter; None: a child of the host.
    pub starter: Option<PathBuf>,
}

impl Options {
    pub fn config(&self) -> PathBuf {
        let default = || PathBuf::from(DEFAULT_CONFIG);
        self.config.clone().unwrap_or_else(default)
    }
}

pub const DEFAULT_CONFIG: &str = "/etc/spared/spared.toml";
pub const DEFAULT_RUNTIME_DIR: &str = "/run/spared";
pub const DEFAULT_STATE_DIR: &str = "/var/lib/spared/host";
pub const DEFAULT_PLUGIN_DIR: &str = "/usr/lib/spared/plugins";

/// Folder of state that outlives a reboot: overrides and history. With another runtime folder than the
/// default (a second host, a trial) the state is kept in that, apart from the installed host's.
pub fn state_dir(options: &Options) -> PathBuf {
    let given = std::env::var_os("STATE_DIRECTORY").map(PathBuf::from);
    given.unwrap_or_else(
        || match options.runtime_dir == Path::new(DEFAULT_RUNTIME_DIR) {
            true => PathBuf::from(DEFAULT_STATE_DIR),
            false => options.runtime_dir.clone(),
        },
    )
}
