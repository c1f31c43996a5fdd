//! A file of the host's own: replaced at once and for good, readable by its owner only.

use std::fs::{self, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use spared_sdk::file::{Access, replace};

const SIZE_MAX: u64 = 4 * 1024 * 1024;

/// Replaces it, and makes its folder.
///
/// # Errors
/// What the system refused; the file of before is still there.
pub fn write(path: &Path, text: &str) -> Result<(), String> {
    if let Some(folder) = path.parent() {
        let fault = |error| format!("{}: {error}", folder.display());
        fs::create_dir_all(folder).map_err(fault)?;
    }
    replace(path, text.as_bytes(), Access::Private, || Ok(()))
}

/// Its content, if nobody else can have written it.
///
/// # Errors
/// The system's, or that others may write it.
pub fn read(path: &Path) -> io::Result<String> {
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
        .open(path)?;
    let facts = file.metadata()?;
    let own = rustix::process::geteuid().as_raw();
    if !facts.is_file() || facts.uid() != own || facts.mode() & 0o022 != 0 {
        return Err(io::Error::other("others may write it"));
    }
    let mut text = String::new();
    file.take(SIZE_MAX).read_to_string(&mut text)?;
    Ok(text)
}
