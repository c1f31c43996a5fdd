//! Keeps the files that are in force in a folder next to the state of the plugins. An administrator who has changed
//! them can go back to what runs; this is done as root. plugins/files-root and `spared report` read them. So does the
//! next starter, if a file was changed and the host continues with what it has loaded.

use std::collections::BTreeMap;
use std::path::Path;

use spared_config::on_disk::{HOST_FILE, Texts, kept_texts, path_of};
use spared_config::{Plugin, Setup};
use spared_file::replace_unflushed;
use spared_file::starter::LOADED;

/// Reads the texts that were written last, by their path below the folder of spared.toml. None are returned if they
/// cannot be read, or if somebody other than root could have written them.
pub(crate) fn read(state: Option<&Path>) -> Texts {
    let texts = state.and_then(|it| kept_texts(&it.join(LOADED)));
    texts.unwrap_or_default()
}

/// Configuration that these texts form. `config` is the path of spared.toml.
pub(crate) fn setup(state: Option<&Path>, config: &Path) -> Option<Setup> {
    Setup::of_texts(config, &read(state)).ok()
}

/// Writes the texts of all files, by their path below the folder of spared.toml. They need not survive a power failure:
/// the next start writes them before any plugin runs.
pub(crate) fn write(state: Option<&Path>, setup: &Setup) {
    let Some(state) = state else { return };
    if let Err(error) = try_write(state, setup) {
        eprintln!("spared starter: {}: {error}", state.join(LOADED).display());
    }
}

fn try_write(state: &Path, setup: &Setup) -> std::io::Result<()> {
    let mut texts = BTreeMap::from([(HOST_FILE.to_owned(), &setup.text)]);
    // A file that could not be read has no text. An empty text would enable its plugin with all rights.
    let is_read = |it: &&Plugin| it.faults.is_empty() || !it.text.is_empty();
    for plugin in setup.plugins.iter().filter(is_read) {
        texts.insert(path_of(&plugin.name), &plugin.text);
    }
    std::fs::create_dir_all(state)?;
    let texts = serde_json::to_string(&texts)?;
    replace_unflushed(&state.join(LOADED), texts.as_bytes())
}
