//! Why a program is not run.

use std::fmt;
use std::io;
use std::path::PathBuf;

#[derive(Debug)]
pub enum Refused {
    Unreadable(PathBuf, io::Error),
    NotExecutable(PathBuf),
    /// Of the program or of a directory above it.
    Owner(PathBuf, u32),
    /// The same.
    Writable(PathBuf),
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(path, error) => write!(f, "{}: {error}", path.display()),
            Self::NotExecutable(path) => write!(f, "{} is no program", path.display()),
            Self::Owner(path, uid) => write!(
                f,
                "is not run: {} belongs to user {uid}, not to root",
                path.display()
            ),
            Self::Writable(path) => write!(
                f,
                "is not run: {} can be written by others than root",
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
