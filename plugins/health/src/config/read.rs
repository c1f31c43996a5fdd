//! Reads every key of the file, with its allowed values.

use std::collections::BTreeSet;
use std::path::Path;

use spared_sdk::config::{Config, Section};

use super::{Check, Kind, Process, kinds};

/// Maximum number of checks: with more, the plugin would spend its time on reports.
pub(crate) const CHECKS_MAX: usize = 256;

/// Contents of the whole file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Settings {
    /// Name of this node, for scripts.
    pub node: String,
    pub checks: Vec<Check>,
}

impl Settings {
    /// Files that checks open or run: the sandbox of the plugin has to permit them.
    pub fn files(&self) -> BTreeSet<&Path> {
        let mut files = BTreeSet::new();
        for check in &self.checks {
            match &check.kind {
                Kind::Script { argv, .. } => {
                    let paths = argv.iter().map(Path::new);
                    files.extend(paths.filter(|path| path.is_absolute()));
                }
                Kind::File(file) => {
                    files.insert(&file.path);
                }
                Kind::Number(number) => {
                    files.insert(&number.path);
                }
                Kind::Process(Process::PidFile(path)) | Kind::Smart { path, .. } => {
                    files.insert(path);
                }
                _ => {}
            }
        }
        files
    }
}

/// Reads the file; None if `config` has noted faults that leave nothing to return.
pub fn read(config: &Config) -> Option<Settings> {
    let mut checks = Vec::new();
    let mut names = BTreeSet::new();
    let mut complete = true;
    for (table, reader) in kinds::READERS {
        for section in config.root().sections(*table) {
            let Some((check, enabled)) = reader(&section) else {
                complete = false;
                continue;
            };
            if !names.insert(check.name.clone()) {
                section.fault(
                    "name",
                    format!("another check is named {:?} already", check.name),
                );
            }
            if enabled {
                checks.push(check);
            }
        }
    }
    config
        .root()
        .at_most("", "checks", checks.len(), CHECKS_MAX);
    let node = config.node().to_owned();
    complete.then_some(Settings { node, checks })
}

/// Function that reads one table: the check, and true if it is enabled.
pub(super) type Reader = fn(&Section<'_>) -> Option<(Check, bool)>;
