//! Error for a configuration that does not fit this machine.

use std::fmt;

/// Reason why a valid configuration does not fit this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ManagerError {
    /// The file names units, but no known service manager could start them.
    NoManager,
}

impl fmt::Display for ManagerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoManager => f.write_str(
                "no service manager was found here, allowed: \"systemd\", \"openrc\", \"procd\", \
                 \"runit\"",
            ),
        }
    }
}

impl std::error::Error for ManagerError {}
