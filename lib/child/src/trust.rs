//! Decides whether a program may be run: only if nobody except root can have changed it.

use std::fmt;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use rustix::io::Errno;

const WRITABLE_BY_OTHERS: u32 = 0o022;
const EXECUTABLE: u32 = 0o111;
/// Number of links that are followed, as in the kernel.
const LINKS_MAX: u32 = 40;

/// Real path of the program behind `path`, with links followed. Run this path, so that the checked file is
/// the one that runs.
///
/// # Errors
/// The program, a directory above it, or one with a link on the way to it, can be changed by users other than root, or it
/// cannot be run.
pub fn trusted(path: &Path) -> Result<PathBuf, Refused> {
    let missing = |error| Refused::Unreadable(path.to_owned(), error);
    let mut real = PathBuf::from("/");
    let mut about = fs::metadata(&real).map_err(missing)?;
    let mut rest = parts(&std::path::absolute(path).map_err(missing)?);
    let mut links = 0;
    while let Some(part) = rest.pop() {
        // the next part is as this folder says
        judge(&real, &about)?;
        if part == Path::new("..") {
            // no part of it is a link
            real.pop();
            about = fs::metadata(&real).map_err(missing)?;
            continue;
        }
        let next = real.join(part);
        about = fs::symlink_metadata(&next).map_err(missing)?;
        if about.is_symlink() {
            links += 1;
            if links > LINKS_MAX {
                return Err(missing(Errno::LOOP.into()));
            }
            let target = fs::read_link(&next).map_err(missing)?;
            if target.is_absolute() {
                real = PathBuf::from("/");
            }
            rest.extend(parts(&target));
            about = fs::metadata(&real).map_err(missing)?;
        } else {
            real = next;
        }
    }
    if !about.is_file() || about.mode() & EXECUTABLE == 0 {
        return Err(Refused::NotExecutable(real));
    }
    judge(&real, &about)?;
    Ok(real)
}

/// Parts of a path, the last one first.
fn parts(path: &Path) -> Vec<PathBuf> {
    let parts = path.components().rev();
    let parts = parts.filter(|it| *it != Component::RootDir && *it != Component::CurDir);
    parts.map(|it| PathBuf::from(it.as_os_str())).collect()
}

fn judge(path: &Path, about: &Metadata) -> Result<(), Refused> {
    if about.uid() != 0 {
        return Err(Refused::Owner(path.to_owned(), about.uid()));
    }
    if about.mode() & WRITABLE_BY_OTHERS != 0 {
        return Err(Refused::Writable(path.to_owned()));
    }
    Ok(())
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
