//! dhcp.toml.

use std::path::PathBuf;
use std::time::Duration;

use crate::format::Format;

/// One `[[server]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    pub name: String,
    pub format: Format,
    /// The server's own configuration.
    pub config: PathBuf,
    /// The next four instead of what `config` says.
    pub leases: Option<PathBuf>,
    pub socket: Option<PathBuf>,
    pub server_id: Option<PathBuf>,
    pub bus_name: Option<String>,
    /// D-Bus address; None: the system's bus.
    pub bus: Option<String>,
    /// It runs on the backup, too, and learns leases while it does.
    pub warm: bool,
    /// An empty set may replace one that is not.
    pub allow_empty: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    pub servers: Vec<Server>,
    /// How often a backup writes its file, where leases changed.
    pub save_interval: Duration,
}
