//! Whose word a configuration is: a plugin that runs as root takes root's alone. The host, which need not be root,
//! repeats it.

use spared_config_reader as config;
use spared_contract::{ConfigTable, Surroundings};
use spared_message::load::{Load, RootsFile};

/// What whoever starts this process says of the plugin's configuration.
#[derive(Debug, Default)]
pub struct Roots {
    /// None for a plugin that is not root.
    file: Option<RootsFile>,
    state_dir: Option<String>,
}

impl Roots {
    pub fn of(load: &Load) -> Self {
        Self {
            file: load.roots.clone(),
            state_dir: load.state_dir.clone(),
        }
    }

    /// # Errors
    /// The configuration is not root's, and what to do.
    pub fn check(&self, table: &ConfigTable) -> Result<(), String> {
        let Some(RootsFile { path, texts }) = &self.file else {
            return Ok(());
        };
        // after a change, until this process is started anew
        let is_there = || std::fs::read_to_string(path).is_ok_and(|text| says(&text, table));
        if texts.iter().any(|text| says(text, table)) || is_there() {
            return Ok(());
        }
        Err(format!(
            "runs as root, and this configuration differs from {path}: reload the configuration"
        ))
    }

    /// The host's surroundings, with the state folder that root has made.
    pub fn surroundings(&self, host: &Surroundings) -> Surroundings {
        let mut surroundings = host.clone();
        if self.file.is_some() {
            surroundings.state.clone_from(&self.state_dir);
        }
        surroundings
    }
}

/// Whether a file of root's has these values: all of them, and no other.
fn says(text: &str, table: &ConfigTable) -> bool {
    config::table(text).as_ref() == Ok(table)
}
