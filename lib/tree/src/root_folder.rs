//! Opens files below a folder and never follows a symbolic link, neither one that existed before nor one that somebody
//! creates meanwhile.

use std::borrow::Cow;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat, open, openat, statat, unlinkat};
use rustix::io::Errno;

/// Folder below which all paths lie; `/` except in tests.
#[derive(Debug)]
pub struct RootFolder {
    root: OwnedFd,
    /// Path, and its real place.
    moved: Option<(String, String)>,
}

/// Name in an open folder.
#[derive(Debug)]
pub struct Place<'p> {
    pub folder: OwnedFd,
    pub name: &'p str,
}

impl RootFolder {
    /// # Errors
    /// The folder cannot be opened, or is a link: others own some of the folders above it.
    pub fn new(root: &Path) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let root = open(root, flags, Mode::empty())?;
        let moved = None;
        Ok(Self { root, moved })
    }

    /// # Errors
    /// The kernel's error.
    pub fn try_clone(&self) -> io::Result<Self> {
        let (root, moved) = (self.root.try_clone()?, self.moved.clone());
        Ok(Self { root, moved })
    }

    /// Clones the folder with one path, and everything below it, at another place.
    ///
    /// # Errors
    /// The kernel's error.
    pub fn moved(&self, path: &str, place: &str) -> io::Result<Self> {
        let moved = Some((path.to_owned(), place.to_owned()));
        let root = self.root.try_clone()?;
        Ok(Self { root, moved })
    }

    /// Opens a folder for reading.
    ///
    /// # Errors
    /// The kernel's error; a link anywhere in the path is ELOOP.
    pub fn folder(&self, path: &str) -> io::Result<OwnedFd> {
        self.open(path, OFlags::RDONLY | OFlags::DIRECTORY)
    }

    /// Opens a file for reading. A pipe or a device does not block; [`Stat`] tells its type.
    ///
    /// # Errors
    /// The kernel's error; a link anywhere in the path is ELOOP.
    pub fn file(&self, path: &str) -> io::Result<File> {
        self.open(path, OFlags::RDONLY | OFlags::NONBLOCK)
            .map(File::from)
    }

    /// Opens the folder that contains a path, and returns the name within it.
    ///
    /// # Errors
    /// The kernel's error; a link anywhere in the path is ELOOP.
    pub fn place<'p>(&'p self, path: &'p str) -> io::Result<Place<'p>> {
        let moved = self.moved.as_ref().filter(|(from, _)| from == path);
        let path = moved.map_or(path, |(_, to)| to);
        let (folder, name) = path
            .rsplit_once('/')
            .filter(|(_, name)| !matches!(*name, "" | "." | ".."))
            .ok_or(io::ErrorKind::InvalidInput)?;
        let folder = self.folder(folder)?;
        Ok(Place { folder, name })
    }

    /// Removes a file or a link directly below the folder.
    ///
    /// # Errors
    /// The kernel's error.
    pub fn remove(&self, name: &str) -> io::Result<()> {
        if name.contains('/') {
            Err(io::ErrorKind::InvalidInput.into())
        } else {
            Ok(unlinkat(&self.root, name, AtFlags::empty())?)
        }
    }

    /// Status of a path; None if it does not exist.
    ///
    /// # Errors
    /// The kernel's error, except for a path that does not exist.
    pub fn stat(&self, path: &str) -> io::Result<Option<Stat>> {
        let place = match self.place(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            place => place?,
        };
        place.stat()
    }

    fn real<'p>(&self, path: &'p str) -> Cow<'p, str> {
        let Some((from, to)) = &self.moved else {
            return path.into();
        };
        match path.strip_prefix(from.as_str()) {
            Some(rest) if rest.is_empty() || rest.starts_with('/') => format!("{to}{rest}").into(),
            _ => path.into(),
        }
    }

    // Opens name by name. openat2 would do so in one call, but a unit with RestrictSUIDSGID= has no openat2, because a
    // filter of system calls cannot see its flags.
    fn open(&self, path: &str, flags: OFlags) -> io::Result<OwnedFd> {
        let path = self.real(path);
        let mut names: Vec<&str> = path.split('/').filter(|name| !name.is_empty()).collect();
        if names.iter().any(|name| matches!(*name, "." | "..")) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let last = names.pop().unwrap_or(".");
        let mut folder = self.root.try_clone()?;
        for name in names {
            folder = open_name(folder.as_fd(), name, OFlags::PATH | OFlags::DIRECTORY)?;
        }
        Ok(open_name(folder.as_fd(), last, flags)?)
    }
}

/// Opens a name in a folder; a link is ELOOP.
fn open_name(folder: BorrowedFd<'_>, name: &str, flags: OFlags) -> Result<OwnedFd, Errno> {
    let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let opened = openat(folder, name, flags, Mode::empty());
    opened.map_err(|errno| match errno {
        // the kernel returns ENOTDIR for a link if a folder was asked for
        Errno::NOTDIR if is_link(folder, name) => Errno::LOOP,
        errno => errno,
    })
}

fn is_link(folder: BorrowedFd<'_>, name: &str) -> bool {
    let stat = statat(folder, name, AtFlags::SYMLINK_NOFOLLOW);
    stat.is_ok_and(|it| FileType::from_raw_mode(it.st_mode) == FileType::Symlink)
}

impl Place<'_> {
    /// Status of the name, of a link itself; None if it does not exist.
    ///
    /// # Errors
    /// The kernel's error.
    pub fn stat(&self) -> io::Result<Option<Stat>> {
        match statat(&self.folder, self.name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(stat)),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(errno.into()),
        }
    }
}
