//! Whether a program may be run: only root could have put it there.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::error::Refused;

const WRITABLE_BY_OTHERS: u32 = 0o022;
const EXECUTABLE: u32 = 0o111;

/// The program behind `path`, links followed.
///
/// # Errors
/// It, or a directory above it, is not root's alone to change, or it cannot be run at all.
pub fn trusted(path: &Path) -> Result<PathBuf, Refused> {
    let missing = |error| Refused::Unreadable(path.to_owned(), error);
    let real = fs::canonicalize(path).map_err(missing)?;
    let about = fs::metadata(&real).map_err(missing)?;
    if !about.is_file() || about.mode() & EXECUTABLE == 0 {
        return Err(Refused::NotExecutable(real));
    }
    for part in real.ancestors() {
        let about = fs::metadata(part).map_err(missing)?;
        if about.uid() != 0 {
            return Err(Refused::Owner(part.to_owned(), about.uid()));
        }
        if about.mode() & WRITABLE_BY_OTHERS != 0 {
            return Err(Refused::Writable(part.to_owned()));
        }
    }
    Ok(real)
}
