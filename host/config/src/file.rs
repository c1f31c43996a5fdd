//! Reads configuration files. Refuses files that somebody other than root or the user of the host can have written.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::Path;

use spared_process::worker::file::open_checked;

use super::Fault;
use super::fault::name_of;

/// Maximum bytes of a file. Its values as a message have a limit of their own.
const SIZE_MAX: u64 = 160 * 1024;

/// Text of the file; None if the file does not exist.
pub fn read(path: &Path) -> Result<Option<String>, Fault> {
    let name = name_of(path);
    let fault = |why: String| Fault::whole(&name, why);
    match path.symlink_metadata() {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        _ => {}
    }
    let file = open_checked(path).map_err(|why| fault(without_path(path, why)))?;
    let mut text = String::new();
    File::from(file)
        .take(SIZE_MAX + 1)
        .read_to_string(&mut text)
        .map_err(|error| fault(format!("cannot be read: {error}")))?;
    if text.len() as u64 > SIZE_MAX {
        return Err(fault(format!("is larger than {SIZE_MAX} bytes")));
    }
    Ok(Some(text))
}

/// Sorted names of the files `NAME.toml` in a folder; none if the folder does not exist.
///
/// # Errors
/// The folder cannot be read.
pub fn plugin_names(folder: &Path) -> Result<Vec<String>, Fault> {
    let entries = match folder.read_dir() {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Fault::whole("plugins", format!("cannot be read: {error}"))),
    };
    let mut names: Vec<String> = entries
        .flatten()
        .filter_map(|entry| {
            Some(
                entry
                    .file_name()
                    .to_str()?
                    .strip_suffix(".toml")?
                    .to_owned(),
            )
        })
        .filter(|name| !name.starts_with('.') && !name.is_empty())
        .collect();
    names.sort();
    Ok(names)
}

// Removes the path from a reason, because the fault already names the file.
fn without_path(path: &Path, why: String) -> String {
    let prefix = format!("{}: ", path.display());
    why.strip_prefix(&prefix).map_or(why.clone(), str::to_owned)
}
