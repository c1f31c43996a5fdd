//! Whose word a configuration is: a plugin that runs as root takes root's alone. The daemon, which need not be root,
//! repeats it.

use std::fs;

use spared_contract::Surroundings;

use crate::Error;
use crate::config::{self, ConfigTable};

/// What whoever started this process says of the plugin's configuration.
#[derive(Debug)]
pub(super) struct Roots {
    pub(super) path: String,
    /// What was in it when it was read for a start or a reload.
    pub(super) texts: Vec<String>,
    /// The folder that root has made.
    pub(super) state: Option<String>,
}

impl Roots {
    /// Permits a configuration that is root's, and corrects the plugin's folder.
    ///
    /// # Errors
    /// It is not root's, and what to do.
    pub(super) fn permit(
        &self,
        table: &ConfigTable,
        surroundings: &mut Surroundings,
    ) -> Result<(), Error> {
        surroundings.state.clone_from(&self.state);
        // after a change, until this process is started anew
        let is_there = || fs::read_to_string(&self.path).is_ok_and(|text| says(&text, table));
        if self.texts.iter().any(|text| says(text, table)) || is_there() {
            return Ok(());
        }
        let path = &self.path;
        let why = format!(
            "runs as root, and this configuration differs from {path}: reload the configuration"
        );
        Err(Error::config("", why))
    }
}

/// Whether a file of root's has these values: all of them, and no other.
fn says(text: &str, table: &ConfigTable) -> bool {
    config::table(text).as_ref() == Ok(table)
}
