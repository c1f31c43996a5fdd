//! Paths from the command line, their defaults, and the configuration that they name.

use std::fmt;
use std::path::{Path, PathBuf};

use spared_file::starter::LOADED;
use spared_message::control::DEFAULT_STATE_DIR;

use crate::fault::Fault;
use crate::{Setup, exit};

/// Paths from the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Path of `spared.toml`; None for /etc/spared/spared.toml, which may be missing.
    pub config: Option<PathBuf>,
    pub runtime_dir: PathBuf,
    pub plugin_dir: PathBuf,
    /// Socket of the starter; None if the host starts one as its child.
    pub starter: Option<PathBuf>,
}

impl Options {
    pub fn config(&self) -> PathBuf {
        let default = || PathBuf::from(DEFAULT_CONFIG);
        self.config.clone().unwrap_or_else(default)
    }

    /// Reads what can be read, and all faults of `spared.toml`: see [`Setup::read_all`]. None if the file given by
    /// `--config` does not exist.
    pub fn read_all(&self) -> Option<(Option<Setup>, Vec<Fault>)> {
        let path = self.config();
        let is_absent = self.config.is_some() && !path.exists();
        (!is_absent).then(|| Setup::read_all(&path))
    }

    /// Reads the configuration. The file may be missing if `--config` is not given.
    ///
    /// # Errors
    /// See [`Unread`].
    pub fn read(&self) -> Result<Setup, Unread> {
        let path = self.config();
        if self.config.is_some() && !path.exists() {
            return Err(Unread::NoFile(path));
        }
        Setup::read(&path).map_err(Unread::Faults)
    }
}

pub const DEFAULT_CONFIG: &str = "/etc/spared/spared.toml";
pub const DEFAULT_PLUGIN_DIR: &str = "/usr/lib/spared/plugins";

/// Reason why a configuration is not in force. Printed as a line for each fault.
#[derive(Debug)]
pub enum Unread {
    /// The file given by `--config` does not exist.
    NoFile(PathBuf),
    Faults(Vec<Fault>),
}

impl Unread {
    /// Exit code of a program that ends for this reason.
    pub fn code(&self) -> u8 {
        match self {
            Self::NoFile(_) => exit::NO_INPUT,
            Self::Faults(_) => exit::CONFIG,
        }
    }
}

impl fmt::Display for Unread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoFile(path) => write!(f, "{}: no such file", path.display()),
            Self::Faults(faults) => {
                let lines: Vec<String> = faults.iter().map(ToString::to_string).collect();
                f.write_str(&lines.join("\n"))
            }
        }
    }
}

impl std::error::Error for Unread {}

/// Folder of the daemon's state, see [`spared_message::control::state_dir`].
pub fn state_dir(options: &Options) -> PathBuf {
    spared_message::control::state_dir(&options.runtime_dir)
}

/// Path of the file [`LOADED`]. The installed starter's folder contains the folder of the host.
pub fn loaded(options: &Options) -> PathBuf {
    let state = state_dir(options);
    match state.parent() {
        Some(around) if state == Path::new(DEFAULT_STATE_DIR) => around.join(LOADED),
        _ => state.join(LOADED),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_was_asked_for_has_to_be_there() {
        let options = Options {
            config: Some(PathBuf::from("/nowhere/spared.toml")),
            runtime_dir: PathBuf::from("/run"),
            plugin_dir: PathBuf::from(DEFAULT_PLUGIN_DIR),
            starter: None,
        };
        let unread = options.read().unwrap_err();
        assert_eq!(unread.to_string(), "/nowhere/spared.toml: no such file");
        assert_eq!(unread.code(), exit::NO_INPUT);
    }
}
