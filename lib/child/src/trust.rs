//! Decides whether a program may be run: only if nobody except root can have changed it.

use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

const WRITABLE_BY_OTHERS: u32 = 0o022;
const EXECUTABLE: u32 = 0o111;

/// Real path of the program behind `path`, with links followed. Run this path, so that the checked file is
/// the one that runs.
///
/// # Errors
/// The program, or a directory above it, can be changed by users other than root, or it cannot be run.
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

/// Reason why a program is not run.
#[derive(Debug)]
#[non_exhaustive]
pub enum Refused {
    /// The file does not exist or cannot be read.
    Unreadable(PathBuf, io::Error),
    /// The file is not a regular file, or not executable.
    NotExecutable(PathBuf),
    /// The file, or a directory above it, belongs to this user.
    Owner(PathBuf, u32),
    /// The file, or a directory above it, can be written by others.
    Writable(PathBuf),
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(path, error) => write!(f, "{}: {error}", path.display()),
            Self::NotExecutable(path) => write!(f, "{} is not an executable file", path.display()),
            Self::Owner(path, uid) => write!(
                f,
                "is not run: {} belongs to user {uid}, not to root",
                path.display()
            ),
            Self::Writable(path) => write!(
                f,
                "is not run: {} can be written by users other than root",
                path.display()
            ),
        }
    }
}

impl std::error::Error for Refused {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Unreadable(_, error) => Some(error),
            _ => None,
        }
    }
}
