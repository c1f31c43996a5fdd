//! Reads configuration files that only root, or who runs the host, could have written.

use std::fs::{File, Metadata};
use std::io::{ErrorKind, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::Fault;
use super::fault::name_of;

const SIZE_MAX: u64 = 1 << 20;

/// Whose files are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trust {
    /// Root's and the own account's, that nobody else may write.
    OwnerOnly,
    /// Anybody's: for checks that have no effect.
    Anyone,
}

/// The file's text; None where there is none.
pub fn read(path: &Path, trust: Trust) -> Result<Option<String>, Fault> {
    let name = name_of(path);
    let fault = |why: String| Fault::whole(&name, why);
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(fault(format!("cannot be opened: {error}"))),
    };
    // The opened file is what is checked: a name could change hands in between.
    let metadata = file
        .metadata()
        .map_err(|error| fault(format!("cannot be read: {error}")))?;
    if !metadata.is_file() {
        return Err(fault("is not a regular file".to_owned()));
    }
    distrust(&metadata, trust).map_or(Ok(()), |why| Err(fault(why)))?;
    let mut text = String::new();
    file.take(SIZE_MAX + 1)
        .read_to_string(&mut text)
        .map_err(|error| fault(format!("cannot be read: {error}")))?;
    if text.len() as u64 > SIZE_MAX {
        return Err(fault(format!("is larger than {SIZE_MAX} bytes")));
    }
    Ok(Some(text))
}

/// The names of the `NAME.toml` in a folder, sorted; none where there is no folder.
pub fn plugin_names(folder: &Path, trust: Trust) -> Result<Vec<String>, Fault> {
    let fault = |why: String| Fault::whole("plugins", why);
    let metadata = match folder.metadata() {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(fault(format!("cannot be read: {error}"))),
    };
    distrust(&metadata, trust).map_or(Ok(()), |why| Err(fault(why)))?;
    let entries = folder
        .read_dir()
        .map_err(|error| fault(format!("cannot be read: {error}")))?;
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

fn distrust(metadata: &Metadata, trust: Trust) -> Option<String> {
    if trust == Trust::Anyone {
        return None;
    }
    let own = rustix::process::geteuid().as_raw();
    let (uid, mode) = (metadata.uid(), metadata.mode() & 0o7777);
    if uid != 0 && uid != own {
        return Some(format!(
            "belongs to user {uid}, allowed 0 or {own}: chown it"
        ));
    }
    (mode & 0o022 != 0).then(|| format!("may be written by others (mode {mode:04o}): chmod go-w"))
}
