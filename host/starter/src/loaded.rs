//! The files that are in force, beside the state of the plugins: who changes them can go back to what runs. As root,
//! who goes back to them is. plugins/files-root and `spared report` read them, and so does the next starter, if a file
//! was changed meanwhile and the host goes on with what it has.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use spared_config::{LOADED, Plugin, Setup};
use spared_worker::file::open_checked;

/// Path of a plugin's file, below the folder of spared.toml.
pub(crate) fn file_of(plugin: &str) -> String {
    format!("plugins/{plugin}.toml")
}

/// The texts of all files, by their path below the folder of spared.toml, as they were written last; none if they
/// cannot be read, or if somebody else than root could have written them.
pub(crate) fn read(state: Option<&Path>) -> BTreeMap<String, String> {
    let text = state.and_then(|it| {
        let mut text = String::new();
        let mut file = File::from(open_checked(&it.join(LOADED)).ok()?);
        file.read_to_string(&mut text).ok()?;
        Some(text)
    });
    text.and_then(|it| serde_json::from_str(&it).ok())
        .unwrap_or_default()
}

/// The configuration that they make. `config`: the path of spared.toml.
pub(crate) fn setup(state: Option<&Path>, config: &Path) -> Option<Setup> {
    Setup::of_texts(config, &read(state)).ok()
}

/// Writes the texts of all files, by their path below the folder of spared.toml. It need not survive a power cut:
/// the next start writes it before any plugin runs.
pub(crate) fn write(state: Option<&Path>, setup: &Setup) {
    let Some(state) = state else { return };
    if let Err(error) = try_write(state, setup) {
        eprintln!("spared starter: {}: {error}", state.join(LOADED).display());
    }
}

fn try_write(state: &Path, setup: &Setup) -> std::io::Result<()> {
    let mut texts = BTreeMap::from([("spared.toml".to_owned(), &setup.text)]);
    // A file that could not be read has no text, and would enable its plugin with all rights.
    let is_read = |it: &&Plugin| it.faults.is_empty() || !it.text.is_empty();
    for plugin in setup.plugins.iter().filter(is_read) {
        texts.insert(file_of(&plugin.name), &plugin.text);
    }
    std::fs::create_dir_all(state)?;
    let new = state.join(format!(".{LOADED}.spared"));
    // of an earlier run, perhaps with other rights
    let _ = std::fs::remove_file(&new);
    let mut options = File::options();
    let mut file = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&new)?;
    file.write_all(serde_json::to_string(&texts)?.as_bytes())?;
    std::fs::rename(&new, state.join(LOADED))
}
